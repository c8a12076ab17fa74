import { describe, expect, it } from "vitest";
import { WRITE } from "../walkers/request.ts";
import {
  CONTEXT,
  cdOf,
  Machine,
  STREAM_TABLE,
  type SteFields,
  stage2Of,
  steWords,
} from "./support/smmuv3-machine.ts";

const SHAPE = { granule: 12, inputBits: 39, startLevel: 1 };

describe("the SMMU as a whole", () => {
  it("bypasses, aborts, or refuses wide addresses while disabled, without an event", () => {
    const machine = new Machine({ cr0: 0x4n }, { output_bits: 44 });
    const r = machine.walk(0xabc_dead_beefn, { pasid: 5 });
    expect([r.status, r.passthrough, r.pageShift, r.perm, r.reads, r.domain]).toEqual([0, true, 0, 7, 0, -1]);
    expect(machine.ask(0xabc_dead_beefn)).toBe("ok 0xabcdeadbeef");
    expect(machine.ask(1n << 44n)).toBe("CR0.SMMUEN unrecorded");
    machine.configure({ gbpa: 1n << 20n });
    expect(machine.ask(0n)).toBe("GBPA.ABORT unrecorded");
    machine.configure({ cr0: 0x5n });
    expect(machine.ask(0n)).toBe("C_BAD_STE");
  });

  it("is enabled where CR0 is not given, and records nothing where EVENTQEN is 0", () => {
    const machine = new Machine();
    expect(machine.ask(0n)).toBe("C_BAD_STE");
    machine.configure({ cr0: 1n });
    expect(machine.ask(0n)).toBe("C_BAD_STE unrecorded");
    const tables = machine.stage1(SHAPE);
    expect(machine.ask(0n)).toBe("F_TRANSLATION S1 IN L1 unrecorded");
    machine.ste({ Config: 6, ...stage2Of(tables) });
    expect(machine.ask(0n)).toBe("F_TRANSLATION S2 IN L1 unrecorded");
  });
});

