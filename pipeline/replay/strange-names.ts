import type { TraceNames } from "../../parsers/trace/records.ts";
import type { PlainRecord } from "../../parsers/trace/schema.ts";
import { show } from "../../parsers/trace/show.ts";
import { didYouMean, meant, UnknownNames } from "../../parsers/trace/unknown-names.ts";
import { FAULT_REASONS } from "../../walkers/fault.ts";
import { unknownSettings } from "../findings/name-findings.ts";
import { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Iommus } from "../iommus/iommus.ts";

const REASONS = Object.keys(FAULT_REASONS);

/** Names in a trace that nothing here knows: counted, or an error each where reading is strict. */
export class StrangeNames {
  readonly counted = new UnknownNames();
  readonly #strict: boolean;
  readonly #names: TraceNames;
  readonly #iommus: Iommus;

  constructor(strict: boolean, names: TraceNames, iommus: Iommus) {
    this.#strict = strict;
    this.#names = names;
    this.#iommus = iommus;
  }

  /** Counts what a record names that its IOMMU, or the contract, does not have. @returns what is wrong with that, where it is an error */
  inRecord(line: number, record: PlainRecord): string {
    if (record.type === "fault")
      return record.reason === undefined ? "" : this.#reason(line, "fault", record.reason);
    if (record.type !== "iommu" && record.type !== "reg") return "";
    let wrong = "";
    const found = (path: string, name: string, known: readonly string[], always: boolean) => {
      if (!this.#strict) this.counted.count(line, path, name, known, always);
      else if (wrong === "" && (always || meant(name, known) !== undefined))
        wrong = `${path}: expected known names, found ${show(name)}${didYouMean(meant(name, known))}`;
    };
    if (record.type === "iommu")
      unknownSettings(record.model, "iommu", record.regs?.keys() ?? [], record.props?.keys() ?? [], found);
    else {
      const unit = this.#iommus.named("reg", record.iommu);
      if (unit instanceof IommuUnit) unknownSettings(unit.model, "reg", [record.name], [], found);
    }
    return wrong;
  }

  /** As `inRecord`, of the reason that was observed of a request. @param number in `TraceNames.reasons`, or below 0 */
  observed(line: number, number: number): string {
    return number < REASONS.length
      ? ""
      : this.#reason(line, "dma.observed", this.#names.reasons.text(number));
  }

  #reason(line: number, path: string, reason: string): string {
    if (Object.hasOwn(FAULT_REASONS, reason)) return "";
    const near = meant(reason, REASONS);
    if (this.#strict)
      return `${path}.reason: expected one of ${REASONS.join(", ")}, found ${show(reason)}${didYouMean(near)}`;
    this.counted.count(line, `${path}.reason`, reason, REASONS, true, "it is like no fault's");
    return "";
  }
}
