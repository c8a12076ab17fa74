import { describe, expect, it } from "vitest";
import {
  AmdIommu,
  type Ask,
  DTE_GIOV,
  DTE_IR,
  DTE_IW,
  EFR_ALL,
  EVENT_LOG_EN,
  G,
  GCR3_TRP_MODE,
  GT_EN,
  IOMMU_EN,
  IR,
  IW,
  NX,
  P,
  PAGE,
  PR,
  RW,
  US,
} from "./support/amd-iommu.ts";
import { Gcr3Tables, GuestTables, guestSpace, systemSpace, V1Tables } from "./support/amd-tables.ts";

const FLAG = { GN: 1, NX: 2, US: 4, PR: 0x10, RW: 0x20, PE: 0x40, RZ: 0x80, MASTER_ABORT: 0x200 };
const DEVICE = 0x42;
const ENABLED = IOMMU_EN | EVENT_LOG_EN | GT_EN;
/** Where guest-physical tables and pages are: far from each other and from system memory. */
const GPA_TABLES = 0x4_0000_0000n;
const GPA_PAGE = 0x5_4000_0000n;
const GVA = 0x0000_3456_789a_bcden;

interface Setup {
  readonly iommu: AmdIommu;
  readonly host: V1Tables | null;
  readonly gcr3: Gcr3Tables;
  readonly guest: GuestTables;
  readonly ask: (address: bigint, how?: Ask) => ReturnType<AmdIommu["ask"]>;
}

/** A device with one PASID. Nested, guest tables are guest-physical, and `GPA_PAGE` is not mapped yet. */
function setup(options: {
  glx?: number;
  levels?: 4 | 5;
  nested?: boolean;
  pasid?: number;
  or0?: bigint;
  mode?: number;
}): Setup {
  const { glx = 0, levels = 4, nested = false, pasid = 3 } = options;
  const iommu = new AmdIommu({ efr: EFR_ALL, control: ENABLED | GCR3_TRP_MODE });
  const host = nested ? new V1Tables(iommu, options.mode ?? 4) : null;
  const space = host === null ? systemSpace(iommu) : guestSpace(iommu, host, GPA_TABLES);
  const gcr3 = new Gcr3Tables(iommu, space, glx);
  const guest = new GuestTables(iommu, space, levels);
  gcr3.set(pasid, guest);
  iommu.guestDevice(DEVICE, gcr3.root, glx, {
    levels,
    ...(host === null ? {} : { root: host.root, mode: host.mode }),
    ...(options.or0 === undefined ? {} : { or0: options.or0 }),
  });
  const ask = (address: bigint, how: Ask = {}) => iommu.ask(DEVICE, address, { pasid, ...how });
  return { iommu, host, gcr3, guest, ask };
}

describe("guest CR3 tables, guest tables, flat and nested", () => {
  for (const glx of [0, 1, 2])
    for (const levels of [4, 5] as const)
      for (const shift of [12, 21, 30] as const)
        it(`GLX ${glx}, ${levels} levels, 2^${shift} pages`, () => {
          const pasid = [0x1a5, 0x2_a5f3, 0xf_a5f3][glx]!;
          const address = levels === 5 ? 0x00ab_cdef_3456_789an : GVA;
          const size = 1n << BigInt(shift);
          const page = 0xf_edcb_4321_f000n & -size;
          const flat = setup({ glx, levels, pasid });
          flat.guest.map(address, page, shift, RW | US);
          const walk = levels - (shift - 12) / 9;
          expect(flat.ask(address, { access: "rw" })).toEqual({
            result: "ok",
            pa: page + (address & (size - 1n)),
            page: size,
            perm: "rwx",
            domain: 7,
            passthrough: false,
            global: false,
            reads: 1 + glx + 1 + walk,
          });
          const negative = BigInt.asUintN(64, -size);
          flat.guest.map(negative, 0n, shift, RW | US);
          expect(flat.ask(negative + 5n)).toMatchObject({ pa: 5n });
          expect(flat.ask(address, { pasid: pasid ^ 1 })).toMatchObject({ reason: "PASID_INVALID" });

          for (const hostShift of [12, 16, 21]) {
            const nested = setup({ glx, levels, pasid, nested: true });
            nested.guest.map(address, GPA_PAGE, shift, RW | US);
            const gpa = GPA_PAGE + (address & (size - 1n));
            nested.host!.map(gpa, 0x7_6543_2000_0000n, hostShift);
            const hostSize = 1n << BigInt(hostShift);
            const hostReads = hostShift === 21 ? 3 : 4;
            expect(nested.ask(address, { access: "rw" })).toMatchObject({
              pa: 0x7_6543_2000_0000n + (gpa & (hostSize - 1n)),
              page: hostSize < size ? hostSize : size,
              // Every guest-physical fetch takes four host reads before it.
              reads: 1 + (glx + 1 + walk) * 5 + hostReads,
            });
          }
        });
});

