import type { IommuState, Word64 } from "../registers.ts";
import { GlobalCommandRegister, GlobalStatusRegister } from "./registers.ts";

/** What was written to RTADDR_REG and does not count before GCMD_REG.SRTP. */
const NEXT_ROOT = "rtaddr, before SRTP";

/** Bits of GCMD_REG that GSTS_REG shows as they were written, and those that it keeps once they were. */
const SHOWN = ["TE", "EAFL", "QIE", "IRE", "CFI"] as const;
const KEPT = ["SRTP", "SIRTP"] as const;
const mask = (names: readonly (keyof typeof GlobalCommandRegister.mask)[]) =>
  names.reduce((all, name) => all | GlobalCommandRegister.mask[name].lo, 0);
const SHOWN_MASK = mask(SHOWN);
const KEPT_MASK = mask(KEPT);

/** Whether a value of GCMD_REG sets the root table pointer. */
export function setsRootPointer({ lo }: Word64): boolean {
  return (lo & GlobalCommandRegister.mask.SRTP.lo) !== 0;
}

/** Whether a register's value asks for a flush of the write buffer: GCMD_REG.WBF. */
export function flushesBuffer(name: string, { lo }: Word64): boolean {
  return name === "gcmd" && (lo & GlobalCommandRegister.mask.WBF.lo) !== 0;
}

/**
 * A `reg` record. GCMD_REG acts on GSTS_REG, where every bit has the place that it has in GCMD_REG (VT-d 5.10, 11.4.4);
 * in a trace that has it, RTADDR_REG counts from the next SRTP on (11.4.5).
 */
export function writeVtdRegister(state: IommuState, name: string, value: Word64): void {
  const { registers } = state;
  if (name === "rtaddr" && state.has("gcmd")) {
    registers.set(NEXT_ROOT, value);
    return;
  }
  registers.set(name, value);
  if (name !== "gcmd") return;
  const before = state.lo("gsts");
  const kept = before & ~SHOWN_MASK & ~GlobalStatusRegister.mask.WBFS.lo;
  registers.set("gsts", { hi: 0, lo: kept | (value.lo & (SHOWN_MASK | KEPT_MASK)) });
  const next = registers.get(NEXT_ROOT);
  if (!setsRootPointer(value) || next === undefined) return;
  registers.set("rtaddr", next);
  registers.delete(NEXT_ROOT);
}
