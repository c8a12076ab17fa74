/**
 * What makes a valid stream table entry, or the descriptor above it, unusable: IHI 0070 5.2.2 (SteIllegal, for a
 * Non-secure stream), 5.2 by field, 7.3.3 (C_BAD_STREAMID).
 */
import { stage2Consistent, stage2StartLevel } from "../page-tables/vmsav8-64-stage2.ts";
import { type EntryRule, type EntryRules, entryRules } from "../tables/entry-rule.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import { C_BAD_STE, C_BAD_STREAMID } from "./faults.ts";
import type { SmmuFeatures } from "./features.ts";
import { granuleOfTg0, maxTxsz, RESERVED_TG0, tableAddressBits } from "./granule.ts";
import {
  CONFIG_BYPASS,
  CONFIG_NESTED,
  CONFIG_STAGE1,
  EATS_FULL,
  EATS_FULL_DPT,
  EATS_SPLIT_STAGE,
  isTwoLevel,
  L1Std,
  MAX_SPAN,
  STRW_EL1,
  STRW_EL2,
  Ste,
} from "./ste.ts";
import type { SteFields } from "./ste-fields.ts";

const ILLEGAL = TABLE_RULES["illegal-encoding"];
const UNSUPPORTED = TABLE_RULES["unsupported-encoding"];
const CONFLICT = TABLE_RULES["conflicting-fields"];
const TOO_WIDE = TABLE_RULES["address-too-wide"];
const NOT_MODELLED = TABLE_RULES["not-modelled"];

// ── level 1 descriptors ──

const span = L1Std.reader("Span");

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
    expected: (_view, _at, { split }) =>
      `expected ${split + 1} at most, since STRTAB_BASE_CFG.SPLIT is ${split}`,
    source: "IHI 0070, 5.1 and 7.3.3",
    fault: C_BAD_STREAMID,
  },
});

/** @returns number in L1STD_RULES of the first rule above `after` that a descriptor of some span breaks, or 0 */
export function brokenL1StdRule(view: DataView, at: number, features: SmmuFeatures, after = 0): number {
  const entries = span(view, at);
  if (entries > MAX_SPAN) return after < 1 ? 1 : 0;
  return after < 2 && entries > features.split + 1 ? 2 : 0;
}

// ── stream table entries ──

type Rule = EntryRule<SmmuFeatures>;
type SteField = keyof typeof Ste.fields;

const rule = (
  field: SteField,
  kind: Rule["kind"],
  expected: Rule["expected"],
  source = "IHI 0070, 5.2.2",
): Rule & { readonly field: SteField } => ({ field, kind, expected, source, fault: C_BAD_STE });

const s2t0sz = Ste.reader("S2T0SZ");
const s2tg = Ste.reader("S2TG");
const s2ps = Ste.reader("S2PS");
const s2ds = Ste.reader("S2DS");
const NO_HTTU = "expected 0: IDR0.HTTU does not report it";

