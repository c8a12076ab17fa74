/**
 * What makes level 1 context descriptors and context descriptors of a Non-secure stream unusable: IHI 0070, 3.4.3
 * (C_BAD_SUBSTREAMID), and 5.4.2, CdIllegal (C_BAD_CD).
 */

import { type EntryRule, type EntryRules, entryRules } from "../tables/entry-rule.ts";
import type { TableRule } from "../tables/table-rules.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import { Cd, L1Cd } from "./cd.ts";
import { C_BAD_CD, C_BAD_SUBSTREAMID } from "./faults.ts";
import type { SmmuFeatures } from "./features.ts";
import { frameLimitOf, maxTxsz, RESERVED_TG0, RESERVED_TG1, tableAddressBits } from "./granule.ts";
import type { StreamContext } from "./stream-context.ts";
import type { AddressHalf, SubstreamContext } from "./substream-context.ts";

const ILLEGAL = TABLE_RULES["illegal-encoding"];
const UNSUPPORTED = TABLE_RULES["unsupported-encoding"];
const CONFLICT = TABLE_RULES["conflicting-fields"];
const TOO_WIDE = TABLE_RULES["address-too-wide"];
const CD_ILLEGAL = "IHI 0070, 5.4.2";

// ── level 1 context descriptors ──

export const L1CD_RULES: EntryRules<SmmuFeatures> = entryRules(L1Cd, {
  1: {
    field: "L2Ptr",
    kind: TOO_WIDE,
    expected: (_view, _at, { oas }: SmmuFeatures) => `expected an address of ${oas} bits`,
    source: L1Cd.source,
    fault: C_BAD_SUBSTREAMID,
  },
});

/**
 * @param frame of L2Ptr. As an IPA it goes to stage 2 (3.4.3, note 4b), which says where it leads; else it is out of range
 *   beyond the output address size (note 3).
 */
export function brokenL1CdRule(
  frame: number,
  { stage2Enabled }: StreamContext,
  { frameLimit }: SmmuFeatures,
  after = 0,
): number {
  return frame >= frameLimit && !stage2Enabled && after < 1 ? 1 : 0;
}

// ── context descriptors ──

/** What the sentences of a CD's rules depend on. */
export interface CdContext {
  readonly features: SmmuFeatures;
  /** The descriptor, decoded. */
  readonly substream: SubstreamContext;
}

type CdField = keyof typeof Cd.fields;
type CdRule = EntryRule<CdContext> & { readonly field: CdField };

function rule(
  field: CdField,
  kind: TableRule,
  expected: string | ((context: CdContext) => string),
  source = CD_ILLEGAL,
): CdRule {
  return {
    field,
    kind,
    expected: typeof expected === "string" ? expected : (_view, _at, context) => expected(context),
    source,
    fault: C_BAD_CD,
  };
}

/** A granule that there is none of. */
function granuleRule(field: "TG0" | "TG1", kind: TableRule, expected: string): CdRule {
  return {
    ...rule(field, kind, expected),
    found: (_view, _at, { substream }) => {
      const { tg } = field === "TG0" ? substream.low : substream.high;
      return `a granule of ${Cd.fields[field].values?.[tg] ?? "a reserved value"} (${field} is ${tg})`;
    },
  };
}

const sizeText =
  (half: "low" | "high") =>
  ({ features, substream }: CdContext) => {
    const { granule } = substream[half];
    return `expected ${minTxsz(granule, substream, features)} to ${maxTxsz(features, granule)}`;
  };

const tableText =
  (half: "low" | "high") =>
  ({ substream }: CdContext) =>
    `expected an address of ${tableBits(substream[half], substream)} bits, as IPS and the granule have it`;

const HTTU = "expected 0: IDR0.HTTU does not report it";
const NO_GRANULE = "expected a granule that IDR5 reports";

