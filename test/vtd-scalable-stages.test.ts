import { describe, expect, it } from "vitest";
import {
  AW4,
  CONTEXT,
  chain,
  ECAP_ALL,
  ecapWithout,
  FIRST,
  FS,
  IOVA,
  LEAF,
  OPEN,
  PASIDS,
  PASS,
  pasidEntry,
  ROOT,
  SCALABLE,
  SECOND,
  SS,
  scalableMachine,
  slot,
} from "./support/vtd-machine.ts";

const XD = 1n << 63n;
/** Bits of the third word: SRE, ERE, FSPM of 5 levels, WPE, NXE, SMEP. */
const SRE = 1n;
const ERE = 2n;
const FIVE = 4n;
const WPE = 0x10n;
const NXE = 0x20n;
const SMEP = 0x40n;

describe("scalable mode: first stage", () => {
  it.each([4, 5])("walks %i levels, for canonical addresses of both halves", (levels) => {
    const bits = BigInt(levels === 4 ? 47 : 56);
    const m = scalableMachine(pasidEntry(FIRST, levels === 5 ? FIVE : 0n));
    for (const iova of [(1n << bits) - 1n, ((1n << 64n) - (1n << bits)) & ~0xfffn]) {
      chain(m, FS, levels, iova, OPEN, 0xa_bcde_f067n);
      expect(m.ask(iova, { access: "w" })).toEqual({
        result: "ok",
        model: "intel",
        pa: 0xa_bcde_f000n | (iova & 0xfffn),
        page: 4096,
        perm: "rw-",
        domain: 9,
        reads: 4 + levels,
      });
    }
    for (const iova of [1n << bits, (1n << 64n) - (1n << bits) - 1n, 1n << 63n]) {
      const seen = m.ask(iova);
      expect(seen).toMatchObject({ name: "SGN.1", reason: "OOR_ADDRESS", stage: 1 });
      expect(seen.entry).toBeUndefined();
    }
  });

  it.each([
    [2, 0x8_0020_0000n, 0x20_0000],
    [3, 0x8_4000_0000n, 0x4000_0000],
  ])("a leaf at level %i; bit 12 is PAT", (level, page, size) => {
    const m = scalableMachine(pasidEntry(FIRST));
    chain(m, FS, 4, IOVA, OPEN, page | 0x10e7n, level);
    expect(m.ask(IOVA)).toMatchObject({ pa: page + (IOVA % BigInt(size)), page: size });
  });

  it("bit 7 of a 4 KiB entry is PAT", () => {
    const m = scalableMachine(pasidEntry(FIRST));
    chain(m, FS, 4, IOVA, OPEN, LEAF | 0x80n);
    expect(m.ask(IOVA)).toMatchObject({ result: "ok", page: 4096 });
  });

  it.each([
    ["PS at level 4", 4, 0x80n],
    ["bits 20:13 of a 2 MiB page", 2, 0x2080n],
    ["bits 29:13 of a 1 GiB page", 3, 0x2000_0080n],
    ["address bits beyond the host address width", 1, 1n << 46n],
    ["the same in a table entry", 2, 1n << 51n],
  ])("%s is reserved", (_what, level, bits) => {
    const m = scalableMachine(pasidEntry(FIRST), {}, { output_bits: 46 });
    const at = chain(m, FS, 4, IOVA, OPEN, OPEN | bits, level);
    expect(m.ask(IOVA)).toMatchObject({ name: "SFS.3", stage: 1, level, entry: at, value: OPEN | bits });
  });

  it("PS at level 5 is reserved", () => {
    const m = scalableMachine(pasidEntry(FIRST, FIVE)).put(FS + slot(5, IOVA), 0xa7n);
    expect(m.ask(IOVA)).toMatchObject({ name: "SFS.3", level: 5 });
  });

  it("1 GiB pages need CAP.FS1GP", () => {
    const m = scalableMachine(pasidEntry(FIRST), { cap: 0x1000_000c_003f_0e06n });
    chain(m, FS, 4, IOVA, OPEN, 0xe7n, 3);
    expect(m.ask(IOVA)).toMatchObject({ name: "SFS.3", level: 3 });
    expect(m.set({}, { fl1gp: 1 }).ask(IOVA)).toMatchObject({ result: "ok" });
  });

  it("ignores bits 63:52, 11:8, and G", () => {
    const m = scalableMachine(pasidEntry(FIRST), {}, { output_bits: 46 });
    chain(m, FS, 4, IOVA, OPEN | 0xfff0_0000_0000_0f40n, LEAF | 0xfff0_0000_0000_0f00n);
    const seen = m.ask(IOVA, { access: "w" });
    expect(seen).toMatchObject({ result: "ok", pa: 0x55_5890n });
    expect(seen.global).toBeUndefined();
  });

  it("a hole at the top table and below it differ", () => {
    const m = scalableMachine(pasidEntry(FIRST, 0x7_0000_0000n));
    expect(m.ask(IOVA)).toMatchObject({ name: "SFS.4", reason: "PGD_FETCH", hole: true, level: 4, stage: 1 });
    m.put(PASIDS + 16n, FS).put(FS + slot(4, IOVA), 0x7_0000_0027n);
    expect(m.ask(IOVA)).toMatchObject({ name: "SFS.1", reason: "WALK_EABT", hole: true, level: 3 });
  });

  it("an entry that is not present is a fault whatever else is in it", () => {
    const m = scalableMachine(pasidEntry(FIRST));
    const at = chain(m, FS, 4, IOVA, OPEN, 0xffff_ffff_ffff_fffen);
    expect(m.ask(IOVA)).toMatchObject({ name: "SFS.2", reason: "PTE_FETCH", level: 1, entry: at });
  });
});

