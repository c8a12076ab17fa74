import type { VendorFuzzing } from "../../fuzz/vendor-fuzzing.ts";
import { Stage1Descriptor } from "../../page-tables/vmsav8-64-stage1.ts";
import { Stage2Descriptor } from "../../page-tables/vmsav8-64-stage2.ts";
import { Cd, L1Cd } from "../cd.ts";
import * as faults from "../faults.ts";
import { Aidr, Cr0, Cr2, Gbpa, Idr0, Idr1, Idr3, Idr5, StrtabBase, StrtabBaseCfg } from "../registers.ts";
import { CD_RULES, L1CD_RULES } from "../rules-cd.ts";
import { L1STD_RULES, STE_RULES } from "../rules-ste.ts";
import { L1Std, Ste } from "../ste.ts";
import { SMMUV3_BUGS } from "./bugs.ts";
import { qemuSmmu } from "./qemu.ts";
import { buildSmmuWorld } from "./worlds.ts";

export const SMMUV3_FUZZING: VendorFuzzing = {
  registers: {
    idr0: Idr0,
    idr1: Idr1,
    idr3: Idr3,
    idr5: Idr5,
    aidr: Aidr,
    cr0: Cr0,
    cr2: Cr2,
    gbpa: Gbpa,
    strtab_base: StrtabBase,
    strtab_base_cfg: StrtabBaseCfg,
  },
  capabilities: ["idr0", "idr1", "idr3", "idr5"],
  structures: [L1Std, Ste, L1Cd, Cd, Stage1Descriptor, Stage2Descriptor],
  rules: [
    { layout: L1Std, rules: L1STD_RULES },
    { layout: Ste, rules: STE_RULES },
    { layout: L1Cd, rules: L1CD_RULES },
    { layout: Cd, rules: CD_RULES },
  ],
  landmarks: [],
  faults: [
    faults.C_BAD_STREAMID,
    faults.F_STE_FETCH,
    faults.C_BAD_STE,
    faults.F_STREAM_DISABLED,
    faults.C_BAD_SUBSTREAMID,
    faults.F_CD_FETCH,
    faults.C_BAD_CD,
    faults.F_WALK_EABT,
    faults.F_TRANSLATION,
    faults.F_ADDR_SIZE,
    faults.F_ACCESS,
    faults.F_PERMISSION,
    faults.STE_ABORT,
    faults.GBPA_ABORT,
    faults.DISABLED_ADDRESS_SIZE,
  ],
  build: buildSmmuWorld,
  emulator: qemuSmmu,
  bugs: SMMUV3_BUGS,
};
