import { describe, expect, it } from "vitest";
import {
  A,
  D,
  FULL,
  G,
  GADE,
  leaf,
  N,
  PDTV,
  pageShift,
  pointer,
  putWord,
  R,
  RiscvTable,
  RWX,
  SADE,
  SCHEMES,
  SV32,
  SV39,
  SV48,
  SV57,
  SXL,
  TC_V,
  U,
  V,
  W,
  X,
} from "./support/riscv-builder.ts";
import { ALL_CAPABILITIES, RiscvIommu, type RiscvOptions } from "./support/riscv-iommu.ts";
import { stages } from "./support/riscv-stages.ts";

describe("first-stage faults", () => {
  it("input addresses: bits above the scheme's equal its highest; of Sv32 they are zero", () => {
    for (const [scheme, bits] of [
      [SV39, 39n],
      [SV48, 48n],
      [SV57, 57n],
    ] as const) {
      const { first, walk } = stages({ first: scheme });
      const half = 1n << (bits - 1n);
      first.map(half - 4096n, 0x1000n);
      first.map(BigInt.asUintN(64, -half), 0x2000n);
      expect(walk(half - 1n).pa).toBe(0x1fffn);
      expect(walk(BigInt.asUintN(64, -half)).pa).toBe(0x2000n);
      for (const bad of [half, BigInt.asUintN(64, -half - 1n), 1n << 63n, (1n << 63n) - 1n])
        expect(walk(bad, "w")).toMatchObject({ code: 15, reason: "OOR_ADDRESS", stage: 1, reads: 1 });
    }
    const { first, walk } = stages({ first: SV32 });
    first.map(0xffff_f000n, 0x3_ffff_f000n);
    expect(walk(0xffff_ffffn).pa).toBe(0x3_ffff_ffffn);
    for (const bad of [1n << 32n, 0xffff_ffff_ffff_f000n, 1n << 63n])
      expect(walk(bad, "x")).toMatchObject({ code: 12, reason: "OOR_ADDRESS" });
  });

  const va = 0x12_3456_7000n;
  const outcome = (entry: bigint, level = 1, tc = 0n, options: RiscvOptions = {}) => {
    const { first, walk } = stages({ first: SV48, tc, options });
    first.set(va, level, entry);
    return (["r", "w", "rw", "x"] as const).map((access) => {
      const out = walk(va, access);
      return out.result === "ok" ? "ok" : `${out.code} ${out.reason}`;
    });
  };
  const every = (reason: string) => [`13 ${reason}`, `15 ${reason}`, `15 ${reason}`, `12 ${reason}`];
  const page = (flags: bigint) => leaf(0x9000n, flags);

  it("validity, and reserved bits and encodings", () => {
    expect(outcome(page(FULL))).toEqual(["ok", "ok", "ok", "ok"]);
    expect(outcome(page(FULL & ~V))).toEqual(every("PTE_FETCH"));
    // W without R: also the shadow-stack encoding X = 0, R = 0, W = 1.
    expect(outcome(page(FULL & ~R))).toEqual(every("BAD_PTE"));
    expect(outcome(page(FULL & ~R & ~X))).toEqual(every("BAD_PTE"));
    for (const bit of [54n, 58n]) expect(outcome(page(FULL) | (1n << bit))).toEqual(every("BAD_PTE"));
    // RSW is software's.
    expect(outcome(page(FULL | (3n << 8n)))).toEqual(["ok", "ok", "ok", "ok"]);
  });

  it("Svpbmt: NC and IO are types, 3 is reserved, all are without the extension", () => {
    const nothing = { capabilities: ALL_CAPABILITIES & ~(1n << 15n) };
    for (const [type, good] of [
      [1n, true],
      [2n, true],
      [3n, false],
    ] as const) {
      const entry = page(FULL) | (type << 61n);
      expect(outcome(entry)[0]).toBe(good ? "ok" : "13 BAD_PTE");
      expect(outcome(entry, 1, 0n, nothing)[0]).toBe("13 BAD_PTE");
      // In a pointer they are reserved.
      expect(outcome(leaf(0x9000n, V) | (type << 61n), 2)).toEqual(every("BAD_PTE"));
    }
  });

  it("Svrsw60t59b: bits 60:59 are software's only with the extension", () => {
    const nothing = { capabilities: ALL_CAPABILITIES & ~(1n << 14n) };
    for (const bit of [59n, 60n]) {
      expect(outcome(page(FULL) | (1n << bit))[0]).toBe("ok");
      expect(outcome(page(FULL) | (1n << bit), 1, 0n, nothing)[0]).toBe("13 BAD_PTE");
    }
  });

  it("Svnapot: only PPN[3:0] = 8, and only at the lowest level", () => {
    for (let low = 0n; low < 16n; low++) {
      const seen = outcome(N | leaf(0x5_0000n + (low << 12n), FULL))[0];
      expect(seen).toBe(low === 8n ? "ok" : "13 BAD_PTE");
    }
    expect(outcome(N | leaf(0x4000_0000n, FULL), 3)).toEqual(every("BAD_PTE"));
    expect(outcome(N | leaf(0x4000_8000n, FULL), 2)).toEqual(every("BAD_PTE"));
    expect(outcome(N | leaf(0x9000n, V), 3)).toEqual(every("BAD_PTE"));
  });

  it("pointers: D, A and U are reserved; none may stand at the lowest level", () => {
    for (const bit of [D, A, U]) expect(outcome(leaf(0x9000n, V | bit), 3)).toEqual(every("BAD_PTE"));
    expect(outcome(page(V))).toEqual(every("BAD_PTE"));
  });

  it("misaligned superpages, by every bit below their size", () => {
    for (const level of [2, 3, 4])
      for (let bit = 12; bit < pageShift(SV48, level); bit++)
        expect(outcome(leaf(1n << BigInt(bit), FULL), level)[0]).toBe("13 BAD_PTE");
    for (const level of [2, 3, 4])
      expect(outcome(leaf(1n << BigInt(pageShift(SV48, level)), FULL), level)[0]).toBe("ok");
    const { first, walk } = stages({ first: SV57 });
    first.set(0n, 5, leaf(1n << 47n, FULL));
    first.set(1n << 48n, 5, leaf(1n << 48n, FULL));
    expect(walk(0n).code).toBe(13);
    expect(walk((1n << 48n) + 0x7fff_ffff_ffffn)).toMatchObject({
      pa: (1n << 48n) + 0x7fff_ffff_ffffn,
      page: 1n << 48n,
    });
  });

  it("rights: R, W, X, and U for requests that are not supervisor's", () => {
    const denied = (flags: bigint) => outcome(page(V | U | A | D | flags)).map((s) => s !== "ok");
    expect(denied(R)).toEqual([false, true, true, true]);
    expect(denied(R | W)).toEqual([false, false, false, true]);
    expect(denied(X)).toEqual([true, true, true, false]);
    expect(denied(R | X)).toEqual([false, true, true, false]);
    expect(outcome(page(V | RWX | A | D))).toEqual(every("PERMISSION"));
    expect(outcome(page(V | R | U | A | D))[1]).toBe("15 PERMISSION");
  });

  it("A and D: faults without SADE, none with it", () => {
    expect(outcome(page(FULL & ~A))).toEqual(every("ACCESS"));
    expect(outcome(page(FULL & ~D))).toEqual(["ok", "15 PERMISSION", "15 PERMISSION", "ok"]);
    expect(outcome(page(FULL & ~A & ~D), 1, SADE)).toEqual(["ok", "ok", "ok", "ok"]);
    // Hardware sets no bits for an access that the page does not allow.
    expect(outcome(page(V | R | U), 1, SADE)[1]).toBe("15 PERMISSION");
    // GADE is about the second stage.
    expect(outcome(page(FULL & ~A), 1, GADE)).toEqual(every("ACCESS"));
  });

  it("perm is what the walk grants: W not where D would stop it", () => {
    const perm = (flags: bigint, tc = 0n) => {
      const { first, walk } = stages({ first: SV39, tc });
      first.set(0n, 1, page(flags));
      return walk(0n).perm;
    };
    expect(perm(FULL)).toBe("rwx");
    expect(perm(FULL & ~D)).toBe("r-x");
    expect(perm(FULL & ~D, SADE)).toBe("rwx");
    expect(perm(V | R | U | A | D)).toBe("r--");
  });

  it("global: the leaf, or a pointer above it", () => {
    const { first, walk } = stages({ first: SV39 });
    first.map(0n, 0x1000n);
    first.map(0x1000n, 0x1000n, 1, FULL | G);
    first.map(1n << 30n, 0x1000n);
    expect(walk(0n).global).toBe(false);
    expect(walk(0x1000n).global).toBe(true);
    const at = first.entry(1n << 30n, 3)!;
    first.write(at, first.read(at) | G);
    expect(walk(1n << 30n).global).toBe(true);
  });

  it("unreadable tables: an access fault of the original access", () => {
    const { iommu, first, walk } = stages({ first: SV39 });
    first.set(va & ~0x3fff_ffffn, 3, leaf(0x77_0000_0000n, V));
    const at = 0x77_0000_0000n + ((va >> 21n) & 511n) * 8n;
    for (const [access, code] of [
      ["r", 5],
      ["w", 7],
      ["rw", 7],
      ["x", 1],
    ] as const)
      expect(walk(va, access)).toMatchObject({
        code,
        reason: "WALK_EABT",
        stage: 1,
        level: 2,
        hole: true,
        entry: at,
      });
    iommu.state.props.set("pas", 38);
    iommu.reconfigure();
    expect(walk(va)).toMatchObject({ code: 5, hole: false, entry: at, reads: 2 });
    iommu.device(1, { tc: TC_V, fsc: pointer(8n, 0x99_0000_0000n) });
    expect(walk(va)).toMatchObject({ code: 5, reason: "PGD_FETCH", level: 3 });
  });

  it("report the failing entry", () => {
    const { iommu, first, walk } = stages({ first: SV32 });
    first.set(0x1234_5000n, 1, leaf(0x3_ffff_f000n, V | R | U));
    const entry = first.entry(0x1234_5000n, 1)!;
    expect(walk(0x1234_5678n, "w")).toMatchObject({
      code: 15,
      level: 1,
      entry,
      value: (0x3f_ffffn << 10n) | V | R | U,
      reads: 3,
    });
    // The four bytes after an Sv32 entry belong to the next one.
    putWord(iommu.memory, entry + 4n, 4, 0xffff_ffffn, false);
    expect(walk(0x1234_5678n, "w").value).toBe((0x3f_ffffn << 10n) | V | R | U);
  });
});

