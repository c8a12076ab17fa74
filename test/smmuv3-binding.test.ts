import { describe, expect, it } from "vitest";
import type { Binding } from "../walkers/request.ts";
import type { PasidTableConfig } from "../walkers/walker.ts";
import { CONTEXT, cdOf, Machine } from "./support/smmuv3-machine.ts";

const RW = (1n << 10n) | (1n << 6n);
const S2_RW = (1n << 10n) | (3n << 6n) | (0xfn << 2n);
const SHAPE = { granule: 12, inputBits: 39, startLevel: 1 };

function config(base: bigint, more: Partial<PasidTableConfig> = {}): PasidTableConfig {
  return { model: "arm-1lvl", baseHi: Number(base >> 32n), baseLo: Number(base & 0xffff_ffffn) | 0, ...more };
}

/** Binds, or fails with the sentence. */
function bind(machine: Machine, c: PasidTableConfig): Binding {
  const b = machine.walker.bind(c);
  if (typeof b === "string") throw new Error(b);
  return b;
}

/** A CD at `at` that maps address 0 to `output`. */
function context(machine: Machine, at: bigint, output: bigint): void {
  const tables = machine.tables(SHAPE);
  tables.map(0n, output, 3, RW);
  machine.memory.ram(at, 64n);
  machine.cd(cdOf(tables, { ASID: 7 }), at);
}