export const CD_RULES: EntryRules<CdContext> = entryRules(Cd, {
  1: rule("S", CONFLICT, "expected 0 where STE.S1STALLD is 1"),
  2: rule("A", UNSUPPORTED, "expected 1, since IDR0.TERM_MODEL is 1"),
  3: rule("S", UNSUPPORTED, "expected 0, since IDR0.STALL_MODEL is 1"),
  4: rule("S", UNSUPPORTED, "expected 1, since IDR0.STALL_MODEL is 2"),
  5: rule("ENDI", UNSUPPORTED, "expected a byte order that IDR0.TTENDIAN reports"),
  6: rule("AA64", UNSUPPORTED, "expected a format that IDR0.TTF reports"),
  7: rule(
    "AA64",
    TABLE_RULES["not-modelled"],
    "VMSAv8-32 LPAE tables are not looked into: the descriptor is taken for ILLEGAL",
  ),
  8: rule("HA", UNSUPPORTED, HTTU, Cd.source),
  9: rule("HD", UNSUPPORTED, HTTU, Cd.source),
  10: rule("HAFT", CONFLICT, "expected 0 where HA is 0", Cd.source),
  11: rule("ASID", UNSUPPORTED, "expected 8 bits, since IDR0.ASID16 is 0"),
  12: granuleRule("TG0", ILLEGAL, "expected 0 to 2"),
  13: granuleRule("TG0", UNSUPPORTED, NO_GRANULE),
  14: rule("T0SZ", ILLEGAL, sizeText("low")),
  15: rule("TTB0", TOO_WIDE, tableText("low")),
  16: granuleRule("TG1", ILLEGAL, "expected 1 to 3"),
  17: granuleRule("TG1", UNSUPPORTED, NO_GRANULE),
  18: rule("T1SZ", ILLEGAL, sizeText("high")),
  19: rule("TTB1", TOO_WIDE, tableText("high")),
});
/** Numbers before those of each half's four rules. */
const BEFORE_LOW = 11;
/** Those above are of the half that TTB1 translates. */
export const BEFORE_HIGH = 15;

/**
 * @param c a valid descriptor, decoded
 * @returns the first number above `after` of a rule in CD_RULES that is broken, or 0
 */
export function brokenCdRule(c: SubstreamContext, stream: StreamContext, f: SmmuFeatures, after = 0): number {
  return (
    brokenControl(c, stream, f, after) ||
    // What VMSAv8-32 tables would have instead is not looked at.
    (c.aa64
      ? brokenFormat(c, f, after) ||
        (c.low.enabled ? brokenHalf(c.low, c, f, RESERVED_TG0, BEFORE_LOW, after) : 0) ||
        (c.high.enabled ? brokenHalf(c.high, c, f, RESERVED_TG1, BEFORE_HIGH, after) : 0)
      : 0)
  );
}

/** Rules 1 to 7. */
function brokenControl(c: SubstreamContext, stream: StreamContext, f: SmmuFeatures, after: number): number {
  if (c.s && stream.s1stalld && after < 1) return 1;
  if (f.terminateAborts && !c.a && after < 2) return 2;
  if (f.stallModel === 1 && c.s && after < 3) return 3;
  if (f.stallModel === 2 && !c.s && after < 4) return 4;
  const used = c.low.enabled || c.high.enabled;
  if (used && (c.bigEndian ? !f.bigEndianTables : !f.littleEndianTables) && after < 5) return 5;
  if (!(c.aa64 ? f.vmsav864 : f.lpae) && after < 6) return 6;
  if (!c.aa64 && f.lpae && after < 7) return 7;
  return 0;
}

/** Rules 8 to 11. */
function brokenFormat(c: SubstreamContext, f: SmmuFeatures, after: number): number {
  if (c.ha && f.httu === 0 && after < 8) return 8;
  if (c.hd && f.httu < 2 && after < 9) return 9;
  if (f.httu === 3 && c.haft && !c.ha && after < 10) return 10;
  if (c.asid > 0xff && !f.asid16 && after < 11) return 11;
  return 0;
}

/** Rules 12 to 15, or 16 to 19 (5.4.2: CDTxSZInvalid, CDTTBxOutOfRange). */
function brokenHalf(
  half: AddressHalf,
  c: SubstreamContext,
  f: SmmuFeatures,
  reservedTg: number,
  before: number,
  after: number,
): number {
  const { granule, txsz } = half;
  if (granule === 0) {
    const broken = before + (half.tg === reservedTg ? 1 : 2);
    return after < broken ? broken : 0;
  }
  if ((txsz < minTxsz(granule, c, f) || txsz > maxTxsz(f, granule)) && after < before + 3) return before + 3;
  if (half.ttbFrame >= frameLimitOf(tableBits(half, c)) && after < before + 4) return before + 4;
  return 0;
}

/** 5.4 T0SZ. */
function minTxsz(granule: number, { ds }: SubstreamContext, { vax }: SmmuFeatures): number {
  return vax ? 64 - tableAddressBits(granule, ds) : 16;
}

/** 5.4 TTB0. */
function tableBits({ granule }: AddressHalf, { outputBits, ds }: SubstreamContext): number {
  return Math.min(outputBits, tableAddressBits(granule, ds));
}
