/** What fields of the configuration structures need, without which they are RES0 (IHI 0070, 5.2 and 5.4). */
import type { Layout } from "../layout.ts";
import type { IommuState } from "../registers.ts";
import { Aidr, Idr0, Idr1, Idr3, Idr5 } from "./registers.ts";
import { REALM_STREAM, SECURE_STREAM } from "./ste.ts";

const REGISTERS: Readonly<Record<string, Layout>> = { IDR0: Idr0, IDR1: Idr1, IDR3: Idr3, IDR5: Idr5 };
/** "IDR1.ATTR_TYPES_OVR", "IDR0.HTTU=3": a field of an identification register, and its value where one is not enough. */
const FIELD = /^(IDR[0-9])\.([A-Z0-9_]+)(?:=([0-9]+))?$/;
const MINOR = /^SMMUv3\.([0-9])$/;
/** Between several that a field needs. */
const AND = " and ";

/**
 * Whether an SMMU has what a field needs. What is not known of it refuses nothing.
 * @param need "SMMUv3.1": at least that revision; a Security state, which a stream has not here; else as FIELD has it
 */
export function hasNeed(state: IommuState, need: string): boolean {
  return need.split(AND).every((one) => has(state, one));
}

function has(state: IommuState, need: string): boolean {
  if (need === SECURE_STREAM || need === REALM_STREAM) return false;
  const minor = MINOR.exec(need);
  if (minor !== null)
    return (
      state.capability("aidr", Aidr, "ArchMajorRev", 0) > 0 ||
      state.capability("aidr", Aidr, "ArchMinorRev", Number.POSITIVE_INFINITY) >= Number(minor[1])
    );
  const [, register, field, value] = FIELD.exec(need)!;
  const least = Number(value ?? 1);
  return state.capability(register!.toLowerCase(), REGISTERS[register!]!, field!, least) >= least;
}
