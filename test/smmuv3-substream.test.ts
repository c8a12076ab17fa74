import { describe, expect, it } from "vitest";
import { READ } from "../walkers/request.ts";
import {
  type CdFields,
  CONTEXT,
  cdOf,
  cdWords,
  Machine,
  type SteFields,
  stage2Of,
} from "./support/smmuv3-machine.ts";

const RW = (1n << 10n) | (1n << 6n);
const S2_RW = (1n << 10n) | (3n << 6n) | (0xfn << 2n);
const SHAPE = { granule: 12, inputBits: 39, startLevel: 1 };

describe("CD", () => {
  const IDR0_ALL = 0b11n | (2n << 2n) | (3n << 6n) | (1n << 9n) | (1n << 12n) | (1n << 18n) | (1n << 19n);
  const idr0 = (change: bigint) => IDR0_ALL ^ change;

  // IHI 0070 5.4.2, CdIllegal: each rule with the closest lawful neighbour.
  it.each<[string, CdFields, Record<string, bigint>, boolean]>([
    ["V is 0", { V: 0 }, {}, false],
    ["A clear", { A: 0 }, {}, true],
    ["A clear, aborts only", { A: 0 }, { idr0: idr0(1n << 26n) }, false],
    ["S, no stall model", { S: 1 }, { idr0: idr0(1n << 24n) }, false],
    ["S clear, stall forced", {}, { idr0: idr0(2n << 24n) }, false],
    ["S, stall forced", { S: 1 }, { idr0: idr0(2n << 24n) }, true],
    ["ENDI big, little-endian only", { ENDI: 1 }, { idr0: idr0(2n << 21n) }, false],
    ["ENDI little, big-endian only", {}, { idr0: idr0(3n << 21n) }, false],
    ["ENDI ignored with both EPD", { ENDI: 1, EPD0: 1 }, { idr0: idr0(2n << 21n) }, true],
    ["VMSAv8-32", { AA64: 0 }, {}, false],
    ["VMSAv8-64 not supported", {}, { idr0: idr0(3n << 2n) }, false],
    ["HA without HTTU", { HA: 1 }, { idr0: idr0(3n << 6n) }, false],
    ["HD without HTTU", { HD: 1 }, { idr0: idr0(3n << 6n) }, false],
    ["HD with access flag HTTU", { HA: 1, HD: 1 }, { idr0: idr0(2n << 6n) }, false],
    ["HA with access flag HTTU", { HA: 1 }, { idr0: idr0(2n << 6n) }, true],
    ["HAFT without HA", { HAFT: 1 }, {}, false],
    ["HAFT with HA", { HAFT: 1, HA: 1 }, {}, true],
    ["HAFT, HTTU 2", { HAFT: 1 }, { idr0: idr0(1n << 6n) }, true],
    ["16-bit ASID, 8 bits", { ASID: 0x100 }, { idr0: idr0(1n << 12n) }, false],
    ["8-bit ASID, 8 bits", { ASID: 0xff }, { idr0: idr0(1n << 12n) }, true],
    ["T0SZ 15", { T0SZ: 15 }, {}, false],
    ["T0SZ 16", { T0SZ: 16 }, {}, true],
    ["T0SZ 15 with DS", { T0SZ: 15, DS: 1 }, {}, true],
    ["T0SZ 11 with DS", { T0SZ: 11, DS: 1 }, {}, false],
    ["T0SZ 15 with DS, not supported", { T0SZ: 15, DS: 1 }, { idr5: 0x476n }, false],
    ["T0SZ 12, 64 KiB", { T0SZ: 12, TG0: 1 }, {}, true],
    ["T0SZ 12, 64 KiB, 48-bit VA", { T0SZ: 12, TG0: 1 }, { idr5: 0x76n }, false],
    ["T0SZ 48", { T0SZ: 48 }, {}, true],
    ["T0SZ 49", { T0SZ: 49 }, {}, false],
    ["T0SZ 47, 64 KiB", { T0SZ: 47, TG0: 1 }, {}, true],
    ["T0SZ 48, 64 KiB", { T0SZ: 48, TG0: 1 }, {}, false],
    ["T0SZ 40 without STT", { T0SZ: 40 }, { idr3: 0n }, false],
    ["T0SZ 39 without STT", { T0SZ: 39 }, { idr3: 0n }, true],
    ["T0SZ out of range, EPD0", { T0SZ: 63, EPD0: 1 }, {}, true],
    ["TG0 reserved", { TG0: 3 }, {}, false],
    ["TG0 reserved, EPD0", { TG0: 3, EPD0: 1 }, {}, true],
    ["TG0 16 KiB not supported", { TG0: 2 }, { idr5: 0x55n }, false],
    ["TG1 reserved", { EPD1: 0, T1SZ: 25, TG1: 0 }, {}, false],
    ["TG1 16 KiB", { EPD1: 0, T1SZ: 25, TG1: 1 }, {}, true],
    ["TG1 reserved, EPD1", { T1SZ: 63, TG1: 0, TTB1: 0xf_ffff_ffff_fff0n }, {}, true],
    ["TG1 64 KiB not supported", { EPD1: 0, T1SZ: 25, TG1: 3 }, { idr5: 0x35n }, false],
    ["T1SZ 15", { EPD1: 0, T1SZ: 15, TG1: 2 }, {}, false],
    ["TTB0 beyond IPS", { IPS: 1, TTB0: 1n << 36n }, {}, false],
    ["TTB0 within IPS", { IPS: 1, TTB0: 0xf_ffff_f000n }, {}, true],
    ["TTB0 beyond OAS", { IPS: 5, TTB0: 1n << 44n }, { idr5: 0x74n }, false],
    ["TTB0 beyond 48 bits", { TTB0: 1n << 48n }, {}, false],
    ["TTB0 beyond 48 bits with DS", { TTB0: 1n << 48n, DS: 1 }, {}, true],
    ["TTB0 beyond 48 bits, 64 KiB", { TTB0: 1n << 48n, TG0: 1 }, {}, true],
    ["TTB0 beyond IPS, EPD0", { IPS: 1, TTB0: 1n << 36n, EPD0: 1 }, {}, true],
    ["TTB1 beyond IPS", { IPS: 1, EPD1: 0, T1SZ: 25, TG1: 2, TTB1: 1n << 36n }, {}, false],
    ["reserved IPS 7", { IPS: 7 }, {}, true],
    ["NSCFG, ASET, UWXN: not for Non-secure legality", { NSCFG0: 1, NSCFG1: 1, ASET: 1, UWXN: 1 }, {}, true],
  ])("%s", (_, fields, regs, legal) => {
    const machine = new Machine(regs);
    machine.stage1(SHAPE, { IPS: 6, ...fields });
    const { fault } = machine.walk(0n);
    if (legal) expect(fault?.name).not.toBe("C_BAD_CD");
    else expect([fault!.name, fault!.code]).toEqual(["C_BAD_CD", 0x0a]);
  });

  it("tells a CD that is not there from one that is misprogrammed", () => {
    const machine = new Machine();
    machine.stage1(SHAPE, { V: 0 });
    expect(machine.walk(0n).reason).toBe("PASID_INVALID");
    machine.stage1(SHAPE, { AA64: 0 });
    expect(machine.walk(0n).reason).toBe("BAD_PASID_ENTRY");
  });

  it("stall in a stream whose S1STALLD forbids it is ILLEGAL", () => {
    const machine = new Machine();
    machine.stage1(SHAPE, { S: 1 }, { S1STALLD: 1 });
    expect(machine.ask(0n)).toBe("C_BAD_CD");
  });

  it("EL2 without E2H ignores EPD, TTB1 and the ASID's width", () => {
    const machine = new Machine({ cr2: 0n, idr0: idr0(1n << 12n) });
    const fields = { EPD0: 1, EPD1: 0, T1SZ: 0, TG1: 0, TTB1: 0xf_ffff_ffff_fff0n, ASID: 0xffff };
    machine.stage1(SHAPE, fields, { STRW: 2 });
    expect(machine.ask(0n)).toBe("F_TRANSLATION S1 IN L1");
    machine.configure({ cr2: 1n });
    expect(machine.ask(0n)).toBe("C_BAD_CD");
  });

  it("SMMUv3.0 has 48-bit IPS at most", () => {
    const machine = new Machine({ aidr: 0n });
    machine.stage1({ granule: 16, inputBits: 42, startLevel: 2 }, { IPS: 6, TTB0: 1n << 48n });
    expect(machine.ask(0n)).toBe("C_BAD_CD");
    machine.configure({ aidr: 1n });
    expect(machine.ask(0n)).toBe("F_WALK_EABT S1 TT L2");
  });
});

