import { describe, expect, it } from "vitest";
import { EXECUTE, READ, WRITE } from "../walkers/request.ts";
import { rootBytes, type Shape, spanOf } from "./support/arm-tables.ts";
import { CONTEXT, cdOf, Machine, outputOf, slOf, stage2Of } from "./support/smmuv3-machine.ts";

// Leaf bits of a stage 2 descriptor (DDI 0487 D8.3.1).
const AF = 1n << 10n;
const S2AP_R = 1n << 6n;
const S2AP_W = 1n << 7n;
const NORMAL = 0xfn << 2n;
const DBM = 1n << 51n;
const XN = (n: bigint) => n << 53n;
const RW = AF | S2AP_R | S2AP_W | NORMAL;
// Stage 1.
const S1_RW = AF | (1n << 6n);

const KIB4 = 12;
const KIB16 = 14;
const KIB64 = 16;

/**
 * Tables D8-20 to D8-24, D8-30 to D8-33, D8-39 to D8-41: granule, start level, the S2T0SZ range for one table, and
 * then the S2T0SZ of 2, 4, 8 and 16 concatenated tables; whether DS is needed.
 */
const CONFIGURATIONS: [granule: number, level: number, from: number, to: number, ds: boolean][] = [
  [KIB4, -1, 12, 15, true],
  [KIB4, 0, 16, 24, false],
  [KIB4, 0, 12, 15, true],
  [KIB4, 1, 25, 33, false],
  [KIB4, 1, 21, 24, false],
  [KIB4, 2, 34, 42, false],
  [KIB4, 2, 30, 33, false],
  [KIB4, 3, 43, 48, false],
  [KIB4, 3, 39, 42, false],
  [KIB16, 0, 12, 16, true],
  [KIB16, 1, 17, 27, false],
  [KIB16, 1, 16, 16, false],
  [KIB16, 1, 13, 15, true],
  [KIB16, 2, 28, 38, false],
  [KIB16, 2, 24, 27, false],
  [KIB16, 3, 39, 48, false],
  [KIB16, 3, 35, 38, false],
  [KIB64, 1, 12, 21, false],
  [KIB64, 2, 22, 34, false],
  [KIB64, 2, 18, 21, false],
  [KIB64, 3, 35, 47, false],
  [KIB64, 3, 31, 34, false],
];

/** The lawful S2T0SZ of a granule, start level and DS, from the tables above. */
function lawful(granule: number, level: number, ds: boolean): Set<number> {
  const out = new Set<number>();
  for (const [g, l, from, to, needsDs] of CONFIGURATIONS)
    if (g === granule && l === level && (ds || !needsDs)) for (let t = from; t <= to; t++) out.add(t);
  return out;
}

function everyConfiguration(): [string, Shape][] {
  return CONFIGURATIONS.flatMap(([granule, startLevel, from, to, ds]) =>
    Array.from({ length: to - from + 1 }, (_, i): [string, Shape] => [
      `${2 ** (granule - 10)} KiB, S2T0SZ ${from + i}, level ${startLevel}${ds ? ", DS" : ""}`,
      { granule, inputBits: 64 - from - i, startLevel, ds, lpa: true },
    ]),
  );
}

