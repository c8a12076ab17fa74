import type { Layout } from "../layout.ts";
import { SecondStageEntry } from "../page-tables/vtd-second-stage.ts";
import { X86Entry } from "../page-tables/x86-64.ts";
import type { Vendor } from "../vendor.ts";
import { VTD_ADVICE, VTD_ROOT_ADVICE } from "./advice.ts";
import { VTD_CACHING } from "./caching.ts";
import { vtdCoherence } from "./coherence.ts";
import { VTD_COMMANDS } from "./commands.ts";
import type { VtdDevice, VtdPasidContext } from "./context.ts";
import {
  ExtendedContextEntry,
  ExtendedPasidEntry,
  ExtendedRootEntry,
  PasidStateEntry,
} from "./ecs-structures.ts";
import { VtdEnumeration } from "./enumeration.ts";
import { VTD_FAULT_RECORD } from "./fault-record.ts";
import { VTD_FAULTS } from "./faults.ts";
import { VTD_HOST } from "./host.ts";
import { VTD_HWPT } from "./hwpt.ts";
import { VTD_PASID_TABLES } from "./pasid-tables.ts";
import { VTD_REGISTER_COMMANDS } from "./register-commands.ts";
import { VTD_REGISTER_NAMES } from "./register-names.ts";
import { flushesBuffer, writeVtdRegister } from "./register-writes.ts";
import {
  CapabilityRegister,
  ExtendedCapabilityRegister,
  GlobalCommandRegister,
  GlobalStatusRegister,
  ProtectedMemoryEnable,
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
import { VtdTables } from "./tables.ts";
import { VtdWalker } from "./walker.ts";

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
  GlobalCommandRegister,
  GlobalStatusRegister,
  RootTableAddressRegister,
  ProtectedMemoryEnable,
  ...Object.values(VTD_REGISTER_COMMANDS).flatMap(({ set }) => set.specs.map((spec) => spec.layout)),
];

export const VTD = {
  model: "intel",
  tagNames: { domain: "domain", asid: "ASID" },
  registerNames: VTD_REGISTER_NAMES,
  layouts: VTD_LAYOUTS,
  faults: VTD_FAULTS,
  faultRecord: VTD_FAULT_RECORD,
  walker: (memory) => new VtdWalker(memory),
  tables: (memory) => new VtdTables(new VtdWalker(memory)),
  enumeration: (walker) => new VtdEnumeration(walker as VtdWalker),
  host: VTD_HOST,
  pasidTables: VTD_PASID_TABLES,
  hwpt: VTD_HWPT,
  commands: VTD_COMMANDS,
  /** 6.5.2.11: FSTS_REG.IQE is cleared by writing 1 to it, and shows as clear; or queued invalidation is disabled. */
  restart: {
    text: "FSTS_REG.IQE cleared",
    byWrite: (name, { lo }) =>
      name === "fsts" ||
      (name === "gcmd" && (lo & GlobalCommandRegister.mask.QIE.lo) === 0) ||
      (name === "gsts" && (lo & GlobalStatusRegister.mask.QIES.lo) === 0),
  },
  registerCommands: VTD_REGISTER_COMMANDS,
  writeRegister: writeVtdRegister,
  advice: VTD_ADVICE,
  rootAdvice: VTD_ROOT_ADVICE,
  coherence: vtdCoherence,
  flushesBuffer,
  caching: VTD_CACHING,
  fuzzing: async () => (await import("./fuzz/index.ts")).VTD_FUZZING,
} as const satisfies Vendor<VtdDevice, VtdPasidContext>;
