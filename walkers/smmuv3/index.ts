import type { Layout } from "../layout.ts";
import { Stage1Descriptor } from "../page-tables/vmsav8-64-stage1.ts";
import { Stage2Descriptor } from "../page-tables/vmsav8-64-stage2.ts";
import { Cd, L1Cd } from "./cd.ts";
import { Aidr, Cr0, Cr2, Gbpa, Idr0, Idr1, Idr3, Idr5, StrtabBase, StrtabBaseCfg } from "./registers.ts";
import { L1Std, Ste } from "./ste.ts";

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