describe("stage 2 geometry", () => {
  it.each(everyConfiguration())("%s: every concatenated table, at both ends", (_, shape) => {
    const machine = new Machine();
    const tables = machine.stage2(shape);
    const page = 1n << BigInt(shape.granule);
    const top = 1n << BigInt(shape.inputBits);
    const perTable = spanOf(shape, shape.startLevel) << BigInt(shape.granule - 3);
    const starts = new Set<bigint>([0n, top - page]);
    for (let a = perTable; a < top; a += perTable) starts.add(a).add(a - page);
    expect(starts.size).toBe(top <= perTable ? 2 : Number(top / perTable) * 2);
    let output = page;
    for (const input of starts) {
      tables.map(input, output, 3, RW);
      const r = machine.walk(input + 0x321n);
      expect(outputOf(r).toString(16)).toBe((output + 0x321n).toString(16));
      expect([r.pageShift, r.reads]).toEqual([shape.granule, 1 + 4 - shape.startLevel]);
      output += page;
    }
    // Beyond the range: a stage 2 translation fault; beyond the IAS (52 bits), a stage 1 address size fault.
    expect(machine.ask(top)).toBe(shape.inputBits === 52 ? "F_ADDR_SIZE S1 IN" : "F_TRANSLATION S2 IN");
  });

  it.each([KIB4, KIB16, KIB64].flatMap((g) => [false, true].map((ds): [number, boolean] => [g, ds])))(
    "granule 2^%i, DS %s: all other S2T0SZ and S2SL0 are C_BAD_STE",
    (granule, ds) => {
      const machine = new Machine();
      const ttb = machine.allocate(1n << 20n);
      machine.memory.ram(ttb, 1n << 20n);
      let illegal = 0;
      for (let sl = 0; sl < (granule === KIB4 && ds ? 8 : 4); sl++) {
        const level = [-1, 0, 1, 2, 3].find((l) => {
          const e = slOf(granule, l);
          return l !== -1 || granule === KIB4 ? e.S2SL0 + 4 * e.S2SL0_2 === sl : false;
        });
        for (let t0sz = 0; t0sz < 64; t0sz++) {
          machine.ste({
            ...{
              Config: 6,
              S2T0SZ: t0sz,
              S2TG: [0, 2, 1][(granule - 12) / 2]!,
              S2SL0: sl & 3,
              S2SL0_2: sl >> 2,
            },
            ...{ S2PS: 6, S2AA64: 1, S2R: 1, S2TTB: ttb, S2DS: ds ? 1 : 0 },
          });
          const ok = level !== undefined && lawful(granule, level, ds).has(t0sz);
          if (!ok) illegal++;
          const name = machine.walk(0n).fault!.name;
          expect(`SL ${sl} T0SZ ${t0sz}: ${name}`).toBe(
            `SL ${sl} T0SZ ${t0sz}: ${ok ? "F_TRANSLATION" : "C_BAD_STE"}`,
          );
        }
      }
      expect(illegal).toBeGreaterThan(100);
    },
  );

  it("limits S2T0SZ and S2SL0 by the output address size, and level 3 starts and sizes by small tables", () => {
    const name = (output: number, granule: number, level: number, t0sz: number, idr3 = 0x3fffffn) => {
      const machine = new Machine({ idr3 }, { output_bits: output });
      const shape = { granule, inputBits: 64 - t0sz, startLevel: level };
      machine.stage2(shape);
      return machine.walk(0n).fault!.name;
    };
    // AArch64.S2InvalidSL: level 0 (4 KiB) needs 44 bits, level 1 42 (16 KiB) and 44 (64 KiB).
    expect([name(44, KIB4, 0, 20), name(42, KIB4, 0, 24)]).toEqual(["F_TRANSLATION", "C_BAD_STE"]);
    expect([name(42, KIB16, 1, 27), name(40, KIB16, 1, 27)]).toEqual(["F_TRANSLATION", "C_BAD_STE"]);
    expect([name(44, KIB64, 1, 21), name(42, KIB64, 1, 21)]).toEqual(["F_TRANSLATION", "C_BAD_STE"]);
    // 64 - IAS is the least S2T0SZ.
    expect([name(44, KIB4, 0, 20), name(44, KIB4, 0, 19)]).toEqual(["F_TRANSLATION", "C_BAD_STE"]);
    // Without STT the largest is 39, and 4 KiB tables cannot start at level 3.
    const noStt = 0x3fffffn & ~(1n << 9n);
    expect([name(48, KIB4, 2, 39, noStt), name(48, KIB4, 2, 40, noStt)]).toEqual([
      "F_TRANSLATION",
      "C_BAD_STE",
    ]);
    expect([name(48, KIB16, 3, 39, noStt), name(48, KIB16, 3, 40, noStt)]).toEqual([
      "F_TRANSLATION",
      "C_BAD_STE",
    ]);
    expect([name(48, KIB4, 3, 39, noStt), name(48, KIB4, 3, 39)]).toEqual(["C_BAD_STE", "F_TRANSLATION"]);
  });

  it("maps blocks, keeping the offset in them", () => {
    const machine = new Machine();
    const tables = machine.stage2({ granule: KIB4, inputBits: 48, startLevel: 0 });
    tables.map(1n << 30n, 5n << 30n, 1, RW);
    tables.map(2n << 21n, 7n << 21n, 2, RW);
    const big = machine.walk((1n << 30n) + 0x2345_6789n);
    expect([outputOf(big), big.pageShift]).toEqual([(5n << 30n) + 0x2345_6789n, 30]);
    const small = machine.walk((2n << 21n) + 0x1_2345n);
    expect([outputOf(small), small.pageShift]).toEqual([(7n << 21n) + 0x1_2345n, 21]);
  });
});