export const STE_RULES: EntryRules<SmmuFeatures> = entryRules(Ste, {
  1: rule("Config", UNSUPPORTED, "expected no stage 1, since IDR0.S1P is 0"),
  2: rule("Config", UNSUPPORTED, "expected no stage 2, since IDR0.S2P is 0"),
  3: rule("EATS", CONFLICT, "expected both stages in Config", Ste.source),
  4: rule("EATS", CONFLICT, "expected S2S to be 0", Ste.source),
  5: rule("EATS", UNSUPPORTED, "expected no split-stage ATS, since IDR0.NS1ATS is 1", Ste.source),
  6: rule("EATS", CONFLICT, "expected STRW to be 0", Ste.source),
  7: rule("STRW", ILLEGAL, "expected 0 or 2"),
  8: rule("S2VMID", UNSUPPORTED, "expected 8 bits, since IDR0.VMID16 is 0"),
  9: rule(
    "S1ContextPtr",
    TOO_WIDE,
    (_v, _a, { oas }) => `expected an address of ${oas} bits`,
    "IHI 0070, 3.4.3",
  ),
  10: rule("S1STALLD", UNSUPPORTED, "expected 0, since IDR0.STALL_MODEL is not 0"),
  11: rule("S1CDMax", UNSUPPORTED, (_v, _a, { ssidSize }) => `expected IDR1.SSIDSIZE, ${ssidSize}, at most`),
  12: rule("S1Fmt", UNSUPPORTED, "expected 0, since IDR0.CD2L is 0"),
  13: rule("S2S", UNSUPPORTED, "expected 0, since IDR0.STALL_MODEL is 1"),
  14: rule("S2S", UNSUPPORTED, "expected 1, since IDR0.STALL_MODEL is 2"),
  15: rule("S2AA64", UNSUPPORTED, "expected a format that IDR0.TTF reports"),
  16: rule("S2AA64", NOT_MODELLED, "VMSAv8-32 LPAE tables are not walked"),
  17: rule("S2HA", UNSUPPORTED, NO_HTTU),
  18: rule("S2HD", UNSUPPORTED, NO_HTTU),
  19: rule("S2HAFT", CONFLICT, "expected 0 where S2HA is 0", Ste.source),
  20: rule("S2ENDI", UNSUPPORTED, "expected a byte order that IDR0.TTENDIAN reports"),
  21: rule("S2TG", ILLEGAL, "expected 0 to 2"),
  22: rule("S2TG", UNSUPPORTED, "expected a granule that IDR5 reports"),
  23: rule("S2TTB", TOO_WIDE, (view, at, features) => {
    const granule = granuleOfTg0(features, s2tg(view, at));
    const wide = features.ds && s2ds(view, at) !== 0;
    return `expected an address of ${stage2AddressBits(features, granule, s2ps(view, at), wide)} bits`;
  }),
  24: rule("S2T0SZ", ILLEGAL, (view, at, features) => {
    const granule = granuleOfTg0(features, s2tg(view, at));
    const wide = features.ds && s2ds(view, at) !== 0;
    return `expected ${64 - inputBits(features, granule, wide)} to ${maxTxsz(features, granule)}`;
  }),
  25: rule("S2SL0", ILLEGAL, "expected a start level of this granule"),
  26: rule("S2SL0", CONFLICT, (view, at) => `expected a start level that fits S2T0SZ, ${s2t0sz(view, at)}`),
});

/** @returns number in STE_RULES of the first rule above `after` that a valid entry breaks, or 0 */
export function brokenSteRule(ste: SteFields, features: SmmuFeatures, after = 0): number {
  const { config } = ste;
  if (config < CONFIG_BYPASS) return 0;
  const { stage1, stage2 } = ste;
  if (after < 1 && stage1 && !features.stage1) return 1;
  if (after < 2 && stage2 && !features.stage2) return 2;
  // IgnoreSTESTRW: STRW counts for stage 1 alone, and only where EL2 regimes exist.
  const world = config === CONFIG_STAGE1 && features.hyp ? ste.strw : STRW_EL1;
  const ats =
    after < 6 && features.ats && config !== CONFIG_BYPASS ? brokenAtsRule(ste, world, features, after) : 0;
  if (ats !== 0) return ats;
  if (after < 7 && (world & 1) !== 0) return 7;
  const tagged = features.stage2 && config !== CONFIG_BYPASS && world !== STRW_EL2;
  if (after < 8 && tagged && !features.vmid16 && ste.s2vmid > 0xff) return 8;
  const first = after < 12 && stage1 ? brokenStage1Rule(ste, features, after) : 0;
  return first !== 0 || !stage2 ? first : brokenStage2Rule(ste, features, after);
}

/** 5.2 EATS: rules 3 to 6. Full ATS, whether with DPT checks or without, is like split-stage ATS in rule 4. */
function brokenAtsRule(
  { config, eats, s2s, stage2 }: SteFields,
  world: number,
  features: SmmuFeatures,
  after: number,
): number {
  const split = eats === EATS_SPLIT_STAGE;
  // Without DPT, the encoding behaves as 0.
  const dpt = eats === EATS_FULL_DPT && features.dpt;
  const full = (eats === EATS_FULL || dpt) && stage2;
  if (after < 3 && split && config !== CONFIG_NESTED) return 3;
  if (after < 4 && (split || full) && s2s !== 0) return 4;
  if (after < 5 && split && !features.splitStageAts) return 5;
  return after < 6 && dpt && world !== STRW_EL1 ? 6 : 0;
}

