import type { DmaRecord } from "../../parsers/trace/records.ts";
import { hexHalves } from "../../walkers/word64.ts";
import type { Route } from "../iommus/iommus.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { Analysis } from "./analysis.ts";
import { CACHE_RULES } from "./cache-rules.ts";
import type { Findings } from "./findings.ts";

/**
 * Looks at what the record of a second-stage fault says beside its code: the verdict is about whether the request was
 * answered as it should be, whoever handles the fault goes by the intermediate address.
 */
export class RecordedFaults implements Analysis {
  readonly #findings: Findings;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  faulted(line: number, { unit, names }: Route, record: DmaRecord, outcome: Outcome): void {
    const { observed } = record;
    const { secondStage } = unit.vendor.faultRecord;
    if (!observed.hasIpa && observed.flags < 0) return;
    if (secondStage === undefined || outcome.stage !== 2 || outcome.verdict !== "match") return;
    const { ipaShift, flags } = secondStage;
    const [hi, lo] = outcome.hasFaultAddr
      ? [outcome.faultHi, outcome.faultLo]
      : [record.addrHi, record.addrLo];
    const wrong: string[] = [];
    if (observed.hasIpa && (observed.ipaHi !== hi || (observed.ipaLo ^ lo) >>> ipaShift !== 0))
      wrong.push(
        `the intermediate address ${hexHalves(observed.ipaHi, observed.ipaLo)}, expected ${hexHalves(hi, (lo >>> ipaShift) << ipaShift)}`,
      );
    if (observed.flags >= 0 && outcome.flags >= 0 && ((observed.flags ^ outcome.flags) & flags) !== 0)
      wrong.push(`flags 0x${observed.flags.toString(16)}, expected 0x${outcome.flags.toString(16)}`);
    if (wrong.length === 0) return;
    const kind = `${outcome.fault!.code}:${outcome.faultClass}:${outcome.flags}`;
    this.#findings.report(line, CACHE_RULES["fault-record-differs"], `${unit.id}\n${names.device}:${kind}`, {
      iommu: unit.id,
      dev: names.device,
      pasid: record.pasid < 0 ? undefined : record.pasid,
      place: record,
      message: `the record of ${outcome.fault!.name} gives ${wrong.join(", and ")}`,
    });
  }

  /** A request that is recorded alike has the same record. */
  heedful(): boolean {
    return false;
  }
}
