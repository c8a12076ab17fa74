import type { FaultReason } from "./fault.ts";
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
}
