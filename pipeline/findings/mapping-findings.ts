import type { Access } from "../../parsers/trace/accesses.ts";
import { ACCESS_NAMES } from "../../parsers/trace/accesses.ts";
import type { DmaRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { RecordOf } from "../../parsers/trace/schema.ts";
import { rules } from "../../walkers/tables/rule.ts";
import { joined } from "../../walkers/word64.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Route } from "../iommus/iommus.ts";
import { historyText } from "../mappings/history-text.ts";
import { MappingHistory, type RefusedRequest } from "../mappings/mapping-history.ts";
import type { Moment } from "../mappings/mapping-index.ts";
import type { Analysis } from "./analysis.ts";
import type { Findings } from "./findings.ts";

export const MAPPING_RULES = rules({
  "fault-history": {
    severity: "info",
    text: "What software had done with the address of a request that faults: used after it was unmapped, mapped for the other direction, past the end of a buffer, never mapped.",
    source: "trace contract, `map` and `unmap`",
  },
});

const PCI_NAME = /^(?:[0-9a-f]{4}:)?[0-9a-f]{2}:/i;
/** What of the memory limit may go to mappings. */
const SHARE_OF_MAPPINGS = 1 / 16;
/** Bytes of a page: what a log may have of an address. */
const PAGE = 4096n;

/** Tells of each fault what software had mapped at its address: nothing where the trace has no mappings. */
export class MappingFindings implements Analysis {
  readonly #names: TraceNames;
  readonly #findings: Findings;
  readonly #history: MappingHistory;
  #mappings = 0;

  /** @param memoryLimit of the replay, in bytes */
  constructor(names: TraceNames, findings: Findings, memoryLimit: number) {
    this.#history = new MappingHistory(memoryLimit * SHARE_OF_MAPPINGS);
    this.#names = names;
    this.#findings = findings;
  }

  mapped(line: number, record: RecordOf<"map">): void {
    this.#mappings++;
    this.#history.map(
      { ...rangeOf(record), ...paOf(record), access: record.access },
      momentOf(line, record.ts),
    );
  }

  unmapped(line: number, record: RecordOf<"unmap">): void {
    this.#history.unmap(rangeOf(record), momentOf(line, record.ts));
  }

  heedful(): boolean {
    return this.#mappings > 0;
  }

  faulted(line: number, route: Route, record: DmaRecord): void {
    if (this.#mappings === 0) return;
    const ts = record.tsText();
    this.#tell(
      line,
      route.unit,
      record.dev,
      joined(record.addrHi, record.addrLo),
      BigInt(record.len),
      record.accessGiven ? ACCESS_NAMES[record.access] : undefined,
      ts === "" ? undefined : JSON.parse(ts),
    );
  }

  logged(line: number, { dev, addr, access, ts }: RecordOf<"fault">, unit: IommuUnit): void {
    if (this.#mappings === 0 || addr === undefined) return;
    const at = joined(addr.hi, addr.lo);
    // Many logs have the page alone.
    this.#tell(line, unit, dev.index, at, at % PAGE === 0n ? PAGE : 1n, access, ts);
  }

  #tell(
    line: number,
    unit: IommuUnit,
    dev: number,
    addr: bigint,
    span: bigint,
    access: Access | undefined,
    ts: number | string | undefined,
  ): void {
    // Mappings are made for PCI devices: what stream is whose, a trace does not say.
    const name = this.#names.devices.get(dev).text;
    if (!PCI_NAME.test(name)) return;
    const request: RefusedRequest = { dev: name, addr, span, access };
    const moment = momentOf(line, ts);
    const found = this.#history.of(request, moment);
    const mapping = found.mapping === undefined ? "" : `${found.mapping.addr}`;
    this.#findings.report(
      line,
      MAPPING_RULES["fault-history"],
      `${name}\n${found.cause}\n${mapping}\n${addr / PAGE}`,
      {
        iommu: unit.id,
        dev: name,
        place: {
          addrHi: Number(addr >> 32n),
          addrLo: Number(addr & 0xffff_ffffn),
          len: Number(span),
        },
        message: historyText(found, request, moment),
      },
    );
  }
}

function rangeOf({ dev, addr, size }: Pick<RecordOf<"unmap">, "dev" | "addr" | "size">) {
  return { dev: dev?.text, addr: joined(addr.hi, addr.lo), size: joined(size.hi, size.lo) };
}

function paOf({ pa }: RecordOf<"map">) {
  return pa === undefined ? {} : { pa: joined(pa.hi, pa.lo) };
}

function momentOf(line: number, ts: number | string | undefined): Moment {
  return { line, seconds: typeof ts === "number" ? ts : undefined };
}
