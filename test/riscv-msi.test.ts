import { describe, expect, it } from "vitest";
import { DTF, pointer, R, RiscvTable, SBE, SV39, TC_V, U, V } from "./support/riscv-builder.ts";
import { ALL_CAPABILITIES, RiscvIommu, type RiscvOptions } from "./support/riscv-iommu.ts";

/** Guest interrupt files at 0x2800_0000 and on: bits 12, 14 and 20 of the address number them. */
const MASK = (1n << 0n) | (1n << 2n) | (1n << 8n);
const PATTERN = 0x2_8000n;
const FILES = PATTERN << 12n;

/** Basic translate mode: V, M = 3. */
const basic = (pa: bigint) => ((pa >> 12n) << 10n) | 7n;

function setUp(options: RiscvOptions = {}, tc = 0n) {
  const iommu = new RiscvIommu(options);
  const second = new RiscvTable(iommu.memory, SV39, { x4: true, big: iommu.big, allocate: iommu.allocate });
  const table = iommu.allocate(4096);
  const device = (fsc = 0n, mask = MASK) =>
    iommu.device(1, {
      tc: TC_V | tc,
      iohgatp: pointer(8n, second.root) | (7n << 44n),
      fsc,
      msiptp: pointer(1n, table),
      mask,
      pattern: PATTERN,
    });
  device();
  const put = (file: number, first: bigint, last = 0n) => {
    iommu.put(table + BigInt(file * 16), first);
    iommu.put(table + BigInt(file * 16 + 8), last);
  };
  return { iommu, second, table, device, put };
}

describe("recognizing an interrupt file", () => {
  it("matches the pattern in all bits that the mask leaves, and numbers the file by the others", () => {
    const { iommu, put } = setUp();
    for (let file = 0; file < 8; file++) put(file, basic(0x5_0000_0000n + (BigInt(file) << 12n)));
    for (let file = 0; file < 8; file++) {
      const page = (file & 1 ? 1n << 12n : 0n) | (file & 2 ? 1n << 14n : 0n) | (file & 4 ? 1n << 20n : 0n);
      expect(iommu.walk(1, FILES | page | 0x344n, { access: "w" })).toMatchObject({
        result: "ok",
        pa: 0x5_0000_0344n + (BigInt(file) << 12n),
        page: 4096n,
        perm: "rw-",
        domain: 7,
        reads: 2,
      });
    }
    // Any other bit makes it an ordinary address, which nothing maps.
    for (let bit = 13; bit < 41; bit++)
      if (bit !== 14 && bit !== 20)
        expect(iommu.walk(1, FILES ^ (1n << BigInt(bit))), `bit ${bit}`).toMatchObject({
          code: 21,
          stage: 2,
        });
    // The pattern's own masked bits do not count.
    expect(iommu.walk(1, 1n << 60n)).toMatchObject({ code: 21, reason: "OOR_ADDRESS" });
  });

  it("ignores pattern bits under the mask", () => {
    const { iommu, put, table, second } = setUp();
    put(1, basic(0x9000n));
    iommu.device(1, {
      tc: TC_V,
      iohgatp: pointer(8n, second.root),
      msiptp: pointer(1n, table),
      mask: MASK,
      pattern: PATTERN | MASK,
    });
    expect(iommu.walk(1, FILES | 0x1000n)).toMatchObject({ pa: 0x9000n });
  });

  it("is off with msiptp.MODE Off", () => {
    const { iommu, second } = setUp();
    second.map(FILES, 0x6000n);
    iommu.device(1, { tc: TC_V, iohgatp: pointer(8n, second.root), mask: MASK, pattern: PATTERN });
    expect(iommu.walk(1, FILES)).toMatchObject({ pa: 0x6000n, perm: "rwx" });
  });

  it("is on without a second stage: step 18 asks for msiptp.MODE alone", () => {
    const { iommu, put, table } = setUp();
    put(0, basic(0x9000n));
    iommu.device(1, { tc: TC_V, msiptp: pointer(1n, table), mask: MASK, pattern: PATTERN });
    expect(iommu.walk(1, FILES | 0x10n, { access: "w" })).toMatchObject({ pa: 0x9010n, perm: "rw-" });
    expect(iommu.walk(1, FILES | 0x2000n)).toMatchObject({ pa: FILES | 0x2000n, passthrough: true });
  });

  it("looks at the address after the first stage, and never at table accesses", () => {
    const { iommu, second, device, put } = setUp();
    const host = iommu.allocate(4096);
    // The first stage's root lies at an interrupt file's guest address and is read as memory all the same.
    const first = new RiscvTable(iommu.memory, SV39, {
      allocate: (() => {
        let next = FILES;
        return () => {
          const at = next;
          next += 0x1000n;
          second.map(at, next === FILES + 0x1000n ? host : iommu.allocate(4096));
          return at;
        };
      })(),
      where: (address) => {
        const entry = second.read(second.entry(address, 1)!);
        return ((entry >> 10n) << 12n) | (address & 0xfffn);
      },
    });
    device(pointer(8n, first.root));
    first.map(0x7000n, FILES | 0x5000n, 1, V | R | U | (1n << 6n));
    put(3, basic(0xabc_d000n));
    expect(iommu.walk(1, 0x7010n)).toMatchObject({ result: "ok", pa: 0xabc_d010n, perm: "r--" });
    expect(iommu.walk(1, 0x7010n, { access: "w" })).toMatchObject({ code: 15, stage: 1 });
  });

  it("splits a superpage around it: no larger page than one without interrupt files", () => {
    const { iommu, second } = setUp();
    second.map(0n, 0x4000_0000n, 3);
    second.map(0x4000_0000n, 0x8000_0000n, 3);
    // 0x2800_0000 to 0x2810_5000 are files: 2 MiB around them are split into pages, its neighbours are whole.
    expect(iommu.walk(1, 0x2800_2000n)).toMatchObject({ pa: 0x6800_2000n, page: 0x1000n });
    expect(iommu.walk(1, 0x2820_0000n)).toMatchObject({ pa: 0x6820_0000n, page: 0x20_0000n });
    expect(iommu.walk(1, 0x5000_0000n)).toMatchObject({ pa: 0x9000_0000n, page: 0x4000_0000n });
  });
});

