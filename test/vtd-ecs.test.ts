import { describe, expect, it } from "vitest";
import {
  CONTEXT,
  chain,
  EXTENDED,
  FS,
  IOVA,
  LEAF,
  OPEN,
  PASIDS,
  ROOT,
  SS,
  slot,
  VtdMachine,
} from "./support/vtd-machine.ts";

const ECAP_ALL = 0x7fff_ffff_ffff_ffffn;
/** Extended context entry, first word: P, PASIDE, NESTE; T in place. */
const PASIDE = 0x800n;
const NESTE = 0x400n;
const T = (type: bigint) => type << 2n;
/** Second word: DID 7, AW 4 levels; PGE, NXE, WPE, SMEP, EAFE, ERE, SLEE. */
const BASE = 0x0702n;
const PGE = 0x8n;
const NXE = 0x10n;
const WPE = 0x20n;
const SMEP = 1n << 24n;
const ERE = 1n << 26n;
const SLEE = 1n << 27n;
const SRE = 0x800n;

/** Device 00:03.0 in extended mode; PASID 5 has first-level tables at FS. */
function extendedMachine(first = PASIDE, second = 0n, pasid = FS | 1n) {
  return new VtdMachine({ rtaddr: ROOT | EXTENDED })
    .put(ROOT, CONTEXT | 1n, 0n)
    .put(CONTEXT + 0x300n, SS | 1n | first, BASE | second, PASIDS, 0n)
    .put(PASIDS + 40n, pasid);
}

describe("extended mode: root and context", () => {
  it("has a half of the root entry and a context table for devices 0 to 15 and 16 to 31 each", () => {
    const upper = CONTEXT + 0x10_0000n;
    const m = extendedMachine()
      .put(ROOT + 8n, upper | 1n)
      .put(upper + 0x20n, 1n | T(2n), BASE, 0n, 0n);
    expect(m.ask(IOVA, { device: 0x81 })).toMatchObject({
      result: "ok",
      model: "intel-ecs",
      pa: IOVA,
      passthrough: true,
      domain: 7,
      reads: 2,
    });
    expect(m.ask(IOVA, { device: 0x82 })).toMatchObject({ name: "LCT.2", model: "intel-ecs" });
    m.put(ROOT + 8n, upper);
    expect(m.ask(IOVA, { device: 0x81 })).toMatchObject({ name: "LRT.2", code: 1 });
    m.put(ROOT + 8n, upper | 5n);
    expect(m.ask(IOVA, { device: 0x81 })).toMatchObject({ name: "LRT.3", code: 0xa });
  });

  it.each([
    ["bits 95:92", 0n, 1n << 28n, 0n, 0n],
    ["bits 139:132", 0n, 0n, 0x10n, 0n],
    ["bits 203:192", 0n, 0n, 0n, 1n],
    ["SLPTPTR beyond the host address width", 1n << 50n, 0n, 0n, 0n],
    ["PASIDPTR beyond the host address width", 0n, 0n, 1n << 50n, 0n],
  ])("%s of the context entry are reserved", (_what, ...words) => {
    const m = extendedMachine().set({}, { output_bits: 46 });
    m.put(CONTEXT + 0x300n, SS | 1n | PASIDE | words[0], BASE | words[1], PASIDS | words[2], words[3]);
    expect(m.ask(IOVA)).toMatchObject({ name: "LCT.3", code: 0xb });
  });

  it.each([
    ["DINVE", 27, 0x100n],
    ["PRE", 29, 0x200n],
    ["NESTE", 26, NESTE],
    ["PASIDE", 40, PASIDE],
  ])("%s needs its capability", (_name, bit, word) => {
    const m = extendedMachine(T(2n) | word);
    expect(m.ask(IOVA)).toMatchObject({ result: "ok" });
    expect(m.set({ ecap: ECAP_ALL & ~(1n << BigInt(bit)) }).ask(IOVA)).toMatchObject({ name: "LCT.3" });
  });

  it.each([
    // T, PASIDE; without PASID; with PASID 5
    [0n, PASIDE, "second level", "first level"],
    [0n, 0n, "second level", "SCT.6"],
    [1n, PASIDE, "second level", "first level"],
    [2n, PASIDE, "pass-through", "SCT.6"],
    [3n, PASIDE, "LCT.4.2", "LCT.4.2"],
    [4n, PASIDE, "pass-through", "first level"],
    [4n, 0n, "LCT.4.2", "LCT.4.2"],
    [5n, PASIDE, "pass-through", "first level"],
    [6n, PASIDE, "LCT.4.2", "LCT.4.2"],
    [7n, PASIDE, "LCT.4.2", "LCT.4.2"],
  ])("T %s with PASIDE %s: %s, and with PASID: %s", (type, paside, without, withPasid) => {
    const m = extendedMachine(T(type) | paside);
    chain(m, SS, 4, IOVA, 3n, 0x66_6003n);
    chain(m, FS, 4, IOVA, OPEN, LEAF);
    const how = (pasid?: number) => {
      const seen = m.ask(IOVA, pasid === undefined ? {} : { pasid });
      if (seen.passthrough) return "pass-through";
      return seen.name ?? (seen.pa === 0x66_6890n ? "second level" : "first level");
    };
    expect([how(), how(5)]).toEqual([without, withPasid]);
  });

  it("types need the device-TLB and pass-through capabilities", () => {
    const name = (type: bigint, bit: number) =>
      extendedMachine(T(type) | PASIDE)
        .set({ ecap: ECAP_ALL & ~(1n << BigInt(bit)) })
        .ask(IOVA).name;
    expect([name(1n, 2), name(5n, 2), name(2n, 6), name(4n, 6)]).toEqual(Array(4).fill("LCT.4.2"));
  });

  it("second-level conditions have the reasons of legacy mode", () => {
    const m = extendedMachine(0n);
    expect(m.put(SS, 0n).ask(IOVA)).toMatchObject({ name: "LGN.3", code: 6, stage: 2 });
    expect(m.ask(1n << 48n)).toMatchObject({ name: "LGN.1.1", code: 4 });
    m.put(CONTEXT + 0x300n, 0x7_0000_0001n);
    expect(m.ask(IOVA)).toMatchObject({ name: "LCT.4.3", code: 3, reason: "PGD_FETCH" });
  });
});