/** Rights of a request (user or supervisor, read, write, execute) over entries with some bits clear or set. */
describe("scalable mode: access rights (3.6.1)", () => {
  const ask = (third: bigint, upper: bigint, leaf: bigint, access: "r" | "w" | "rw" | "x", priv: boolean) => {
    const m = scalableMachine(pasidEntry(FIRST, third));
    chain(m, FS, 4, IOVA, OPEN, LEAF ^ leaf);
    m.put(FS + slot(4, IOVA), (FS + 0x1000n) | (OPEN ^ upper));
    const seen = m.ask(IOVA, { pasid: 1, access, priv });
    return `${seen.name ?? seen.perm}${seen.level === undefined ? "" : `@${seen.level}`}`;
  };
  const RW = 2n;
  const US = 4n;

  it.each([
    // third word, clear or set above, at the leaf, access, privileged; outcome
    [0n, 0n, 0n, "r", false, "rw-"],
    [0n, RW, 0n, "r", false, "r--"],
    [0n, RW, 0n, "w", false, "SGN.6@4"],
    [0n, 0n, RW, "rw", false, "SGN.6@1"],
    [0n, US, 0n, "r", false, "SGN.2@4"],
    [0n, 0n, US, "w", false, "SGN.2@1"],
    [0n, US, RW, "w", false, "SGN.2@4"],
    [0n, 0n, 0n, "r", true, "SPT.6"],
    [SRE, US, 0n, "r", true, "rw-"],
    [SRE, RW, US, "w", true, "rw-"],
    [SRE | WPE, RW, US, "w", true, "SGN.6@4"],
    [SRE | WPE, RW, US, "r", true, "r--"],
    [SRE | WPE, RW, 0n, "w", false, "SGN.6@4"],
    [ERE, 0n, 0n, "x", false, "rwx"],
    [ERE, 0n, XD, "x", false, "rwx"],
    [ERE | NXE, 0n, XD, "x", false, "SGN.3@1"],
    [ERE | NXE, XD, 0n, "x", false, "SGN.3@4"],
    [ERE | NXE, XD, 0n, "r", false, "rw-"],
    [ERE | NXE, 0n, 0n, "x", false, "rwx"],
    [ERE, US, 0n, "x", false, "SGN.2@4"],
    [ERE | SRE, 0n, 0n, "x", true, "rwx"],
    [ERE | SRE | SMEP, 0n, 0n, "x", true, "SGN.3@1"],
    [ERE | SRE | SMEP, US, 0n, "x", true, "rwx"],
    [ERE | SRE | SMEP, 0n, 0n, "x", false, "rwx"],
    [NXE, 0n, 0n, "x", false, "SPT.5"],
    [ERE | SRE | NXE, 0n, XD, "x", true, "SGN.3@1"],
  ] as const)(
    "%s: %s above, %s at the leaf, %s, privileged %s: %s",
    (third, upper, leaf, access, priv, outcome) => {
      expect(ask(third, upper, leaf, access, priv)).toBe(outcome);
    },
  );

  it("without PASID, RID_PRIV gives the privilege and `priv` is nothing", () => {
    const m = scalableMachine(pasidEntry(FIRST, SRE));
    chain(m, FS, 4, IOVA, OPEN, LEAF & ~4n);
    expect(m.ask(IOVA, { priv: true })).toMatchObject({ name: "SGN.2" });
    m.put(CONTEXT + 0x308n, 1n << 20n);
    expect(m.ask(IOVA)).toMatchObject({ result: "ok" });
    m.put(PASIDS + 16n, FS);
    expect(m.ask(IOVA)).toMatchObject({ name: "SPT.6", entry: PASIDS });
    expect(
      m
        .put(CONTEXT + 0x308n, 0n)
        .set({ ecap: ecapWithout(53) })
        .ask(IOVA),
    ).toMatchObject({ name: "SGN.2" });
  });

  it("execution without ECAP.ERS is refused, and refused earlier by hardware of version 8", () => {
    const m = scalableMachine(pasidEntry(FIRST), { ecap: ecapWithout(30) });
    chain(m, FS, 4, IOVA, OPEN, LEAF);
    expect(m.ask(IOVA, { pasid: 1, access: "x" })).toMatchObject({ name: "SPT.5", reads: 4 });
    expect(m.ask(IOVA, { access: "x" })).toMatchObject({ result: "ok", perm: "rw-" });
    m.set({ ver: 0x70n });
    expect(m.ask(IOVA, { pasid: 1, access: "x" })).toMatchObject({ name: "SPT.5" });
    m.set({ ver: 0x80n });
    expect(m.ask(IOVA, { pasid: 1, access: "x" })).toMatchObject({ name: "RTA.5", reads: 0 });
  });

  it("a reserved bit deeper down comes before a right that an upper entry withholds", () => {
    const m = scalableMachine(pasidEntry(FIRST), {}, { output_bits: 46 });
    chain(m, FS, 4, IOVA, OPEN, LEAF | (1n << 50n));
    m.put(FS + slot(4, IOVA), (FS + 0x1000n) | (OPEN & ~6n));
    expect(m.ask(IOVA, { access: "w" })).toMatchObject({ name: "SFS.3", level: 1 });
  });

  it("hardware that sets no flags needs them set: A everywhere, D for a write, EA under EAFE", () => {
    const m = scalableMachine(pasidEntry(FIRST), {}, { httu: false });
    chain(m, FS, 4, IOVA, OPEN, LEAF & ~0x40n);
    expect(m.ask(IOVA)).toMatchObject({ result: "ok" });
    expect(m.ask(IOVA, { access: "w" })).toMatchObject({ name: "SFS.9", level: 1 });
    chain(m, FS, 4, IOVA, OPEN, LEAF);
    expect(m.ask(IOVA, { access: "w" })).toMatchObject({ result: "ok" });
    m.put(PASIDS + 16n, FS | 0x80n);
    expect(m.ask(IOVA)).toMatchObject({ name: "SFS.9", level: 4 });
    chain(m, FS, 4, IOVA, OPEN | 0x400n, LEAF | 0x400n);
    expect(m.ask(IOVA, { access: "w" })).toMatchObject({ result: "ok" });
  });
});

