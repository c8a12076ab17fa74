import { describe, expect, it } from "vitest";
import {
  AW4,
  CONTEXT,
  chain,
  DIRECTORY,
  FIRST,
  FS,
  PASIDS,
  PASS,
  pasidEntry,
  ROOT,
  SCALABLE,
  SECOND,
  SS,
  scalableMachine,
  slot,
  VtdMachine,
} from "./support/vtd-machine.ts";

const IOVA = 0x12_3456_7890n;
const LOWER = 0x11_0000n;
const UPPER = 0x11_1000n;
const ECAP_ALL = 0x7eff_fffe_f7ff_ffffn;
const without = (...bits: number[]) => bits.reduce((ecap, bit) => ecap & ~(1n << BigInt(bit)), ECAP_ALL);
const OPEN = 0x27n;
const LEAF = 0x55_5067n;
const XD = 1n << 63n;
/** Bits of the third word: SRE, ERE, FSPM of 5 levels, WPE, NXE, SMEP, EAFE. */
const SRE = 1n;
const ERE = 2n;
const FIVE = 4n;
const WPE = 0x10n;
const NXE = 0x20n;
const SMEP = 0x40n;

describe("scalable mode: root and context table", () => {
  it("has a half of the root entry and a context table for devices 0 to 15 and 16 to 31 each", () => {
    const m = scalableMachine(pasidEntry(PASS))
      .put(ROOT + 0x30n, LOWER | 1n, UPPER | 1n)
      .put(LOWER + 0xfe0n, DIRECTORY | 1n, 0n)
      .put(UPPER, DIRECTORY | 1n, 1n);
    expect(m.ask(IOVA, { device: 0x37f })).toMatchObject({ result: "ok", pa: IOVA, domain: 9, reads: 4 });
    expect(m.ask(IOVA, { device: 0x380 })).toMatchObject({ result: "ok" });
    expect(m.ask(IOVA, { device: 0x381 })).toMatchObject({ name: "SCT.2", entry: UPPER + 0x20n });
    m.put(ROOT + 0x38n, UPPER);
    expect(m.ask(IOVA, { device: 0x37f })).toMatchObject({ result: "ok" });
    expect(m.ask(IOVA, { device: 0x380 })).toMatchObject({ name: "SRT.2", entry: ROOT + 0x30n });
  });

  it("a reserved bit counts in a half that is present, whichever is used", () => {
    const m = scalableMachine(pasidEntry(PASS)).put(ROOT + 8n, CONTEXT | 2n);
    expect(m.ask(IOVA)).toMatchObject({ result: "ok" });
    m.put(ROOT + 8n, CONTEXT | 3n);
    expect(m.ask(IOVA)).toMatchObject({ name: "SRT.3" });
    m.put(ROOT + 8n, (1n << 46n) | 1n).set({}, { output_bits: 46 });
    expect(m.ask(IOVA)).toMatchObject({ name: "SRT.3" });
  });

  it.each([
    ["DTE without ECAP.DT", 0x4n, 0n, 2],
    ["PASIDE without ECAP.PASID", 0x8n, 0n, 40],
    ["PRE without ECAP.PRS", 0x14n, 0n, 29],
    ["HPTE without ECAP.HPTS", 0x20n, 0n, 55],
    ["EPTR without ECAP.PTRS", 0x48n, 0n, 56],
    ["RID_PASID without ECAP.RPS", 0n, 1n, 49],
    ["RID_PRIV without ECAP.RPRIVS", 0n, 1n << 20n, 53],
  ])("%s is reserved", (_what, low, high, bit) => {
    const m = scalableMachine(pasidEntry(PASS, SRE)).put(CONTEXT + 0x300n, DIRECTORY | 1n | low, high);
    expect(m.ask(IOVA)).toMatchObject({ result: "ok" });
    m.set({ ecap: without(bit) });
    expect(m.ask(IOVA)).toMatchObject({ name: "SCT.3", entry: CONTEXT + 0x300n });
  });

  it.each([
    [0x80n, 0n, 0n, 0n],
    [0x100n, 0n, 0n, 0n],
    [1n << 52n, 0n, 0n, 0n],
    [0n, 1n << 21n, 0n, 0n],
    [0n, 0n, 1n, 0n],
    [0n, 0n, 0n, 1n << 63n],
  ])("bits %s %s %s %s of the context entry are reserved", (low, ...rest) => {
    const m = scalableMachine(pasidEntry(PASS)).put(CONTEXT + 0x300n, DIRECTORY | 1n | low, ...rest);
    expect(m.ask(IOVA)).toMatchObject({ name: "SCT.3" });
  });
});

