import { describe, expect, it } from "vitest";
import { AmdIommu, DTE_IR, DTE_IW, IR, IW, PAGE, PR } from "./support/amd-iommu.ts";
import { V1Tables } from "./support/amd-tables.ts";

const PRESENT = 0x010;
const WRITE = 0x020;
const DENIED = 0x040;
const RESERVED = 0x080;
const MASTER_ABORT = 0x200;
const DEVICE = 9;

/** A device with host tables of a mode. */
function withTables(mode: number, perm?: bigint): [AmdIommu, V1Tables] {
  const iommu = new AmdIommu();
  const tables = new V1Tables(iommu, mode);
  iommu.hostDevice(DEVICE, tables.root, mode, 7, perm);
  return [iommu, tables];
}

/** An address with different, non-zero indexes at every level that a mode has. */
function sampleAddress(mode: number): bigint {
  const address = 0x6bcd_ef12_3456_7abcn;
  return mode === 6 ? address : address & ((1n << BigInt(12 + 9 * mode)) - 1n);
}

describe("modes and page sizes", () => {
  for (let mode = 1; mode <= 6; mode++)
    for (let level = 1; level <= Math.min(mode, 5); level++)
      it(`mode ${mode}, page at level ${level}`, () => {
        const [iommu, tables] = withTables(mode);
        const shift = 12 + 9 * (level - 1);
        const size = 1n << BigInt(shift);
        const address = sampleAddress(mode);
        const page = level === 5 ? 0n : 0x000a_5000_0000_0000n & -size;
        tables.map(address, page, shift);
        expect(iommu.ask(DEVICE, address, { access: "rw" })).toEqual({
          result: "ok",
          pa: page + (address & (size - 1n)),
          page: size,
          perm: "rwx",
          domain: 7,
          passthrough: false,
          global: false,
          // The device table entry, and one entry a level.
          reads: 1 + mode - level + 1,
        });
        // The pages on either side are not mapped, unless the address space ends there.
        const base = address & -size;
        for (const beside of [base - 1n, base + size]) {
          if (beside < 0n || beside >= 1n << BigInt(Math.min(64, 12 + 9 * mode))) continue;
          expect(iommu.ask(DEVICE, beside)).toMatchObject({ code: 0x2, reason: "PTE_FETCH", flags: 0 });
        }
      });

  it.each([1, 2, 3, 4, 5])("mode %i: an address beyond 12 + 9 * mode bits", (mode) => {
    const [iommu, tables] = withTables(mode);
    const width = BigInt(12 + 9 * mode);
    const last = (1n << width) - 1n;
    tables.map(last, 0x123_4000n, 12);
    expect(iommu.ask(DEVICE, last)).toMatchObject({ pa: 0x123_4fffn });
    for (let bit = width; bit < 64n; bit++)
      expect(iommu.ask(DEVICE, (1n << bit) | (last >> 1n), { access: "w" })).toMatchObject({
        code: 0x2,
        reason: "OOR_ADDRESS",
        stage: 2,
        flags: PRESENT | WRITE,
        reads: 1,
      });
  });

  it("ignores the address bits of a large page that lie inside it", () => {
    const [iommu, tables] = withTables(3);
    iommu.memory.write64(tables.entryAt(2, 0n), 0x1234_5000n | IR | IW | PR);
    expect(iommu.ask(DEVICE, 0x1_0fffn)).toMatchObject({ pa: 0x1221_0fffn, page: 0x20_0000n });
  });
});