describe("second-stage faults", () => {
  it("input addresses: zero above 41, 50, 59 bits, and above 34 with SXL", () => {
    for (const [scheme, bits] of [
      [SV32, 34n],
      [SV39, 41n],
      [SV48, 50n],
      [SV57, 59n],
    ] as const) {
      const { second, walk } = stages({ second: scheme });
      second.map((1n << bits) - 4096n, 0x1000n);
      expect(walk((1n << bits) - 1n).pa).toBe(0x1fffn);
      for (const bad of [1n << bits, 1n << 63n, (1n << 64n) - 1n])
        expect(walk(bad)).toMatchObject({ code: 21, reason: "OOR_ADDRESS", stage: 2, flags: 0, reads: 1 });
    }
    const { second, walk } = stages({ second: SV48, tc: SXL });
    second.map((1n << 34n) - 4096n, 0x1000n);
    second.map(1n << 34n, 0x2000n);
    expect(walk((1n << 34n) - 1n).pa).toBe(0x1fffn);
    expect(walk(1n << 34n)).toMatchObject({ code: 21, reason: "OOR_ADDRESS" });
  });

  it("the root has 16 KiB", () => {
    for (const scheme of SCHEMES) {
      const { second, walk } = stages({ second: scheme });
      const top = BigInt(pageShift(scheme, scheme.levels) + scheme.indexBits);
      for (const quarter of [0n, 1n, 2n, 3n]) {
        const gpa = (quarter << top) | (1n << (top - 1n));
        second.map(gpa, (quarter + 1n) << 12n);
        expect(walk(gpa)).toMatchObject({ pa: (quarter + 1n) << 12n });
      }
    }
  });

  const gpa = 0x1_2345_6000n;
  const outcome = (flags: bigint, tc = 0n) => {
    const { second, walk } = stages({ second: SV48, tc });
    second.set(gpa, 1, leaf(0x9000n, flags));
    return (["r", "w", "rw", "x"] as const).map((access) => {
      const out = walk(gpa, access);
      return out.result === "ok" ? "ok" : `${out.code} ${out.reason}`;
    });
  };
  const every = (reason: string) => [`21 ${reason}`, `23 ${reason}`, `23 ${reason}`, `20 ${reason}`];

  it("rights: every access is a user's, and G is ignored", () => {
    expect(outcome(FULL)).toEqual(["ok", "ok", "ok", "ok"]);
    expect(outcome(FULL | G)).toEqual(["ok", "ok", "ok", "ok"]);
    expect(outcome(FULL & ~U)).toEqual(every("PERMISSION"));
    expect(outcome(V | U | A | D | X)).toEqual(["21 PERMISSION", "23 PERMISSION", "23 PERMISSION", "ok"]);
    expect(outcome(FULL & ~V)).toEqual(every("PTE_FETCH"));
    expect(outcome(FULL & ~R)).toEqual(every("BAD_PTE"));
  });

  it("A and D: with GADE only", () => {
    expect(outcome(FULL & ~A)).toEqual(every("ACCESS"));
    expect(outcome(FULL & ~A, SADE)).toEqual(every("ACCESS"));
    expect(outcome(FULL & ~D)).toEqual(["ok", "23 PERMISSION", "23 PERMISSION", "ok"]);
    expect(outcome(FULL & ~A & ~D, GADE)).toEqual(["ok", "ok", "ok", "ok"]);
  });

  it("of a supervisor's request: still a user's access", () => {
    const iommu = new RiscvIommu();
    const second = new RiscvTable(iommu.memory, SV39, { x4: true, allocate: iommu.allocate });
    const directory = iommu.allocate(4096);
    second.map(directory, directory);
    second.map(gpa, 0x1000n);
    iommu.process(directory, 1, 1, V | 2n, 0n);
    iommu.device(1, {
      tc: TC_V | PDTV,
      iohgatp: pointer(8n, second.root),
      fsc: pointer(1n, directory),
    });
    expect(iommu.walk(1, gpa, { pasid: 1, priv: true })).toMatchObject({ pa: 0x1000n });
  });

  it("nested: at the guest physical address, with the original access", () => {
    const { first, second, walk } = stages({ first: SV39, second: SV48 });
    first.map(0x7000n, gpa);
    expect(walk(0x7abcn, "w")).toMatchObject({
      code: 23,
      stage: 2,
      reason: "PTE_FETCH",
      faultAddr: gpa + 0xabcn,
      flags: 0,
    });
    second.map(gpa, 0x1000n, 1, V | R | U | A);
    expect(walk(0x7abcn)).toMatchObject({ pa: 0x1abcn, perm: "r--" });
    // A table page that the second stage does not map: an implicit read, with the original access's code.
    first.set(1n << 30n, 3, leaf(0x66_6000n, V));
    expect(walk((1n << 30n) + (5n << 21n), "x")).toMatchObject({
      code: 20,
      stage: 2,
      faultAddr: 0x66_6000n + 40n,
      flags: 1,
    });
    // One it maps without R, and one that is execute-only.
    second.map(0x66_6000n, 0x1000n, 1, V | X | U | A | D);
    expect(walk(1n << 30n)).toMatchObject({ code: 21, reason: "PERMISSION" });
    // One it maps to nowhere: the first stage's access fault.
    first.set(2n << 30n, 3, leaf(0x77_7000n, V));
    second.map(0x77_7000n, 0x66_0000_0000n);
    expect(walk(2n << 30n)).toMatchObject({ code: 5, stage: 1, level: 2, hole: true });
    // A second-stage table nowhere: the second stage's, still of the original access.
    first.set(3n << 30n, 3, leaf(5n << 39n, V));
    second.set(5n << 39n, 4, leaf(0x66_0000_0000n, V));
    expect(walk(3n << 30n, "w")).toMatchObject({ code: 7, stage: 2, level: 3, hole: true });
  });

  it("a first-stage address beyond the second's range", () => {
    const { first, walk } = stages({ first: SV39, second: SV39 });
    first.map(0x7000n, 1n << 41n);
    expect(walk(0x7000n)).toMatchObject({ code: 21, reason: "OOR_ADDRESS", faultAddr: 1n << 41n });
  });
});