describe("extended mode: PASID table and first level", () => {
  it("indexes a flat table of 8-byte entries by the PASID, over several frames", () => {
    const pasid = 0xabcde;
    const m = extendedMachine()
      .put(CONTEXT + 0x310n, PASIDS | 15n)
      .put(PASIDS + BigInt(pasid) * 8n, FS | 1n);
    chain(m, FS, 4, IOVA, OPEN, LEAF);
    expect(m.ask(IOVA, { pasid })).toMatchObject({
      result: "ok",
      model: "intel-ecs",
      pa: 0x55_5890n,
      page: 4096,
      perm: "rw-",
      domain: 7,
      reads: 2 + 1 + 4,
    });
    expect(m.ask(IOVA, { pasid: pasid + 1 })).toMatchObject({ name: "SPT.2", reason: "PASID_INVALID" });
  });

  it.each([0, 1, 7, 14])("PTS %i bounds the PASID", (pts) => {
    const m = extendedMachine().put(CONTEXT + 0x310n, PASIDS | BigInt(pts));
    m.memory.ram(PASIDS, 0x80_0000n);
    const limit = 2 ** (pts + 5);
    expect(m.ask(IOVA, { pasid: limit - 1 })).toMatchObject({ name: "SPT.2" });
    expect(m.ask(IOVA, { pasid: limit })).toMatchObject({ name: "SCT.7", reason: "PASID_INVALID" });
  });

  it("ECAP.PSS bounds it too", () => {
    const m = extendedMachine().set({ ecap: ECAP_ALL & ~(0x1fn << 35n) });
    expect(m.ask(IOVA, { pasid: 2 })).toMatchObject({ name: "SGN.10" });
  });

  it.each([
    ["bits 2:1", FS | 3n, "SPT.3"],
    ["bits 8:5", FS | 0x21n, "SPT.3"],
    ["the pointer beyond the host address width", (1n << 50n) | 1n, "SPT.3"],
    ["a paging mode that does not exist", FS | 0x401n, "SPT.4.3"],
    ["a table that cannot be read", 0x7_0000_0001n, "SFS.4"],
  ])("%s of a PASID entry", (_what, word, name) => {
    const m = extendedMachine(PASIDE, 0n, word).set({}, { output_bits: 46 });
    expect(m.ask(IOVA, { pasid: 5 })).toMatchObject({ name });
  });

  it("a PASID table that cannot be read", () => {
    const m = extendedMachine().put(CONTEXT + 0x310n, 0x7_0000_0000n);
    expect(m.ask(IOVA, { pasid: 5 })).toMatchObject({ name: "SPT.1", reason: "PASID_FETCH", hole: true });
  });

  it("5 levels by bit 9 of the PASID entry (revision 2.5)", () => {
    const iova = 0xab_1234_5678_9000n;
    const m = extendedMachine(PASIDE, 0n, FS | 0x219n);
    chain(m, FS, 5, iova, OPEN, LEAF);
    expect(m.ask(iova, { pasid: 5 })).toMatchObject({ result: "ok", pa: 0x55_5000n });
    expect(m.ask(1n << 56n, { pasid: 5 })).toMatchObject({ name: "SGN.1" });
    expect(m.set({}, { fs5lp: false }).ask(iova, { pasid: 5 })).toMatchObject({ name: "SPT.4.3" });
  });

  it.each([
    // second context word, PASID entry, leaf bits flipped, access, privileged; outcome
    [0n, 0n, 0n, "w", false, "rw-"],
    [0n, 0n, 2n, "w", false, "SGN.6"],
    [0n, 0n, 4n, "r", false, "SGN.2"],
    [0n, 0n, 0n, "r", true, "1Ah"],
    [0n, SRE, 6n, "w", true, "rw-"],
    [WPE, SRE, 6n, "w", true, "SGN.6"],
    [0n, 0n, 0n, "x", false, "19h"],
    [ERE, 0n, 0n, "x", false, "rwx"],
    [ERE | NXE, 0n, 1n << 63n, "x", false, "18h"],
    [ERE | NXE | SMEP, SRE, 0n, "x", true, "18h"],
    [ERE, 0n, 1n << 63n, "r", false, "SFS.3"],
  ] as const)(
    "controls %s, PASID entry %s, leaf %s: %s, privileged %s: %s",
    (second, pasid, leaf, access, priv, outcome) => {
      const m = extendedMachine(PASIDE, second, FS | 1n | pasid);
      chain(m, FS, 4, IOVA, OPEN, LEAF ^ leaf);
      const seen = m.ask(IOVA, { pasid: 5, access, priv });
      expect(seen.name ?? seen.perm).toBe(outcome);
    },
  );

  it("G means something under PGE only", () => {
    for (const [pge, global] of [
      [PGE, true],
      [0n, undefined],
    ] as const) {
      const m = extendedMachine(PASIDE, pge);
      chain(m, FS, 4, IOVA, OPEN, LEAF | 0x100n);
      expect(m.ask(IOVA, { pasid: 5 }).global).toBe(global);
    }
  });
});