describe("the table", () => {
  it("is indexed beyond a frame, by an or with msiptp.PPN", () => {
    const { iommu, device, table } = setUp();
    device(0n, 0xfffn);
    const wide = iommu.allocate(0x1_0000);
    iommu.device(1, {
      tc: TC_V,
      iohgatp: pointer(8n, iommu.allocate(16384)),
      msiptp: pointer(1n, wide),
      mask: 0xfffn,
      pattern: PATTERN,
    });
    iommu.put(wide + 0xabcn * 16n, basic(0x1234_5000n));
    expect(iommu.walk(1, FILES | (0xabcn << 12n))).toMatchObject({ pa: 0x1234_5000n });
    // A root that is not aligned to the table's size: file 0x100 sets a bit that is set already.
    iommu.device(1, {
      tc: TC_V,
      iohgatp: pointer(8n, iommu.allocate(16384)),
      msiptp: pointer(1n, wide + 0x1000n),
      mask: 0xfffn,
      pattern: PATTERN,
    });
    iommu.put(wide + 0x1000n + 0x5n * 16n, basic(0x6666_6000n));
    expect(iommu.walk(1, FILES | (0x105n << 12n))).toMatchObject({ pa: 0x6666_6000n });
    expect(table).not.toBe(wide);
  });

  it("261: outside memory, or beyond PAS", () => {
    const { iommu, second } = setUp({}, DTF);
    const at = (address: bigint) =>
      iommu.device(1, {
        tc: TC_V | DTF,
        iohgatp: pointer(8n, second.root),
        msiptp: pointer(1n, address),
        mask: MASK,
        pattern: PATTERN,
      });
    at(0x66_0000_0000n);
    expect(iommu.walk(1, FILES | 0x1000n)).toMatchObject({
      code: 261,
      reason: "WALK_EABT",
      hole: true,
      entry: 0x66_0000_0010n,
      recorded: false,
      reads: 2,
    });
    iommu.state.props.set("pas", 38);
    iommu.reconfigure();
    expect(iommu.walk(1, FILES)).toMatchObject({ code: 261, hole: false, reads: 1 });
  });

  it("262: V comes before everything", () => {
    const { iommu, put, table } = setUp();
    put(0, ~1n, ~0n);
    expect(iommu.walk(1, FILES, { access: "x" })).toMatchObject({
      code: 262,
      reason: "PTE_FETCH",
      entry: table,
      value: BigInt.asUintN(64, ~1n),
    });
  });

  it("263: modes 0 and 2, the custom format, reserved bits", () => {
    const { iommu, put } = setUp();
    const good = basic(0x9000n);
    const codes = (first: bigint, last = 0n) => {
      put(0, first, last);
      return iommu.walk(1, FILES, { access: "w" }).code;
    };
    expect(codes(good, ~0n)).toBe(undefined);
    expect(codes(good & ~6n)).toBe(263);
    expect(codes((good & ~6n) | 4n)).toBe(263);
    expect(codes(good | (1n << 63n))).toBe(263);
    for (const bit of [3n, 9n, 54n, 62n]) expect(codes(good | (1n << bit))).toBe(263);
  });

  it("an interrupt file is not executable: cause 1", () => {
    const { iommu, put } = setUp();
    put(0, basic(0x9000n));
    expect(iommu.walk(1, FILES, { access: "x" })).toMatchObject({ code: 1, reason: "PERMISSION" });
    put(0, 3n);
    expect(iommu.walk(1, FILES, { access: "x" }).code).toBe(1);
    // But a misconfigured one is that first.
    put(0, 5n);
    expect(iommu.walk(1, FILES, { access: "x" }).code).toBe(263);
  });

  it("MRIF mode is an interrupt, not a translation", () => {
    const { iommu, put } = setUp();
    const mrif = 3n | (0x7fff_ffff_ffffn << 7n);
    const notice = (0xfff_ffff_ffffn << 10n) | 0x3ffn | (1n << 60n);
    put(0, mrif, notice);
    expect(iommu.walk(1, FILES, { access: "w" })).toMatchObject({ result: "msi", reads: 2 });
    for (const bit of [3n, 6n, 54n, 62n]) {
      put(0, mrif | (1n << bit), notice);
      expect(iommu.walk(1, FILES, { access: "w" }).code, `bit ${bit}`).toBe(263);
    }
    for (const bit of [54n, 59n, 61n, 63n]) {
      put(0, mrif, notice | (1n << bit));
      expect(iommu.walk(1, FILES, { access: "w" }).code, `second word, bit ${bit}`).toBe(263);
    }
  });

  it("MRIF mode needs capabilities.MSI_MRIF", () => {
    const { iommu, put } = setUp({ capabilities: ALL_CAPABILITIES & ~(1n << 23n) });
    put(0, 3n);
    expect(iommu.walk(1, FILES, { access: "w" }).code).toBe(263);
    put(0, basic(0x1000n));
    expect(iommu.walk(1, FILES, { access: "w" }).result).toBe("ok");
  });

  it("follows fctl.BE, not tc.SBE", () => {
    for (const fctl of [0n, 1n])
      for (const sbe of [0n, SBE]) {
        const { iommu, put } = setUp({ fctl }, sbe);
        put(2, basic(0x77_7777_7000n));
        expect(iommu.walk(1, FILES | (1n << 14n), { access: "rw" })).toMatchObject({ pa: 0x77_7777_7000n });
        put(2, basic(0x77_7777_7000n) | (1n << 9n));
        expect(iommu.walk(1, FILES | (1n << 14n)).code).toBe(263);
      }
  });

  it("extracts file numbers across the whole width of the page number", () => {
    const iommu = new RiscvIommu();
    const second = iommu.allocate(16384);
    const table = iommu.allocate(4096);
    // Bits 0, 31, 32 and 46 of the page number.
    const bits = [0n, 31n, 32n, 46n];
    iommu.device(1, {
      tc: TC_V,
      iohgatp: pointer(10n, second),
      msiptp: pointer(1n, table),
      mask: bits.reduce((mask, bit) => mask | (1n << bit), 0n),
      pattern: 0n,
    });
    for (let file = 0; file < 16; file++)
      iommu.put(table + BigInt(file * 16), basic(BigInt(file + 1) << 12n));
    for (let file = 0; file < 16; file++) {
      const page = bits.reduce((sum, bit, i) => sum | (file & (1 << i) ? 1n << bit : 0n), 0n);
      expect(iommu.walk(1, page << 12n)).toMatchObject({ pa: BigInt(file + 1) << 12n });
    }
  });
});

describe("a printed walk", () => {
  it("shows an MSI PTE in the format of its mode", () => {
    const { iommu, put } = setUp();
    const names: string[] = [];
    iommu.walker.tables.observer = { entry: (layout) => names.push(layout.name) };
    put(0, basic(0x1000n));
    iommu.walk(1, FILES);
    put(0, 3n);
    iommu.walk(1, FILES);
    expect(names.filter((name) => name.startsWith("MSI"))).toEqual([
      "MSI PTE, basic translate mode",
      "MSI PTE, MRIF mode",
    ]);
  });
});
