import type { QmpVersion } from "../../parsers/qemu/qmp.ts";
import type { Capture } from "./capture.ts";
import type { Why } from "./ending.ts";
import type { MachineIommu } from "./machine.ts";
import type { EndMemory } from "./self-check.ts";

/** What came of a recording, beside what stands in its folder. */
export interface Recording {
  readonly version: QmpVersion;
  readonly machine: readonly MachineIommu[];
  readonly start: Capture;
  /** null: QEMU was gone. */
  readonly end: Capture | null;
  /** What is not as one would expect, a sentence each. */
  readonly notes: readonly string[];
  readonly why: Why;
  /** null: stores were not recorded. */
  readonly stores: EndMemory | null;
}
