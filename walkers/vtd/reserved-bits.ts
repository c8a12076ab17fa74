import type { Layout } from "../layout.ts";
import { FRAME_SHIFT } from "../memory.ts";
import { ExtendedContextEntry, ExtendedPasidEntry, ExtendedRootEntry } from "./ecs-structures.ts";
import {
  ContextEntry,
  PasidDirectoryEntry,
  PasidEntry,
  RootEntry,
  ScalableContextEntry,
  ScalableRootEntry,
} from "./structures.ts";

/** 32-bit words of the reserved bits of each structure, under some capabilities. */
export interface VtdReservedBits {
  readonly root: Uint32Array;
  readonly context: Uint32Array;
  readonly scalableRoot: Uint32Array;
  readonly scalableContext: Uint32Array;
  readonly pasidDirectory: Uint32Array;
  readonly pasid: Uint32Array;
  readonly extendedRoot: Uint32Array;
  readonly extendedContext: Uint32Array;
  readonly extendedPasid: Uint32Array;
}

/** Values of capability fields by name; one that is not given is taken to be present. */
export type VtdCapabilityValues = ReadonlyMap<string, number>;

/** What was asked for last: the IOMMUs of one machine are mostly alike, and their registers change one by one. */
let latest: { readonly key: string; readonly bits: VtdReservedBits } | null = null;

/**
 * Reserved bits of all structures. IOMMUs with the same capabilities share them: they are not to be changed.
 * @param hostWidth host address width in bits
 */
export function reservedUnder(values: VtdCapabilityValues, hostWidth: number): VtdReservedBits {
  const key = `${hostWidth};${[...values].join(";")}`;
  if (latest?.key !== key) latest = { key, bits: allOf(values, hostWidth) };
  return latest.bits;
}

function allOf(values: VtdCapabilityValues, hostWidth: number): VtdReservedBits {
  const words = <F extends string>(layout: Layout<F>, pointers: readonly F[], domains: readonly F[] = []) =>
    wordsOf(values, hostWidth, layout, pointers, domains);
  return {
    root: words(RootEntry, ["CTP"]),
    context: words(ContextEntry, ["SSPTPTR"], ["DID"]),
    scalableRoot: words(ScalableRootEntry, ["LCTP", "UCTP"]),
    scalableContext: words(ScalableContextEntry, ["PASIDDIRPTR"]),
    pasidDirectory: words(PasidDirectoryEntry, ["SMPTBLPTR"]),
    pasid: words(PasidEntry, ["SSPTPTR", "FSPTPTR", "HPTPTR"], ["DID", "HPTDID"]),
    extendedRoot: words(ExtendedRootEntry, ["LCTP", "UCTP"]),
    extendedContext: words(ExtendedContextEntry, ["SLPTPTR", "PASIDPTR", "PASIDSTPTR"], ["DID"]),
    extendedPasid: words(ExtendedPasidEntry, ["FLPTPTR"]),
  };
}

/**
 * Reserved bits of a structure: undefined ones, those of absent capabilities, pointer bits beyond the host
 * address width, and domain id bits beyond 2*ND + 4 (VT-d 5.10, 9.1 to 9.6).
 */
function wordsOf<F extends string>(
  values: VtdCapabilityValues,
  hostWidth: number,
  layout: Layout<F>,
  pointers: readonly F[],
  domains: readonly F[],
): Uint32Array {
  const words = layout.reserved((capability) => values.get(capability) !== 0);
  const reserve = (field: F, from: number) => {
    const [high, low] = layout.fields[field].parts[0]!;
    for (let b = low + Math.max(from, 0); b <= high; b++) words[b >> 5]! |= 1 << (b & 31);
  };
  for (const pointer of pointers) reserve(pointer, hostWidth - FRAME_SHIFT);
  for (const domain of domains) reserve(domain, 2 * (values.get("ND") ?? 6) + 4);
  return words;
}
