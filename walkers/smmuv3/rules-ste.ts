/**
 * What makes level 1 stream table descriptors and stream table entries of a Non-secure stream unusable: IHI 0070, 5.1 and
 * 7.3.3 (C_BAD_STREAMID), and 5.2.2, SteIllegal (C_BAD_STE).
 */

import { stage2Consistent } from "../page-tables/vmsav8-64-stage2.ts";
import { type EntryRule, type EntryRules, entryRules } from "../tables/entry-rule.ts";
import type { TableRule } from "../tables/table-rules.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import { C_BAD_STE, C_BAD_STREAMID } from "./faults.ts";
import type { SmmuFeatures } from "./features.ts";
import { frameLimitOf, maxTxsz, RESERVED_TG0, tableAddressBits } from "./granule.ts";
import {
  CONFIG_BYPASS,
  CONFIG_NESTED,
  EATS_FULL,
  EATS_FULL_DPT,
  EATS_SPLIT_STAGE,
  L1Std,
  MAX_SPAN,
  S1FMT_LINEAR,
  STRW_EL1,
  Ste,
} from "./ste.ts";
import type { StreamContext } from "./stream-context.ts";

const ILLEGAL = TABLE_RULES["illegal-encoding"];
const UNSUPPORTED = TABLE_RULES["unsupported-encoding"];
const CONFLICT = TABLE_RULES["conflicting-fields"];
const TOO_WIDE = TABLE_RULES["address-too-wide"];
const STE_ILLEGAL = "IHI 0070, 5.2.2";

// ── level 1 stream table descriptors ──

export const L1STD_RULES: EntryRules<SmmuFeatures> = entryRules(L1Std, {
  1: {
    field: "Span",
    kind: ILLEGAL,
    expected: `expected 0 to ${MAX_SPAN}`,
    source: L1Std.source,
    fault: C_BAD_STREAMID,
  },
  2: {
    field: "Span",
    kind: CONFLICT,
    expected: (_view, _at, { split }: SmmuFeatures) =>
      `expected ${split + 1} at most, since STRTAB_BASE_CFG.SPLIT is ${split}`,
    source: "IHI 0070, 5.1 and 7.3.3",
    fault: C_BAD_STREAMID,
  },
});

/** @param span of a descriptor that has an array at all */
export function brokenL1StdRule(span: number, { split }: SmmuFeatures, after = 0): number {
  if (span > MAX_SPAN && after < 1) return 1;
  if (span <= MAX_SPAN && span > split + 1 && after < 2) return 2;
  return 0;
}

// ── stream table entries ──

/** What the sentences of an STE's rules depend on. */
export interface SteContext {
  readonly features: SmmuFeatures;
  /** The entry, decoded. */
  readonly stream: StreamContext;
}

type SteField = keyof typeof Ste.fields;
type SteText = string | ((context: SteContext) => string);

function rule(
  field: SteField,
  kind: TableRule,
  expected: SteText,
  source = STE_ILLEGAL,
): EntryRule<SteContext> & { readonly field: SteField } {
  return {
    field,
    kind,
    expected: typeof expected === "string" ? expected : (_view, _at, context) => expected(context),
    source,
    fault: C_BAD_STE,
  };
}

/** The last rule of stage 1. */
export const S1_CONTEXT_TOO_WIDE = 13;

/** The last rule of all. */
export const S2_START_LEVEL = 27;

const HTTU = "expected 0: IDR0.HTTU does not report it";