describe("stream table", () => {
  const bypass = steWords({ V: 1, Config: 4 });

  it("bounds a linear table by LOG2SIZE and SIDSIZE", () => {
    const machine = new Machine();
    machine.write(STREAM_TABLE + 255n * 64n, bypass);
    expect(machine.ask(0x1000n, { sid: 255 })).toBe("ok 0x1000");
    expect(machine.ask(0n, { sid: 256 })).toBe("C_BAD_STREAMID");
    machine.configure({ cr2: 0n });
    expect(machine.ask(0n, { sid: 256 })).toBe("C_BAD_STREAMID unrecorded");
    machine.configure({ idr1: 4n | (20n << 6n), cr2: 2n });
    expect(machine.ask(0n, { sid: 16 })).toBe("C_BAD_STREAMID");
  });

  it("aligns STRTAB_BASE to the linear table, whatever its low bits and RA", () => {
    const machine = new Machine({ strtab_base: (1n << 62n) | (STREAM_TABLE + 0x3fc0n) });
    machine.write(STREAM_TABLE + 3n * 64n, bypass);
    expect(machine.ask(0x5000n, { sid: 3 })).toBe("ok 0x5000");
  });

  it("aligns STRTAB_BASE to 0 for the largest LOG2SIZE that the field holds", () => {
    const machine = new Machine({ strtab_base: STREAM_TABLE, strtab_base_cfg: 63n });
    machine.write(3n * 64n, bypass);
    expect(machine.ask(0x5000n, { sid: 3 })).toBe("ok 0x5000");
  });

  it("takes STRTAB_BASE as it stands where nothing says how large the table is", () => {
    const machine = new Machine();
    machine.state.registers.delete("strtab_base_cfg");
    machine.configure({});
    machine.write(STREAM_TABLE + 3n * 64n, bypass);
    expect(machine.ask(0x5000n, { sid: 3 })).toBe("ok 0x5000");
  });

  it("reports F_STE_FETCH with the address of the entry", () => {
    const machine = new Machine({ strtab_base: 0x9_0000_0000n });
    const r = machine.walk(0n, { sid: 5 });
    expect([r.fault!.code, r.hole, r.entryFrame, r.entryOffset, r.reads]).toEqual([
      3,
      true,
      0x9_0000_0,
      0x140,
      1,
    ]);
  });

  /** A 2-level table; returns the machine and the level 2 array's address. */
  function twoLevel(
    split: bigint,
    log2size: bigint,
    l1: (l2: bigint) => [index: bigint, descriptor: bigint][],
  ) {
    const machine = new Machine({ strtab_base_cfg: (1n << 16n) | (split << 6n) | log2size });
    const l2 = machine.allocate(0x1_0000n);
    machine.memory.ram(l2, 0x1_0000n);
    for (const [index, descriptor] of l1(l2)) machine.memory.write64(STREAM_TABLE + index * 8n, descriptor);
    return { machine, l2 };
  }

  it.each([
    [6n, 6n],
    [8n, 8n],
    [10n, 10n],
    [7n, 6n],
    [0n, 6n],
  ])("SPLIT %i indexes level 2 by %i bits", (split, bits) => {
    const { machine, l2 } = twoLevel(split, 12n, (at) => [[3n, at | (bits + 1n)]]);
    const sid = Number((3n << bits) + 5n);
    machine.write(l2 + 5n * 64n, bypass);
    const r = machine.walk(0x7000n, { sid });
    expect([r.status, r.reads]).toEqual([0, 2]);
    expect(machine.ask(0n, { sid: sid + 1 })).toBe("C_BAD_STE");
    expect(machine.ask(0n, { sid: 0 })).toBe("C_BAD_STREAMID");
  });

  it.each([
    [0n, 0, "C_BAD_STREAMID"], // none
    [1n, 0, "ok 0x7000"], // 2^0 entries
    [1n, 1, "C_BAD_STREAMID"],
    [3n, 3, "ok 0x7000"], // 2^2 entries
    [3n, 4, "C_BAD_STREAMID"],
    [7n, 63, "ok 0x7000"],
    [8n, 0, "C_BAD_STREAMID"], // more than SPLIT + 1
    [11n, 0, "C_BAD_STREAMID"],
    [12n, 0, "C_BAD_STREAMID"], // reserved
    [31n, 0, "C_BAD_STREAMID"],
  ])("SPLIT 6, Span %i, entry %i: %s", (span, index, expected) => {
    const { machine, l2 } = twoLevel(6n, 8n, (at) => [[0n, at | span]]);
    for (let i = 0n; i < 64n; i++) machine.write(l2 + i * 64n, bypass);
    expect(machine.ask(0x7000n, { sid: index })).toBe(expected);
  });

  it("aligns L2Ptr to the span, and STRTAB_BASE to the level 1 table", () => {
    const { machine, l2 } = twoLevel(6n, 10n, (at) => [[15n, (at + 0x100n) | 7n]]);
    machine.write(l2 + 9n * 64n, bypass);
    expect(machine.ask(0x7000n, { sid: 15 * 64 + 9 })).toBe("ok 0x7000");
    machine.configure({ strtab_base: STREAM_TABLE + 0x40n }); // 16 descriptors: 128 bytes
    expect(machine.ask(0x7000n, { sid: 15 * 64 + 9 })).toBe("ok 0x7000");
    // Without ST_LEVEL, FMT is reserved and the table is linear.
    expect(machine.ask(0x7000n, { sid: 17 })).toBe("C_BAD_STREAMID");
    machine.write(STREAM_TABLE + 17n * 64n, bypass);
    machine.configure({ strtab_base: STREAM_TABLE, idr0: 0b1011n });
    expect(machine.ask(0x7000n, { sid: 17 })).toBe("ok 0x7000");
  });

  it("reports F_STE_FETCH for an unreadable level 1 descriptor and level 2 array", () => {
    const { machine } = twoLevel(6n, 8n, () => [[0n, 0xdead_0000n | 7n]]);
    expect(machine.walk(0n, { sid: 2 }).entryFrame).toBe(0xdead0);
    expect(machine.ask(0n, { sid: 2 })).toBe("F_STE_FETCH");
    machine.configure({ strtab_base: 0xdead_0000n });
    expect(machine.ask(0n, { sid: 2 })).toBe("F_STE_FETCH");
  });
});