describe("PASID range", () => {
  it.each([
    [0, 511],
    [1, 0x3_ffff],
    [2, 0xf_ffff],
  ])("GLX %i reaches PASID %i", (glx, last) => {
    const s = setup({ glx, pasid: last });
    s.guest.map(GVA, 0n, 12, RW | US);
    expect(s.ask(GVA).result).toBe("ok");
    if (last !== 0xf_ffff)
      expect(s.ask(GVA, { pasid: last + 1, access: "w" })).toMatchObject({
        code: 0x2,
        reason: "PASID_INVALID",
        flags: FLAG.GN | FLAG.US | FLAG.RW,
        reads: 1,
        stage: 0,
      });
  });

  it("EFR.PASMax and pasid_bits bound it", () => {
    const s = setup({ glx: 1, pasid: 0x7fff });
    s.guest.map(GVA, 0n, 12, RW | US);
    s.gcr3.set(0x8000, s.guest);
    expect(s.ask(GVA, { pasid: 0x8000 }).result).toBe("ok");
    s.iommu.set({ efr: (EFR_ALL & ~(31n << 32n)) | (14n << 32n) });
    expect(s.ask(GVA).result).toBe("ok");
    expect(s.ask(GVA, { pasid: 0x8000 })).toMatchObject({ reason: "PASID_INVALID", reads: 1 });
    s.iommu.set({}, { pasid_bits: 16 });
    expect(s.ask(GVA, { pasid: 0x8000 }).result).toBe("ok");
  });
});

describe("guest CR3 table faults", () => {
  for (const nested of [false, true])
    for (let level = 0; level <= 2; level++)
      it(`level ${level + 1}${nested ? ", nested" : ""}`, () => {
        const pasid = 0x5_1234;
        const s = setup({ glx: 2, pasid, nested });
        const entry = s.gcr3.entryAt(level, pasid);
        const word = s.iommu.memory.read64(entry);
        s.iommu.memory.write64(entry, word & ~1n);
        expect(s.ask(GVA)).toMatchObject({
          code: 0x2,
          reason: "PASID_INVALID",
          stage: 0,
          flags: FLAG.GN | FLAG.US,
          entry,
          value: word & ~1n,
        });
        if (nested) {
          s.iommu.memory.write64(entry, 0x1111_1000n | 1n);
          // What the entry points to is not in the host tables.
          const index = level === 0 ? (GVA >> 39n) & 511n : BigInt((pasid >> (9 * (level - 1))) & 511);
          expect(s.ask(GVA)).toMatchObject({
            code: 0x2,
            reason: "PTE_FETCH",
            stage: 2,
            flags: FLAG.GN | FLAG.US,
            faultAddr: 0x1111_1000n + index * 8n,
          });
        } else if (level > 0) {
          s.iommu.memory.write64(entry, 0x8_0000_0000_0000n | 1n);
          expect(s.ask(GVA, { access: "w" })).toMatchObject({
            code: 0x4,
            reason: "PASID_FETCH",
            stage: 0,
            flags: FLAG.GN | FLAG.MASTER_ABORT | FLAG.RW,
            hole: true,
            entry: 0x8_0000_0000_0000n + BigInt((pasid >> (9 * (level - 1))) & 511) * 8n,
          });
        }
      });
});