export const STE_RULES: EntryRules<SteContext> = entryRules(Ste, {
  1: rule("Config", UNSUPPORTED, "expected no stage 1, since IDR0.S1P is 0"),
  2: rule("Config", UNSUPPORTED, "expected no stage 2, since IDR0.S2P is 0"),
  3: rule("EATS", CONFLICT, "expected both stages in Config", Ste.source),
  4: rule("EATS", CONFLICT, "expected S2S to be 0", Ste.source),
  5: rule("EATS", UNSUPPORTED, "expected no split-stage ATS, since IDR0.NS1ATS is 1", Ste.source),
  6: rule("EATS", CONFLICT, "expected STRW to be 0", Ste.source),
  7: rule("EATS", CONFLICT, "expected S2S to be 0", Ste.source),
  8: rule("STRW", ILLEGAL, "expected 0 or 2"),
  9: rule("S2VMID", UNSUPPORTED, "expected 8 bits, since IDR0.VMID16 is 0"),
  10: rule("S1STALLD", UNSUPPORTED, "expected 0, since IDR0.STALL_MODEL is not 0"),
  11: rule("S1CDMax", UNSUPPORTED, ({ features }) => `expected IDR1.SSIDSIZE, ${features.ssidSize}, at most`),
  12: rule("S1Fmt", UNSUPPORTED, "expected 0, since IDR0.CD2L is 0"),
  [S1_CONTEXT_TOO_WIDE]: rule(
    "S1ContextPtr",
    TOO_WIDE,
    ({ features }) => `expected an address of ${features.oas} bits`,
    "IHI 0070, 3.4.3",
  ),
  14: rule("S2S", UNSUPPORTED, "expected 0, since IDR0.STALL_MODEL is 1"),
  15: rule("S2S", UNSUPPORTED, "expected 1, since IDR0.STALL_MODEL is 2"),
  16: rule("S2AA64", UNSUPPORTED, "expected a format that IDR0.TTF reports"),
  17: rule(
    "S2AA64",
    TABLE_RULES["not-modelled"],
    "VMSAv8-32 LPAE tables are not looked into: the entry is taken for ILLEGAL",
  ),
  18: rule("S2HA", UNSUPPORTED, HTTU, Ste.source),
  19: rule("S2HD", UNSUPPORTED, HTTU, Ste.source),
  20: rule("S2HAFT", CONFLICT, "expected 0 where S2HA is 0", Ste.source),
  21: rule("S2ENDI", UNSUPPORTED, "expected a byte order that IDR0.TTENDIAN reports"),
  22: rule("S2TG", ILLEGAL, "expected 0 to 2"),
  23: rule("S2TG", UNSUPPORTED, "expected a granule that IDR5 reports"),
  24: rule("S2TTB", TOO_WIDE, ({ stream }) => `expected an address of ${stage2TableBits(stream)} bits`),
  25: rule(
    "S2T0SZ",
    ILLEGAL,
    ({ features, stream }) =>
      `expected ${minS2T0sz(stream, features)} to ${maxTxsz(features, stream.s2granule)}`,
  ),
  26: rule("S2SL0", ILLEGAL, "expected a start level of this granule"),
  [S2_START_LEVEL]: rule(
    "S2SL0",
    CONFLICT,
    ({ stream }) =>
      `expected a start level that fits S2T0SZ, ${stream.s2t0sz}, not level ${stream.s2startLevel}`,
  ),
});

/**
 * @param d a valid entry, decoded
 * @returns the first number above `after` of a rule in STE_RULES that is broken, or 0
 */
export function brokenSteRule(d: StreamContext, f: SmmuFeatures, after = 0): number {
  if (d.config < CONFIG_BYPASS) return 0;
  return (
    brokenStream(d, f, after) ||
    (d.stage1Enabled ? brokenStage1(d, f, after) : 0) ||
    (d.stage2Enabled ? brokenStage2(d, f, after) : 0)
  );
}

/** Rules 1 to 9. */
function brokenStream(d: StreamContext, f: SmmuFeatures, after: number): number {
  const stage2 = d.stage2Enabled;
  if (d.stage1Enabled && !f.stage1 && after < 1) return 1;
  if (stage2 && !f.stage2 && after < 2) return 2;
  if (d.eats !== 0) {
    const broken = brokenAts(d, f, after);
    if (broken !== 0) return broken;
  }
  if ((d.world & 1) !== 0 && after < 8) return 8;
  if (d.vmid > 0xff && !f.vmid16 && after < 9) return 9;
  return 0;
}