describe("Next Level 7", () => {
  it("maps every power of two between the levels' own sizes", () => {
    for (let shift = 13; shift <= 51; shift++) {
      if ((shift - 12) % 9 === 0) continue;
      const [iommu, tables] = withTables(6);
      const size = 1n << BigInt(shift);
      const base = 0x5bcd_ef12_3456_7000n & -size;
      const page = 0x000a_bcde_f000_0000n & -size;
      tables.map(base, page, shift);
      for (const offset of [0n, 1n, size / 2n, size - 1n, 0x1234_5678_9abcn % size])
        expect(iommu.ask(DEVICE, base + offset), `2^${shift} + ${offset}`).toMatchObject({
          pa: page + offset,
          page: size,
        });
      expect(iommu.ask(DEVICE, base + size).result).toBe("fault");
    }
  });

  // From the specification's examples: a page of 8 KiB has bit 12 clear, of 16 KiB bits 13:12 = 01, and so on.
  it.each([
    [1, 0x0000_0000_1000_0e01n, 0x2000n, 0x1000_0000n],
    [1, 0x0000_0000_1000_1e01n, 0x4000n, 0x1000_0000n],
    [1, 0x0000_0000_1000_7e01n, 0x1_0000n, 0x1000_0000n],
    [2, 0x0000_0000_101f_fe01n, 0x40_0000n, 0x1000_0000n],
    [2, 0x0000_0000_400f_fe01n, undefined, 0n],
    [4, 0x0000_003f_ffff_fe01n, undefined, 0n],
    [4, 0x0000_017f_ffff_fe01n, 0x100_0000_0000n, 0x100_0000_0000n],
    [4, 0x0000_007f_ffff_fe01n, 0x100_0000_0000n, 0n],
  ])("at level %i, %i", (level, word, size, base) => {
    const [iommu, tables] = withTables(6);
    iommu.memory.write64(tables.entryAt(level, 0n), word | IR | IW);
    const seen = iommu.ask(DEVICE, 0x123n);
    if (size === undefined)
      expect(seen).toMatchObject({
        code: 0x2,
        reason: "BAD_PTE",
        flags: PRESENT,
        level,
        value: word | IR | IW,
      });
    else expect(seen).toMatchObject({ pa: base + 0x123n, page: size });
  });

  it("refuses a size outside the range of its level", () => {
    for (let level = 1; level <= 5; level++)
      for (let shift = 13; shift <= 52; shift++) {
        const [iommu, tables] = withTables(6);
        const word = (1n << BigInt(shift - 1)) - 1n;
        iommu.memory.write64(tables.entryAt(level, 0n), (word & ~0xfffn) | 0xe00n | IR | IW | PR);
        const own = 12 + 9 * (level - 1);
        const valid = shift > own && shift < own + 9;
        expect(iommu.ask(DEVICE, 0n).result, `level ${level}, 2^${shift}`).toBe(valid ? "ok" : "fault");
      }
  });

  it("refuses an address of all ones: no page is that large", () => {
    const [iommu, tables] = withTables(5);
    iommu.memory.write64(tables.entryAt(5, 0n), 0x000f_ffff_ffff_fe01n | IR | IW);
    expect(iommu.ask(DEVICE, 0n)).toMatchObject({ reason: "BAD_PTE", flags: PRESENT });
  });
});

describe("levels", () => {
  it("has no leaves at level 6", () => {
    for (const next of [0n, 7n]) {
      const [iommu, tables] = withTables(6);
      iommu.memory.write64(tables.root, (next << 9n) | IR | IW | PR);
      expect(iommu.ask(DEVICE, 0n)).toMatchObject({ reason: "BAD_PTE", flags: PRESENT, level: 6 });
    }
  });

  it("refuses a next level that is not below", () => {
    for (let level = 1; level <= 6; level++)
      for (let next = 1; next <= 6; next++) {
        const [iommu, tables] = withTables(6);
        const entry = tables.entryAt(level, 0n);
        iommu.memory.write64(entry, iommu.table() | (BigInt(next) << 9n) | IR | IW | PR);
        expect(iommu.ask(DEVICE, 0n), `level ${level} to ${next}`).toMatchObject(
          next < level
            ? { reason: "PTE_FETCH", level: next, flags: 0 }
            : { reason: "BAD_PTE", level, flags: PRESENT, entry },
        );
      }
  });

  it("skips levels whose address bits are zero, and refuses others", () => {
    for (const skip of [[2], [3], [2, 3], [4, 5], [2, 3, 4, 5], [2, 4]]) {
      const [iommu, tables] = withTables(6);
      let address = sampleAddress(6);
      for (const level of skip) address &= ~(0x1ffn << BigInt(12 + 9 * (level - 1)));
      tables.map(address, 0x77_7000n, 12, IR | IW, skip);
      expect(iommu.ask(DEVICE, address)).toMatchObject({
        pa: 0x77_7000n + (address & 0xfffn),
        reads: 7 - skip.length,
      });
      for (const level of skip)
        for (const bit of [0, 8])
          expect(iommu.ask(DEVICE, address | (1n << BigInt(12 + 9 * (level - 1) + bit)))).toMatchObject({
            code: 0x2,
            reason: "BAD_PTE",
            flags: PRESENT,
          });
    }
  });
});