describe("GCR3TRPMode", () => {
  it("says whether the root pointer is guest- or system-physical; what it points to is always guest-physical", () => {
    for (const glx of [0, 1, 2]) {
      const pasid = 0x51;
      const s = setup({ glx, nested: true, pasid });
      s.guest.map(GVA, GPA_PAGE, 12, RW | US);
      s.host!.map(GPA_PAGE, 0x1234_5000n, 12);
      expect(s.ask(GVA)).toMatchObject({ pa: 0x1234_5cden });
      const root = s.gcr3.entryAt(glx, 0) & -PAGE;
      s.iommu.guestDevice(DEVICE, root, glx, { root: s.host!.root, mode: 4 });
      s.iommu.engine.drop();
      expect(s.ask(GVA)).toMatchObject({
        code: 0x2,
        stage: 2,
        reason: "PTE_FETCH",
        faultAddr: root + BigInt(glx === 0 ? pasid * 8 : 0),
      });
      s.iommu.set({ control: ENABLED });
      expect(s.ask(GVA)).toMatchObject({ pa: 0x1234_5cden, reads: 1 + 1 + (glx + 4) * 5 + 4 });
      // The mode bit means nothing on an IOMMU without the feature.
      s.iommu.set({ control: ENABLED | GCR3_TRP_MODE, efr2: 0n });
      expect(s.ask(GVA)).toMatchObject({ pa: 0x1234_5cden });
      s.iommu.set({ efr2: 8n });
      expect(s.ask(GVA).result).toBe("fault");
    }
  });
});

describe("requests without PASID", () => {
  it("use PASID 0 with GIOV, the host tables alone without", () => {
    for (const nested of [false, true]) {
      const with0 = setup({ pasid: 0, or0: DTE_GIOV, nested });
      with0.guest.map(GVA, GPA_PAGE, 12, RW | US);
      with0.host?.map(GPA_PAGE, 0x9000n, 12);
      const pa = (nested ? 0x9000n : GPA_PAGE) + 0xcden;
      expect(with0.iommu.ask(DEVICE, GVA)).toMatchObject({ pa, passthrough: false });
      // Privilege comes with a PASID only.
      with0.guest.map(GVA, GPA_PAGE, 12, RW);
      expect(with0.iommu.ask(DEVICE, GVA, { priv: true })).toMatchObject({
        reason: "PERMISSION",
        flags: FLAG.GN | FLAG.US | FLAG.PR | FLAG.PE,
      });
      expect(with0.iommu.ask(DEVICE, GVA, { priv: true, pasid: 0 })).toMatchObject({ pa });

      const without = setup({ pasid: 0, nested });
      without.guest.map(GVA, GPA_PAGE, 12, RW | US);
      without.host?.map(GVA, 0x9000n, 12);
      expect(without.iommu.ask(DEVICE, GVA)).toMatchObject(
        nested ? { pa: 0x9cden, page: PAGE } : { pa: GVA, passthrough: true },
      );
    }
  });
});