describe("stage 2 permissions and faults", () => {
  const shape = { granule: KIB4, inputBits: 40, startLevel: 1 };

  function grants(leaf: bigint, ste = {}, regs: Record<string, bigint> = {}): string {
    const machine = new Machine(regs);
    const tables = machine.stage2(shape, ste);
    tables.map(0n, 0x1000n, 3, AF | NORMAL | leaf);
    return [READ, WRITE, EXECUTE]
      .map((access) => (machine.walk(0n, { access }).status === 0 ? "rwx"[Math.log2(access)] : "-"))
      .join("");
  }

  it.each([
    [0n, "--x"],
    [S2AP_R, "r-x"],
    [S2AP_W, "-wx"],
    [S2AP_R | S2AP_W, "rwx"],
    [S2AP_R | XN(2n), "r--"],
    [S2AP_R | XN(1n), "r-x"], // unprivileged only
    [S2AP_R | XN(3n), "r--"], // privileged only
  ])("leaf %x: %s for an unprivileged transaction", (leaf, expected) => {
    expect(grants(leaf)).toBe(expected);
  });

  it("tells privilege by XN[0] only where IDR3.XNX is set", () => {
    expect(grants(S2AP_R | XN(1n), { PRIVCFG: 3 })).toBe("r--");
    expect(grants(S2AP_R | XN(3n), { PRIVCFG: 3 })).toBe("r-x");
    expect(grants(S2AP_R | XN(1n), { PRIVCFG: 3 }, { idr3: 0n })).toBe("r-x");
    expect(grants(S2AP_R | XN(3n), { PRIVCFG: 3 }, { idr3: 0n })).toBe("r--");
  });

  it("makes a DBM leaf writable only with S2HA and S2HD", () => {
    expect(grants(S2AP_R | DBM)).toBe("r-x");
    expect(grants(S2AP_R | DBM, { S2HD: 1 })).toBe("r-x");
    expect(grants(S2AP_R | DBM, { S2HA: 1, S2HD: 1 })).toBe("rwx");
  });

  it("reports VMID, rights and no ASID", () => {
    const machine = new Machine();
    const tables = machine.stage2(shape, { S2VMID: 0xfedc });
    tables.map(0n, 0x1000n, 3, AF | NORMAL | S2AP_R | XN(2n));
    const r = machine.walk(0n);
    expect([r.domain, r.asid, r.perm, r.passthrough, r.pageShift]).toEqual([0xfedc, -1, READ, false, 12]);
  });

  it.each([
    [{}, "F_ACCESS S2 IN L3"],
    [{ S2AFFD: 1 }, "F_PERMISSION S2 IN L3"],
    [{ S2HA: 1 }, "F_PERMISSION S2 IN L3"],
    [{ S2R: 0 }, "F_ACCESS S2 IN L3 unrecorded"],
    [{ S2R: 0, S2S: 1 }, "F_ACCESS S2 IN L3"],
  ])("access flag clear and no write permission, STE %j: %s", (ste, expected) => {
    const machine = new Machine();
    const tables = machine.stage2(shape, ste);
    tables.map(0n, 0x1000n, 3, NORMAL | S2AP_R);
    expect(machine.ask(0n, { access: WRITE })).toBe(expected);
  });

  it("checks output addresses against S2PS, and an external abort is recorded even with S2R clear", () => {
    const machine = new Machine();
    const tables = machine.stage2(shape, { S2PS: 0, S2R: 0 });
    tables.map(0n, 0xffff_f000n, 3, RW);
    tables.map(0x1000n, 0x1_0000_0000n, 3, RW);
    tables.write(tables.entry(1n << 30n, 1), 0x1_0000_0000n | 3n);
    tables.write(tables.entry(2n << 30n, 1), 0xdead_0000n | 3n);
    expect(machine.ask(0n)).toBe("ok 0xfffff000");
    expect(machine.ask(0x1000n)).toBe("F_ADDR_SIZE S2 IN L3 unrecorded");
    expect(machine.ask(1n << 30n)).toBe("F_ADDR_SIZE S2 IN L1 unrecorded");
    expect(machine.ask(2n << 30n)).toBe("F_WALK_EABT S2 IN L2");
  });

  it("an address beyond the IAS is a stage 1 address size fault, always recorded", () => {
    const machine = new Machine({}, { output_bits: 44 });
    machine.stage2({ granule: KIB4, inputBits: 40, startLevel: 1 }, { S2R: 0 });
    expect(machine.ask(1n << 40n)).toBe("F_TRANSLATION S2 IN unrecorded");
    expect(machine.ask(1n << 44n)).toBe("F_ADDR_SIZE S1 IN");
  });

  it("aligns S2TTB to the concatenated tables", () => {
    const machine = new Machine();
    const concatenated = { granule: KIB4, inputBits: 43, startLevel: 1 };
    const tables = machine.tables(concatenated);
    expect(rootBytes(concatenated)).toBe(0x1_0000n);
    tables.map(15n << 39n, 0x7000n, 3, RW);
    machine.ste({ Config: 6, ...stage2Of(tables), S2TTB: tables.root + 0x3010n });
    expect(machine.ask(15n << 39n)).toBe("ok 0x7000");
  });

  it("walks big-endian tables", () => {
    const machine = new Machine();
    const tables = machine.stage2({ ...shape, bigEndian: true });
    tables.map(0x1234_5000n, 0x9000n, 3, RW);
    expect(machine.ask(0x1234_5678n)).toBe("ok 0x9678");
  });
});

