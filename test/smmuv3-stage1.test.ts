import { describe, expect, it } from "vitest";
import { EXECUTE, READ, WRITE } from "../walkers/request.ts";
import { type ArmTables, type Shape, spanOf } from "./support/arm-tables.ts";
import { Machine, outputOf } from "./support/smmuv3-machine.ts";

// Leaf bits of a stage 1 descriptor (DDI 0487 D8.3.1).
const AF = 1n << 10n;
const USER = 1n << 6n;
const READ_ONLY = 1n << 7n;
const NG = 1n << 11n;
const DBM = 1n << 51n;
const CONT = 1n << 52n;
const PXN = 1n << 53n;
const UXN = 1n << 54n;
const RW = AF | USER;
// Hierarchical attributes of a table descriptor.
const PXN_TABLE = 1n << 59n;
const UXN_TABLE = 1n << 60n;
const AP_TABLE_NO_USER = 1n << 61n;
const AP_TABLE_READ_ONLY = 1n << 62n;

const KIB4 = 12;
const KIB16 = 14;
const KIB64 = 16;

/** Tables D8-18, D8-28 and D8-37: granule, start level, and the TxSZ range that starts there. */
const START_LEVELS: [granule: number, level: number, from: number, to: number, ds: boolean][] = [
  [KIB4, -1, 12, 15, true],
  [KIB4, 0, 16, 24, false],
  [KIB4, 1, 25, 33, false],
  [KIB4, 2, 34, 42, false],
  [KIB4, 3, 43, 48, false],
  [KIB16, 0, 12, 15, true],
  [KIB16, 0, 16, 16, false],
  [KIB16, 1, 17, 27, false],
  [KIB16, 2, 28, 38, false],
  [KIB16, 3, 39, 48, false],
  [KIB64, 1, 12, 21, false],
  [KIB64, 2, 22, 34, false],
  [KIB64, 3, 35, 47, false],
];

function everyInputSize(): [string, Shape][] {
  return START_LEVELS.flatMap(([granule, startLevel, from, to, ds]) =>
    Array.from({ length: to - from + 1 }, (_, i): [string, Shape] => {
      const shape = { granule, inputBits: 64 - from - i, startLevel, ds, lpa: true };
      return [`${2 ** (granule - 10)} KiB, TxSZ ${from + i}, level ${startLevel}${ds ? ", DS" : ""}`, shape];
    }),
  );
}

/** The first level with block descriptors (tables D8-16, D8-26, D8-35), for 52-bit outputs. */
function firstBlockLevel(shape: Shape): number {
  if (shape.granule === KIB4) return shape.ds ? 0 : 1;
  if (shape.granule === KIB16) return shape.ds ? 1 : 2;
  return 1;
}

