/**
 * What makes a valid context descriptor, or the descriptor above it, unusable: IHI 0070 5.4.2 (CdIllegal, for a
 * Non-secure stream), 3.4.3 note 3 (C_BAD_SUBSTREAMID).
 */
import { type EntryRule, type EntryRules, entryRules } from "../tables/entry-rule.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import { Cd, L1Cd } from "./cd.ts";
import type { CdFields, CdHalfFields } from "./cd-fields.ts";
import { C_BAD_CD, C_BAD_SUBSTREAMID } from "./faults.ts";
import type { SmmuFeatures } from "./features.ts";
import {
  granuleOfTg0,
  granuleOfTg1,
  maxTxsz,
  RESERVED_TG0,
  RESERVED_TG1,
  tableAddressBits,
} from "./granule.ts";
import type { StreamContext } from "./stream-context.ts";

const ILLEGAL = TABLE_RULES["illegal-encoding"];
const UNSUPPORTED = TABLE_RULES["unsupported-encoding"];
const CONFLICT = TABLE_RULES["conflicting-fields"];
const TOO_WIDE = TABLE_RULES["address-too-wide"];
const NOT_MODELLED = TABLE_RULES["not-modelled"];

// ── level 1 descriptors ──

const l2Frame = L1Cd.reader("L2Ptr");

export const L1CD_RULES: EntryRules<SmmuFeatures> = entryRules(L1Cd, {
  1: {
    field: "L2Ptr",
    kind: TOO_WIDE,
    expected: (_view, _at, { oas }) => `expected an address of ${oas} bits`,
    source: "IHI 0070, 3.4.3",
    fault: C_BAD_SUBSTREAMID,
  },
});

/** @returns number in L1CD_RULES of the first rule above `after` that a valid descriptor breaks, or 0 */
export function brokenL1CdRule(
  view: DataView,
  at: number,
  stream: StreamContext,
  features: SmmuFeatures,
  after = 0,
): number {
  // As an IPA it goes to stage 2 (note 4b), which says where it leads.
  return after < 1 && !stream.stage2Enabled && l2Frame(view, at) >= 2 ** (features.oas - 12) ? 1 : 0;
}

// ── context descriptors ──

type Rule = EntryRule<SmmuFeatures>;
type CdField = keyof typeof Cd.fields;

const rule = (
  field: CdField,
  kind: Rule["kind"],
  expected: Rule["expected"],
  source = "IHI 0070, 5.4.2",
): Rule & { readonly field: CdField } => ({ field, kind, expected, source, fault: C_BAD_CD });

const NO_HTTU = "expected 0: IDR0.HTTU does not report it";
const ips = Cd.reader("IPS");
const ds = Cd.reader("DS");
const tg0 = Cd.reader("TG0");
const tg1 = Cd.reader("TG1");

/** Rules of one half are numbered from here on. */
const LOW_RULES = 11;
const HIGH_RULES = 15;

export const CD_RULES: EntryRules<SmmuFeatures> = entryRules(Cd, {
  1: rule("S", CONFLICT, "expected 0 where STE.S1STALLD is 1"),
  2: rule("A", UNSUPPORTED, "expected 1, since IDR0.TERM_MODEL is 1"),
  3: rule("S", UNSUPPORTED, "expected 0, since IDR0.STALL_MODEL is 1"),
  4: rule("S", UNSUPPORTED, "expected 1, since IDR0.STALL_MODEL is 2"),
  5: rule("ENDI", UNSUPPORTED, "expected a byte order that IDR0.TTENDIAN reports"),
  6: rule("AA64", UNSUPPORTED, "expected a format that IDR0.TTF reports"),
  7: rule("AA64", NOT_MODELLED, "VMSAv8-32 LPAE tables are not walked"),
  8: rule("HA", UNSUPPORTED, NO_HTTU),
  9: rule("HD", UNSUPPORTED, NO_HTTU),
  10: rule("HAFT", CONFLICT, "expected 0 where HA is 0", Cd.source),
  11: rule("ASID", UNSUPPORTED, "expected 8 bits, since IDR0.ASID16 is 0"),
  ...halfRules(LOW_RULES, "TG0", "T0SZ", "TTB0", "expected 0 to 2", (view, at, features) =>
    granuleOfTg0(features, tg0(view, at)),
  ),
  ...halfRules(HIGH_RULES, "TG1", "T1SZ", "TTB1", "expected 1 to 3", (view, at, features) =>
    granuleOfTg1(features, tg1(view, at)),
  ),
});

type GranuleOf = (view: DataView, at: number, features: SmmuFeatures) => number;

