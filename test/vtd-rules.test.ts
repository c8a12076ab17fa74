import { describe, expect, test } from "vitest";
import type { PropertyValue } from "../walkers/registers.ts";
import { NO_PASID } from "../walkers/request.ts";
import * as contexts from "../walkers/vtd/rules.ts";
import * as pasids from "../walkers/vtd/rules-pasid.ts";
import {
  askEntry,
  type Broken,
  CONFLICT,
  ILLEGAL,
  LACKS,
  RESERVED,
  type Structure,
  testRules,
  WIDTH,
} from "./support/rule-cases.ts";
import type { Setup } from "./support/table-lint.ts";

const SPACE = { "0x1000": [0x2001n], "0x2000": [0x49n, 1n, 0x3000n], "0x3000": [], "0x9000": [] };
const WIDE = 1n << 48n;

const rooted = (rtaddr: bigint, props: Readonly<Record<string, PropertyValue>> = {}): Setup => ({
  model: "intel",
  regs: { rtaddr },
  props: { output_bits: 48, ...props },
  memory: { ...SPACE, "0x8000": [0x9001n] },
});
const bound = (model: "intel" | "intel-ecs"): Setup => ({
  model: "intel",
  props: { output_bits: 48 },
  bind: { model, base: model === "intel" ? 0x1000n : 0x2000n, pasidBits: 8 },
  memory: { ...SPACE, "0x2000": [] },
});

const STRUCTURES = {
  "root entry": {
    rules: contexts.ROOT_RULES,
    at: 0x8000n,
    sound: [0x9001n, 0n],
    pasid: NO_PASID,
    setup: rooted(0x8000n),
  },
  "scalable-mode root entry": {
    rules: contexts.SCALABLE_ROOT_RULES,
    at: 0x8000n,
    sound: [0x9001n, 0n],
    pasid: NO_PASID,
    setup: rooted(0x8400n),
  },
  "extended root entry": {
    rules: contexts.EXTENDED_ROOT_RULES,
    at: 0x8000n,
    sound: [0x9001n, 0n],
    pasid: NO_PASID,
    setup: rooted(0x8800n),
  },
  "context entry": {
    rules: contexts.CONTEXT_RULES,
    at: 0x9180n,
    sound: [0x3001n, 0x702n],
    pasid: NO_PASID,
    setup: rooted(0x8000n),
  },
  "scalable-mode context entry": {
    rules: contexts.SCALABLE_CONTEXT_RULES,
    at: 0x9300n,
    sound: [0x1009n, 0n, 0n, 0n],
    pasid: NO_PASID,
    setup: rooted(0x8400n),
  },
  "extended context entry": {
    rules: contexts.EXTENDED_CONTEXT_RULES,
    at: 0x9300n,
    sound: [0x3001n, 0x702n, 0n, 0n],
    pasid: NO_PASID,
    setup: rooted(0x8800n),
  },
  "PASID directory entry": {
    rules: pasids.PASID_DIRECTORY_RULES,
    at: 0x1000n,
    sound: [0x2001n],
    pasid: 0,
    setup: { ...bound("intel"), memory: SPACE },
  },
  "PASID table entry": {
    rules: pasids.PASID_RULES,
    at: 0x2000n,
    sound: [0x49n, 1n, 0x3000n],
    pasid: 0,
    setup: bound("intel"),
  },
  "extended-mode PASID entry": {
    rules: pasids.EXTENDED_PASID_RULES,
    at: 0x2000n,
    sound: [0x3001n],
    pasid: 0,
    setup: bound("intel-ecs"),
  },
} satisfies Readonly<Record<string, Structure>>;

/** The binding has a second stage of its own: 3 levels, which map the first 2 MiB to themselves. */
const UNDER = {
  stage2: { format: "vtd-ss", rootHi: 0, rootLo: 0x10000, levels: 3, domain: 5 },
  memory: { "0x10000": [0x11003n], "0x11000": [0x83n] },
} as const;

/** PGTT of first stage, second stage, nested and pass-through, with P and AW of 4 levels; then without AW. */
const [FS, SS, NEST, PASS] = [1n, 2n, 3n, 4n].map((type) => (type << 6n) | 9n) as [
  bigint,
  bigint,
  bigint,
  bigint,
];
const FIVE_LEVELS = 4n;