describe("stage 1 geometry", () => {
  it.each(everyInputSize())("%s: pages and blocks at both ends of the range", (_, shape) => {
    const machine = new Machine();
    const tables = machine.stage1(shape);
    const top = 1n << BigInt(shape.inputBits);
    const maxOutput = shape.ds || shape.granule === KIB64 ? 1n << 52n : 1n << 48n;
    let region = 0n;
    let mapped = 0;
    for (let level = Math.max(shape.startLevel, firstBlockLevel(shape)); level <= 3; level++) {
      const span = spanOf(shape, level);
      if (top < 2n * span) continue;
      // The first region of this size that no larger mapping of this loop covers, and the last of the range.
      const low = ((region + span - 1n) / span) * span;
      const high = level === 3 ? top - span : top - 2n * span;
      for (const [input, output] of [
        [low, maxOutput - span],
        [high, span],
      ] as const) {
        if (input < region || input + span > top) continue;
        const other = tables.entry(input, level);
        if (tables.read(other) !== 0n) continue;
        tables.map(input, output, level, RW);
        mapped++;
        for (const inside of [0n, span / 2n + 0x123n, span - 1n]) {
          const r = machine.walk(input + inside);
          expect(outputOf(r).toString(16)).toBe((output + inside).toString(16));
          expect(2n ** BigInt(r.pageShift)).toBe(span);
          expect(r.reads).toBe(2 + level - shape.startLevel + 1);
        }
      }
      region = low + span;
    }
    expect(mapped).toBeGreaterThan(1);
    expect(machine.ask(top)).toBe("F_TRANSLATION S1 IN");
    expect(machine.ask(0xffff_ffff_ffff_f000n)).toBe("F_TRANSLATION S1 IN");
  });

  it("keeps bits 51:48 in the descriptor's low bits with 64 KiB (LPA), and ignores them where OAS is 48 bits", () => {
    const machine = new Machine();
    const tables = machine.stage1({ granule: KIB64, inputBits: 42, startLevel: 2, lpa: true });
    const at = tables.entry(0n, 3);
    tables.write(at, 0x0000_1234_5677_d000n | 3n | RW); // bits 15:12 are 0xd
    expect(machine.ask(0x8888n)).toBe("ok 0xd123456778888");
    machine.configure({}, { output_bits: 48 });
    expect(machine.ask(0x8888n)).toBe("ok 0x123456778888");
  });

  it("keeps bits 51:50 in 9:8 and 49:48 in place with DS", () => {
    const machine = new Machine();
    const tables = machine.stage1({ granule: KIB4, inputBits: 48, startLevel: 0, ds: true });
    tables.write(tables.entry(0n, 3), (2n << 48n) | (1n << 8n) | 0x1234_5678_9000n | 3n | RW);
    expect(machine.ask(0xabcn)).toBe("ok 0x6123456789abc");
  });

  it("takes bits 9:8 as shareability and bits 49:48 as reserved without DS", () => {
    const machine = new Machine();
    const tables = machine.stage1({ granule: KIB4, inputBits: 48, startLevel: 0 });
    tables.write(tables.entry(0n, 3), (3n << 48n) | (3n << 8n) | 0x1234_5678_9000n | 3n | RW);
    expect(machine.ask(0n)).toBe("ok 0x123456789000");
  });

  it.each([
    [KIB4, 48, 0, 0, false],
    [KIB4, 52, -1, -1, true],
    [KIB16, 47, 1, 1, false],
    [KIB16, 48, 0, 0, true],
  ])(
    "granule 2^%i, %i bits: a block at level %i is reserved",
    (granule, inputBits, startLevel, level, ds) => {
      const machine = new Machine();
      const tables = machine.stage1({ granule, inputBits, startLevel, ds });
      tables.map(0n, 0n, level, RW);
      const r = machine.walk(0n);
      expect([r.fault!.name, r.level, r.reason]).toEqual(["F_TRANSLATION", level, "BAD_PTE"]);
    },
  );

  it("has level 1 blocks with 64 KiB only where OAS is 52 bits", () => {
    const machine = new Machine();
    const tables = machine.stage1({ granule: KIB64, inputBits: 48, startLevel: 1, lpa: true });
    tables.map(4n << 42n, 8n << 42n, 1, RW);
    expect(machine.ask((4n << 42n) + 0x123n)).toBe(`ok 0x${((8n << 42n) + 0x123n).toString(16)}`);
    machine.configure({}, { output_bits: 48 });
    expect(machine.ask(4n << 42n)).toBe("F_TRANSLATION S1 IN L1");
  });

  it("takes 01 in bits 1:0 at level 3 as reserved", () => {
    const machine = new Machine();
    const tables = machine.stage1({ granule: KIB4, inputBits: 39, startLevel: 1 });
    tables.write(tables.entry(0n, 3), 0x5000n | 1n | RW);
    const r = machine.walk(0n);
    expect([r.fault!.code, r.reason, r.level, r.entryLo & 3]).toEqual([0x10, "BAD_PTE", 3, 1]);
  });

  it("aligns TTB down to the initial table, however small", () => {
    const machine = new Machine();
    // TxSZ 33 with 4 KiB: 31 bits, level 1, a table of 2 descriptors: 16 bytes.
    const tables = machine.stage1({ granule: KIB4, inputBits: 31, startLevel: 1 }, { IPS: 5 });
    const base = 0x40_0ff0n;
    machine.memory.write64(base + 8n, 0xc000_0000n | 1n | RW);
    machine.cd({ V: 1, AA64: 1, A: 1, R: 1, IPS: 5, EPD1: 1, T0SZ: 33, TTB0: base });
    expect(tables.shape.startLevel).toBe(1);
    expect(machine.ask(0x4000_0123n)).toBe("ok 0xc0000123");
    // With a 52-bit IPS the base is aligned to 64 bytes: 0x…ff0 becomes 0x…fc0.
    machine.cd({ V: 1, AA64: 1, A: 1, R: 1, IPS: 6, EPD1: 1, T0SZ: 33, TTB0: base });
    expect(machine.ask(0x4000_0123n)).toBe("F_TRANSLATION S1 IN L1");
    machine.memory.write64(0x40_0fc8n, 0x8000_0000n | 1n | RW);
    expect(machine.ask(0x4000_0123n)).toBe("ok 0x80000123");
  });

  it("takes the Contiguous bit as a hint: the leaf's own size and address", () => {
    const machine = new Machine();
    const tables = machine.stage1({ granule: KIB4, inputBits: 39, startLevel: 1 });
    for (let i = 0n; i < 16n; i++) tables.map(i * 4096n, 0x80_0000n + i * 4096n, 3, RW | CONT);
    const r = machine.walk(0xabcn);
    expect([outputOf(r), r.pageShift]).toEqual([0x80_0abcn, 12]);
    expect(machine.ask(0xfabcn)).toBe("ok 0x80fabc");
  });
});

