import type { FaultReason, Occurrence } from "./fault.ts";
import type { Layout } from "./layout.ts";

/** What an IOMMU writes into its fault log: little-endian, one size for all kinds of fault. */
export interface FaultRecordFormat {
  /** What the specification calls it. */
  readonly name: string;
  readonly bytes: number;
  /** The native fault code of a record. */
  code(record: DataView): number;
  /** The native fault code in what recorders log for it; without it, that is the code itself. */
  loggedCode?(logged: number): number;
  /** The layout of records of this code: all of one vendor's share the place of the code. */
  layout(code: number): Layout;
  /** The generic reasons that a record leaves possible, the likeliest first; undefined where its code alone says. */
  reasons?(record: DataView): readonly FaultReason[] | undefined;
  /** READ or WRITE or EXECUTE of the request, where the record says it. */
  access?(record: DataView): number | undefined;
  /** The stage that faulted, where the record says it. */
  stage?(record: DataView): number | undefined;
  /**
   * What a record of a second-stage fault says of it: log2 of the bytes that its intermediate address names, and which of the
   * logged flags tell of that fault.
   */
  readonly secondStage?: { readonly ipaShift: number; readonly flags: number };
  /** Address type of the request, as of `WalkRequest.at`, where the record says it. */
  at?(record: DataView): number | undefined;
  /** Whether the request had a PASID, where the record says it. */
  withPasid?(record: DataView): boolean | undefined;
  /** Its flags, as they are logged. */
  flags?(record: DataView): number | undefined;
  /** Which of several kinds of its code a record is of. */
  kind?(record: DataView): number | undefined;
  /** The same, from the flags that are logged. */
  kindOfFlags?(code: number, flags: number): number | undefined;
  /**
   * Whether a logged fault is one of interrupt remapping, which is not modelled.
   * @param flags logged with it; -1: none
   * @param interrupt whether the request went to the interrupt addresses
   */
  ofInterrupts?(code: number, flags: number, interrupt: boolean): boolean;
}

/** What a record says of its fault. */
export function occurrenceOf(format: FaultRecordFormat, record: DataView): Occurrence {
  return {
    reasons: format.reasons?.(record),
    access: format.access?.(record),
    stage: format.stage?.(record),
    at: format.at?.(record),
    withPasid: format.withPasid?.(record),
    flags: format.flags?.(record),
    kind: format.kind?.(record),
  };
}
