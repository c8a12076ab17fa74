import { COHERENT, incoherent } from "../coherence.ts";
import type { Layout } from "../layout.ts";
import { Stage1Descriptor } from "../page-tables/vmsav8-64-stage1.ts";
import { Stage2Descriptor } from "../page-tables/vmsav8-64-stage2.ts";
import type { Vendor } from "../vendor.ts";
import { SMMUV3_ADVICE, SMMUV3_ROOT_ADVICE } from "./advice.ts";
import { SMMUV3_CACHING } from "./caching.ts";
import { Cd, L1Cd } from "./cd.ts";
import { SMMUV3_COMMANDS } from "./commands.ts";
import { SmmuV3Enumeration } from "./enumeration.ts";
import { SMMUV3_FAULT_RECORD } from "./fault-record.ts";
import { SMMUV3_FAULTS } from "./faults.ts";
import { SMMUV3_HOST } from "./host.ts";
import { SMMUV3_HWPT } from "./hwpt.ts";
import { SMMUV3_PASID_TABLES } from "./pasid-tables.ts";
import { SMMUV3_REGISTER_NAMES } from "./register-names.ts";
import { smmuv3GuardedWrite } from "./register-writes.ts";
import { Aidr, Cr0, Cr2, Gbpa, Idr0, Idr1, Idr3, Idr5, StrtabBase, StrtabBaseCfg } from "./registers.ts";
import { L1Std, Ste } from "./ste.ts";
import type { StreamContext } from "./stream-context.ts";
import type { SubstreamContext } from "./substream-context.ts";
import { SmmuV3Tables } from "./tables.ts";
import { SmmuV3Walker } from "./walker.ts";

export { SMMUV3_FAULTS } from "./faults.ts";
export { SmmuV3Walker } from "./walker.ts";

/** Every structure and register that this walker reads. */
export const SMMUV3_LAYOUTS: readonly Layout[] = [
  L1Std,
  Ste,
  L1Cd,
  Cd,
  Stage1Descriptor,
  Stage2Descriptor,
  Idr0,
  Idr1,
  Idr3,
  Idr5,
  Aidr,
  Cr0,
  Cr2,
  Gbpa,
  StrtabBase,
  StrtabBaseCfg,
];

export const SMMUV3 = {
  model: "arm-smmuv3",
  tagNames: { domain: "VMID", asid: "ASID" },
  registerNames: SMMUV3_REGISTER_NAMES,
  layouts: SMMUV3_LAYOUTS,
  faults: SMMUV3_FAULTS,
  faultRecord: SMMUV3_FAULT_RECORD,
  walker: (memory) => new SmmuV3Walker(memory),
  tables: (memory) => new SmmuV3Tables(memory),
  enumeration: (walker) => new SmmuV3Enumeration(walker as SmmuV3Walker),
  host: SMMUV3_HOST,
  pasidTables: SMMUV3_PASID_TABLES,
  hwpt: SMMUV3_HWPT,
  commands: SMMUV3_COMMANDS,
  /** 7.1: by acknowledging GERROR.CMDQ_ERR. */
  restart: { text: "GERROR.CMDQ_ERR acknowledged in SMMU_GERRORN", byWrite: (name) => name === "gerrorn" },
  registerCommands: {},
  guardedWrite: smmuv3GuardedWrite,
  advice: SMMUV3_ADVICE,
  rootAdvice: SMMUV3_ROOT_ADVICE,
  // IHI 0070, 6.3.1: translation table walks, and fetches of STEs and CDs.
  coherence: (state) =>
    state.capability("idr0", Idr0, "COHACC", 1) === 0 ? incoherent("SMMU_IDR0.COHACC=0") : COHERENT,
  caching: SMMUV3_CACHING,
  fuzzing: async () => (await import("./fuzz/index.ts")).SMMUV3_FUZZING,
} as const satisfies Vendor<StreamContext, SubstreamContext>;