describe("scalable mode: which PASID", () => {
  const directory = (pasid: number) => DIRECTORY + (BigInt(pasid >> 6) << 3n);
  const at = (pasid: number) => BigInt(pasid & 63) << 6n;

  it("requests without PASID use RID_PASID, or PASID 0 without ECAP.RPS", () => {
    const m = scalableMachine([])
      .put(CONTEXT + 0x308n, 0x1fc5n)
      .put(directory(0x1fc5), (PASIDS + 0x1000n) | 1n)
      .put(PASIDS + 0x1000n + at(0x1fc5), ...pasidEntry(PASS, 0n, AW4, 77n))
      .put(PASIDS, ...pasidEntry(PASS, 0n, AW4, 11n));
    expect(m.ask(IOVA)).toMatchObject({ result: "ok", domain: 77 });
    m.put(CONTEXT + 0x308n, 0n).set({ ecap: without(49) });
    expect(m.ask(IOVA)).toMatchObject({ result: "ok", domain: 11 });
    // The property speaks for the register.
    m.put(CONTEXT + 0x308n, 0x1fc5n).set({}, { rps: true });
    expect(m.ask(IOVA)).toMatchObject({ result: "ok", domain: 77 });
  });

  it("indexes the directory by PASID bits 19:6, over several frames, and the table by 5:0", () => {
    const pasid = 0xf_edcb;
    const m = scalableMachine([])
      .put(CONTEXT + 0x300n, DIRECTORY | 0xe09n)
      .put(DIRECTORY + (BigInt(pasid >> 6) << 3n), (PASIDS + 0x10_0000n) | 1n)
      .put(PASIDS + 0x10_0000n + at(pasid), ...pasidEntry(PASS));
    expect(m.ask(IOVA, { pasid })).toMatchObject({ result: "ok", reads: 4 });
    expect(m.ask(IOVA, { pasid: pasid + 1 })).toMatchObject({
      name: "SPT.2",
      entry: PASIDS + 0x10_0000n + at(pasid + 1),
    });
  });

  it.each([0, 1, 2, 3, 4, 5, 6, 7])("PDTS %i bounds the PASID", (pdts) => {
    const m = scalableMachine(pasidEntry(PASS)).put(CONTEXT + 0x300n, DIRECTORY | 9n | (BigInt(pdts) << 9n));
    m.memory.ram(DIRECTORY, 0x2_0000n);
    const limit = 2 ** (13 + pdts);
    expect(m.ask(IOVA, { pasid: limit - 1 })).toMatchObject({ name: "SPD.2" });
    if (limit < 2 ** 20)
      expect(m.ask(IOVA, { pasid: limit })).toMatchObject({ name: "SCT.7", entry: CONTEXT + 0x300n });
    m.put(CONTEXT + 0x308n, BigInt(limit - 1));
    expect(m.ask(IOVA)).toMatchObject({ name: "SPD.2" });
  });

  it("PASIDE concerns requests with PASID only", () => {
    const m = scalableMachine(pasidEntry(PASS)).put(CONTEXT + 0x300n, DIRECTORY | 1n);
    expect(m.ask(IOVA)).toMatchObject({ result: "ok" });
    expect(m.ask(IOVA, { pasid: 1 })).toMatchObject({ name: "SCT.6", reason: "PASID_INVALID" });
  });

  it("the RID_PASID of the context entry is not for requests with PASID", () => {
    const m = scalableMachine(pasidEntry(PASS)).put(CONTEXT + 0x308n, 1n);
    expect(m.ask(IOVA, { pasid: 1 })).toMatchObject({ name: "SCT.9", code: 0x48 });
    expect(m.ask(IOVA, { pasid: 0 })).toMatchObject({ result: "ok" });
  });

  it("ECAP.PSS bounds the PASID before the directory does", () => {
    const m = scalableMachine(pasidEntry(PASS), { ecap: (ECAP_ALL & ~(0x1fn << 35n)) | (7n << 35n) });
    expect(m.ask(IOVA, { pasid: 255 })).toMatchObject({ name: "SPD.2" });
    expect(m.ask(IOVA, { pasid: 256 })).toMatchObject({ name: "SGN.10" });
    expect(m.set({}, { pasid_bits: 9 }).ask(IOVA, { pasid: 256 })).toMatchObject({ name: "SPD.2" });
  });
});