describe("STE", () => {
  it.each([0, 1, 2, 3])("Config %i aborts without an event", (Config) => {
    const machine = new Machine();
    machine.ste({ Config });
    expect(machine.ask(0n)).toBe("STE.Config unrecorded");
    expect(machine.walk(0n).entryLo).toBe(1 | (Config << 1));
  });

  it("Config bypass passes addresses within OAS", () => {
    const machine = new Machine({}, { output_bits: 44 });
    machine.ste({ Config: 4, STRW: 3, S1CDMax: 31, S2TTB: 0xf_ffff_ffff_fff0n, EATS: 2 });
    const r = machine.walk(0x1234n, { access: WRITE });
    expect([r.status, r.passthrough, r.perm, r.domain, r.reads]).toEqual([0, true, 7, -1, 1]);
    expect(machine.ask(1n << 44n)).toBe("F_ADDR_SIZE S1 IN");
    expect(machine.ask(0n, { pasid: 0 })).toBe("C_BAD_SUBSTREAMID");
  });

  it("Config bypass passes 56-bit addresses of an SMMU that has them; tables stay at 52", () => {
    const machine = new Machine({ idr5: 0x877n }); // OAS 56 bits, VAX 56 bits, all granules
    machine.ste({ Config: 4 });
    expect(machine.ask((1n << 56n) - 1n)).toBe("ok 0xffffffffffffff");
    expect(machine.ask(1n << 56n)).toBe("F_ADDR_SIZE S1 IN");
    machine.configure({ cr0: 0n });
    expect(machine.ask(1n << 55n)).toBe("ok 0x80000000000000");
    expect(machine.ask(1n << 56n)).toBe("CR0.SMMUEN unrecorded");
    machine.configure({ cr0: 5n });
    machine.stage1({ granule: 16, inputBits: 52, startLevel: 1 }, { IPS: 7, TTB0: 1n << 52n });
    expect(machine.ask(0n)).toBe("C_BAD_CD");
    machine.stage1({ granule: 16, inputBits: 52, startLevel: 1 }, { IPS: 7, TTB0: 1n << 51n });
    expect(machine.ask(0n)).toBe("F_WALK_EABT S1 TT L1");
  });

  const IDR0_ALL =
    0b11n | (2n << 2n) | (3n << 6n) | (1n << 9n) | (1n << 10n) | (1n << 12n) | (1n << 18n) | (1n << 19n);
  const idr0 = (change: bigint) => IDR0_ALL ^ change;
  const DPT = 1n << 15n;
  const STALL_NONE = 1n << 24n;
  const STALL_FORCE = 2n << 24n;
  const LITTLE = 2n << 21n;
  const BIG = 3n << 21n;

  // IHI 0070 5.2.2, SteIllegal: each rule with the closest lawful neighbour.
  it.each<[string, SteFields, Record<string, bigint>, boolean]>([
    ["V is 0", { V: 0, Config: 5 }, {}, false],
    ["stage 1 without S1P", { Config: 5 }, { idr0: idr0(2n) }, false],
    ["stage 2 without S2P", { Config: 6 }, { idr0: idr0(1n) }, false],
    ["nested without S2P", { Config: 7 }, { idr0: idr0(1n) }, false],
    ["stage 2 without S1P", { Config: 6 }, { idr0: idr0(2n) }, true],
    ["EATS split-stage, nested", { Config: 7, EATS: 2 }, {}, true],
    ["EATS split-stage, stage 1", { Config: 5, EATS: 2 }, {}, false],
    ["EATS split-stage, no ATS", { Config: 5, EATS: 2 }, { idr0: idr0(1n << 10n) }, true],
    ["EATS split-stage and S2S", { Config: 7, EATS: 2, S2S: 1 }, {}, false],
    ["EATS split-stage, NS1ATS", { Config: 7, EATS: 2 }, { idr0: idr0(1n << 11n) }, false],
    ["EATS full and S2S", { Config: 6, EATS: 1, S2S: 1 }, {}, false],
    ["EATS full and S2S, nested", { Config: 7, EATS: 1, S2S: 1 }, {}, false],
    ["EATS full and S2S, stage 1", { Config: 5, EATS: 1, S2S: 1 }, {}, true],
    ["EATS full", { Config: 6, EATS: 1 }, {}, true],
    ["EATS full with DPT, EL1", { Config: 5, EATS: 3 }, { idr3: DPT }, true],
    ["EATS full with DPT, EL2", { Config: 5, STRW: 2, EATS: 3 }, { idr3: DPT }, false],
    ["EATS full with DPT, EL2, no DPT", { Config: 5, STRW: 2, EATS: 3 }, { idr3: 0n }, true],
    ["EATS full with DPT, STRW 2 ignored", { Config: 6, STRW: 2, EATS: 3 }, { idr3: DPT }, true],
    ["EATS full with DPT and S2S", { Config: 7, EATS: 3, S2S: 1 }, { idr3: DPT }, false],
    ["EATS full with DPT and S2S, no DPT", { Config: 7, EATS: 3, S2S: 1 }, { idr3: 0n }, true],
    ["STRW 1", { Config: 5, STRW: 1 }, {}, false],
    ["STRW 3", { Config: 5, STRW: 3 }, {}, false],
    ["STRW 3, stage 2", { Config: 6, STRW: 3 }, {}, true],
    ["STRW 3 without HYP", { Config: 5, STRW: 3 }, { idr0: idr0(1n << 9n) }, true],
    ["STRW 2", { Config: 5, STRW: 2 }, {}, true],
    ["S1STALLD", { Config: 5, S1STALLD: 1 }, {}, true],
    ["S1STALLD, no stall model", { Config: 5, S1STALLD: 1 }, { idr0: idr0(STALL_NONE) }, false],
    ["S1STALLD, stall forced", { Config: 5, S1STALLD: 1 }, { idr0: idr0(STALL_FORCE) }, false],
    ["S1STALLD, stage 2", { Config: 6, S1STALLD: 1 }, { idr0: idr0(STALL_NONE) }, true],
    ["S1CDMax beyond SSIDSIZE", { Config: 5, S1CDMax: 9, S1DSS: 2 }, { idr1: (8n << 6n) | 16n }, false],
    ["S1CDMax of SSIDSIZE", { Config: 5, S1CDMax: 8, S1DSS: 2 }, { idr1: (8n << 6n) | 16n }, true],
    ["S1CDMax without substreams", { Config: 5, S1CDMax: 9 }, { idr1: 16n }, true],
    ["S1Fmt 1 without CD2L", { Config: 5, S1CDMax: 7, S1Fmt: 1 }, { idr0: idr0(1n << 19n) }, false],
    ["S1Fmt 2 without CD2L", { Config: 5, S1CDMax: 7, S1Fmt: 2 }, { idr0: idr0(1n << 19n) }, false],
    ["S1Fmt 3 without CD2L", { Config: 5, S1CDMax: 7, S1Fmt: 3, S1DSS: 2 }, { idr0: idr0(1n << 19n) }, true],
    ["S1Fmt 2, one CD, without CD2L", { Config: 5, S1Fmt: 2 }, { idr0: idr0(1n << 19n) }, true],
    ["S1ContextPtr beyond OAS", { Config: 5, S1ContextPtr: 1n << 44n }, { idr5: 0x74n }, false],
    ["S2S, no stall model", { Config: 6, S2S: 1 }, { idr0: idr0(STALL_NONE) }, false],
    ["S2S clear, stall forced", { Config: 6 }, { idr0: idr0(STALL_FORCE) }, false],
    ["S2S, stall forced", { Config: 6, S2S: 1 }, { idr0: idr0(STALL_FORCE) }, true],
    ["VMSAv8-32", { Config: 6, S2AA64: 0 }, {}, false],
    ["VMSAv8-64 not supported", { Config: 6 }, { idr0: idr0(3n << 2n) }, false],
    ["S2HA without HTTU", { Config: 6, S2HA: 1 }, { idr0: idr0(3n << 6n) }, false],
    ["S2HD without HTTU", { Config: 6, S2HD: 1 }, { idr0: idr0(3n << 6n) }, false],
    ["S2HD with access flag HTTU", { Config: 6, S2HA: 1, S2HD: 1 }, { idr0: idr0(2n << 6n) }, false],
    ["S2HA with access flag HTTU", { Config: 6, S2HA: 1 }, { idr0: idr0(2n << 6n) }, true],
    ["S2HAFT without S2HA", { Config: 6, S2HAFT: 1 }, {}, false],
    ["S2HAFT with S2HA", { Config: 6, S2HAFT: 1, S2HA: 1 }, {}, true],
    ["S2HAFT, HTTU 2", { Config: 6, S2HAFT: 1 }, { idr0: idr0(1n << 6n) }, true],
    ["S2TG reserved", { Config: 6, S2TG: 3 }, {}, false],
    ["S2TG 4 KiB not supported", { Config: 6 }, { idr5: 0x65n }, false],
    ["S2TTB beyond S2PS", { Config: 6, S2PS: 0, S2TTB: 1n << 32n }, {}, false],
    ["S2TTB beyond OAS", { Config: 6, S2TTB: 1n << 44n }, { idr5: 0x74n }, false],
    ["S2TTB beyond 48 bits without S2DS", { Config: 6, S2TTB: 1n << 48n }, {}, false],
    ["S2TTB beyond 48 bits with S2DS", { Config: 6, S2TTB: 1n << 48n, S2DS: 1 }, {}, true],
    [
      "S2TTB beyond 48 bits, S2DS not supported",
      { Config: 6, S2TTB: 1n << 48n, S2DS: 1 },
      { idr5: 0x76n },
      false,
    ],
    ["S2ENDI big, little-endian only", { Config: 6, S2ENDI: 1 }, { idr0: idr0(LITTLE) }, false],
    ["S2ENDI little, big-endian only", { Config: 6 }, { idr0: idr0(BIG) }, false],
    ["S2ENDI big, big-endian only", { Config: 6, S2ENDI: 1 }, { idr0: idr0(BIG) }, true],
    ["16-bit S2VMID, 8 bits", { Config: 6, S2VMID: 0x100 }, { idr0: idr0(1n << 18n) }, false],
    ["16-bit S2VMID, 8 bits, stage 1", { Config: 5, S2VMID: 0x100 }, { idr0: idr0(1n << 18n) }, false],
    ["16-bit S2VMID, 8 bits, EL2", { Config: 5, STRW: 2, S2VMID: 0x100 }, { idr0: idr0(1n << 18n) }, true],
    ["16-bit S2VMID, no stage 2", { Config: 5, S2VMID: 0x100 }, { idr0: idr0((1n << 18n) | 1n) }, true],
    ["8-bit S2VMID, 8 bits", { Config: 6, S2VMID: 0xff }, { idr0: idr0(1n << 18n) }, true],
    [
      "stage 2 fields of a stage 1 STE",
      { Config: 5, S2TG: 3, S2AA64: 0, S2TTB: 0xf_ffff_ffff_fff0n },
      {},
      true,
    ],
    [
      "stage 1 fields of a stage 2 STE",
      { Config: 6, S1CDMax: 31, S1ContextPtr: 0xff_ffff_ffff_ffc0n },
      {},
      true,
    ],
  ])("%s", (_, fields, regs, legal) => {
    const machine = new Machine(regs);
    const tables = machine.tables({ granule: 12, inputBits: 40, startLevel: 1 });
    machine.ste({ S1ContextPtr: CONTEXT, ...stage2Of(tables, { S2VMID: 0 }), ...fields });
    machine.cd(cdOf(tables));
    const { fault } = machine.walk(0n);
    if (legal) expect(fault?.name).not.toBe("C_BAD_STE");
    else expect([fault!.name, fault!.code]).toEqual(["C_BAD_STE", 4]);
  });

  it("reads exactly the STE for a bad one, and blames it", () => {
    const machine = new Machine();
    machine.write(STREAM_TABLE + 64n, [0xffff_ffff_ffff_fffen, 0n]);
    const r = machine.walk(0n, { sid: 1 });
    expect([r.reads, r.entryFrame, r.entryOffset, r.entryHi, r.entryLo]).toEqual([1, 0x10, 64, -1, -2]);
  });
});
