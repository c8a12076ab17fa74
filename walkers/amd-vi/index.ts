import { COHERENT, incoherent } from "../coherence.ts";
import type { Layout } from "../layout.ts";
import { AmdV1Directory, AmdV1Entry } from "../page-tables/amd-v1.ts";
import type { Vendor } from "../vendor.ts";
import { AMD_VI_ADVICE, AMD_VI_ROOT_ADVICE } from "./advice.ts";
import { AMD_VI_CACHING } from "./caching.ts";
import { AMD_VI_COMMANDS } from "./commands.ts";
import type { DeviceContext, PasidContext } from "./context.ts";
import { DeviceTableEntry, Gcr3Entry } from "./device-table-entry.ts";
import { AmdViEnumeration } from "./enumeration.ts";
import {
  DevTabHardwareErrorEvent,
  IllegalDevTableEntryEvent,
  InvalidDeviceRequestEvent,
  IoPageFaultEvent,
  PageTabHardwareErrorEvent,
} from "./events.ts";
import { AMD_VI_FAULT_RECORD } from "./fault-record.ts";
import { AMD_VI_FAULTS } from "./faults.ts";
import { AMD_VI_HOST } from "./host.ts";
import { AMD_VI_PASID_TABLES } from "./pasid-tables.ts";
import { AMD_VI_REGISTER_NAMES } from "./register-names.ts";
import {
  ControlRegister,
  DeviceTableBase,
  ExclusionBase,
  ExclusionLimit,
  ExtendedFeature2Register,
  ExtendedFeatureRegister,
} from "./registers.ts";
import { AmdViTables } from "./tables.ts";
import { AmdViWalker } from "./walker.ts";

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

export const AMD_VI = {
  model: "amd",
  tagNames: { domain: "domain", asid: "ASID" },
  registerNames: AMD_VI_REGISTER_NAMES,
  layouts: AMD_VI_LAYOUTS,
  faults: AMD_VI_FAULTS,
  faultRecord: AMD_VI_FAULT_RECORD,
  walker: (memory) => new AmdViWalker(memory),
  tables: (memory) => new AmdViTables(memory),
  enumeration: (walker) => new AmdViEnumeration(walker as AmdViWalker),
  host: AMD_VI_HOST,
  pasidTables: AMD_VI_PASID_TABLES,
  hwpt: null,
  commands: AMD_VI_COMMANDS,
  /** 2.4: a command that is not legal stops the command buffer; it is disabled and enabled again. */
  restart: {
    text: "Control.CmdBufEn cleared and set again",
    byWrite: (name, { lo }) => name === "control" && (lo & ControlRegister.mask.CMDBUFEN.lo) === 0,
  },
  registerCommands: {},
  advice: AMD_VI_ADVICE,
  rootAdvice: AMD_VI_ROOT_ADVICE,
  // MMIO 0018h.
  coherence: (state) =>
    state.field("control", ControlRegister, "COHERENT", 1) === 0
      ? incoherent("Control.Coherent=0")
      : COHERENT,
  caching: AMD_VI_CACHING,
  fuzzing: async () => (await import("./fuzz/index.ts")).AMD_VI_FUZZING,
} as const satisfies Vendor<DeviceContext, PasidContext>;
