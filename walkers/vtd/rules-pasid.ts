/**
 * What entries of PASID directories and tables must not say (Intel VT-d 5.10, 7.1.3, SPD and SPT of Table 30; extended
 * mode: VT-d 2.4, 9.5), in the order in which faults are reported.
 */
import { frameHi, frameLo } from "../memory.ts";
import { exceeds } from "../page-tables/vtd-second-stage.ts";
import type { EntryRules } from "../tables/entry-rule.ts";
import { entryRules } from "../tables/entry-rule.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import { anyReserved, type VtdCapabilities } from "./capabilities.ts";
import { KIND_FIRST_STAGE, KIND_SECOND_STAGE, NESTED, PASS_THROUGH } from "./context.ts";
import { ExtendedPasidEntry } from "./ecs-structures.ts";
import { SPD_3, SPT_3, SPT_4_1, SPT_4_2, SPT_4_3, SPT_4_4, type VtdFault } from "./faults.ts";
import {
  conflict,
  illegal,
  illegalWidth,
  lacks,
  lacksWidth,
  reserved,
  undefinedWidth,
  unsupportedWidth,
  type VtdRules,
} from "./rules.ts";
import { PasidDirectoryEntry, PasidEntry } from "./structures.ts";

export const PASID_DIRECTORY_RULES: VtdRules = entryRules(PasidDirectoryEntry, {
  1: reserved(SPD_3, PasidDirectoryEntry.source),
});

const translationType = PasidEntry.reader("PGTT");
const addressWidth = PasidEntry.reader("AW");
const pagingMode = PasidEntry.reader("FSPM");
const firstTable = PasidEntry.reader("FSPTPTR");

const SPT_4 = "VT-d 5.10, 7.1.3, SPT.4";

/** What a PASID table entry's rules depend on besides. */
export interface PasidEntryContext {
  readonly caps: VtdCapabilities;
  /** Levels of the second stage that a bound device's tables lie in; 0: none. */
  readonly boundLevels: number;
}

export const PASID_RULES: EntryRules<PasidEntryContext, VtdFault> = entryRules(PasidEntry, {
  1: reserved(SPT_3, PasidEntry.source),
  2: illegal("PGTT", SPT_4_2, `${SPT_4}.2`, "expected 1 to 4"),
  3: lacks("PGTT", SPT_4_2, PasidEntry.source, "ECAP.FSTS"),
  4: lacks("PGTT", SPT_4_2, PasidEntry.source, "ECAP.SSTS"),
  5: {
    ...lacks("PGTT", SPT_4_2, PasidEntry.source, "ECAP.NEST"),
    found: () => `nested translation (PGTT is ${NESTED})`,
  },
  6: {
    ...lacks("PGTT", SPT_4_2, PasidEntry.source, "ECAP.PT"),
    found: () => `pass-through (PGTT is ${PASS_THROUGH})`,
  },
  7: conflict(
    "PGTT",
    SPT_4_2,
    `${SPT_4}.2`,
    "expected first stage or pass-through, since the binding has a second stage already",
  ),
  8: illegalWidth(SPT_4_1, PasidEntry.source),
  9: unsupportedWidth(SPT_4_1, PasidEntry.source, addressWidth),
  10: illegal("FSPM", SPT_4_3, `${SPT_4}.3`, "expected 0 or 1"),
  11: lacks("FSPM", SPT_4_3, PasidEntry.source, "CAP.FS5LP"),
  12: {
    field: "FSPTPTR",
    kind: TABLE_RULES["address-too-wide"],
    expected: (view, at, { caps, boundLevels }: PasidEntryContext) =>
      boundLevels === 0
        ? `expected an address of ${caps.secondStageWidth(2 + addressWidth(view, at))} bits, the smaller of CAP.MGAW and AW`
        : `expected an address of ${caps.secondStageWidth(boundLevels)} bits, what the second stage of the binding translates`,
    source: `${SPT_4}.4`,
    fault: SPT_4_4,
  },
});

/** @param boundLevels of the second stage that a bound device's tables lie in; 0: none */
export function brokenPasidRule(
  view: DataView,
  at: number,
  caps: VtdCapabilities,
  boundLevels: number,
  after = 0,
): number {
  if (anyReserved(view, at, caps.reserved.pasid) && after < 1) return 1;
  const type = translationType(view, at);
  if ((type < KIND_FIRST_STAGE || type > PASS_THROUGH) && after < 2) return 2;
  const second = type === KIND_SECOND_STAGE || type === NESTED;
  return (
    lackingType(type, caps, after) ||
    // There is one second stage, and a bound device's own may already take it.
    (second && boundLevels !== 0 && after < 7 ? 7 : 0) ||
    (second ? brokenWidth(addressWidth(view, at), caps, after) : 0) ||
    (type === KIND_FIRST_STAGE || type === NESTED
      ? brokenFirstStage(view, at, type, caps, boundLevels, after)
      : 0)
  );
}

/** Rules 3 to 6. */
function lackingType(type: number, caps: VtdCapabilities, after: number): number {
  if (type === KIND_FIRST_STAGE && !caps.firstStage && after < 3) return 3;
  if (type === KIND_SECOND_STAGE && !caps.secondStage && after < 4) return 4;
  if (type === NESTED && !caps.nested && after < 5) return 5;
  if (type === PASS_THROUGH && !caps.passThrough && after < 6) return 6;
  return 0;
}

/** Rules 8 and 9. */
function brokenWidth(aw: number, caps: VtdCapabilities, after: number): number {
  if (undefinedWidth(aw) && after < 8) return 8;
  if (lacksWidth(aw, caps) && after < 9) return 9;
  return 0;
}

/** Rules 10 to 12. */
function brokenFirstStage(
  view: DataView,
  at: number,
  type: number,
  caps: VtdCapabilities,
  boundLevels: number,
  after: number,
): number {
  const mode = pagingMode(view, at);
  if (mode > 1 && after < 10) return 10;
  if (mode === 1 && !caps.firstStageFiveLevel && after < 11) return 11;
  const nested = boundLevels !== 0 || type === NESTED;
  if (!nested) return 0;
  const width = caps.secondStageWidth(boundLevels !== 0 ? boundLevels : 2 + addressWidth(view, at));
  const root = firstTable(view, at);
  return exceeds(frameHi(root), frameLo(root), width) && after < 12 ? 12 : 0;
}

// ── extended mode ──

const extendedMode = ExtendedPasidEntry.reader("FLPM");

export const EXTENDED_PASID_RULES: VtdRules = entryRules(ExtendedPasidEntry, {
  1: reserved(SPT_3, ExtendedPasidEntry.source),
  2: illegal("FLPM", SPT_4_3, "VT-d 2.5, 9.5", "expected 0 or 1"),
  3: lacks("FLPM", SPT_4_3, ExtendedPasidEntry.source, "CAP.5LP"),
});

export function brokenExtendedPasidRule(
  view: DataView,
  at: number,
  caps: VtdCapabilities,
  after = 0,
): number {
  if (anyReserved(view, at, caps.reserved.extendedPasid) && after < 1) return 1;
  const mode = extendedMode(view, at);
  if (mode > 1 && after < 2) return 2;
  if (mode === 1 && !caps.firstStageFiveLevel && after < 3) return 3;
  return 0;
}