describe("stage 1 input range", () => {
  function machineOf(cd = {}): [Machine, ArmTables] {
    const machine = new Machine();
    const low = machine.stage1({ granule: KIB4, inputBits: 39, startLevel: 1 });
    const high = machine.tables({ granule: KIB16, inputBits: 36, startLevel: 2 });
    low.map(0n, 0x1000n, 3, RW);
    high.map(0n, 0x4000n, 3, RW);
    machine.cd({
      ...{ V: 1, AA64: 1, A: 1, R: 1, IPS: 5, T0SZ: 25, TG0: 0, TTB0: low.root },
      ...{ T1SZ: 28, TG1: 1, TTB1: high.root, ...cd },
    });
    return [machine, low];
  }

  it("selects TTB0 and TTB1 by bit 55 and checks each half's own size", () => {
    const [machine] = machineOf();
    expect(machine.ask(0x123n)).toBe("ok 0x1123");
    expect(machine.ask(0xffff_fff0_0000_0123n)).toBe("ok 0x4123");
    expect(machine.ask(0xffff_ffe0_0000_0000n)).toBe("F_TRANSLATION S1 IN");
    expect(machine.ask(0x0000_0080_0000_0000n)).toBe("F_TRANSLATION S1 IN");
    expect(machine.ask(0x8000_0000_0000_0123n)).toBe("F_TRANSLATION S1 IN");
    expect(machine.ask(0x7fff_fff0_0000_0123n)).toBe("F_TRANSLATION S1 IN");
    expect(machine.walk(0x0080_0000_0000_0000n).reason).toBe("OOR_ADDRESS");
  });

  it("ignores the top byte in the half whose TBI says so", () => {
    const [machine] = machineOf({ TBI0: 1 });
    expect(machine.ask(0xa500_0000_0000_0123n)).toBe("ok 0x1123");
    expect(machine.ask(0xff00_0000_0000_0123n)).toBe("ok 0x1123");
    expect(machine.ask(0x0001_0000_0000_0000n)).toBe("F_TRANSLATION S1 IN");
    expect(machine.ask(0x5aff_fff0_0000_0123n)).toBe("F_TRANSLATION S1 IN");
    const [other] = machineOf({ TBI1: 1 });
    expect(other.ask(0x5aff_fff0_0000_0123n)).toBe("ok 0x4123");
    expect(other.ask(0x00ff_fff0_0000_0123n)).toBe("ok 0x4123");
    expect(other.ask(0x0001_0000_0000_0123n)).toBe("F_TRANSLATION S1 IN");
  });

  it.each([
    [{ EPD0: 1 }, "F_TRANSLATION S1 IN", "ok 0x4123"],
    [{ EPD1: 1 }, "ok 0x1123", "F_TRANSLATION S1 IN"],
    [{ EPD0: 1, EPD1: 1 }, "F_TRANSLATION S1 IN", "F_TRANSLATION S1 IN"],
  ])("disables walks with %j", (cd, low, high) => {
    const [machine] = machineOf(cd);
    expect(machine.ask(0x123n)).toBe(low);
    expect(machine.ask(0xffff_fff0_0000_0123n)).toBe(high);
  });

  it("has TTB0 alone, one privilege level and no ASID in EL2 without E2H", () => {
    const machine = new Machine({ cr2: 2n });
    const tables = machine.stage1(
      { granule: KIB4, inputBits: 39, startLevel: 1 },
      { EPD0: 1, ASID: 7, TG1: 0, T1SZ: 0 },
      { STRW: 2, S2VMID: 5 },
    );
    // AP[1], PXN, PAN and APTable[0] have no meaning; AF counts.
    tables.tableAttributes = AP_TABLE_NO_USER | PXN_TABLE;
    tables.map(0n, 0x1000n, 3, AF | PXN);
    const r = machine.walk(0n, { access: WRITE });
    expect([r.status, r.perm, r.asid, r.domain, r.global]).toEqual([0, READ | WRITE | EXECUTE, -1, -1, true]);
    expect(machine.ask(0x00ff_ff80_0000_0000n)).toBe("F_TRANSLATION S1 IN");
    machine.configure({ cr2: 3n });
    expect(machine.ask(0n)).toBe("F_TRANSLATION S1 IN"); // E2H: two halves, EPD0 counts
  });
});