/** Rules 3 to 7 (5.2 EATS). Without DPT, its encoding behaves as 0. */
function brokenAts(d: StreamContext, f: SmmuFeatures, after: number): number {
  const split = d.eats === EATS_SPLIT_STAGE;
  const dpt = d.eats === EATS_FULL_DPT && f.dpt;
  if (split && d.config !== CONFIG_NESTED && after < 3) return 3;
  if (split && d.s2s && after < 4) return 4;
  if (split && !f.splitStageAts && after < 5) return 5;
  if (dpt && d.world !== STRW_EL1 && after < 6) return 6;
  if ((d.eats === EATS_FULL || dpt) && d.s2s && d.stage2Enabled && after < 7) return 7;
  return 0;
}

/** Rules 10 to 13. */
function brokenStage1(d: StreamContext, f: SmmuFeatures, after: number): number {
  if (d.s1stalld && f.stallModel !== 0 && after < 10) return 10;
  if (d.s1cdmax > f.ssidSize && after < 11) return 11;
  if (d.s1fmt !== S1FMT_LINEAR && !f.cd2l && after < 12) return 12;
  // 3.4.3 note 1. As an IPA it may go to stage 2 untruncated (note 2b), which then says where it leads.
  const tooWide = d.s1ContextFrame >= f.frameLimit && !d.stage2Enabled;
  return tooWide && after < S1_CONTEXT_TOO_WIDE ? S1_CONTEXT_TOO_WIDE : 0;
}

/** Rules 14 to 27; what VMSAv8-32 tables would have instead of VMSAv8-64 ones is not looked at. */
function brokenStage2(d: StreamContext, f: SmmuFeatures, after: number): number {
  if (f.stallModel === 1 && d.s2s && after < 14) return 14;
  if (f.stallModel === 2 && !d.s2s && after < 15) return 15;
  if (!(d.s2aa64 ? f.vmsav864 : f.lpae) && after < 16) return 16;
  if (!d.s2aa64) return f.lpae && after < 17 ? 17 : 0;
  if (d.s2ha && f.httu === 0 && after < 18) return 18;
  if (d.s2hd && f.httu < 2 && after < 19) return 19;
  if (f.httu === 3 && d.s2haft && !d.s2ha && after < 20) return 20;
  if ((d.s2bigEndian ? !f.bigEndianTables : !f.littleEndianTables) && after < 21) return 21;
  if (d.s2granule !== 0) return brokenShape(d, f, after);
  if (d.s2tg === RESERVED_TG0) return after < 22 ? 22 : 0;
  return after < 23 ? 23 : 0;
}

/** Rules 24 to 27. */
function brokenShape(d: StreamContext, f: SmmuFeatures, after: number): number {
  if (d.s2ttbFrame >= frameLimitOf(stage2TableBits(d)) && after < 24) return 24;
  if (d.s2t0sz > maxTxsz(f, d.s2granule) || d.s2t0sz < minS2T0sz(d, f)) return after < 25 ? 25 : 0;
  if (Number.isNaN(d.s2startLevel)) return after < 26 ? 26 : 0;
  if (!stage2Consistent(d.s2granule, 64 - d.s2t0sz, d.s2startLevel) && after < S2_START_LEVEL)
    return S2_START_LEVEL;
  return 0;
}

/** 5.2 S2TTB. */
function stage2TableBits(d: StreamContext): number {
  return Math.min(d.s2outputBits, tableAddressBits(d.s2granule, d.s2ds));
}

/** 5.2 S2T0SZ. */
function minS2T0sz(d: StreamContext, f: SmmuFeatures): number {
  return 64 - (f.v30 ? f.ias : Math.min(f.ias, tableAddressBits(d.s2granule, d.s2ds)));
}
