import { formatSet, type HostInterface, type HostLimits, lackingOf, WIDEST_ADDRESS } from "../host.ts";
import { FRAME_SHIFT } from "../memory.ts";
import { guestBits, SV32_LEVELS } from "../page-tables/riscv-sv.ts";
import type { IommuState } from "../registers.ts";
import { RiscvConfig } from "./config.ts";
import { Capabilities } from "./registers.ts";

export const RISCV_HOST: HostInterface = {
  registers: { capabilities: Capabilities },
  telling: ["capabilities"],
  folders: {},
  files: {},
  pasidBits: "pasid_bits",
  hwInfo: null,
  limits,
};

/** RISC-V IOMMU 1.0, capabilities. */
function limits(state: IommuState): HostLimits {
  const config = new RiscvConfig();
  config.configure(state);
  const widest = config.pd20 ? 20 : config.pd17 ? 17 : config.pd8 ? 8 : 0;
  const levels = config.gxl
    ? config.sv32x4 * SV32_LEVELS
    : Math.max(config.sv57x4 * 5, config.sv48x4 * 4, config.sv39x4 * 3);
  return {
    pasidBits: Math.min(widest, Math.log2(config.processIdLimit)),
    outputBits: Math.log2(config.frameLimit) + FRAME_SHIFT,
    secondInputBits: levels === 0 ? WIDEST_ADDRESS : guestBits(levels),
    lacking: lackingOf([["riscv", widest > 0 ? "" : "capabilities has none of PD8, PD17 and PD20"]]),
    noNesting:
      levels !== 0 ? "" : `capabilities has none of ${config.gxl ? "Sv32x4" : "Sv39x4, Sv48x4 and Sv57x4"}`,
    formats: formatSet([
      ["sv32", state.capability("capabilities", Capabilities, "Sv32", 1) !== 0],
      ["sv39", config.sv39 !== 0],
      ["sv48", config.sv48 !== 0],
      ["sv57", config.sv57 !== 0],
    ]),
  };
}
