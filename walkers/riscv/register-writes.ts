import type { IommuState, Word64 } from "../registers.ts";
import { DDTP_1LVL, DDTP_3LVL, DDTP_BARE, DDTP_OFF, DeviceDirectoryPointer } from "./registers.ts";

const MODE = DeviceDirectoryPointer.mask.iommu_mode.lo;
/** PPN and iommu_mode: busy is the IOMMU's. */
const WRITTEN_LO = DeviceDirectoryPointer.mask.PPN.lo | MODE;

/** RISC-V IOMMU 1.0, ddtp and fctl: changes of which the behavior is UNSPECIFIED; null: it is not. */
export function riscvGuardedWrite(state: IommuState, name: string, { hi, lo }: Word64): string | null {
  if (!state.has("ddtp") || !state.has(name)) return null;
  const mode = state.field("ddtp", DeviceDirectoryPointer, "iommu_mode", DDTP_OFF);
  if (mode < DDTP_BARE || mode > DDTP_3LVL) return null;
  const same = state.hi(name) === hi && ((state.lo(name) ^ lo) & (name === "ddtp" ? WRITTEN_LO : ~0)) === 0;
  if (same) return null;
  if (name === "fctl") return "expected ddtp.iommu_mode to be Off before fctl is changed";
  const to = lo & MODE;
  if (name !== "ddtp" || mode === DDTP_BARE || to === DDTP_OFF) return null;
  if (to === DDTP_BARE) return "expected ddtp.iommu_mode to be Off before it becomes Bare";
  return to >= DDTP_1LVL && to <= DDTP_3LVL
    ? "expected ddtp.iommu_mode to be Off or Bare before another directory is in use"
    : null;
}
