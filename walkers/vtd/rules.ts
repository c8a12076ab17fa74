/**
 * What root and context entries must not say (Intel VT-d 5.10, 7.1.3, Table 30; extended mode: VT-d 2.4, 9.4), in the
 * order in which faults are reported. Entries of the PASID tables: rules-pasid.ts.
 */
import { type EntryRule, type EntryRules, entryRules } from "../tables/entry-rule.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import { anyReserved, anyReservedIn, type VtdCapabilities } from "./capabilities.ts";
import {
  allowsDeviceTlb,
  EXT_GUEST,
  EXT_GUEST_DEVICE_TLB,
  EXT_HOST,
  EXT_HOST_DEVICE_TLB,
  ExtendedContextEntry,
  ExtendedRootEntry,
} from "./ecs-structures.ts";
import {
  LCT_3,
  LCT_4_1,
  LCT_4_2,
  LRT_3,
  SCT_3,
  SCT_4_1,
  SCT_4_2,
  SCT_4_3,
  SRT_3,
  type VtdFault,
} from "./faults.ts";
import { directoryPasids } from "./sizes.ts";
import {
  ContextEntry,
  RootEntry,
  ScalableContextEntry,
  ScalableRootEntry,
  TT_DEVICE_TLB,
  TT_PASS_THROUGH,
} from "./structures.ts";

export type VtdRule<F extends string> = EntryRule<unknown, VtdFault> & { readonly field: F | null };
export type VtdRules = EntryRules<unknown, VtdFault>;

/** Reserved bits, those of absent capabilities among them. */
export function reserved(fault: VtdFault, source: string): VtdRule<never> {
  const kind = TABLE_RULES["reserved-entry-bits"];
  return { field: null, kind, expected: "expected zeros in what is reserved", source, fault };
}

export function illegal<F extends string>(
  field: F,
  fault: VtdFault,
  source: string,
  expected: string,
): VtdRule<F> {
  return { field, kind: TABLE_RULES["illegal-encoding"], expected, source, fault };
}

/** A value that needs a capability. */
export function lacks<F extends string>(
  field: F,
  fault: VtdFault,
  source: string,
  capability: string,
): VtdRule<F> {
  const expected = `expected another value, since this IOMMU does not report ${capability}`;
  return { field, kind: TABLE_RULES["unsupported-encoding"], expected, source, fault };
}

export function conflict<F extends string>(
  field: F,
  fault: VtdFault,
  source: string,
  expected: VtdRule<F>["expected"],
): VtdRule<F> {
  return { field, kind: TABLE_RULES["conflicting-fields"], expected, source, fault };
}

// ── AW, which several entries have ──

/** @param aw an AW field */
export function undefinedWidth(aw: number): boolean {
  return aw < 1 || aw > 3;
}

/** CAP.SAGAW has a bit for each width that is defined. */
export function lacksWidth(aw: number, { sagaw }: VtdCapabilities): boolean {
  return !undefinedWidth(aw) && (sagaw & (1 << aw)) === 0;
}

export function illegalWidth(fault: VtdFault, source: string): VtdRule<"AW"> {
  return illegal("AW", fault, source, "expected 1 to 3");
}

export function unsupportedWidth(
  fault: VtdFault,
  source: string,
  aw: (view: DataView, at: number) => number,
): VtdRule<"AW"> {
  return {
    ...lacks("AW", fault, source, ""),
    expected: (view, at) =>
      `expected a width that this IOMMU supports: bit ${aw(view, at)} of CAP.SAGAW is 0`,
  };
}

// ── root entries ──

export const ROOT_RULES: VtdRules = entryRules(RootEntry, { 1: reserved(LRT_3, RootEntry.source) });
export const SCALABLE_ROOT_RULES: VtdRules = entryRules(ScalableRootEntry, {
  1: reserved(SRT_3, ScalableRootEntry.source),
});
export const EXTENDED_ROOT_RULES: VtdRules = entryRules(ExtendedRootEntry, {
  1: reserved(LRT_3, ExtendedRootEntry.source),
});

/** Of a structure whose only rule is about reserved bits. */
export function brokenReservedRule(view: DataView, at: number, reserved: Uint32Array, after = 0): number {
  return anyReserved(view, at, reserved) && after < 1 ? 1 : 0;
}

const lowerPresent = ScalableRootEntry.reader("LP");
const upperPresent = ScalableRootEntry.reader("UP");
const HALF_WORDS = ScalableRootEntry.bytes / 8;

/** 7.1.3, SRT.3: each half that is present counts, whichever of them a request uses. Extended root entries as well. */
export function brokenRootHalvesRule(view: DataView, at: number, reserved: Uint32Array, after = 0): number {
  if (lowerPresent(view, at) !== 0 && anyReservedIn(view, at, reserved, 0, HALF_WORDS) && after < 1) return 1;
  if (
    upperPresent(view, at) !== 0 &&
    anyReservedIn(view, at, reserved, HALF_WORDS, 2 * HALF_WORDS) &&
    after < 1
  )
    return 1;
  return 0;
}

// ── legacy mode: context entries ──

const legacyWidth = ContextEntry.reader("AW");
const legacyType = ContextEntry.reader("TT");

export const CONTEXT_RULES: VtdRules = entryRules(ContextEntry, {
  1: reserved(LCT_3, ContextEntry.source),
  2: illegalWidth(LCT_4_1, ContextEntry.source),
  3: unsupportedWidth(LCT_4_1, ContextEntry.source, legacyWidth),
  4: illegal("TT", LCT_4_2, ContextEntry.source, "expected 0 to 2"),
  5: lacks("TT", LCT_4_2, ContextEntry.source, "ECAP.PT"),
  6: lacks("TT", LCT_4_2, ContextEntry.source, "ECAP.DT"),
});

