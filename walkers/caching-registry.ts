import type { Advise } from "./advice.ts";
import { AMD_VI_ADVICE } from "./amd-vi/advice.ts";
import { AMD_VI_CACHING } from "./amd-vi/caching.ts";
import type { Caching } from "./caching.ts";
import { RISCV_ADVICE } from "./riscv/advice.ts";
import { RISCV_CACHING } from "./riscv/caching.ts";
import { SMMUV3_ADVICE } from "./smmuv3/advice.ts";
import { SMMUV3_CACHING } from "./smmuv3/caching.ts";
import { VTD_ADVICE } from "./vtd/advice.ts";
import { VTD_CACHING } from "./vtd/caching.ts";
import type { IommuModel } from "./walker.ts";

export const CACHING: Readonly<Record<IommuModel, Caching>> = {
  intel: VTD_CACHING,
  "arm-smmuv3": SMMUV3_CACHING,
  amd: AMD_VI_CACHING,
  riscv: RISCV_CACHING,
};

/** Null: the vendor has no commands. */
export const ADVICE: Readonly<Record<IommuModel, Advise | null>> = {
  intel: VTD_ADVICE,
  "arm-smmuv3": SMMUV3_ADVICE,
  amd: AMD_VI_ADVICE,
  riscv: RISCV_ADVICE,
};