/** Rules 9 to 12. */
function brokenStage1Rule(ste: SteFields, features: SmmuFeatures, after: number): number {
  // 3.4.3 note 1. As an IPA it may go to stage 2 untruncated (note 2b), which then says where it leads.
  if (after < 9 && !ste.stage2 && ste.s1ContextFrame >= 2 ** (features.oas - 12)) return 9;
  if (after < 10 && ste.s1stalld !== 0 && features.stallModel !== 0) return 10;
  const cdmax = effectiveCdMax(ste, features);
  if (after < 11 && cdmax > features.ssidSize) return 11;
  return after < 12 && cdmax > 0 && isTwoLevel(ste.s1fmt) && !features.cd2l ? 12 : 0;
}

/** Rules 13 to 22. */
function brokenStage2Rule(ste: SteFields, features: SmmuFeatures, after: number): number {
  if (after < 13 && features.stallModel === 1 && ste.s2s !== 0) return 13;
  if (after < 14 && features.stallModel === 2 && ste.s2s === 0) return 14;
  const other = ste.s2aa64 === 0 && features.lpae;
  if (after < 15 && !other && (ste.s2aa64 === 0 || !features.vmsav864)) return 15;
  // The other fields of stage 2 are those of another format.
  if (other) return after < 16 ? 16 : 0;
  if (after < 17 && ste.s2ha !== 0 && features.httu === 0) return 17;
  if (after < 18 && ste.s2hd !== 0 && features.httu < 2) return 18;
  if (after < 19 && features.httu === 3 && ste.s2haft !== 0 && ste.s2ha === 0) return 19;
  if (after < 20 && (ste.s2endi !== 0 ? !features.bigEndianTables : !features.littleEndianTables)) return 20;
  const reserved = ste.s2tg === RESERVED_TG0;
  if (reserved) return after < 21 ? 21 : 0;
  const granule = granuleOfTg0(features, ste.s2tg);
  if (granule === 0) return after < 22 ? 22 : 0;
  return brokenShapeRule(ste, granule, features, after);
}

/** Rules 23 to 26. */
function brokenShapeRule(ste: SteFields, granule: number, features: SmmuFeatures, after: number): number {
  const wide = features.ds && ste.s2ds !== 0;
  if (after < 23 && ste.s2ttbFrame >= 2 ** (stage2AddressBits(features, granule, ste.s2ps, wide) - 12))
    return 23;
  const fits =
    ste.s2t0sz <= maxTxsz(features, granule) && ste.s2t0sz >= 64 - inputBits(features, granule, wide);
  if (!fits) return after < 24 ? 24 : 0;
  const level = startLevel(ste, granule, features);
  if (Number.isNaN(level)) return after < 25 ? 25 : 0;
  return after < 26 && !stage2Consistent(granule, 64 - ste.s2t0sz, level) ? 26 : 0;
}

/** Without substreams, S1CDMax is IGNORED and S1ContextPtr points at one descriptor. */
export function effectiveCdMax(ste: SteFields, features: SmmuFeatures): number {
  return features.ssidSize === 0 ? 0 : ste.s1cdmax;
}

/** 5.2 S2SL0: NaN for an encoding that is reserved. */
export function startLevel(ste: SteFields, granule: number, features: SmmuFeatures): number {
  const wide = features.ds && ste.s2ds !== 0;
  const sl = ste.s2sl0 | (wide && granule === 12 ? ste.s2sl02 << 2 : 0);
  return stage2StartLevel(granule, sl, wide, features.oas, features.stt);
}

function stage2AddressBits(features: SmmuFeatures, granule: number, s2psCode: number, wide: boolean): number {
  return Math.min(features.addressBits(s2psCode), tableAddressBits(granule, wide));
}

/** 5.2 S2T0SZ: most input address bits of stage 2. */
function inputBits(features: SmmuFeatures, granule: number, wide: boolean): number {
  return features.v30 ? features.ias : Math.min(features.ias, tableAddressBits(granule, wide));
}
