/** Fields that are RES0 without a feature: each by its own bit of its own register. */
import { describe, expect, test } from "vitest";
import { IommuState } from "../walkers/registers.ts";
import { Cd } from "../walkers/smmuv3/cd.ts";
import { hasNeed } from "../walkers/smmuv3/needs.ts";
import { REALM_STREAM, SECURE_STREAM, Ste } from "../walkers/smmuv3/ste.ts";

/** IHI 0070, 6.3.1, 6.3.2, 6.3.4 and 6.3.6: register, and its value with what is needed and nothing else. */
const BITS: Readonly<Record<string, readonly [string, bigint]>> = {
  "IDR0.S2P": ["idr0", 1n << 0n],
  "IDR0.S1P": ["idr0", 1n << 1n],
  "IDR0.HTTU=3": ["idr0", 3n << 6n],
  "IDR0.HYP": ["idr0", 1n << 9n],
  "IDR0.PRI": ["idr0", 1n << 16n],
  "IDR1.SSIDSIZE": ["idr1", 0x1fn << 6n],
  "IDR1.ATTR_PERMS_OVR": ["idr1", 1n << 26n],
  "IDR1.ATTR_TYPES_OVR": ["idr1", 1n << 27n],
  "IDR3.MPAM": ["idr3", 1n << 7n],
  "IDR3.FWB": ["idr3", 1n << 8n],
  "IDR3.E0PD": ["idr3", 1n << 13n],
  "IDR3.DPT": ["idr3", 1n << 15n],
  "IDR3.EPAN": ["idr3", 1n << 17n],
  "IDR3.S1PI": ["idr3", 1n << 18n],
  "IDR3.S2PI": ["idr3", 1n << 19n],
  "IDR3.S2PO": ["idr3", 1n << 20n],
  "IDR3.THE": ["idr3", 1n << 21n],
  "IDR3.AIE": ["idr3", 1n << 23n],
  "IDR5.DS": ["idr5", 1n << 7n],
  "IDR5.D128": ["idr5", 1n << 8n],
  "SMMUv3.1": ["aidr", 1n],
};

const needs = [Ste, Cd].flatMap((layout) =>
  Object.values(layout.fields).flatMap((field) =>
    "needs" in field ? (field.needs as string).split(" and ") : [],
  ),
);

const with_ = (register: string, value: bigint) => {
  const state = new IommuState();
  state.setRegister(register, value);
  return state;
};

describe("what a field of an STE or CD needs", () => {
  test("is declared for each by one of these", () => {
    expect([...new Set(needs)].sort()).toEqual([...Object.keys(BITS), SECURE_STREAM, REALM_STREAM].sort());
  });

  test.each(Object.entries(BITS))("%s", (need, [register, bits]) => {
    const all = (1n << 32n) - 1n;
    expect(hasNeed(with_(register, bits), need)).toBe(true);
    expect(hasNeed(with_(register, register === "aidr" ? 0n : all & ~bits), need)).toBe(false);
    // What is not known of it is nobody's mistake.
    expect(hasNeed(new IommuState(), need)).toBe(true);
  });

  test("both of two; a Security state is never there", () => {
    const both = "IDR0.S1P and IDR0.HYP";
    expect(hasNeed(with_("idr0", 0x202n), both)).toBe(true);
    for (const one of [0x2n, 0x200n]) expect(hasNeed(with_("idr0", one), both)).toBe(false);
    expect(hasNeed(new IommuState(), SECURE_STREAM)).toBe(false);
  });

  test("less than all of HTTU is not enough", () => {
    for (const httu of [0n, 1n, 2n]) expect(hasNeed(with_("idr0", httu << 6n), "IDR0.HTTU=3")).toBe(false);
  });
});
