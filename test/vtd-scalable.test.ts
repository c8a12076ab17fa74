import { describe, expect, it } from "vitest";
import {
  AW4,
  CONTEXT,
  chain,
  DIRECTORY,
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
  SS,
  scalableMachine,
  VtdMachine,
} from "./support/vtd-machine.ts";

const LOWER = 0x11_0000n;
const UPPER = 0x11_1000n;
/** Bits of the third word: SRE, ERE, FSPM of 5 levels, WPE. */
const SRE = 1n;
const ERE = 2n;
const FIVE = 4n;
const WPE = 0x10n;

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
    m.set({ ecap: ecapWithout(bit) });
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
    m.put(CONTEXT + 0x308n, 0n).set({ ecap: ecapWithout(49) });
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
    ["EMT without MTS", 25, 1, 1n << 27n],
    ["EMT without MTS", 25, 1, 1n << 29n],
    ["PWT without MTS", 25, 1, 1n << 30n],
    ["PCD without MTS", 25, 1, 1n << 31n],
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
    expect(m.set({ ecap: ecapWithout(bit) }).ask(IOVA)).toMatchObject({ name: "SPT.3" });
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
        .set({ ecap: ecapWithout(46) })
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