describe("guest table faults", () => {
  it("not present, at every level", () => {
    for (const levels of [4, 5] as const)
      for (const nested of [false, true])
        for (let level = 1; level <= levels; level++) {
          const s = setup({ levels, nested });
          s.guest.map(GVA, GPA_PAGE, 12, RW | US);
          const entry = s.guest.physicalEntry(level, GVA);
          s.iommu.memory.write64(entry, 0xfffn & ~P);
          expect(s.ask(GVA, { access: "w", priv: true })).toMatchObject({
            code: 0x2,
            reason: "PTE_FETCH",
            stage: 1,
            level,
            entry,
            value: 0xffen,
            flags: FLAG.GN | FLAG.RW,
          });
        }
  });

  it("unreadable root and lower tables", () => {
    const s = setup({});
    const far = 0x9_0000_0000_0000n;
    s.guest.map(GVA, GPA_PAGE, 12, RW | US);
    s.iommu.memory.write64(s.guest.physicalEntry(2, GVA), far | 7n);
    expect(s.ask(GVA)).toMatchObject({
      code: 0x4,
      reason: "WALK_EABT",
      stage: 1,
      level: 1,
      flags: FLAG.GN | FLAG.MASTER_ABORT,
    });
    s.iommu.memory.write64(s.gcr3.entryAt(0, 3), far | 1n);
    expect(s.ask(GVA)).toMatchObject({
      code: 0x4,
      reason: "PGD_FETCH",
      stage: 1,
      level: 4,
      entry: far + ((GVA >> 39n) & 511n) * 8n,
    });
  });

  it("reserved bits: page size at levels 4 and 5, and low address bits of large pages", () => {
    for (const [levels, level, bits] of [
      [4, 4, 0x80n],
      [5, 5, 0x80n],
      [4, 2, 0x80n | 0x2000n],
      [4, 2, 0x80n | 0x10_0000n],
      [4, 3, 0x80n | 0x2000_0000n],
    ] as const) {
      const s = setup({ levels });
      s.guest.map(GVA, GPA_PAGE, 12, RW | US);
      s.iommu.memory.write64(s.guest.physicalEntry(level, GVA), GPA_PAGE | bits | US | RW | P);
      expect(s.ask(GVA)).toMatchObject({
        code: 0x2,
        reason: "BAD_PTE",
        stage: 1,
        level,
        flags: FLAG.GN | FLAG.US | FLAG.PR | FLAG.RZ,
      });
    }
  });

  it("a non-canonical address", () => {
    for (const [levels, width] of [
      [4, 48n],
      [5, 57n],
    ] as const) {
      const s = setup({ levels });
      s.guest.map((1n << (width - 1n)) - 1n, 0x8000n, 12, US | RW);
      s.guest.map(BigInt.asUintN(64, -(1n << (width - 1n))), 0x9000n, 12, US | RW);
      expect(s.ask((1n << (width - 1n)) - 1n)).toMatchObject({ pa: 0x8fffn });
      expect(s.ask(BigInt.asUintN(64, -(1n << (width - 1n))))).toMatchObject({ pa: 0x9000n });
      for (const address of [1n << (width - 1n), 1n << 63n, BigInt.asUintN(64, ~(1n << width))])
        expect(s.ask(address)).toMatchObject({
          code: 0x2,
          reason: "OOR_ADDRESS",
          stage: 1,
          flags: FLAG.GN | FLAG.US | FLAG.PR,
        });
    }
  });

  it("extends no sign where a request has no PASID", () => {
    for (const [levels, width] of [
      [4, 48n],
      [5, 57n],
    ] as const) {
      const s = setup({ levels, pasid: 0, or0: DTE_GIOV });
      const half = 1n << (width - 1n);
      s.guest.map(half, 0x8000n, 12, US | RW);
      s.guest.map((1n << width) - PAGE, 0x9000n, 12, US | RW);
      const withoutPasid = (address: bigint) => s.iommu.ask(DEVICE, address);
      expect(withoutPasid(half)).toMatchObject({ pa: 0x8000n });
      expect(withoutPasid((1n << width) - 1n)).toMatchObject({ pa: 0x9fffn });
      for (const address of [1n << width, 1n << 63n, BigInt.asUintN(64, -half)])
        expect(withoutPasid(address)).toMatchObject({ reason: "OOR_ADDRESS", stage: 1 });
      // The same page, by a request with PASID.
      expect(s.ask(BigInt.asUintN(64, -half))).toMatchObject({ pa: 0x8000n });
      expect(s.ask(half)).toMatchObject({ reason: "OOR_ADDRESS", stage: 1 });
    }
  });

  it("address bits beyond output_bits are reserved in flat tables, and the host's business in nested ones", () => {
    const s = setup({});
    s.guest.map(GVA, 1n << 41n, 12, RW | US);
    s.iommu.set({}, { output_bits: 41 });
    expect(s.ask(GVA)).toMatchObject({ reason: "BAD_PTE", flags: FLAG.GN | FLAG.US | FLAG.PR | FLAG.RZ });
    const nested = setup({ nested: true });
    nested.guest.map(GVA, 1n << 41n, 12, RW | US);
    nested.host!.map(1n << 41n, 0x9000n, 12);
    nested.iommu.set({}, { output_bits: 41 });
    expect(nested.ask(GVA)).toMatchObject({ pa: 0x9cden });
  });
});