describe("scalable mode: flags, and page walks that do not snoop", () => {
  /** ECAP.SMPWCS, and PWSNP in the second word. */
  const SMPWCS = 48;
  const PWSNP = 1n << 23n;
  const SSADE = 0x200n;

  it.each([
    ["SMPWCS, PWSNP clear", ECAP_ALL, 0n, "SFS.9"],
    ["SMPWCS, PWSNP set", ECAP_ALL, PWSNP, "ok"],
    ["no SMPWCS: not software's choice", ecapWithout(SMPWCS), 0n, "ok"],
    ["ECAP not given", null, 0n, "ok"],
  ])("a first-stage flag has to be set: %s", (_what, ecap, snoop, expected) => {
    const registers = ecap === null ? {} : { ecap };
    const m = scalableMachine(pasidEntry(FIRST, 0n, AW4, 9n | snoop), registers);
    chain(m, FS, 4, IOVA, OPEN, LEAF & ~0x40n);
    const name = (access: "r" | "w" = "r") => {
      const seen = m.ask(IOVA, { access });
      return seen.name ?? seen.result;
    };
    expect([name(), name("w")]).toEqual(["ok", expected]);
    chain(m, FS, 4, IOVA, OPEN, LEAF);
    expect([name(), name("w")]).toEqual(["ok", "ok"]);
    m.put(FS + slot(4, IOVA), (FS + 0x1000n) | (OPEN & ~0x20n));
    expect([name(), name("w")]).toEqual([expected, expected]);
    if (expected !== "ok")
      expect(m.ask(IOVA)).toMatchObject({
        code: 0x90,
        reason: "ACCESS",
        stage: 1,
        level: 4,
        entry: FS + slot(4, IOVA),
      });
  });

  it.each([
    [PWSNP, SSADE, "ok"],
    [0n, SSADE, "SSS.5"],
    [0n, 0n, "ok"],
  ])("a second-stage flag has to be set: PWSNP %s, SSADE %s", (snoop, flags, expected) => {
    const m = scalableMachine(pasidEntry(SECOND, 0n, AW4 | flags, 9n | snoop), { ecap: ECAP_ALL });
    chain(m, SS, 4, IOVA, 0x103n, 0x66_6103n);
    expect(m.ask(IOVA)).toMatchObject({ result: "ok" });
    const written = m.ask(IOVA, { access: "w" });
    expect(written.name ?? written.result).toBe(expected);
    if (expected !== "ok") expect(written).toMatchObject({ code: 0x7c, stage: 2, level: 1 });
    m.put(SS + slot(4, IOVA), (SS + 0x1000n) | 3n);
    const read = m.ask(IOVA);
    expect(read.name ?? read.result).toBe(expected);
  });

  it("a write that is denied dirties nothing: D need not be set", () => {
    const m = scalableMachine(pasidEntry(SECOND, 0n, AW4 | SSADE), { ecap: ECAP_ALL });
    chain(m, SS, 4, IOVA, 0x103n, 0x66_6101n);
    expect(m.ask(IOVA, { access: "w" })).toMatchObject({ name: "SGN.6", code: 0x85, level: 1 });
  });
});

