import type { IommuState, Word64 } from "../registers.ts";
import { Cr0 } from "./registers.ts";

/** IHI 0070, 6.3.24, 6.3.25 and 6.3.12: these must only be changed while SMMUEN is 0. */
const GUARDED: Readonly<Record<string, string>> = {
  strtab_base: "6.3.24",
  strtab_base_cfg: "6.3.25",
  cr2: "6.3.12",
};

/** Why the SMMU may pass over a change of a register, or use old and new at once; null: it does not. */
export function smmuv3GuardedWrite(state: IommuState, name: string, { hi, lo }: Word64): string | null {
  const section = GUARDED[name];
  if (section === undefined || !state.has(name) || !state.has("cr0")) return null;
  if (state.hi(name) === hi && state.lo(name) === lo) return null;
  if (state.field("cr0", Cr0, "SMMUEN", 0) === 0) return null;
  return `expected CR0.SMMUEN to be 0 before it is changed (IHI 0070, ${section}): the SMMU may pass over the new value, or use both`;
}