describe("guest permissions", () => {
  const rightsOf = (bits: bigint) => (bits & RW ? "w" : "") + (bits & US ? "u" : "") + (bits & NX ? "n" : "");
  const choices = [0n, RW, US, RW | US, NX, RW | US | NX, US | NX];

  it("are taken together over all levels; execute needs NX clear on all", () => {
    for (const upper of choices)
      for (const leaf of choices)
        for (const access of ["r", "w", "rw", "x"] as const)
          for (const priv of [false, true]) {
            const s = setup({});
            s.guest.map(GVA, 0x9000n, 12, leaf, upper);
            const writable = (upper & leaf & RW) !== 0n;
            const user = (upper & leaf & US) !== 0n;
            const noExecute = ((upper | leaf) & NX) !== 0n;
            const denied = (access.includes("w") && !writable) || (!priv && !user);
            const seen = s.ask(GVA, { access, priv });
            // The highest entry that denies is the one to look at.
            const right = !priv && !user ? US : access.includes("w") && !writable ? RW : 0n;
            const above = right === 0n ? (upper & NX) !== 0n : (upper & right) === 0n;
            const label = `${rightsOf(upper)}/${rightsOf(leaf)} ${access} ${priv}`;
            if (denied || (access === "x" && noExecute))
              expect(seen, label).toMatchObject({
                code: 0x2,
                reason: "PERMISSION",
                stage: 1,
                level: above ? 4 : 1,
                flags:
                  FLAG.GN |
                  FLAG.PR |
                  FLAG.PE |
                  (priv ? 0 : FLAG.US) |
                  (access.includes("w") ? FLAG.RW : 0) |
                  (access === "x" && noExecute ? FLAG.NX : 0),
              });
            else
              expect(seen, label).toMatchObject({
                pa: 0x9cden,
                perm: `r${writable ? "w" : "-"}${noExecute ? "-" : "x"}`,
              });
          }
  });

  it("without NXSup, NX is ignored; without USSup, every request is a user's", () => {
    const s = setup({});
    s.guest.map(GVA, 0x9000n, 12, US | NX);
    expect(s.ask(GVA, { access: "x" }).result).toBe("fault");
    s.iommu.set({}, { nxsup: 0 });
    expect(s.ask(GVA, { access: "x" })).toMatchObject({ pa: 0x9cden, perm: "r-x" });
    s.guest.map(GVA, 0x9000n, 12, RW);
    expect(s.ask(GVA, { priv: true }).result).toBe("ok");
    s.iommu.set({}, { ussup: false });
    expect(s.ask(GVA, { priv: true })).toMatchObject({
      reason: "PERMISSION",
      flags: FLAG.GN | FLAG.US | FLAG.PR | FLAG.PE,
    });
  });

  it("come before the host's, which come with the device table entry's", () => {
    const s = setup({ nested: true });
    s.guest.map(GVA, GPA_PAGE, 12, US);
    expect(s.ask(GVA, { access: "w" })).toMatchObject({ reason: "PERMISSION", stage: 1 });
    expect(s.ask(GVA)).toMatchObject({ reason: "PTE_FETCH", stage: 2, faultAddr: GPA_PAGE + 0xcden });
    s.host!.map(GPA_PAGE, 0x9000n, 12, IW);
    expect(s.ask(GVA)).toMatchObject({
      code: 0x2,
      reason: "PERMISSION",
      stage: 2,
      level: 1,
      flags: FLAG.GN | FLAG.US | FLAG.PR | FLAG.PE,
      faultAddr: GPA_PAGE + 0xcden,
    });
    s.host!.map(GPA_PAGE, 0x9000n, 12, IR);
    s.guest.map(GVA, GPA_PAGE, 12, US | RW);
    expect(s.ask(GVA)).toMatchObject({ pa: 0x9cden, perm: "r-x" });
  });

  it("flat, IR and IW of the device table entry still count", () => {
    const s = setup({});
    s.guest.map(GVA, 0x9000n, 12, RW | US);
    const word = s.iommu.memory.read64(s.iommu.dteAddress(DEVICE));
    s.iommu.memory.write64(s.iommu.dteAddress(DEVICE), word & ~DTE_IW);
    expect(s.ask(GVA)).toMatchObject({ perm: "r-x" });
    expect(s.ask(GVA, { access: "w" })).toMatchObject({ reason: "PERMISSION", stage: 0 });
    s.iommu.memory.write64(s.iommu.dteAddress(DEVICE), word & ~DTE_IR);
    expect(s.ask(GVA, { access: "w" })).toMatchObject({ perm: "-w-" });
  });

  it("a global leaf is marked", () => {
    const s = setup({});
    s.guest.map(GVA, 0x9000n, 12, US | G);
    expect(s.ask(GVA)).toMatchObject({ global: true });
  });
});