describe("scalable mode: second stage and pass-through", () => {
  it.each([3, 4, 5])("walks %i levels", (levels) => {
    const iova = levels === 3 ? 0x7f_fedc_b123n : levels === 4 ? 0xfedc_ba98_7123n : 0x1fe_dcba_9876_5123n;
    const m = scalableMachine(pasidEntry(SECOND, 0n, BigInt(levels - 2) << 2n));
    chain(m, SS, levels, iova, 3n, 0xa_bcde_f003n);
    expect(m.ask(iova)).toMatchObject({ pa: 0xa_bcde_f123n, page: 4096, domain: 9, perm: "rw-" });
    const beyond = m.ask(1n << BigInt(12 + 9 * levels));
    // No entry has been looked at, so there is none to name.
    expect(beyond).toMatchObject({ name: "SGN.5", code: 0x84, stage: 2 });
    expect(beyond).not.toHaveProperty("level");
    expect(beyond).not.toHaveProperty("entry");
  });

  it.each([
    ["r", 0x66_6000n, "SSS.2", "PTE_FETCH"],
    ["w", 0x66_6000n, "SSS.2", "PTE_FETCH"],
    ["w", 0x66_6001n, "SGN.6", "PERMISSION"],
    ["rw", 0x66_6001n, "SGN.6", "PERMISSION"],
    ["r", 0x66_6002n, "SGN.7", "PERMISSION"],
    ["rw", 0x66_6002n, "SGN.7", "PERMISSION"],
  ] as const)("%s of an entry %s: %s", (access, leaf, name, reason) => {
    const m = scalableMachine(pasidEntry(SECOND));
    const at = chain(m, SS, 4, IOVA, 3n, leaf);
    expect(m.ask(IOVA, { access })).toMatchObject({
      name,
      reason,
      stage: 2,
      level: 1,
      entry: at,
      value: leaf,
    });
  });

  it("rights that no level grants together are SSS.2", () => {
    const m = scalableMachine(pasidEntry(SECOND));
    chain(m, SS, 4, IOVA, 3n, 0x66_6002n);
    m.put(SS + slot(4, IOVA), (SS + 0x1000n) | 1n);
    expect(m.ask(IOVA)).toMatchObject({ name: "SSS.2", reason: "PERMISSION", level: 1 });
    expect(m.ask(IOVA, { access: "w" })).toMatchObject({ name: "SSS.2", reason: "PERMISSION", level: 4 });
  });

  it("X decides on execution only under SSEE", () => {
    const m = scalableMachine(pasidEntry(SECOND, ERE));
    const at = chain(m, SS, 4, IOVA, 7n, 0x66_6003n);
    expect(m.ask(IOVA, { pasid: 1, access: "x" })).toMatchObject({ result: "ok", perm: "rwx" });
    m.put(PASIDS + 64n, SS | AW4 | SECOND | 0x21n);
    expect(m.ask(IOVA, { pasid: 1, access: "x" })).toMatchObject({ name: "SGN.3", stage: 2, entry: at });
    m.put(at, 0x66_6007n);
    expect(m.ask(IOVA, { pasid: 1, access: "x" })).toMatchObject({ result: "ok", perm: "rwx" });
  });

  it("I/O permissions replace R and W under RTADDR.SSIRWE", () => {
    const m = scalableMachine(pasidEntry(SECOND), { rtaddr: ROOT | SCALABLE | 0x80n });
    const io = (bits: bigint) => bits << 61n;
    const at = chain(m, SS, 4, IOVA, io(3n), 0x66_6000n | io(1n));
    expect(m.ask(IOVA)).toMatchObject({ result: "ok", perm: "r--" });
    expect(m.ask(IOVA, { access: "w" })).toMatchObject({ name: "SGN.6", entry: at });
    m.put(at, 0x66_6003n);
    expect(m.ask(IOVA)).toMatchObject({ name: "SSS.2" });
    // Without the capability the bit in RTADDR is nothing, and IW is reserved.
    m.set({ ecap: ecapWithout(57) });
    expect(m.ask(IOVA)).toMatchObject({ name: "SSS.2", level: 4 });
    m.put(SS + slot(4, IOVA), (SS + 0x1000n) | 3n | io(2n));
    expect(m.ask(IOVA)).toMatchObject({ name: "SSS.3", level: 4 });
  });

  it("pass-through ends at the host address width, and refuses the interrupt range with PASID", () => {
    const m = scalableMachine(pasidEntry(PASS), {}, { output_bits: 46 });
    expect(m.ask((1n << 46n) - 1n)).toMatchObject({
      pa: (1n << 46n) - 1n,
      passthrough: true,
      page: 0,
      domain: 9,
    });
    expect(m.ask(1n << 46n)).toMatchObject({ name: "SGN.4.2", code: 0x83 });
    expect(m.ask(0xfee0_1000n, { pasid: 1, access: "w" })).toMatchObject({ name: "SGN.8.1" });
    expect(m.ask(0xfee0_1000n, { access: "w" })).toMatchObject({ result: "msi" });
  });

  it("a request with PASID to the interrupt range is translated like any other", () => {
    const m = scalableMachine(pasidEntry(FIRST));
    chain(m, FS, 4, 0xfee0_1000n, OPEN, LEAF);
    expect(m.ask(0xfee0_1008n, { pasid: 1, access: "w" })).toMatchObject({ result: "ok", pa: 0x55_5008n });
    chain(m, FS, 4, 0xfee0_1000n, OPEN, 0xfee0_2067n);
    expect(m.ask(0xfee0_1008n, { pasid: 1, access: "w" })).toMatchObject({ name: "SGN.8.1", code: 0x87 });
  });
});