describe("both stages", () => {
  /** Stage 2 maps IPA 1 TiB + x to x for tables and CDs, with 4 KiB pages. */
  const HIGH = 1n << 40n;
  const s2shape = { granule: KIB4, inputBits: 44, startLevel: 0 };
  const s1shape = { granule: KIB4, inputBits: 39, startLevel: 1 };

  function nested(cd = {}, ste = {}) {
    const machine = new Machine();
    const s2 = machine.tables(s2shape);
    const place = (a: bigint) => (a >= HIGH ? a - HIGH : a);
    const inner = (a: bigint, attributes = RW) => s2.map(a & ~0xfffn, place(a) & ~0xfffn, 3, attributes);
    const s1 = machine.tables(s1shape, place);
    // The stage 1 tables and the CD are at IPAs above 1 TiB.
    machine.cd(cdOf(s1, { TTB0: s1.root + HIGH, ASID: 3, ...cd }));
    machine.ste({ Config: 7, S1ContextPtr: CONTEXT + HIGH, S2VMID: 9, ...stage2Of(s2), ...ste });
    return { machine, s1, s2, inner, place };
  }

  /** Writes a stage 1 chain for address 0 by hand: root, level 2, level 3, and maps all its tables in stage 2. */
  function chain(leaf: bigint, cd = {}, ste = {}) {
    const n = nested(cd, ste);
    const at1 = n.s1.entry(0n, 1);
    const at2 = n.machine.allocate(4096n);
    const at3 = n.machine.allocate(4096n);
    n.machine.memory.write64(at1, (at2 + HIGH) | 3n);
    n.machine.memory.write64(at2, (at3 + HIGH) | 3n);
    n.machine.memory.write64(at3, leaf);
    for (const a of [CONTEXT, at1, at2, at3]) n.inner(a + HIGH);
    return { ...n, at1: at1 + HIGH, at2: at2 + HIGH, at3: at3 + HIGH };
  }

  it("fetches the CD, every descriptor and the final address through stage 2", () => {
    const { machine, s2 } = chain(0x55_0000_0000n | 3n | S1_RW);
    s2.map(0x55_0000_0000n, 0x77_7000n, 3, RW);
    const r = machine.walk(0xabcn);
    expect([r.status, outputOf(r), r.asid, r.domain, r.pageShift]).toEqual([0, 0x77_7abcn, 3, 9, 12]);
    // STE; CD: 4 + 1; three descriptors of 4 + 1; the address: 4.
    expect(r.reads).toBe(1 + 5 + 15 + 4);
  });

  it("gives the smaller page and the rights of both stages", () => {
    const { machine, s2, s1 } = chain(0n);
    const at = s1.entry(0n, 1);
    machine.memory.write64(at, (4n << 30n) | 1n | S1_RW); // stage 1: a 1 GiB block
    s2.map((4n << 30n) + (5n << 21n), 9n << 21n, 2, AF | NORMAL | S2AP_R | XN(2n)); // stage 2: a 2 MiB block
    const r = machine.walk((5n << 21n) + 0x1_2345n);
    expect([outputOf(r), r.pageShift, r.perm]).toEqual([(9n << 21n) + 0x1_2345n, 21, READ]);
    expect(machine.ask(5n << 21n, { access: WRITE })).toBe("F_PERMISSION S2 IN L2");
  });

  const faultAddress = (r: { hasFaultAddr: boolean; faultHi: number; faultLo: number }) =>
    r.hasFaultAddr ? (BigInt(r.faultHi >>> 0) << 32n) | BigInt(r.faultLo >>> 0) : undefined;

  it("reports the class and IPA of stage 2 faults: CD, TT and IN", () => {
    const { machine, inner, at2, at3, s2 } = chain(0x55_0000_0000n | 3n | S1_RW);
    const expectFault = (text: string, ipa: bigint, address = 0x123n) => {
      const r = machine.walk(address);
      expect(machine.ask(address)).toBe(text);
      expect(faultAddress(r)).toBe(ipa);
    };
    expectFault("F_TRANSLATION S2 IN L0", 0x55_0000_0123n); // not mapped
    s2.map(0x55_0000_0000n, 0x77_7000n, 3, RW);
    expect(machine.ask(0x123n)).toBe("ok 0x777123");
    inner(at3, AF | NORMAL | S2AP_W); // a descriptor fetch is a read
    expectFault("F_PERMISSION S2 TT L3", at3);
    inner(at2, NORMAL | S2AP_R);
    expectFault("F_ACCESS S2 TT L3", at2);
    inner(CONTEXT + HIGH, 0n);
    machine.memory.write64(s2.entry(CONTEXT + HIGH, 3), 0n);
    expectFault("F_TRANSLATION S2 CD L3", CONTEXT + HIGH);
  });

  it("reports stage 1 faults as of stage 1, and an aborted descriptor fetch as TT of stage 1", () => {
    const { machine, s2, at3 } = chain(0n);
    expect(machine.ask(0n)).toBe("F_TRANSLATION S1 IN L3");
    s2.map(at3, 0xdead_0000n, 3, RW);
    const r = machine.walk(0n);
    expect([r.fault!.name, r.stage, r.faultClass, r.hasFaultAddr]).toEqual(["F_WALK_EABT", 1, "TT", false]);
    expect(r.entryFrame).toBe(0xdead_0);
    s2.map(CONTEXT + HIGH, 0xdead_0000n, 3, RW);
    expect(machine.ask(0n)).toBe("F_CD_FETCH");
  });

  it("a stage 1 address beyond the stage 2 range is a stage 2 translation fault", () => {
    const { machine } = chain((1n << 44n) | 3n | S1_RW);
    const r = machine.walk(0x77n);
    expect([machine.ask(0x77n), r.reason, faultAddress(r)]).toEqual([
      "F_TRANSLATION S2 IN",
      "OOR_ADDRESS",
      (1n << 44n) + 0x77n,
    ]);
  });

  it("S2PTW refuses descriptors and CDs in Device memory, but not data", () => {
    const { machine, s2, inner, at3 } = chain(0x55_0000_0000n | 3n | S1_RW, {}, { S2PTW: 1 });
    s2.map(0x55_0000_0000n, 0x77_7000n, 3, AF | S2AP_R); // MemAttr 0: Device-nGnRnE
    expect(machine.ask(0n)).toBe("ok 0x777000");
    inner(at3, AF | S2AP_R | (3n << 2n)); // MemAttr 0b0011: Device-GRE
    expect(machine.ask(0n)).toBe("F_PERMISSION S2 TT L3");
    inner(at3, AF | S2AP_R | (5n << 2n)); // MemAttr 0b0101: Normal non-cacheable
    expect(machine.ask(0n)).toBe("ok 0x777000");
    inner(CONTEXT + HIGH, AF | S2AP_R);
    expect(machine.ask(0n)).toBe("F_PERMISSION S2 CD L3");
  });

  it("S2FWB tells Device from Normal by MemAttr[2] alone", () => {
    const { machine, s2, inner, at3 } = chain(0x55_0000_0000n | 3n | S1_RW, {}, { S2PTW: 1, S2FWB: 1 });
    s2.map(0x55_0000_0000n, 0x77_7000n, 3, RW);
    inner(CONTEXT + HIGH, AF | S2AP_R | (6n << 2n));
    expect(machine.ask(0n)).toBe("ok 0x777000");
    inner(at3, AF | S2AP_R | (8n << 2n)); // 0b1000: Normal without FWB
    expect(machine.ask(0n)).toBe("F_PERMISSION S2 TT L3");
  });

  it("a hardware update of a stage 1 leaf needs write permission of stage 2 at the leaf", () => {
    const old = 0x55_0000_0000n | 3n | (1n << 6n); // AF clear
    const { machine, s2, inner, at3 } = chain(old, { HA: 1, HD: 1 });
    s2.map(0x55_0000_0000n, 0x77_7000n, 3, RW);
    expect(machine.ask(0n)).toBe("ok 0x777000");
    inner(at3, AF | NORMAL | S2AP_R);
    const r = machine.walk(0n);
    expect([machine.ask(0n), faultAddress(r)]).toEqual(["F_PERMISSION S2 TT L3", at3]);
    // AF set: no update for a read; a write to a writable-clean leaf makes one.
    machine.memory.write64(at3 - HIGH, old | AF | (1n << 7n) | DBM);
    expect(machine.ask(0n)).toBe("ok 0x777000");
    expect(machine.ask(0n, { access: WRITE })).toBe("F_PERMISSION S2 TT L3");
  });

  it("with HAFT, a table descriptor whose access flag is clear is written, too", () => {
    const ask = (cd: Record<string, number>, flags: bigint) => {
      const { machine, s2, inner, at2 } = chain(0x55_0000_0000n | 3n | S1_RW, cd);
      s2.map(0x55_0000_0000n, 0x77_7000n, 3, RW);
      machine.memory.write64(at2 - HIGH, machine.memory.read64(at2 - HIGH) | flags);
      inner(at2, AF | NORMAL | S2AP_R);
      return [machine.ask(0n), faultAddress(machine.walk(0n)) === at2];
    };
    expect(ask({ HA: 1, HAFT: 1 }, 0n)).toEqual(["F_PERMISSION S2 TT L3", true]);
    expect(ask({ HA: 1, HAFT: 1 }, AF)).toEqual(["ok 0x777000", false]);
    expect(ask({ HA: 1 }, 0n)).toEqual(["ok 0x777000", false]);
  });

  it("mixes byte orders of the two stages", () => {
    const machine = new Machine();
    const s2 = machine.tables({ ...s2shape, bigEndian: true });
    const s1 = machine.tables(s1shape);
    machine.cd(cdOf(s1));
    machine.ste({ Config: 7, S1ContextPtr: CONTEXT, ...stage2Of(s2) });
    s1.map(0n, 0x5000n, 3, S1_RW);
    for (let a = 0n; a < 0x200_0000n; a += 4096n) s2.map(a, a, 3, RW);
    expect(machine.ask(0x123n)).toBe("ok 0x5123");
  });
});