const BROKEN: Readonly<Record<keyof typeof STRUCTURES, readonly Broken[]>> = {
  "root entry": [
    { rule: 1, words: [0x9003n, 0n], fault: "LRT.3", says: `${RESERVED} 1` },
    { rule: 1, words: [0x9001n, 1n], fault: "LRT.3", says: `${RESERVED} 64` },
    { rule: 1, words: [WIDE | 0x9001n, 0n], fault: "LRT.3", says: `${WIDTH} CTP` },
  ],
  "scalable-mode root entry": [
    { rule: 1, words: [0x9801n, 0n], fault: "SRT.3", says: `${RESERVED} 11` },
    { rule: 1, words: [0x9001n, 0x9003n], fault: "SRT.3", says: `${RESERVED} 65` },
  ],
  "extended root entry": [{ rule: 1, words: [0x9003n, 0n], fault: "LRT.3", says: `${RESERVED} 1` }],
  "context entry": [
    { rule: 1, words: [0x3011n, 0x702n], fault: "LCT.3", says: `${RESERVED} 4` },
    { rule: 2, words: [0x3001n, 0x700n], fault: "LCT.4.1", says: `${ILLEGAL} AW` },
    { rule: 2, words: [0x3001n, 0x704n], fault: "LCT.4.1", says: `${ILLEGAL} AW` },
    { rule: 3, words: [0x3001n, 0x702n], props: { sagaw: 0b1010 }, fault: "LCT.4.1", says: `${LACKS} AW` },
    { rule: 4, words: [0x300dn, 0x702n], fault: "LCT.4.2", says: `${ILLEGAL} TT` },
    { rule: 5, words: [0x3009n, 0x702n], props: { pt: 0 }, fault: "LCT.4.2", says: `${LACKS} TT` },
    { rule: 6, words: [0x3005n, 0x702n], props: { dt: 0 }, fault: "LCT.4.2", says: `${LACKS} TT` },
  ],
  "scalable-mode context entry": [
    { rule: 1, words: [0x1089n, 0n, 0n, 0n], fault: "SCT.3", says: `${RESERVED} 7` },
    { rule: 2, words: [0x1019n, 0n, 0n, 0n], fault: "SCT.4.1", says: `${CONFLICT} PRE` },
    { rule: 3, words: [0x1009n, 0x2000n, 0n, 0n], fault: "SCT.4.2", says: `${CONFLICT} RID_PASID` },
    { rule: 4, words: [0x1041n, 0n, 0n, 0n], fault: "SCT.4.3", says: `${CONFLICT} EPTR` },
  ],
  "extended context entry": [
    { rule: 1, words: [0x3001n, 0x702n, 0x10n, 0n], fault: "LCT.3", says: `${RESERVED} 132` },
    { rule: 2, words: [0x3001n, 0x704n, 0n, 0n], fault: "LCT.4.1", says: `${ILLEGAL} AW` },
    {
      rule: 3,
      words: [0x3001n, 0x702n, 0n, 0n],
      props: { sagaw: 0b1010 },
      fault: "LCT.4.1",
      says: `${LACKS} AW`,
    },
    { rule: 4, words: [0x300dn, 0x702n, 0n, 0n], fault: "LCT.4.2", says: `${ILLEGAL} T` },
    { rule: 4, words: [0x3019n, 0x702n, 0n, 0n], fault: "LCT.4.2", says: `${ILLEGAL} T` },
    { rule: 5, words: [0x3005n, 0x702n, 0n, 0n], props: { dt: 0 }, fault: "LCT.4.2", says: `${LACKS} T` },
    { rule: 6, words: [0x3009n, 0x702n, 0n, 0n], props: { pt: 0 }, fault: "LCT.4.2", says: `${LACKS} T` },
    { rule: 7, words: [0x3011n, 0x702n, 0n, 0n], fault: "LCT.4.2", says: `${CONFLICT} T` },
  ],
  "PASID directory entry": [
    { rule: 1, words: [0x2005n], fault: "SPD.3", says: `${RESERVED} 2` },
    { rule: 1, words: [WIDE | 0x2001n], fault: "SPD.3", says: `${WIDTH} SMPTBLPTR` },
  ],
  "PASID table entry": [
    { rule: 1, words: [0x449n, 1n, 0x3000n], fault: "SPT.3", says: `${RESERVED} 10` },
    {
      rule: 1,
      words: [0x49n, 1n << 24n, 0x3000n],
      props: { sc: 0 },
      fault: "SPT.3",
      says: `${RESERVED} PGSNP`,
    },
    { rule: 2, words: [0x9n, 1n, 0n], fault: "SPT.4.2", says: `${ILLEGAL} PGTT` },
    { rule: 2, words: [0x149n, 1n, 0n], fault: "SPT.4.2", says: `${ILLEGAL} PGTT` },
    { rule: 3, words: [FS, 1n, 0n], props: { fsts: 0 }, fault: "SPT.4.2", says: `${LACKS} PGTT` },
    { rule: 4, words: [SS, 1n], props: { ssts: 0 }, fault: "SPT.4.2", says: `${LACKS} PGTT` },
    {
      rule: 5,
      words: [0x3000n | NEST, 1n, 0x3000n],
      props: { nest: 0 },
      fault: "SPT.4.2",
      says: `${LACKS} PGTT`,
    },
    { rule: 6, words: [PASS, 1n], props: { pt: 0 }, fault: "SPT.4.2", says: `${LACKS} PGTT` },
    { rule: 7, words: [0x3000n | SS, 1n], ...UNDER, fault: "SPT.4.2", says: `${CONFLICT} PGTT` },
    { rule: 8, words: [0x3081n, 1n], fault: "SPT.4.1", says: `${ILLEGAL} AW` },
    { rule: 9, words: [0x3000n | SS, 1n], props: { sagaw: 0b1010 }, fault: "SPT.4.1", says: `${LACKS} AW` },
    { rule: 10, words: [FS, 1n, 0x3008n], fault: "SPT.4.3", says: `${ILLEGAL} FSPM` },
    {
      rule: 11,
      words: [FS, 1n, 0x3000n | FIVE_LEVELS],
      props: { fs5lp: 0 },
      fault: "SPT.4.3",
      says: `${LACKS} FSPM`,
    },
    // AW of 3 levels: 39 bits.
    { rule: 12, words: [0x30c5n, 1n, 1n << 39n], fault: "SPT.4.4", says: `${WIDTH} FSPTPTR` },
    // The binding's own second stage has 3 levels.
    { rule: 12, words: [FS, 1n, 1n << 39n], ...UNDER, fault: "SPT.4.4", says: `${WIDTH} FSPTPTR` },
  ],
  "extended-mode PASID entry": [
    { rule: 1, words: [0x3003n], fault: "SPT.3", says: `${RESERVED} 1` },
    { rule: 2, words: [0x3401n], fault: "SPT.4.3", says: `${ILLEGAL} FLPM` },
    { rule: 3, words: [0x3201n], props: { fs5lp: 0 }, fault: "SPT.4.3", says: `${LACKS} FLPM` },
  ],
};

testRules("VT-d", STRUCTURES, BROKEN, /[RCPD]T\.[34]|SPD\.3/);

describe("VT-d: several rules", () => {
  test("the first broken rule decides on the fault, and all are reported", () => {
    const entry = STRUCTURES["PASID table entry"];
    const many = askEntry(entry, [0x3000n | (1n << 10n) | 0xd1n, 1n, 0x3008n], {
      props: { nest: 0, sagaw: 0b1010 },
    });
    expect(many).toEqual({
      fault: "SPT.3",
      says: [`${RESERVED} 10`, `${LACKS} PGTT`, `${ILLEGAL} AW`, `${ILLEGAL} FSPM`],
    });
    expect(askEntry(entry, [0x30d1n, 1n, 0x3008n], { props: { nest: 0 } }).fault).toBe("SPT.4.2");
    expect(askEntry(entry, [0x30d1n, 1n, 0x3008n]).fault).toBe("SPT.4.1");
    expect(askEntry(entry, [0x30c9n, 1n, 0x3008n]).fault).toBe("SPT.4.3");
  });
});
