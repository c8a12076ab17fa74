/**
 * How software may change entries that the SMMU may read at any time (IHI 0070, 3.21.3): reads are single-copy atomic for
 * 64 bits at least, and of an entry in any order. So one doubleword of what is used may change while the entry is valid,
 * what is not used before it, and the entry is invalidated, and waited for, after each (Linux, arm_smmu_write_entry).
 */
import {
  allBits,
  bitsOf,
  bothBits,
  type EntryBits,
  type EntryUpdates,
  exceptBits,
} from "../tables/updates.ts";
import { Cd } from "./cd.ts";
import { CONFIG_BYPASS, S1DSS_BYPASS, Ste } from "./ste.ts";

export const SMMU_UPDATES: EntryUpdates = { read: 8, store: 8, gate: "V", source: "IHI 0070, 3.21.3" };

/** 5.1: a level 1 descriptor of no streams is invalid. */
export const L1STD_UPDATES: EntryUpdates = { ...SMMU_UPDATES, gate: "Span" };

const config = Ste.reader("Config");
const defaultSubstream = Ste.reader("S1DSS");

const ABORT = bitsOf(Ste, ["V", "Config"]);
/** 13.5: attributes of what bypasses, and of what is translated by stage 2. */
const ATTRIBUTES = bitsOf(Ste, ["MemAttr", "MTCFG", "ALLOCCFG", "SHCFG", "NSCFG", "PRIVCFG", "INSTCFG"]);
const ANY_STAGE = bothBits(
  ABORT,
  bitsOf(Ste, ["EATS", "MEV", "CONT", "DCP", "DRE", "PPAR", "PRIVCFG", "INSTCFG", "S2VMID"]),
);
const STAGE1 = bothBits(
  ANY_STAGE,
  bitsOf(Ste, [
    "S1Fmt",
    "S1ContextPtr",
    "S1CDMax",
    "S1DSS",
    "S1CIR",
    "S1COR",
    "S1CSH",
    "S1STALLD",
    "S1PIE",
    "S1MPAM",
  ]),
);
/** 5.2 STRW: where stage 2 translates it is passed over. */
const ONLY_STAGE1 = bothBits(STAGE1, bitsOf(Ste, ["STRW"]));
/** All of the third and the fourth doubleword, and what else is stage 2's. */
const STAGE2 = bothBits(
  bothBits(ANY_STAGE, ATTRIBUTES),
  bothBits(
    bitsOf(Ste, ["S2FWB", "S2HWU59", "S2HWU60", "S2HWU61", "S2HWU62"]),
    allBits(Ste).map((word, i) => (i === 2 || i === 3 ? word : 0n)),
  ),
);
/** By Config; below bypass all streams abort. */
const BY_CONFIG: readonly EntryBits[] = [
  bothBits(ABORT, ATTRIBUTES),
  ONLY_STAGE1,
  STAGE2,
  bothBits(STAGE1, STAGE2),
];
const STAGE1_AND_BYPASS = bothBits(ONLY_STAGE1, ATTRIBUTES);

export const STE_UPDATES: EntryUpdates = {
  ...SMMU_UPDATES,
  used(view, at) {
    const value = config(view, at);
    if (value < CONFIG_BYPASS) return ABORT;
    const bits = BY_CONFIG[value - CONFIG_BYPASS]!;
    // 5.2 S1DSS: what bypasses stage 1 has the attributes of a bypass.
    return bits === ONLY_STAGE1 && defaultSubstream(view, at) === S1DSS_BYPASS ? STAGE1_AND_BYPASS : bits;
  },
};

const disabled0 = Cd.reader("EPD0");
const disabled1 = Cd.reader("EPD1");
const NOTHING = bitsOf(Cd, []);
const LOW = bitsOf(Cd, ["T0SZ", "TG0", "IR0", "OR0", "SH0", "TTB0"]);
const HIGH = bitsOf(Cd, ["T1SZ", "TG1", "IR1", "OR1", "SH1", "TTB1"]);
const ALL = allBits(Cd);

/** 5.4 EPD0, EPD1: a half that is not walked has no table. */
export const CD_UPDATES: EntryUpdates = {
  ...SMMU_UPDATES,
  used: (view, at) =>
    exceptBits(ALL, disabled0(view, at) !== 0 ? LOW : NOTHING, disabled1(view, at) !== 0 ? HIGH : NOTHING),
};