function halfRules(
  base: number,
  tg: CdField,
  txsz: CdField,
  ttb: CdField,
  granules: string,
  granuleOf: GranuleOf,
): Readonly<Record<number, Rule & { readonly field: CdField }>> {
  const wide = (view: DataView, at: number, features: SmmuFeatures) => features.ds && ds(view, at) !== 0;
  const found = (view: DataView, at: number) => {
    const value = Number(Cd.extract(tg, view, at));
    return `a granule of ${Cd.fields[tg].values?.[value] ?? "a reserved value"} (${tg} is ${value})`;
  };
  return {
    [base + 1]: { ...rule(tg, ILLEGAL, granules), found },
    [base + 2]: { ...rule(tg, UNSUPPORTED, "expected a granule that IDR5 reports"), found },
    [base + 3]: rule(txsz, ILLEGAL, (view, at, features) => {
      const granule = granuleOf(view, at, features);
      return `expected ${leastTxsz(features, granule, wide(view, at, features))} to ${maxTxsz(features, granule)}`;
    }),
    [base + 4]: rule(ttb, TOO_WIDE, (view, at, features) => {
      const granule = granuleOf(view, at, features);
      const bits = ttbBits(features, granule, ips(view, at), wide(view, at, features));
      return `expected an address of ${bits} bits, as IPS and the granule have it`;
    }),
  };
}

/**
 * @param stream the STE above it
 * @returns number in CD_RULES of the first rule above `after` that a valid descriptor breaks, or 0
 */
export function brokenCdRule(cd: CdFields, stream: StreamContext, features: SmmuFeatures, after = 0): number {
  if (after < 1 && stream.s1stalld && cd.s !== 0) return 1;
  if (after < 2 && features.terminateAborts && cd.a === 0) return 2;
  if (after < 3 && features.stallModel === 1 && cd.s !== 0) return 3;
  if (after < 4 && features.stallModel === 2 && cd.s === 0) return 4;
  const low = usesLow(cd, stream);
  const high = usesHigh(cd, stream);
  const knowsOrder = cd.endi !== 0 ? features.bigEndianTables : features.littleEndianTables;
  if (after < 5 && (low || high) && !knowsOrder) return 5;
  const other = cd.aa64 === 0 && features.lpae;
  if (after < 6 && !other && (cd.aa64 === 0 || !features.vmsav864)) return 6;
  // The other fields are those of another format.
  if (other) return after < 7 ? 7 : 0;
  if (after < 8 && cd.ha !== 0 && features.httu === 0) return 8;
  if (after < 9 && cd.hd !== 0 && features.httu < 2) return 9;
  if (after < 10 && features.httu === 3 && cd.haft !== 0 && cd.ha === 0) return 10;
  if (after < 11 && !stream.el2 && cd.asid > 0xff && !features.asid16) return 11;
  const broken = low && after < HIGH_RULES ? brokenHalfRule(cd, cd.low, LOW_RULES, features, after) : 0;
  return broken !== 0 || !high ? broken : brokenHalfRule(cd, cd.high, HIGH_RULES, features, after);
}

/** 5.4.2: granule, CDTxSZInvalid, CDTTBxOutOfRange. */
function brokenHalfRule(
  cd: CdFields,
  half: CdHalfFields,
  base: number,
  features: SmmuFeatures,
  after: number,
): number {
  const isLow = base === LOW_RULES;
  if (half.tg === (isLow ? RESERVED_TG0 : RESERVED_TG1)) return after < base + 1 ? base + 1 : 0;
  const granule = isLow ? granuleOfTg0(features, half.tg) : granuleOfTg1(features, half.tg);
  if (granule === 0) return after < base + 2 ? base + 2 : 0;
  const wide = features.ds && cd.ds !== 0;
  const { txsz } = half;
  const fits = txsz >= leastTxsz(features, granule, wide) && txsz <= maxTxsz(features, granule);
  if (after < base + 3 && !fits) return base + 3;
  const beyond = half.ttbFrame >= 2 ** (ttbBits(features, granule, cd.ips, wide) - 12);
  return after < base + 4 && beyond ? base + 4 : 0;
}

/** With one privilege level EPD0 and EPD1 are IGNORED, and TTB1 is unreachable. */
export function usesLow(cd: CdFields, stream: StreamContext): boolean {
  return stream.el2 || cd.low.epd === 0;
}

export function usesHigh(cd: CdFields, stream: StreamContext): boolean {
  return !stream.el2 && cd.high.epd === 0;
}

function leastTxsz(features: SmmuFeatures, granule: number, wide: boolean): number {
  return features.vax ? 64 - tableAddressBits(granule, wide) : 16;
}

function ttbBits(features: SmmuFeatures, granule: number, ipsCode: number, wide: boolean): number {
  return Math.min(features.addressBits(ipsCode), tableAddressBits(granule, wide));
}
