import type { DmaRecord } from "../../parsers/trace/records.ts";
import type { Fault, FaultReason } from "../../walkers/fault.ts";
import type { Outcome, Verdict } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import { outcomeRecord } from "../output/outcome-record.ts";
import type { OutcomeRecord } from "../output/records.ts";
import { AddressDigest } from "./address-digest.ts";

/** Distinct faults that are counted one by one. */
const MOST_FAULTS = 1 << 12;

/** Requests of one device and PASID that fault in the same way: same condition and reason, stage and level. */
export class DistinctFault {
  readonly names: RequestNames;
  /** -1: without PASID. */
  readonly pasid: number;
  readonly fault: Fault;
  readonly reason: FaultReason;
  /** 0: in a context or PASID structure. */
  readonly stage: number;
  readonly level: number;
  /** The first of them. */
  readonly first: OutcomeRecord;
  requests = 0;
  lastLine = 0;
  readonly verdicts = new Map<Verdict, number>();
  /** Where the requests are. */
  readonly addresses = new AddressDigest();

  constructor(names: RequestNames, o: Outcome, first: OutcomeRecord) {
    this.names = names;
    this.pasid = first.pasid ?? -1;
    this.fault = o.fault!;
    this.reason = o.reason;
    this.stage = o.stage;
    this.level = o.level;
    this.first = first;
  }

  is(o: Outcome): boolean {
    return (
      o.fault === this.fault && o.reason === this.reason && o.stage === this.stage && o.level === this.level
    );
  }

  add(line: number, request: DmaRecord, { verdict }: Outcome): void {
    this.requests++;
    if (line > this.lastLine) this.lastLine = line;
    this.addresses.add(request.addrHi, request.addrLo);
    if (verdict !== "") this.verdicts.set(verdict, (this.verdicts.get(verdict) ?? 0) + 1);
  }
}

/** The distinct faults of a replay, in bounded memory. */
export class DistinctFaults {
  /** In order of the first request. */
  readonly all: DistinctFault[] = [];
  /** Requests whose fault is none of them. */
  others = 0;
  readonly #byNames: Map<number, DistinctFault[]>[] = [];

  add(line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    const fault = this.#of(line, names, request, outcome);
    if (fault === null) this.others++;
    else fault.add(line, request, outcome);
  }

  #of(line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): DistinctFault | null {
    let byPasid = this.#byNames[names.index];
    if (byPasid === undefined) {
      byPasid = new Map();
      this.#byNames[names.index] = byPasid;
    }
    const known = byPasid.get(request.pasid);
    const found = known?.find((fault) => fault.is(outcome));
    if (found !== undefined) return found;
    if (this.all.length === MOST_FAULTS) return null;
    const made = new DistinctFault(names, outcome, outcomeRecord(line, names, request, outcome));
    this.all.push(made);
    if (known === undefined) byPasid.set(request.pasid, [made]);
    else known.push(made);
    return made;
  }
}