describe("scalable mode: PASID table entry", () => {
  it.each([
    ["bits 11:10", 0x400n, 0n, 0n],
    ["bits 86:80", 0n, 1n << 16n, 0n],
    ["bits 95:91", 0n, 1n << 27n, 0n],
    ["bits 139:136", 0n, 0n, 0x100n],
    ["SSPTPTR beyond the host address width", 1n << 46n, 0n, 0n],
    ["FSPTPTR beyond the host address width", 0n, 0n, 1n << 46n],
  ])("%s are reserved", (_what, first, second, third) => {
    const m = scalableMachine(pasidEntry(PASS, third, AW4 | first, 9n | second), {}, { output_bits: 46 });
    expect(m.ask(IOVA)).toMatchObject({ name: "SPT.3", reason: "BAD_PASID_ENTRY", entry: PASIDS });
  });

  it.each([
    ["SSADE without SSADS", 45, 0, 0x200n],
    ["SSEE without ERS", 30, 0, 0x20n],
    ["PWSNP without SMPWCS", 48, 1, 1n << 23n],
    ["PGSNP without SC", 7, 1, 1n << 24n],
    ["CD without MTS", 25, 1, 1n << 25n],
    ["EMTE without MTS", 25, 1, 1n << 26n],
    ["PAT without MTS", 25, 1, 6n << 32n],
    ["SRE without SRS", 31, 2, SRE],
    ["ERE without ERS", 30, 2, ERE],
    ["WPE without FSTS", 47, 2, WPE],
    ["EAFE without EAFS", 34, 2, 0x80n],
    ["HPTSZ without HPTS", 55, 4, 3n],
    ["HPTPTR without HPTS", 55, 4, 0x1000n],
    ["HPTDID without HPTS", 55, 5, 1n],
  ])("%s is reserved", (_what, bit, word, bits) => {
    const entry = [AW4 | PASS | 1n, 9n, 0n, 0n, 0n, 0n, 0n, 0n];
    entry[word]! |= bits;
    const m = scalableMachine(entry);
    expect(m.ask(IOVA)).toMatchObject({ result: "ok" });
    expect(m.set({ ecap: without(bit) }).ask(IOVA)).toMatchObject({ name: "SPT.3" });
  });

  it("ignores AW, FSPM, NXE and SMEP where they do not apply", () => {
    expect(scalableMachine(pasidEntry(PASS, 0x6cn, 0x1cn)).ask(IOVA)).toMatchObject({ result: "ok" });
    const first = scalableMachine(pasidEntry(FIRST, 0n, 0x1cn));
    chain(first, FS, 4, IOVA, OPEN, LEAF);
    expect(first.ask(IOVA)).toMatchObject({ result: "ok" });
    // First-stage software programs AW even where there is no second stage.
    const entry = [AW4 | FIRST | 1n, 9n, FS];
    expect(
      first
        .put(PASIDS, ...entry)
        .set({ ecap: without(46) })
        .ask(IOVA),
    ).toMatchObject({ result: "ok" });
  });

  it.each([0n, 5n, 6n, 7n])("PGTT %i is reserved", (type) => {
    expect(scalableMachine(pasidEntry(type << 6n)).ask(IOVA)).toMatchObject({ name: "SPT.4.2" });
  });

  it("5-level first stage needs CAP.FS5LP", () => {
    const m = scalableMachine(pasidEntry(FIRST, FIVE), { cap: 0x0100_000c_003f_0e06n });
    expect(m.ask(IOVA)).toMatchObject({ name: "SPT.4.3" });
    for (const name of ["fs5lp", "fl5lp"]) {
      m.state.props.clear();
      expect(m.set({}, { [name]: true }).ask(IOVA)).toMatchObject({ name: "SFS.4" });
    }
  });
});

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
        .set({ ecap: without(53) })
        .ask(IOVA),
    ).toMatchObject({ name: "SGN.2" });
  });

  it("execution without ECAP.ERS is refused, and refused earlier by hardware of version 8", () => {
    const m = scalableMachine(pasidEntry(FIRST), { ecap: without(30) });
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
    ["no SMPWCS: not software's choice", without(SMPWCS), 0n, "ok"],
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
    m.set({ ecap: without(57) });
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

describe("FPD", () => {
  it.each([
    ["context entry", CONTEXT + 0x300n, DIRECTORY | 0xbn],
    ["PASID directory entry", DIRECTORY, PASIDS | 3n],
    ["PASID table entry", PASIDS, SS | AW4 | FIRST | 3n],
  ])("in the %s suppresses the record of what comes after", (_where, at, word) => {
    const m = scalableMachine(pasidEntry(FIRST)).put(FS, 0n);
    expect(m.ask(IOVA).recorded).toBeUndefined();
    expect(m.put(at, word).ask(IOVA)).toMatchObject({ name: "SFS.2", recorded: false });
  });

  it("counts in an entry that is not present", () => {
    const m = scalableMachine(pasidEntry(FIRST));
    expect(m.put(PASIDS, 2n).ask(IOVA)).toMatchObject({ name: "SPT.2", recorded: false });
    expect(m.put(DIRECTORY, 2n).ask(IOVA)).toMatchObject({ name: "SPD.2", recorded: false });
    expect(m.put(CONTEXT + 0x300n, 2n).ask(IOVA)).toMatchObject({ name: "SCT.2", recorded: false });
  });
});

it("a root table that nothing was written to is a hole, whatever the mode", () => {
  expect(new VtdMachine().ask(IOVA)).toMatchObject({ name: "LRT.1", entry: 0n, hole: true });
  expect(new VtdMachine({ rtaddr: SCALABLE }).ask(IOVA)).toMatchObject({ name: "SRT.1" });
});