describe("stage 1 permissions", () => {
  const shape = { granule: KIB4, inputBits: 39, startLevel: 1 };

  function permOf(leaf: bigint, table = 0n, cd = {}): { user: string; privileged: string } {
    const machine = new Machine();
    const tables = machine.stage1(shape, cd, { S1CDMax: 1, S1DSS: 2, S1Fmt: 0 });
    // Substream 1 carries the privilege attribute.
    machine.memory.write(
      0x2_0040n,
      new Uint8Array(Array.from({ length: 64 }, (_, i) => machine.memory.frames.get(0x20)!.getUint8(i))),
    );
    tables.tableAttributes = table;
    tables.map(0n, 0x1000n, 3, AF | leaf);
    const grants = (priv: boolean) =>
      [READ, WRITE, EXECUTE]
        .map((access) => {
          const r = machine.walk(0n, { pasid: 1, priv, access });
          expect(r.status === 0 || r.fault!.name === "F_PERMISSION").toBe(true);
          if (r.status === 0) expect(r.perm & access).toBe(access);
          return r.status === 0 ? "rwx"[Math.log2(access)] : "-";
        })
        .join("");
    return { user: grants(false), privileged: grants(true) };
  }

  // DDI 0487 D8.4.1: AP[2:1], UXN, PXN; what unprivileged accesses may write is not privileged-executable.
  it.each([
    [0n, "--x", "rwx"],
    [USER, "rwx", "rw-"],
    [READ_ONLY, "--x", "r-x"],
    [READ_ONLY | USER, "r-x", "r-x"],
    [USER | UXN, "rw-", "rw-"],
    [READ_ONLY | USER | UXN, "r--", "r-x"],
    [READ_ONLY | USER | PXN, "r-x", "r--"],
    [READ_ONLY | USER | UXN | PXN, "r--", "r--"],
    [UXN | PXN, "---", "rw-"],
    [UXN, "---", "rwx"],
  ])("leaf %x: user %s, privileged %s", (leaf, user, privileged) => {
    expect(permOf(leaf)).toEqual({ user, privileged });
  });

  it.each([
    [AP_TABLE_NO_USER, USER, "--x", "rwx"],
    [AP_TABLE_READ_ONLY, USER, "r-x", "r-x"],
    [AP_TABLE_READ_ONLY | AP_TABLE_NO_USER, USER, "--x", "r-x"],
    [UXN_TABLE, READ_ONLY | USER, "r--", "r-x"],
    [PXN_TABLE, READ_ONLY | USER, "r-x", "r--"],
  ])("tables %x limit a leaf %x: user %s, privileged %s; HAD0 undoes it", (table, leaf, user, privileged) => {
    expect(permOf(leaf, table)).toEqual({ user, privileged });
    expect(permOf(leaf, table, { HAD0: 1 })).toEqual(permOf(leaf));
    expect(permOf(leaf, table, { HAD1: 1 })).toEqual({ user, privileged });
  });

  it("ignores HAD where IDR3.HAD is 0", () => {
    const machine = new Machine({ idr3: 0n });
    const tables = machine.stage1(shape, { HAD0: 1 });
    tables.tableAttributes = AP_TABLE_READ_ONLY;
    tables.map(0n, 0x1000n, 3, RW);
    expect(machine.ask(0n, { access: WRITE })).toBe("F_PERMISSION S1 IN L3");
  });

  it.each([
    [{ WXN: 1 }, USER, "rw-", "rw-"],
    [{ WXN: 1 }, READ_ONLY | USER, "r-x", "r-x"],
    [{ WXN: 1 }, 0n, "--x", "rw-"],
    [{ UWXN: 1 }, 0n, "--x", "rwx"],
    [{ PAN: 1 }, USER, "rwx", "---"],
    [{ PAN: 1 }, READ_ONLY | USER, "r-x", "--x"],
    [{ PAN: 1 }, 0n, "--x", "rwx"],
    [{ PAN: 1, EPAN: 1 }, 0n, "--x", "--x"],
    [{ PAN: 1, EPAN: 1 }, UXN, "---", "rwx"],
    // The page is writable, whatever PAN withholds from data accesses.
    [{ PAN: 1, EPAN: 1, WXN: 1 }, 0n, "--x", "---"],
    [{ PAN: 1, EPAN: 1, WXN: 1 }, READ_ONLY, "--x", "--x"],
    [{ EPAN: 1 }, 0n, "--x", "rwx"],
  ])("CD %j, leaf %x: user %s, privileged %s", (cd, leaf, user, privileged) => {
    expect(permOf(leaf, 0n, cd)).toEqual({ user, privileged });
  });

  it("checks an atomic as a write and a read", () => {
    const machine = new Machine();
    const tables = machine.stage1(shape);
    tables.map(0n, 0x1000n, 3, RW);
    tables.map(0x1000n, 0x2000n, 3, RW | READ_ONLY);
    expect(machine.ask(0n, { access: READ | WRITE })).toBe("ok 0x1000");
    expect(machine.ask(0x1000n, { access: READ | WRITE })).toBe("F_PERMISSION S1 IN L3");
  });

  it("reports the access flag before permissions, and neither HA nor AFFD needs it", () => {
    const faults = (cd: object) => {
      const machine = new Machine();
      const tables = machine.stage1(shape, cd);
      tables.map(0n, 0x1000n, 3, USER | READ_ONLY);
      return [machine.ask(0n), machine.ask(0n, { access: WRITE })];
    };
    expect(faults({})).toEqual(["F_ACCESS S1 IN L3", "F_ACCESS S1 IN L3"]);
    expect(faults({ AFFD: 1 })).toEqual(["ok 0x1000", "F_PERMISSION S1 IN L3"]);
    expect(faults({ HA: 1 })).toEqual(["ok 0x1000", "F_PERMISSION S1 IN L3"]);
  });

  it("lets a writable-clean leaf be written only where hardware updates the dirty state", () => {
    const write = (cd: object, table = 0n) => {
      const machine = new Machine();
      const tables = machine.stage1(shape, cd);
      tables.tableAttributes = table;
      tables.map(0n, 0x1000n, 3, AF | USER | READ_ONLY | DBM);
      return machine.ask(0n, { access: WRITE });
    };
    expect(write({})).toBe("F_PERMISSION S1 IN L3");
    expect(write({ HA: 1 })).toBe("F_PERMISSION S1 IN L3");
    expect(write({ HD: 1 })).toBe("F_PERMISSION S1 IN L3");
    expect(write({ HA: 1, HD: 1 })).toBe("ok 0x1000");
    expect(write({ HA: 1, HD: 1 }, AP_TABLE_READ_ONLY)).toBe("F_PERMISSION S1 IN L3");
  });

  it("reports E0PD as a translation fault of unprivileged accesses", () => {
    const machine = new Machine();
    const tables = machine.stage1(shape, { E0PD0: 1 });
    tables.map(0n, 0x1000n, 3, RW);
    expect(machine.ask(0n)).toBe("F_TRANSLATION S1 IN");
    machine.ste({ Config: 5, S1ContextPtr: 0x2_0000n, PRIVCFG: 3 });
    expect(machine.ask(0n)).toBe("ok 0x1000");
  });

  it("takes privilege from a request with PASID alone, and PRIVCFG and INSTCFG over it", () => {
    const machine = new Machine();
    const tables = machine.stage1(shape);
    tables.map(0n, 0x1000n, 3, AF | UXN); // privileged only
    tables.map(0x1000n, 0x2000n, 3, AF | USER | READ_ONLY | PXN); // read-only, user-executable
    expect(machine.ask(0n, { priv: true })).toBe("F_PERMISSION S1 IN L3"); // no PASID: unprivileged
    const ste = { Config: 5, S1ContextPtr: 0x2_0000n };
    machine.ste({ ...ste, PRIVCFG: 3 });
    expect(machine.ask(0n)).toBe("ok 0x1000");
    expect(machine.ask(0x1000n, { access: EXECUTE })).toBe("F_PERMISSION S1 IN L3");
    machine.ste({ ...ste, PRIVCFG: 3, INSTCFG: 3 });
    expect(machine.ask(0x1000n)).toBe("F_PERMISSION S1 IN L3"); // a read becomes an instruction fetch
    expect(machine.ask(0n, { access: WRITE })).toBe("ok 0x1000"); // a write stays data
    machine.ste({ ...ste, PRIVCFG: 2, INSTCFG: 2 });
    expect(machine.ask(0x1000n, { access: EXECUTE })).toBe("ok 0x2000");
    expect(machine.ask(0x1000n, { access: WRITE })).toBe("F_PERMISSION S1 IN L3");
    machine.configure({ idr1: 0x2730010n }); // ATTR_PERMS_OVR is 0: both are RES0
    machine.ste({ ...ste, PRIVCFG: 3 });
    expect(machine.ask(0n)).toBe("F_PERMISSION S1 IN L3");
  });

  it("reports nG and ASID", () => {
    const machine = new Machine();
    const tables = machine.stage1(shape, { ASID: 0xabc }, { S2VMID: 0x12 });
    tables.map(0n, 0x1000n, 3, RW | NG);
    tables.map(0x1000n, 0x2000n, 3, RW);
    const local = machine.walk(0n);
    expect([local.global, local.asid, local.domain]).toEqual([false, 0xabc, 0x12]);
    expect(machine.walk(0x1000n).global).toBe(true);
  });
});

