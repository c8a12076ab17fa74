/** The operands of SMMUv3 invalidations by address: range, granule and level hint (Arm IHI 0070, 4.4.1.1). */

import { setRange } from "../commands/address-range.ts";
import { type Problems, readers } from "../commands/command-set.ts";
import type { Invalidation } from "../invalidation.ts";
import { NO_LEVEL } from "../result.ts";
import { addressText, hex } from "../word64.ts";
import { TlbiVa } from "./command-layouts.ts";

const SOURCE = "IHI 0070, 4.4.1.1";

/** What of the SMMU's features decides how these operands are read. */
export interface RangeCaps {
  /** IDR3.RIL: the fields exist. */
  readonly ril: boolean;
  /** IDR5.DS: SCALE has six bits, and 16 KiB granule tables have level 1 leaves. */
  readonly ds: boolean;
}

// All commands by address have these fields at the same place; that of TlbiVa serves for them all.
const f = readers(TlbiVa, ["NUM", "SCALE", "SCALE5", "TTL", "TTL128", "TG", "LEAF", "ADDR"]);

/** log2 of the granule, by TG. */
const GRANULES = [0, 12, 14, 16] as const;
/** SCALE beyond this is taken as this. */
const MAX_SCALE = 39;
/** log2 of what a leaf maps, by TG and TTL, with 64-bit descriptors; TTL 0: the granule. */
const LEAF_SHIFTS = [
  [12, 12, 12, 12],
  [12, 30, 21, 12],
  [14, 36, 25, 14],
  [16, 42, 29, 16],
] as const;
/** As above, with 128-bit descriptors. */
const LEAF_SHIFTS_128 = [
  [12, 12, 12, 12],
  [12, 28, 20, 12],
  [14, 34, 24, 14],
  [16, 40, 28, 16],
] as const;

/** TTL as hardware takes it: level 1 of 16 KiB granule tables exists with IDR5.DS only, and is as no hint without. */
function levelHint(view: DataView, tg: number, caps: RangeCaps): number {
  const ttl = f.TTL(view, 0);
  return tg === 2 && ttl === 1 && !caps.ds ? 0 : ttl;
}

function scaleOf(view: DataView, caps: RangeCaps): number {
  return Math.min(f.SCALE(view, 0) + (caps.ds ? 32 * f.SCALE5(view, 0) : 0), MAX_SCALE);
}

function granuleField(view: DataView, caps: RangeCaps): number {
  return caps.ril ? f.TG(view, 0) : 0;
}

export function checkRangeFields(view: DataView, caps: RangeCaps, problems: Problems): void {
  const tg = granuleField(view, caps);
  if (tg === 0) {
    // Without RIL the layout's capabilities already make these fields reserved.
    if (caps.ril)
      for (const field of ["NUM", "SCALE", "TTL", "TTL128"] as const)
        if (f[field](view, 0) !== 0)
          problems.add(
            "reserved",
            field,
            `expected 0 where TG is 0, found ${hex(f[field](view, 0))}`,
            SOURCE,
          );
    return;
  }
  const ttl = levelHint(view, tg, caps);
  if (ttl === 0 && f.NUM(view, 0) === 0 && scaleOf(view, caps) === 0) {
    problems.illegal("TG", "expected a range or a level hint with a granule, found neither", SOURCE);
    return;
  }
  const shifts = f.TTL128(view, 0) !== 0 && ttl !== 0 ? LEAF_SHIFTS_128 : LEAF_SHIFTS;
  const shift = shifts[tg]![ttl]!;
  if (f.ADDR(view, 0) % 2 ** (shift - 12) !== 0)
    problems.unpredictable(
      "ADDR",
      `expected an address aligned to 2^${shift}, as TG and TTL say, found ${addressText(f.ADDR(view, 0))}`,
      SOURCE,
    );
}

/** Narrows an invalidation to the address, range, granule and level of the command. */
export function applyRange(view: DataView, caps: RangeCaps, out: Invalidation): void {
  const tg = granuleField(view, caps);
  const frame = f.ADDR(view, 0);
  if (f.LEAF(view, 0) !== 0) out.onLeaves();
  if (tg === 0) {
    setRange(out, frame, 1);
    return;
  }
  const granule = GRANULES[tg]!;
  setRange(out, frame, (f.NUM(view, 0) + 1) * 2 ** (scaleOf(view, caps) + granule - 12));
  out.granule = granule;
  out.level = levelHint(view, tg, caps) || NO_LEVEL;
}

export function rangeOperands(view: DataView): string {
  const addr = `addr ${addressText(f.ADDR(view, 0))}`;
  const leaf = f.LEAF(view, 0) === 0 ? "" : " leaf";
  const tg = f.TG(view, 0);
  if (tg === 0) return addr + leaf;
  const scale = f.SCALE(view, 0) + 32 * f.SCALE5(view, 0);
  const granule = TlbiVa.fields.TG.values?.[tg];
  return `${addr}${leaf} NUM ${f.NUM(view, 0)} SCALE ${scale} TG ${tg} (${granule}) TTL ${f.TTL(view, 0)}`;
}