describe("updates of A and D in the first stage are stores through the second", () => {
  /** One nested page, its first-stage entry with some flags, that entry's table with others in the second stage. */
  const nested = (entry: bigint, tableFlags: bigint, tc: bigint, access: "r" | "w") => {
    const { iommu, first, second, walk } = stages({ first: SV39, second: SV39, tc, guest: 0x4000_0000n });
    second.map(0x7000n, 0x1000n);
    first.set(0x5000n, 1, leaf(0x7000n, entry));
    const at = second.entry(0x4000_2000n, 1)!;
    second.write(at, (second.read(at) & ~0xffn) | tableFlags);
    expect(iommu.big).toBe(false);
    return walk(0x5000n, access);
  };
  const clean = FULL & ~A & ~D;

  it("which needs W, and D or GADE", () => {
    expect(nested(clean, FULL, SADE, "r").result).toBe("ok");
    expect(nested(clean, FULL & ~D, SADE | GADE, "r").result).toBe("ok");
    for (const flags of [V | R | U | A | D, FULL & ~D])
      expect(nested(clean, flags, SADE, "r")).toMatchObject({
        code: 21,
        stage: 2,
        level: 1,
        reason: "PERMISSION",
        faultAddr: 0x4000_2000n + 5n * 8n,
        flags: 3,
      });
    expect(nested(clean, V | R | U | A | D, SADE | GADE, "w")).toMatchObject({ code: 23, flags: 3 });
    // D alone, for a write.
    expect(nested(FULL & ~D, V | R | U | A, SADE, "w")).toMatchObject({ code: 23, flags: 3 });
  });

  it("and is not needed where both are set already, or not asked for", () => {
    expect(nested(FULL, V | R | U | A, SADE, "w").result).toBe("ok");
    expect(nested(FULL, FULL & ~D, SADE, "r").result).toBe("ok");
    // A read leaves D alone; but then no write is granted.
    expect(nested(FULL & ~D, V | R | U | A, SADE, "r")).toMatchObject({ result: "ok", perm: "r-x" });
    expect(nested(FULL & ~D, FULL, SADE, "r")).toMatchObject({ result: "ok", perm: "rwx" });
    // Without SADE it is the first stage's own fault.
    expect(nested(clean, FULL, GADE, "r")).toMatchObject({ code: 13, stage: 1, reason: "ACCESS" });
  });
});
