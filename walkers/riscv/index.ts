export { RISCV_FAULTS } from "./faults.ts";
export { RiscvWalker } from "./walker.ts";

import type { Layout } from "../layout.ts";
import { Sv32Entry, SvEntry } from "../page-tables/riscv-sv.ts";
import {
  BaseDeviceContext,
  DdtEntry,
  DeviceContextLayout,
  MsiMrifPte,
  MsiPte,
  PdtEntry,
  ProcessContextLayout,
} from "./layouts.ts";
import { Capabilities, DeviceDirectoryPointer, FeaturesControl } from "./registers.ts";

/** Every structure and register that this walker reads. */
export const RISCV_LAYOUTS: readonly Layout[] = [
  Capabilities,
  FeaturesControl,
  DeviceDirectoryPointer,
  DdtEntry,
  BaseDeviceContext,
  DeviceContextLayout,
  PdtEntry,
  ProcessContextLayout,
  MsiPte,
  MsiMrifPte,
  SvEntry,
  Sv32Entry,
];