describe("substreams", () => {
  /** A machine whose CD n maps address 0 to n * 64 KiB, for the CDs given. */
  function substreams(ste: SteFields, cds: Record<number, bigint>) {
    const machine = new Machine();
    machine.ste({ Config: 5, S1ContextPtr: CONTEXT, ...ste });
    for (const [ssid, at] of Object.entries(cds)) {
      const tables = machine.tables(SHAPE);
      tables.map(0n, (BigInt(ssid) + 1n) << 16n, 3, RW);
      machine.memory.ram(at, 64n);
      machine.cd(cdOf(tables, { ASID: Number(ssid) }), at);
    }
    return machine;
  }

  /** Level 1 descriptor index and place in the leaf table of an SSID. */
  const LEAF = 0x80_0000n;
  const linear = (ssid: number) => LEAF + BigInt(ssid) * 64n;
  const formats: [string, SteFields, (ssid: number) => bigint, bits: bigint][] = [
    ["linear", { S1Fmt: 0, S1ContextPtr: LEAF }, linear, 20n],
    ["reserved S1Fmt 3, as linear", { S1Fmt: 3, S1ContextPtr: LEAF }, linear, 20n],
    [
      "2-level, 4 KiB leaf tables",
      { S1Fmt: 1 },
      (s) => LEAF + BigInt(s >> 6) * 0x1_0000n + BigInt(s & 63) * 64n,
      6n,
    ],
    [
      "2-level, 64 KiB leaf tables",
      { S1Fmt: 2 },
      (s) => LEAF + BigInt(s >> 10) * 0x1_0000n + BigInt(s & 1023) * 64n,
      10n,
    ],
  ];

  function withFormat(ste: SteFields, place: (ssid: number) => bigint, bits: bigint, ssids: number[]) {
    const machine = substreams(
      { S1CDMax: 12, S1DSS: 2, ...ste },
      Object.fromEntries(ssids.map((s) => [s, place(s)])),
    );
    if (bits < 20n)
      for (const s of ssids) {
        const l1 = BigInt(s) >> bits;
        machine.memory.write64(CONTEXT + l1 * 8n, (LEAF + l1 * 0x1_0000n) | 1n);
      }
    return machine;
  }

  it.each(formats)("%s: finds each CD", (_, ste, place, bits) => {
    const ssids = [0, 1, 63, 64, 1023, 1024, 4095];
    const machine = withFormat(ste, place, bits, ssids);
    for (const ssid of ssids.slice(1)) {
      const r = machine.walk(0n, { pasid: ssid });
      expect([r.status, r.frame, r.asid, r.reads]).toEqual([0, (ssid + 1) << 4, ssid, bits < 20n ? 6 : 5]);
      expect(r.model).toBe(bits < 20n ? "arm-2lvl" : "arm-1lvl");
    }
    expect(machine.ask(0n)).toBe("ok 0x10000"); // S1DSS 2: substream 0
    expect(machine.ask(0n, { pasid: 4096 })).toBe("C_BAD_SUBSTREAMID");
  });

  it.each(formats)("%s: S1DSS decides about no substream and substream 0", (_, ste, place, bits) => {
    const ask = (S1DSS: number) => {
      const machine = withFormat({ ...ste, S1DSS }, place, bits, [0, 1]);
      return [machine.ask(0n), machine.ask(0n, { pasid: 0 }), machine.ask(0n, { pasid: 1 })];
    };
    expect(ask(0)).toEqual(["F_STREAM_DISABLED", "ok 0x10000", "ok 0x20000"]);
    expect(ask(1)).toEqual(["ok 0x0", "ok 0x10000", "ok 0x20000"]);
    expect(ask(2)).toEqual(["ok 0x10000", "F_STREAM_DISABLED", "ok 0x20000"]);
    expect(ask(3)).toEqual(["F_STREAM_DISABLED", "ok 0x10000", "ok 0x20000"]);
  });

  it("one CD (S1CDMax 0) ignores S1Fmt and S1DSS, and has no substreams", () => {
    for (const S1DSS of [0, 1, 2, 3]) {
      const machine = substreams({ S1CDMax: 0, S1Fmt: 2, S1DSS }, { 0: CONTEXT });
      expect(machine.ask(0n)).toBe("ok 0x10000");
      expect(machine.ask(0n, { pasid: 0 })).toBe("C_BAD_SUBSTREAMID");
      expect(machine.walk(0n).model).toBe("arm-1lvl");
    }
  });

  it("no substreams at all (SSIDSIZE 0)", () => {
    const machine = substreams({ S1CDMax: 5, S1DSS: 0 }, { 0: CONTEXT });
    machine.configure({ idr1: 16n });
    expect(machine.ask(0n)).toBe("ok 0x10000");
    expect(machine.ask(0n, { pasid: 1 })).toBe("C_BAD_SUBSTREAMID");
  });

  it("a stream without stage 1 takes no substreams, before anything else of them", () => {
    const machine = new Machine();
    const s2 = machine.stage2({ granule: 12, inputBits: 40, startLevel: 1 });
    s2.map(0n, 0x3000n, 3, S2_RW);
    expect(machine.ask(0n)).toBe("ok 0x3000");
    expect(machine.ask(0n, { pasid: 1 })).toBe("C_BAD_SUBSTREAMID");
  });

  it("S1DSS bypass goes on to stage 2 without a CD", () => {
    const machine = new Machine();
    const s2 = machine.tables({ granule: 12, inputBits: 40, startLevel: 1 });
    s2.map(0x7000n, 0x3000n, 3, S2_RW);
    machine.ste({ Config: 7, S1ContextPtr: 0xdead_0000n, S1CDMax: 4, S1DSS: 1, S2VMID: 8, ...stage2Of(s2) });
    const r = machine.walk(0x7123n);
    expect([r.status, r.frame, r.offset, r.asid, r.domain, r.passthrough]).toEqual([
      0,
      3,
      0x123,
      -1,
      8,
      false,
    ]);
    const f = machine.walk(0x9000n);
    expect([f.fault!.name, f.stage, f.faultClass, f.hasFaultAddr]).toEqual(["F_TRANSLATION", 2, "IN", false]);
    expect(machine.ask(1n << 52n)).toBe("F_ADDR_SIZE S1 IN");
  });

  it("reports missing, unreadable and out-of-range tables", () => {
    const machine = withFormat({ S1Fmt: 1 }, formats[2]![2], 6n, [1]);
    expect(machine.ask(0n, { pasid: 64 })).toBe("C_BAD_SUBSTREAMID"); // L1CD.V is 0
    machine.memory.write64(CONTEXT + 8n, 0xdead_0000n | 1n);
    const r = machine.walk(0n, { pasid: 66 });
    expect([r.fault!.code, r.reason, r.entryFrame, r.entryOffset]).toEqual([9, "PASID_FETCH", 0xdead0, 128]);
    machine.configure({}, { output_bits: 44 });
    machine.memory.write64(CONTEXT + 8n, (1n << 44n) | 1n);
    expect(machine.ask(0n, { pasid: 64 })).toBe("C_BAD_SUBSTREAMID");
    machine.ste({ Config: 5, S1ContextPtr: 0xdead_0000n, S1CDMax: 12, S1Fmt: 1 });
    expect(machine.ask(0n, { pasid: 64 })).toBe("F_CD_FETCH");
    machine.ste({ Config: 5, S1ContextPtr: 0xdead_0000n });
    expect(machine.ask(0n)).toBe("F_CD_FETCH");
  });

  it("aligns the tables to their size", () => {
    const machine = substreams({ S1CDMax: 6, S1ContextPtr: LEAF + 0xfc0n }, { 5: linear(5) });
    expect(machine.ask(0n, { pasid: 5 })).toBe("ok 0x60000");
    const leaf = LEAF + 5n * 64n;
    const two = substreams({ S1CDMax: 12, S1Fmt: 2, S1ContextPtr: CONTEXT }, { 5: leaf });
    two.memory.write64(CONTEXT, (LEAF + 0xf000n) | 1n); // L2Ptr[15:12] are RES0
    expect(two.ask(0n, { pasid: 5 })).toBe("ok 0x60000");
  });
});