describe("extended mode: nesting", () => {
  /** The second level maps the PASID table and the first-level tables to themselves + 0x4000_0000. */
  function nestedMachine(second = 0n) {
    const m = extendedMachine(PASIDE | NESTE, second);
    m.put(SS, (SS + 0x1000n) | 7n).put(SS + 0x1000n, 0x4000_0087n, 0x8000_0087n);
    m.put(0x4000_0000n + PASIDS + 40n, FS | 1n);
    let table = FS;
    for (let level = 4; level > 1; level--) {
      m.put(0x4000_0000n + table + slot(level, IOVA), (table + 0x1000n) | OPEN);
      table += 0x1000n;
    }
    return m.put(0x4000_0000n + table + slot(1, IOVA), 0x4000_5067n);
  }

  it("fetches the PASID entry, the first level and the page through the second level", () => {
    const m = nestedMachine();
    expect(m.ask(IOVA, { pasid: 5, access: "w" })).toMatchObject({
      pa: 0x8000_5890n,
      page: 4096,
      reads: 2 + 3 + 4 * 3 + 2,
    });
  });

  it("the PASID entry's second-level fault says what it was for", () => {
    const m = nestedMachine().put(SS + 0x1000n, 0n);
    expect(m.ask(IOVA, { pasid: 5 })).toMatchObject({
      name: "LGN.3",
      reason: "PASID_FETCH",
      stage: 2,
      level: 3,
      faultAddr: PASIDS + 40n,
    });
  });

  it("X of the second level decides on execution under SLEE", () => {
    const m = nestedMachine(ERE | SLEE);
    expect(m.ask(IOVA, { pasid: 5, access: "x" })).toMatchObject({ result: "ok", perm: "rwx" });
    m.put(SS + 0x1008n, 0x8000_0083n);
    expect(m.ask(IOVA, { pasid: 5, access: "x" })).toMatchObject({ name: "18h", stage: 2 });
    expect(m.put(CONTEXT + 0x308n, BASE | ERE).ask(IOVA, { pasid: 5, access: "x" })).toMatchObject({
      result: "ok",
    });
  });
});