export function brokenContextRule(view: DataView, at: number, caps: VtdCapabilities, after = 0): number {
  if (anyReserved(view, at, caps.reserved.context) && after < 1) return 1;
  const aw = legacyWidth(view, at);
  if (undefinedWidth(aw) && after < 2) return 2;
  if (lacksWidth(aw, caps) && after < 3) return 3;
  const type = legacyType(view, at);
  if (type > TT_PASS_THROUGH && after < 4) return 4;
  if (type === TT_PASS_THROUGH && !caps.passThrough && after < 5) return 5;
  if (type === TT_DEVICE_TLB && !caps.deviceTlb && after < 6) return 6;
  return 0;
}

// ── scalable mode: context entries ──

const deviceTlbEnable = ScalableContextEntry.reader("DTE");
const pageRequestEnable = ScalableContextEntry.reader("PRE");
const pasidEnable = ScalableContextEntry.reader("PASIDE");
const translatedPasid = ScalableContextEntry.reader("EPTR");
const directorySize = ScalableContextEntry.reader("PDTS");
const ridPasid = ScalableContextEntry.reader("RID_PASID");

/** Refuses requests without PASID alone (SCT.4.3); those with PASID are refused for PASIDE (SCT.6). */
export const EPTR_WITHOUT_PASIDE = 4;

export const SCALABLE_CONTEXT_RULES: VtdRules = entryRules(ScalableContextEntry, {
  1: reserved(SCT_3, ScalableContextEntry.source),
  2: conflict("PRE", SCT_4_1, "VT-d 5.10, 7.1.3, SCT.4.1", "expected 0 where DTE is 0"),
  3: conflict("RID_PASID", SCT_4_2, "VT-d 5.10, 7.1.3, SCT.4.2", (view, at) => {
    const pasids = directoryPasids(directorySize(view, at));
    return `expected a PASID below ${pasids}, the size of the directory by PDTS`;
  }),
  [EPTR_WITHOUT_PASIDE]: conflict(
    "EPTR",
    SCT_4_3,
    "VT-d 5.10, 7.1.3, SCT.4.3",
    "expected 0 where PASIDE is 0",
  ),
});

/** 9.4: without ECAP.RPS, requests without PASID use PASID 0. */
export function ridPasidOf(view: DataView, at: number, caps: VtdCapabilities): number {
  return caps.ridPasid ? ridPasid(view, at) : 0;
}

export function brokenScalableContextRule(
  view: DataView,
  at: number,
  caps: VtdCapabilities,
  after = 0,
): number {
  if (anyReserved(view, at, caps.reserved.scalableContext) && after < 1) return 1;
  if (deviceTlbEnable(view, at) === 0 && pageRequestEnable(view, at) !== 0 && after < 2) return 2;
  if (ridPasidOf(view, at, caps) >= directoryPasids(directorySize(view, at)) && after < 3) return 3;
  if (translatedPasid(view, at) !== 0 && pasidEnable(view, at) === 0 && after < EPTR_WITHOUT_PASIDE)
    return EPTR_WITHOUT_PASIDE;
  return 0;
}

// ── extended mode: context entries ──

const extendedWidth = ExtendedContextEntry.reader("AW");
const extendedType = ExtendedContextEntry.reader("T");
const extendedPasids = ExtendedContextEntry.reader("PASIDE");
/** The value of T between those that are defined. */
const RESERVED_TYPE = 3;

export const EXTENDED_CONTEXT_RULES: VtdRules = entryRules(ExtendedContextEntry, {
  1: reserved(LCT_3, ExtendedContextEntry.source),
  2: illegalWidth(LCT_4_1, ExtendedContextEntry.source),
  3: unsupportedWidth(LCT_4_1, ExtendedContextEntry.source, extendedWidth),
  4: illegal("T", LCT_4_2, ExtendedContextEntry.source, "expected 0 to 2, 4 or 5"),
  5: lacks("T", LCT_4_2, ExtendedContextEntry.source, "ECAP.DT"),
  6: lacks("T", LCT_4_2, ExtendedContextEntry.source, "ECAP.PT"),
  7: conflict("T", LCT_4_2, "VT-d 2.4, 9.4", "expected another type where PASIDE is 0"),
});

export function brokenExtendedContextRule(
  view: DataView,
  at: number,
  caps: VtdCapabilities,
  after = 0,
): number {
  if (anyReserved(view, at, caps.reserved.extendedContext) && after < 1) return 1;
  const aw = extendedWidth(view, at);
  if (undefinedWidth(aw) && after < 2) return 2;
  if (lacksWidth(aw, caps) && after < 3) return 3;
  const type = extendedType(view, at);
  const defined = type <= EXT_GUEST_DEVICE_TLB && type !== RESERVED_TYPE;
  if (!defined && after < 4) return 4;
  if (allowsDeviceTlb(type) && !caps.deviceTlb && after < 5) return 5;
  const host = type === EXT_HOST || type === EXT_HOST_DEVICE_TLB;
  if (defined && !host && !caps.passThrough && after < 6) return 6;
  const guest = type === EXT_GUEST || type === EXT_GUEST_DEVICE_TLB;
  if (guest && extendedPasids(view, at) === 0 && after < 7) return 7;
  return 0;
}
