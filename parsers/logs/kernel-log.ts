import { AmdViLog } from "./amd-vi-log.ts";
import type { EventTaker, LoggedLine, Taken } from "./iommu-events.ts";
import { OtherIommuLog } from "./other-iommu-log.ts";
import { Smmuv3Log } from "./smmuv3-log.ts";
import { VtdLog } from "./vtd-log.ts";

/** Lines that mail may make of one message. */
const MAX_PARTS = 3;
/** A line that begins a message: no part of the one before it. */
const BEGINS = /\b(?:DMAR|dmar_fault|AMD-Vi|arm-smmu|riscv,iommu|virtio_iommu)\b|\(XEN\)|^\s*\[fault reason/;

/**
 * Reads what kernels log of IOMMUs of all vendors. Joins lines that mail has wrapped: what follows must have no time
 * stamp of its own.
 */
export class KernelLog {
  readonly #vtd: VtdLog;
  readonly #amd: AmdViLog;
  readonly #smmu: Smmuv3Log;
  readonly #other: OtherIommuLog;
  #held: LoggedLine | null = null;
  #parts = 0;

  constructor(take: EventTaker) {
    this.#vtd = new VtdLog(take);
    this.#amd = new AmdViLog(take);
    this.#smmu = new Smmuv3Log(take);
    this.#other = new OtherIommuLog(take);
  }

  /** Whether the next line is wanted whatever is in it. */
  get wantsNext(): boolean {
    return this.#held !== null || this.#amd.inBuffer;
  }

  /** Whether a line may be one of these: cheap, and right for all that begin a message. */
  static concerns(text: string): boolean {
    return CONCERNS.test(text);
  }

  /**
   * Takes a line.
   * @returns what became of it; of a line that was held, if only this one has told
   */
  line(line: LoggedLine): { readonly taken: Taken; readonly held: Taken | undefined } {
    const held = this.#held;
    if (held === null) return { taken: this.#first(line), held: undefined };
    this.#held = null;
    if (line.ts === "" && !BEGINS.test(line.text) && line.text !== "") {
      const joined = { ...held, text: `${held.text} ${line.text.trim()}` };
      const taken = this.#read(joined, this.#parts >= MAX_PARTS);
      if (taken === "continues") {
        this.#held = joined;
        this.#parts++;
      }
      if (taken !== "unknown")
        return { taken: taken === "continues" ? "understood" : taken, held: undefined };
    }
    const alone = this.#read(held, true);
    return { taken: this.#first(line), held: alone };
  }

  /** The log has ended. @returns what became of a line that was held */
  finish(): Taken | undefined {
    const held = this.#held;
    this.#held = null;
    const taken = held === null ? undefined : this.#read(held, true);
    this.#vtd.finish();
    this.#amd.finish();
    this.#smmu.finish();
    return taken;
  }

  #first(line: LoggedLine): Taken {
    const taken = this.#read(line, false);
    if (taken !== "continues") return taken;
    // The line may be used again for the next one.
    const { number, text, ts, origin } = line;
    this.#held = { number, text, ts, origin };
    this.#parts = 2;
    return "understood";
  }

  #read(line: LoggedLine, whole: boolean): Taken {
    const { text } = line;
    if (text.includes(" suppressed")) return this.#other.line(line);
    if (text.includes("arm-smmu-v3")) return this.#smmu.line(line);
    if (AMD.test(text) || this.#amd.inBuffer || this.#amd.expectsHalf) {
      const taken = this.#amd.line(line, whole);
      if (taken !== "unknown") return taken;
    }
    const vtd = VTD.test(text) ? this.#vtd.line(line, whole) : "unknown";
    return vtd === "unknown" ? this.#other.line(line) : vtd;
  }
}

const AMD =
  /AMD-Vi|Event logged \[|(?:^|\s)(?:[A-Z]+_[A-Z_]*(?:FAULT|ERROR|ENTRY|TIMEOUT|REQUEST)) .*address=/;
const VTD =
  /\b(?:DMAR(?:-IR)?|dmar): |DMAR:|fault reason|Request device \[|\[DMA (?:Read|Write)|INTR-REMAP|VT-d detected|QI (?:HEAD|PRIOR): |(?:dir|root|context) entry: |pasid table entry\[|pte level: |present at level|print_vtd_entries|(?:root_entry|context|ctxt_entry)\[|\bl[1-6]\[[0-9a-f]{1,3}\]/;
const CONCERNS = new RegExp(
  `${AMD.source}|${VTD.source}|\\barm-smmu|riscv,iommu|virtio_iommu|iommu group \\d|callbacks suppressed|printk messages dropped|^iommu: |amd_iommu_`,
);
