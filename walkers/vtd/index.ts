import type { Layout } from "../layout.ts";
import { SecondStageEntry } from "../page-tables/vtd-second-stage.ts";
import { X86Entry } from "../page-tables/x86-64.ts";
import {
  ExtendedContextEntry,
  ExtendedPasidEntry,
  ExtendedRootEntry,
  PasidStateEntry,
} from "./ecs-structures.ts";
import {
  CapabilityRegister,
  ExtendedCapabilityRegister,
  GlobalStatusRegister,
  RootTableAddressRegister,
  VersionRegister,
} from "./registers.ts";
import {
  ContextEntry,
  PasidDirectoryEntry,
  PasidEntry,
  RootEntry,
  ScalableContextEntry,
  ScalableRootEntry,
} from "./structures.ts";

export { VTD_FAULTS, VTD_WALK_FAULTS } from "./faults.ts";
export { VtdWalker } from "./walker.ts";

/** Every structure and register of VT-d that this walker reads. */
export const VTD_LAYOUTS: readonly Layout[] = [
  RootEntry,
  ContextEntry,
  ScalableRootEntry,
  ScalableContextEntry,
  PasidDirectoryEntry,
  PasidEntry,
  X86Entry,
  SecondStageEntry,
  ExtendedRootEntry,
  ExtendedContextEntry,
  ExtendedPasidEntry,
  PasidStateEntry,
  CapabilityRegister,
  ExtendedCapabilityRegister,
  VersionRegister,
  GlobalStatusRegister,
  RootTableAddressRegister,
];