describe("bound context descriptor tables", () => {
  it("arm-1lvl: starts at base_ptr, without a stream table and whatever CR0 says", () => {
    const machine = new Machine({ cr0: 4n, gbpa: 1n << 20n });
    context(machine, CONTEXT + 64n, 0x1000n);
    context(machine, CONTEXT, 0x2000n);
    const binding = bind(machine, config(CONTEXT, { pasidBits: 1, arm: { s1dss: 2 } }));
    const r = machine.walk(0x123n, { binding, pasid: 1 });
    expect([r.status, r.frame, r.offset, r.asid, r.domain, r.model, r.reads]).toEqual([
      0,
      1,
      0x123,
      7,
      -1,
      "arm-1lvl",
      4,
    ]);
    expect(machine.ask(0n, { binding, sid: 1 })).toBe("ok 0x2000");
    expect(machine.ask(0n, { binding, sid: 2, pasid: 2 })).toBe("C_BAD_SUBSTREAMID");
    expect(machine.walk(0n, { binding, pasid: 2 }).reason).toBe("PASID_INVALID");
  });

  it.each([
    [1, 6n, 0x1000n],
    [2, 10n, 0x1_0000n],
  ])("arm-2lvl with s1fmt %i", (s1fmt, split, leafBytes) => {
    const machine = new Machine();
    const leaf = machine.allocate(leafBytes);
    const ssid = (3n << split) | 5n;
    machine.memory.write64(CONTEXT + 3n * 8n, leaf | 1n);
    context(machine, leaf + 5n * 64n, 0x5000n);
    const binding = bind(machine, config(CONTEXT, { model: "arm-2lvl", pasidBits: 13, arm: { s1fmt } }));
    const r = machine.walk(0n, { binding, pasid: Number(ssid) });
    expect([r.status, r.frame, r.model, r.reads]).toEqual([0, 5, "arm-2lvl", 5]);
    expect(machine.ask(0n, { binding, pasid: 1 })).toBe("C_BAD_SUBSTREAMID");
    expect(machine.ask(0n, { binding })).toBe("F_STREAM_DISABLED");
  });

  it("takes 64 KiB leaf tables where arm-2lvl does not say, and all SSIDs where pasid_bits does not", () => {
    const machine = new Machine();
    const leaf = machine.allocate(0x1_0000n);
    machine.memory.ram(0x100_2000n, 0x2000n);
    const l1 = machine.allocate(0x2000n); // 1024 descriptors
    machine.memory.write64(l1 + 1023n * 8n, leaf | 1n);
    context(machine, leaf + 1023n * 64n, 0x5000n);
    const binding = bind(machine, config(l1, { model: "arm-2lvl" }));
    expect(machine.ask(0n, { binding, pasid: 0xf_ffff })).toBe("ok 0x5000");
  });

  it.each([
    [0, "F_STREAM_DISABLED", "ok 0x2000"],
    [1, "ok 0x0", "ok 0x2000"],
    [2, "ok 0x2000", "F_STREAM_DISABLED"],
  ])("s1dss %i", (s1dss, none, zero) => {
    const machine = new Machine();
    context(machine, CONTEXT, 0x2000n);
    const binding = bind(machine, config(CONTEXT, { pasidBits: 4, arm: { s1dss } }));
    expect([machine.ask(0n, { binding }), machine.ask(0n, { binding, pasid: 0 })]).toEqual([none, zero]);
  });

  it("pasid_bits 0 is one CD", () => {
    const machine = new Machine();
    context(machine, CONTEXT, 0x2000n);
    const binding = bind(machine, config(CONTEXT, { pasidBits: 0 }));
    expect(machine.ask(0n, { binding })).toBe("ok 0x2000");
    expect(machine.ask(0n, { binding, pasid: 0 })).toBe("C_BAD_SUBSTREAMID");
  });

  it("is one CD, whatever s1fmt says, to an SMMU without substreams", () => {
    const machine = new Machine({ idr1: 16n });
    context(machine, CONTEXT, 0x2000n);
    const binding = bind(machine, config(CONTEXT, { model: "arm-2lvl", pasidBits: 8, arm: { s1fmt: 1 } }));
    expect(machine.ask(0n, { binding })).toBe("ok 0x2000");
    expect(machine.ask(0n, { binding, pasid: 1 })).toBe("C_BAD_SUBSTREAMID");
  });

  it.each([
    [undefined, 1],
    [2, 2],
  ])("goes through a stage 2 of %s levels", (levels, startLevel) => {
    const machine = new Machine({}, { output_bits: 48 });
    const s2 = machine.tables({ granule: 12, inputBits: 34, startLevel });
    const s1 = machine.tables(SHAPE);
    s1.map(0n, 0x2_0000_0000n, 3, RW);
    machine.cd(cdOf(s1));
    for (let a = 0n; a < 0x200_0000n; a += 4096n) s2.map(a, a, 3, S2_RW);
    s2.map(0x2_0000_0000n, 0x7000n, 3, S2_RW);
    const stage2 = {
      ...{
        format: "vmsav8-64",
        rootHi: 0,
        rootLo: Number(s2.root),
        t0sz: 30,
        granule: 4,
        domain: 12,
        levels,
      },
    };
    const binding = bind(machine, config(CONTEXT, { pasidBits: 0, stage2 }));
    const r = machine.walk(0x123n, { binding });
    expect([r.status, r.frame, r.offset, r.domain]).toEqual([0, 7, 0x123, 12]);
    s1.map(0n, 0x3_0000_0000n, 3, RW);
    const fault = machine.walk(0x123n, { binding });
    expect([fault.fault!.name, fault.stage, fault.faultClass, fault.faultHi, fault.faultLo]).toEqual([
      ...["F_TRANSLATION", 2, "IN", 3, 0x123],
    ]);
  });

  it.each([
    [4, 12, { granule: 12, inputBits: 52, startLevel: -1, ds: true }],
    [4, 16, { granule: 12, inputBits: 48, startLevel: 0 }],
    [4, 48, { granule: 12, inputBits: 16, startLevel: 3 }],
    [16, 15, { granule: 14, inputBits: 49, startLevel: 0, ds: true }],
    [64, 12, { granule: 16, inputBits: 52, startLevel: 1, lpa: true }],
  ])("a stage 2 of %i KiB granules and t0sz %i, at the top of its range", (granule, t0sz, shape) => {
    const machine = new Machine();
    const s2 = machine.tables(shape);
    const page = BigInt(granule * 1024);
    const top = (1n << BigInt(shape.inputBits)) - page;
    // The CD and stage 1 tables sit at the bottom of stage 2, where they are mapped to their places.
    const s1 = machine.tables({ granule: 16, inputBits: 17, startLevel: 3, lpa: true });
    const rootOffset = s1.root % page;
    const places: [ipa: bigint, pa: bigint][] = [
      [0n, CONTEXT],
      [page, s1.root - rootOffset],
      [top, 0x900_0000n],
    ];
    for (const [ipa, pa] of places) s2.map(ipa, pa, 3, S2_RW);
    s1.map(0n, top - (top % 0x1_0000n), 3, RW);
    machine.cd(cdOf(s1, { TTB0: page + rootOffset }));
    const stage2 = { format: "vmsav8-64", rootHi: 0, rootLo: Number(s2.root), t0sz, granule };
    const binding = bind(machine, config(0n, { pasidBits: 0, stage2 }));
    expect(machine.ask((top % 0x1_0000n) + 0x123n, { binding })).toBe("ok 0x9000123");
  });

  it.each<[string, Partial<PasidTableConfig>]>([
    ["model intel is not a table of an SMMUv3: expected arm-1lvl or arm-2lvl", { model: "intel" }],
    ["pasid_bits is 21: expected 0 to 20", { pasidBits: 21 }],
    ["arm.s1dss is 3: expected 0, 1 or 2", { arm: { s1dss: 3 } }],
    ["arm.s1fmt is 1: expected 0 with model arm-1lvl", { arm: { s1fmt: 1 } }],
    ["arm.s1fmt is 0: expected 1 or 2 with model arm-2lvl", { model: "arm-2lvl", arm: { s1fmt: 0 } }],
    ["stage2.format is vtd-ss: expected vmsav8-64", { stage2: { format: "vtd-ss", rootHi: 0, rootLo: 0 } }],
    [
      "stage2.granule is 8: expected 4, 16 or 64",
      { stage2: { format: "vmsav8-64", rootHi: 0, rootLo: 0, granule: 8 } },
    ],
    [
      "stage2.t0sz is 64: expected 12 to 48",
      { stage2: { format: "vmsav8-64", rootHi: 0, rootLo: 0, t0sz: 64 } },
    ],
    [
      "stage2.levels is 2: does not fit t0sz 16 and the 4 KiB granule",
      { stage2: { format: "vmsav8-64", rootHi: 0, rootLo: 0, levels: 2 } },
    ],
  ])("refuses: %s", (sentence, more) => {
    expect(new Machine().walker.bind(config(CONTEXT, more))).toBe(sentence);
  });
});
