import type { Fault, Occurrence } from "../../walkers/fault.ts";
import type { Layout } from "../../walkers/layout.ts";
import type { Prefix } from "../lookup.ts";

/** What `explain` says, in one of its forms. */
export interface ExplainOutput {
  /** Faults that a code or a name stands for. */
  faultText(model: string, title: string, faults: readonly Fault[]): string;
  /** All faults of a vendor. */
  allText(model: string, title: string, faults: readonly Fault[]): string;
  /**
   * A raw fault record.
   * @param known what it says of the fault
   */
  recordText(
    model: string,
    title: string,
    layout: Layout,
    record: DataView,
    code: number,
    faults: readonly Fault[],
    known: Occurrence,
  ): string;
  /** A structure's raw words, field by field. */
  entryText(model: string, layout: Layout, words: Prefix): string;
  /** What there is to decode. */
  structuresText(model: string, layouts: readonly Layout[]): string;
  /** The fields of a structure. */
  declarationText(model: string, layout: Layout): string;
}