describe("properties over registers", () => {
  it("takes asid_bits, ssid_bits, input_bits, output_bits, httu and stall from the host", () => {
    const idr = { idr0: 0x0d44_101bn, idr1: 0x0273_0010n, idr5: 0x74n };
    const ask = (props: Record<string, number | boolean>, cd: CdFields, pasid?: number) => {
      const machine = new Machine(idr, props);
      machine.stage1(
        { granule: 16, inputBits: 42, startLevel: 2 },
        { IPS: 4, ...cd },
        pasid ? { S1CDMax: 1 } : {},
      );
      if (pasid) machine.write(CONTEXT + 64n, cdWords(cdOf(machine.tables(SHAPE), { IPS: 4, ...cd })));
      return machine.walk(0n, pasid ? { pasid } : {}).fault!.name;
    };
    expect(ask({}, {})).toBe("F_TRANSLATION");
    expect([ask({}, { ASID: 0x100 }), ask({ asid_bits: 8 }, { ASID: 0x100 })]).toEqual([
      "F_TRANSLATION",
      "C_BAD_CD",
    ]);
    expect([ask({}, {}, 1), ask({ ssid_bits: 4 }, {}, 1)]).toEqual(["C_BAD_SUBSTREAMID", "F_TRANSLATION"]);
    expect([ask({}, { T0SZ: 12 }), ask({ input_bits: 52 }, { T0SZ: 12 })]).toEqual([
      "C_BAD_CD",
      "F_TRANSLATION",
    ]);
    expect([ask({}, { HA: 1 }), ask({ httu: 1 }, { HA: 1 })]).toEqual(["C_BAD_CD", "F_TRANSLATION"]);
    expect([ask({ httu: 1 }, { HA: 1, HD: 1 }), ask({ httu: true }, { HA: 1, HD: 1 })]).toEqual([
      "C_BAD_CD",
      "F_TRANSLATION",
    ]);
    expect([ask({}, { S: 1 }), ask({ stall: true }, { S: 1 })]).toEqual(["C_BAD_CD", "F_TRANSLATION"]);
    expect(ask({ output_bits: 36 }, { TTB0: 1n << 36n })).toBe("C_BAD_CD");
    expect(ask({ gran64k: 0 }, {})).toBe("C_BAD_CD");
  });

  it("a change of memory is seen at once", () => {
    const machine = new Machine();
    const tables = machine.stage1(SHAPE);
    tables.map(0n, 0x1000n, 3, RW);
    expect(machine.ask(0n, { access: READ })).toBe("ok 0x1000");
    tables.map(0n, 0x2000n, 3, RW);
    expect(machine.ask(0n)).toBe("ok 0x2000");
    machine.ste({ Config: 4 });
    expect(machine.ask(0n)).toBe("ok 0x0");
  });
});
