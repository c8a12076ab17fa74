import type { Layout } from "../layout.ts";
import { AmdV1Directory, AmdV1Entry } from "../page-tables/amd-v1.ts";
import { DeviceTableEntry, Gcr3Entry } from "./device-table-entry.ts";
import {
  DevTabHardwareErrorEvent,
  IllegalDevTableEntryEvent,
  InvalidDeviceRequestEvent,
  IoPageFaultEvent,
  PageTabHardwareErrorEvent,
} from "./events.ts";
import {
  ControlRegister,
  DeviceTableBase,
  ExclusionBase,
  ExclusionLimit,
  ExtendedFeature2Register,
  ExtendedFeatureRegister,
} from "./registers.ts";

export { AMD_VI_FAULTS } from "./faults.ts";
export { AmdViWalker } from "./walker.ts";

/** Every structure and register that this walker declares. */
export const AMD_VI_LAYOUTS: readonly Layout[] = [
  DeviceTableEntry,
  Gcr3Entry,
  AmdV1Entry,
  AmdV1Directory,
  IllegalDevTableEntryEvent,
  IoPageFaultEvent,
  DevTabHardwareErrorEvent,
  PageTabHardwareErrorEvent,
  InvalidDeviceRequestEvent,
  ControlRegister,
  ExtendedFeatureRegister,
  ExtendedFeature2Register,
  DeviceTableBase,
  ExclusionBase,
  ExclusionLimit,
];
