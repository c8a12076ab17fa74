import type { Vendor } from "../vendor.ts";
import { RISCV_ADVICE, RISCV_ROOT_ADVICE } from "./advice.ts";
import { RISCV_CACHING } from "./caching.ts";
import { RISCV_COMMANDS } from "./commands.ts";
import type { RiscvDevice, RiscvPasidContext } from "./context.ts";
import { RiscvEnumeration } from "./enumeration.ts";
import { RISCV_FAULT_RECORD } from "./fault-record.ts";
import { RISCV_FAULTS } from "./faults.ts";
import { RISCV_HOST } from "./host.ts";
import { RISCV_PASID_TABLES } from "./pasid-tables.ts";
import { RISCV_REGISTER_NAMES } from "./register-names.ts";
import { RiscvTables } from "./tables.ts";
import { RiscvWalker } from "./walker.ts";

export { RISCV_FAULTS } from "./faults.ts";
export { RiscvWalker } from "./walker.ts";

import { COHERENT, incoherent } from "../coherence.ts";
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
import { riscvGuardedWrite } from "./register-writes.ts";
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

export const RISCV = {
  model: "riscv",
  tagNames: { domain: "GSCID", asid: "PSCID" },
  registerNames: RISCV_REGISTER_NAMES,
  layouts: RISCV_LAYOUTS,
  faults: RISCV_FAULTS,
  faultRecord: RISCV_FAULT_RECORD,
  walker: (memory) => new RiscvWalker(memory),
  tables: (memory) => new RiscvTables(new RiscvWalker(memory)),
  enumeration: (walker) => new RiscvEnumeration(walker as RiscvWalker),
  host: RISCV_HOST,
  pasidTables: RISCV_PASID_TABLES,
  hwpt: null,
  commands: RISCV_COMMANDS,
  /** In-memory queue interface: cqcsr.cmd_ill is cleared by writing 1 to it, or by cqen going from 0 to 1. */
  restart: { text: "cqcsr.cmd_ill cleared", byWrite: (name) => name === "cqcsr" },
  registerCommands: {},
  guardedWrite: riscvGuardedWrite,
  advice: RISCV_ADVICE,
  rootAdvice: RISCV_ROOT_ADVICE,
  // No register says so: it is a matter of the platform's PMAs, which a host publishes ("dma-coherent" of its node).
  coherence: (state) => (state.property("coherent") === 0 ? incoherent("props.coherent=false") : COHERENT),
  caching: RISCV_CACHING,
  fuzzing: async () => (await import("./fuzz/index.ts")).RISCV_FUZZING,
} as const satisfies Vendor<RiscvDevice, RiscvPasidContext>;
