import type { TraceHandler } from "../../parsers/trace/reader.ts";
import type { DmaRecord } from "../../parsers/trace/records.ts";
import { FAULT } from "../../walkers/result.ts";
import { hex } from "../../walkers/word64.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import type { FindingRecord } from "../output/records.ts";
import type { FilterWords } from "./filter-words.ts";
import { RecordFilter } from "./record-filter.ts";
import { TimedHandler } from "./timed-handler.ts";

/** What a finding is about, beside what its record says. */
export interface FindingPlace {
  /** Input address. */
  readonly addrHi: number;
  readonly addrLo: number;
  /** Bytes from there on; 0: the address is not known. */
  readonly len: number;
  /** Address type of the request that it is about. */
  readonly at?: number | undefined;
  /** The fault that was logged, or should have been: its code in hex without padding, "" for none. */
  readonly fault?: { readonly code: string; readonly reason: string };
}

/** Fields of findings that hold lines of the input. */
const LINE_FIELDS = [
  "changed_line",
  "until_line",
  "first_line",
  "issued_line",
  "request_line",
  "invalidated_line",
  "fault_line",
  "reused_line",
] as const satisfies readonly (keyof FindingRecord)[];

/**
 * Which requests and findings of one replay are wanted. Everything is replayed all the same: memory, invalidations and
 * other requests count.
 */
export class ReplayFilter {
  /** Requests that were replayed and not wanted. */
  leftOut = 0;
  readonly #filter: RecordFilter;
  // What was asked last: a request is asked about by everyone whom it concerns.
  #line = -1;
  #request = false;
  #outcomeLine = -1;
  #outcome = false;

  /** @throws PatternError */
  constructor(words: FilterWords) {
    this.#filter = new RecordFilter(words);
  }

  /** Whether a request is of those that are asked for, whatever becomes of it. */
  request(line: number, names: RequestNames, request: DmaRecord): boolean {
    if (line === this.#line) return this.#request;
    const filter = this.#filter;
    this.#line = line;
    this.#request =
      filter.names(names) &&
      filter.pasid(request.pasid) &&
      filter.addressType(request.at) &&
      filter.line(line) &&
      filter.address(request.addrHi, request.addrLo, request.len);
    return this.#request;
  }

  /** … and becomes what is asked for. */
  outcome(line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): boolean {
    if (line === this.#outcomeLine) return this.#outcome;
    const filter = this.#filter;
    this.#outcomeLine = line;
    this.#outcome =
      !filter.findingsOnly &&
      this.request(line, names, request) &&
      (!filter.faultsOnly || (outcome.status === FAULT && this.#fault(outcome)));
    return this.#outcome;
  }

  #fault({ fault, reason }: Outcome): boolean {
    const { code, name } = fault!;
    return this.#filter.fault(code === 0 ? "" : hex(code), name, reason);
  }

  /**
   * Whether a finding is wanted. What is said of the trace as a whole (no IOMMU, no device) is about every request of it.
   * @param place undefined: it is about no input address
   */
  finding(record: FindingRecord, place: FindingPlace | undefined): boolean {
    const filter = this.#filter;
    const { iommu, dev, pasid, pasids } = record;
    if (!filter.rule(record.rule) || !this.#isWanted(place)) return false;
    if (
      ![record.line, ...LINE_FIELDS.map((field) => record[field])].some(
        (n) => n !== undefined && filter.line(n),
      )
    )
      return false;
    if (iommu === undefined && dev === undefined) return true;
    if (!filter.iommu(iommu) || !filter.device(dev) || !filter.addressType(place?.at)) return false;
    const ofPasid = pasids === undefined ? filter.pasid(pasid ?? -1) : filter.pasidsBetween(...pasids);
    if (!ofPasid || filter.addresses === null) return ofPasid;
    return place !== undefined && place.len > 0 && filter.address(place.addrHi, place.addrLo, place.len);
  }

  /** Where faults are asked for, findings are wanted that are about one of them; or where rules are asked for as well. */
  #isWanted(place: FindingPlace | undefined): boolean {
    const filter = this.#filter;
    if (!filter.faultsOnly) return true;
    if (place?.fault === undefined) return filter.hasRules;
    return filter.fault(place.fault.code, "", place.fault.reason);
  }

  /** A label of the input has no device: where it stands decides. */
  mark(line: number): boolean {
    return this.#filter.line(line);
  }

  /** Whoever is told of a trace's records; the filter sees their time stamps first, where it goes by them. */
  watching(handler: TraceHandler): TraceHandler {
    const { times } = this.#filter;
    return times === null ? handler : new TimedHandler(handler, (line, ts) => times.at(line, ts));
  }
}
