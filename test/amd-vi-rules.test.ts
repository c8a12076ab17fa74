import { describe, expect, test } from "vitest";
import { DTE_RULES } from "../walkers/amd-vi/rules.ts";
import { NO_PASID } from "../walkers/request.ts";
import {
  askEntry,
  type Broken,
  ILLEGAL,
  LACKS,
  RESERVED,
  type Structure,
  testRules,
} from "./support/rule-cases.ts";
import { lint } from "./support/table-lint.ts";

const FAULT = "ILLEGAL_DEV_TABLE_ENTRY";
/** V, TV, 4 levels at 0x20000, IR and IW. */
const HOST = 3n | (4n << 9n) | 0x20000n | (3n << 61n);
/** V, TV, GV, IR and IW: flat guest tables, behind a one-level CR3 table at 0x10000 (bits 30:15 at 95:80). */
const GUEST = 3n | (1n << 55n) | (3n << 61n);
const GCR3_HIGH = 2n << 16n;
const setup = {
  model: "amd",
  regs: { dev_tab_base: 0x8000n },
  memory: { "0x8000": [], "0x10000": [], "0x20000": [] },
} as const;

const STRUCTURES = {
  "device table entry": {
    rules: DTE_RULES,
    at: 0x8300n,
    sound: [HOST, 5n, 0n, 0n],
    pasid: NO_PASID,
    setup,
  },
} satisfies Readonly<Record<string, Structure>>;

const dte = (rule: number, words: readonly bigint[], says: string, more: Partial<Broken> = {}): Broken => ({
  rule,
  words,
  fault: FAULT,
  says,
  ...more,
});

const BROKEN: Readonly<Record<keyof typeof STRUCTURES, readonly Broken[]>> = {
  "device table entry": [
    ...[2n, 6n, 63n].map((bit) => dte(1, [HOST | (1n << bit)], `${RESERVED} ${bit}`)),
    dte(2, [HOST, 3n << 35n], `${ILLEGAL} IOCTL`),
    dte(3, [HOST | (7n << 9n)], `${ILLEGAL} MODE`),
    dte(4, [HOST | (6n << 9n)], `${LACKS} MODE`, { props: { hats: 1 } }),
    dte(5, [GUEST | (3n << 56n), GCR3_HIGH], `${ILLEGAL} GLX`),
    dte(6, [GUEST | (1n << 56n), GCR3_HIGH], `${LACKS} GLX`, { props: { glxsup: 0 } }),
    dte(7, [GUEST, GCR3_HIGH, 2n << 54n], `${ILLEGAL} GUESTPAGINGMODE`),
    dte(8, [GUEST, GCR3_HIGH, 1n << 54n], `${LACKS} GUESTPAGINGMODE`, { props: { gats: 0 } }),
  ],
};

testRules("AMD-Vi", STRUCTURES, BROKEN, /ILLEGAL/);

/** Bit of the Extended Feature Register (MMIO 0030h), word and bit of the entry, and the field's name. */
const REFUSED: readonly [string, bigint, number, bigint][] = [
  ["PPR", 50n, 0, 52n],
  ["GPRP", 50n, 0, 53n],
  ["GIOV", 48n, 0, 54n],
  ["GV", 4n, 0, 55n],
  ["GLX", 4n, 0, 56n],
  ["GCR3TRP", 4n, 0, 58n],
  ["GCR3TRP", 4n, 1, 16n],
  ["GCR3TRP", 4n, 1, 63n],
  ["SATS", 31n, 1, 42n],
];
const PASSED_OVER: readonly [string, bigint, number, bigint][] = [
  ["HAD", 49n, 0, 7n],
  ["VIMUEN", 55n, 3, 15n],
  ["GDEVICEID", 55n, 3, 31n],
  ["GUESTID", 55n, 3, 47n],
  ["ATTRV", 51n, 3, 54n],
  ["MODE0FC", 51n, 3, 55n],
  ["SNOOPATTR", 51n, 3, 63n],
];
/** 4-level host and guest tables, everything else there is. */
const EVERYTHING = (1n << 64n) - 1n - (3n << 10n);

function withBit(word: number, bit: bigint): bigint[] {
  const words = [HOST, 5n, 0n, 0n];
  words[word]! |= 1n << bit;
  return words;
}

describe("AMD-Vi: what a field needs of the extended features", () => {
  const entry = STRUCTURES["device table entry"];

  test.each(REFUSED)("%s: EFR bit %d, else the entry is refused", (field, feature, word, bit) => {
    const words = withBit(word, bit);
    const without = askEntry(entry, words, { regs: { efr: EVERYTHING & ~(1n << feature) } });
    expect(without).toEqual({ fault: FAULT, says: [`${RESERVED} ${field}`] });
    expect(askEntry(entry, words, { regs: { efr: EVERYTHING } }).fault).not.toBe(FAULT);
    // What is not known of it is nobody's mistake.
    expect(askEntry(entry, words).fault).not.toBe(FAULT);
  });

  test.each(PASSED_OVER)("%s: EFR bit %d, else it is passed over", (field, feature, word, bit) => {
    const words = withBit(word, bit);
    const said = (efr: bigint) => {
      const memory = { ...setup.memory, "0x8300": words };
      const found = lint({ ...setup, regs: { ...setup.regs, efr }, memory });
      return found
        .filter((f) => f.rule.id === "ignored-entry-bits")
        .map((f) => `${f.field} ${f.rule.severity}`);
    };
    expect(said(EVERYTHING & ~(1n << feature))).toEqual([`${field} warning`]);
    expect(said(EVERYTHING)).toEqual([]);
    const { fault } = askEntry(entry, words, { regs: { efr: EVERYTHING & ~(1n << feature) } });
    expect(fault).not.toBe(FAULT);
  });
});