describe("host faults under a guest walk", () => {
  it("a fetch of a guest table that the host tables do not let be read", () => {
    const s = setup({ nested: true });
    s.guest.map(GVA, GPA_PAGE, 12, RW | US);
    const gpa = s.guest.entryAt(2, GVA, 6n);
    const entry = s.host!.entryAt(1, gpa);
    const word = s.iommu.memory.read64(entry);
    for (const [broken, expected] of [
      [word & ~PR, { reason: "PTE_FETCH", flags: FLAG.GN | FLAG.US | FLAG.RW }],
      [word & ~IR, { reason: "PERMISSION", flags: FLAG.GN | FLAG.US | FLAG.RW | FLAG.PR | FLAG.PE }],
      [word | (1n << 52n), { reason: "BAD_PTE", flags: FLAG.GN | FLAG.US | FLAG.RW | FLAG.PR | FLAG.RZ }],
      [word | (3n << 9n), { reason: "BAD_PTE", flags: FLAG.GN | FLAG.US | FLAG.RW | FLAG.PR }],
    ] as const) {
      s.iommu.memory.write64(entry, broken);
      expect(s.ask(GVA, { access: "w" })).toMatchObject({
        code: 0x2,
        stage: 2,
        level: 1,
        faultAddr: gpa,
        entry,
        value: broken,
        ...expected,
      });
    }
    // Reading a table needs no write permission.
    s.iommu.memory.write64(entry, word & ~IW);
    s.host!.map(GPA_PAGE, 0x9000n, 12);
    expect(s.ask(GVA, { access: "w" })).toMatchObject({ pa: 0x9cden });
  });

  it("a guest-physical address beyond the host tables", () => {
    const s = setup({ nested: true, mode: 3 });
    s.guest.map(GVA, 1n << 39n, 12, RW | US);
    expect(s.ask(GVA)).toMatchObject({
      code: 0x2,
      reason: "OOR_ADDRESS",
      stage: 2,
      faultAddr: (1n << 39n) + 0xcden,
      flags: FLAG.GN | FLAG.US | FLAG.PR,
    });
  });
});