describe("permissions", () => {
  const NAMES = { r: IR, w: IW, rw: IR | IW, x: IR } as const;

  it("are the AND of the device table entry and every level", () => {
    const both = [0n, IR, IW, IR | IW];
    for (const dte of both)
      for (const upper of both)
        for (const leaf of both)
          for (const access of ["r", "w", "rw", "x"] as const) {
            const [iommu, tables] = withTables(2, dte);
            tables.map(0x5000n, 0x9000n, 12, leaf);
            const entry = tables.root;
            iommu.memory.write64(entry, (iommu.memory.read64(entry) & ~(IR | IW)) | upper);
            const granted = dte & upper & leaf;
            const need = NAMES[access];
            const seen = iommu.ask(DEVICE, 0x5010n, { access });
            if ((need & ~granted) === 0n)
              expect(seen).toMatchObject({
                pa: 0x9010n,
                perm: `${granted & IR ? "r" : "-"}${granted & IW ? "w" : "-"}${granted & IR ? "x" : "-"}`,
              });
            else {
              // The walk ends where the first right is missing.
              const level = need & ~dte ? undefined : need & ~upper ? 2 : 1;
              expect(seen).toMatchObject({
                code: 0x2,
                reason: "PERMISSION",
                stage: 2,
                flags: PRESENT | DENIED | (need & IW ? WRITE : 0),
                reads: level === undefined ? 1 : 4 - level,
              });
              expect(seen.level).toBe(level);
            }
          }
  });

  it("are checked before a deeper entry is read", () => {
    const [iommu, tables] = withTables(2);
    iommu.memory.write64(tables.root, 0x0bad_0000_0000n | (1n << 9n) | IR | PR);
    expect(iommu.ask(DEVICE, 0n, { access: "w" })).toMatchObject({ code: 0x2, reason: "PERMISSION" });
    expect(iommu.ask(DEVICE, 0n)).toMatchObject({ code: 0x4 });
  });

  it("DTE_IR and DTE_IW stand where an entry's IR and IW do", () => {
    expect([DTE_IR, DTE_IW]).toEqual([IR, IW]);
  });
});

describe("reserved bits", () => {
  it.each([
    ["a leaf: 58:52", 1, [52, 53, 54, 55, 56, 57, 58]],
    ["a directory entry: 60:52, U and FC of leaves among them", 3, [52, 53, 54, 55, 56, 57, 58, 59, 60]],
  ])("of %s", (_, level, expected) => {
    const illegal: number[] = [];
    const [iommu, tables] = withTables(3);
    tables.map(0n, 0x9000n, 12);
    const entry = tables.entryAt(level, 0n);
    const word = iommu.memory.read64(entry);
    for (let bit = 1; bit < 64; bit++) {
      // Not the address and the next level, which say something else; nor IR and IW, which are set.
      if ((bit >= 9 && bit < 52) || bit === 61 || bit === 62) continue;
      iommu.memory.write64(entry, word | (1n << BigInt(bit)));
      const seen = iommu.ask(DEVICE, 0n);
      if (seen.result === "ok") continue;
      illegal.push(bit);
      expect(seen).toMatchObject({ code: 0x2, reason: "BAD_PTE", flags: PRESENT | RESERVED, level, entry });
    }
    expect(illegal).toEqual(expected);
  });

  it("address bits beyond output_bits", () => {
    const [iommu, tables] = withTables(2);
    tables.map(0n, 1n << 39n, 12);
    tables.map(PAGE, 1n << 40n, 12);
    expect(iommu.ask(DEVICE, PAGE)).toMatchObject({ pa: 1n << 40n });
    iommu.set({}, { output_bits: 40 });
    expect(iommu.ask(DEVICE, 0n)).toMatchObject({ pa: 1n << 39n });
    expect(iommu.ask(DEVICE, PAGE)).toMatchObject({ reason: "BAD_PTE", flags: PRESENT | RESERVED });
  });
});

describe("entries that cannot be read or are not present", () => {
  it("at the root and below it", () => {
    const [iommu, tables] = withTables(3);
    const far = 0x7_0000_0000_0000n;
    iommu.hostDevice(1, far, 3);
    expect(iommu.ask(1, 5n << 30n, { access: "w" })).toMatchObject({
      code: 0x4,
      name: "PAGE_TAB_HARDWARE_ERROR",
      reason: "PGD_FETCH",
      stage: 2,
      level: 3,
      entry: far + 40n,
      hole: true,
      flags: MASTER_ABORT | WRITE,
    });
    iommu.memory.write64(tables.entryAt(3, 0n), far | (2n << 9n) | IR | IW | PR);
    expect(iommu.ask(DEVICE, 3n << 21n)).toMatchObject({
      code: 0x4,
      reason: "WALK_EABT",
      level: 2,
      entry: far + 24n,
      flags: MASTER_ABORT,
    });
  });

  it("reports the entry that is not present, with its other bits", () => {
    const [iommu, tables] = withTables(4);
    const entry = tables.entryAt(2, 0x1234_5678_9000n);
    iommu.memory.write64(entry, 0xffff_ffff_ffff_fffen);
    expect(iommu.ask(DEVICE, 0x1234_5678_9000n, { access: "w" })).toMatchObject({
      code: 0x2,
      reason: "PTE_FETCH",
      stage: 2,
      level: 2,
      entry,
      value: 0xffff_ffff_ffff_fffen,
      flags: WRITE,
      hole: false,
    });
  });
});