describe("stage 1 faults on the way", () => {
  const shape = { granule: KIB4, inputBits: 48, startLevel: 0 };

  it("names the descriptor that could not be read, and tells the root apart", () => {
    const machine = new Machine();
    const tables = machine.stage1(shape);
    const at = tables.entry(0n, 2);
    tables.write(at, 0xdead_0000n | 3n);
    const r = machine.walk(0x7000n);
    expect([r.fault!.code, r.stage, r.faultClass, r.level, r.reason, r.hole]).toEqual([
      0x0b,
      1,
      "TT",
      3,
      "WALK_EABT",
      true,
    ]);
    expect((BigInt(r.entryFrame) << 12n) + BigInt(r.entryOffset)).toBe(0xdead_0038n);
    machine.cd({ V: 1, AA64: 1, A: 1, R: 1, IPS: 5, EPD1: 1, T0SZ: 16, TTB0: 0xdead_0000n });
    const root = machine.walk(0n);
    expect([root.reason, root.level, root.entryKnown]).toEqual(["PGD_FETCH", 0, false]);
  });

  it.each([
    ["a table address", 2, 3n],
    ["a block address", 2, 1n | RW],
    ["a page address", 3, 3n | RW],
  ])("checks %s against IPS before anything else of the descriptor", (_, level, bits) => {
    const machine = new Machine();
    const tables = machine.stage1(shape, { IPS: 1 }); // 36 bits
    const at = tables.entry(0n, level);
    tables.write(at, 0x10_0000_0000n | (bits & ~AF));
    const r = machine.walk(0n, { access: WRITE });
    expect([r.fault!.name, r.level, r.faultClass, r.stage, r.reason]).toEqual([
      "F_ADDR_SIZE",
      level,
      "IN",
      1,
      "OOR_ADDRESS",
    ]);
    expect((BigInt(r.entryFrame) << 12n) + BigInt(r.entryOffset)).toBe(at);
    tables.write(at, 0xf_ffff_f000n | bits);
    expect(machine.walk(0n).fault?.name).not.toBe("F_ADDR_SIZE");
  });

  it("caps IPS at the output address size", () => {
    const machine = new Machine({}, { output_bits: 40 });
    const tables = machine.stage1(shape, { IPS: 5 });
    tables.map(0n, 1n << 39n, 3, RW);
    tables.map(0x1000n, 1n << 40n, 3, RW);
    expect(machine.ask(0n)).toBe("ok 0x8000000000");
    expect(machine.ask(0x1000n)).toBe("F_ADDR_SIZE S1 IN L3");
  });

  it("walks big-endian tables", () => {
    const machine = new Machine();
    const tables = machine.stage1({ ...shape, bigEndian: true });
    tables.map(0x1234_5000n, 0x9000n, 3, RW);
    expect(machine.ask(0x1234_5678n)).toBe("ok 0x9678");
  });

  it("records a translation-related fault unless R is clear and S too; an external abort always", () => {
    const ask = (cd: object) => {
      const machine = new Machine();
      const tables = machine.stage1(shape, cd);
      tables.write(tables.entry(0n, 0) + 8n, 0xdead_0000n | 3n);
      return [machine.ask(0n), machine.ask(1n << 39n)];
    };
    expect(ask({ R: 1 })).toEqual(["F_TRANSLATION S1 IN L0", "F_WALK_EABT S1 TT L1"]);
    expect(ask({ R: 0 })).toEqual(["F_TRANSLATION S1 IN L0 unrecorded", "F_WALK_EABT S1 TT L1"]);
    expect(ask({ R: 0, S: 1 })).toEqual(["F_TRANSLATION S1 IN L0", "F_WALK_EABT S1 TT L1"]);
  });
});
