import { describe, expect, it } from "vitest";
import {
  covered,
  type Format,
  type Place,
  Radix,
  Scenario,
  VTD_SECOND,
  X86_64,
} from "./support/cache-scenario.ts";

const ROOT = 0x10_0000n;
const CONTEXTS = 0x10_1000n;
const SCALABLE = 0x400n;

const A = 0x1000_0000n;
const B = 0x1000_1000n;
const C = 0x1000_3000n;
const LARGE = 0x4000_0000n;

const DEV = "00:03.0";
const SID = 0x18n;

/** Device 00:03.0 in scalable mode, its PASID table, and RID_PASID 7. */
class Scalable extends Scenario {
  readonly directory = this.allocate();
  readonly pasids = this.allocate();
  #pages = 0x8000_0000n;

  constructor(regs: Readonly<Record<string, bigint>> = {}) {
    super("intel", { rtaddr: ROOT | SCALABLE, ...regs });
    this.put(ROOT, CONTEXTS | 1n);
    this.context(this.directory);
    this.put(this.directory, this.pasids | 1n);
  }

  /** Scalable-mode context entry: P, PASIDE; RID_PASID 7. */
  context(directory: bigint, dev = SID): void {
    this.put(CONTEXTS + dev * 32n, directory | 9n, 7n, 0n, 0n);
  }

  /** PGTT 1 first, 2 second, 3 nested; AW of 4 levels. */
  entry(pasid: number, did: bigint, first: Radix | null, second: Radix | null, table = this.pasids): void {
    const type = first === null ? 2n : second === null ? 1n : 3n;
    const at = table + BigInt(pasid) * 64n;
    this.put(at, (second?.root ?? 0n) | (type << 6n) | 8n | 1n, did, first?.root ?? 0n, 0n);
  }

  page(): bigint {
    this.#pages += 0x1000n;
    return this.#pages;
  }

  /** A page of a table, used with a PASID. */
  place(table: Radix, addr: bigint, pasid: number | undefined, level = 1): Place {
    const old = level === 1 ? this.page() : 0xc000_0000n + (((addr >> 21n) << 21n) % 0x1000_0000n);
    table.map(addr, old, level);
    const offset = level === 1 ? 0n : 0x5000n;
    return {
      request: { dev: DEV, pasid, addr: addr + offset },
      old: old + offset,
      change: () => table.map(addr, level === 1 ? this.page() : old + 0x20_0000n, level),
    };
  }
}

function translations(): { scenario: Scalable; places: Record<string, Place> } {
  const s = new Scalable();
  const fs = new Radix(s, X86_64);
  const fs2 = new Radix(s, X86_64);
  const fsx = new Radix(s, X86_64);
  const ss = new Radix(s, VTD_SECOND);
  const ssx = new Radix(s, VTD_SECOND);
  // Nested: the second stage is the identity for the tables and for where the first stage leads to.
  const host = new Radix(s, VTD_SECOND);
  for (let gib = 0n; gib < 4n; gib++) host.map(gib << 30n, gib << 30n, 3);
  const nest = new Radix(s, X86_64);
  s.entry(1, 9n, fs, null);
  s.entry(2, 9n, fs2, null);
  s.entry(3, 5n, fsx, null);
  s.entry(4, 9n, null, ss);
  s.entry(5, 5n, null, ssx);
  s.entry(6, 9n, nest, host);
  s.entry(7, 9n, fs, null);
  const places = {
    "fs a": s.place(fs, A, 1),
    "fs b": s.place(fs, B, 1),
    "fs large": s.place(fs, LARGE, 1, 2),
    "fs without PASID": s.place(fs, C, undefined),
    "fs PASID 2": s.place(fs2, A, 2),
    "fs DID 5": s.place(fsx, A, 3),
    "ss a": s.place(ss, A, 4),
    "ss b": s.place(ss, B, 4),
    "ss DID 5": s.place(ssx, A, 5),
    "nested a": s.place(nest, A, 6),
  };
  return { scenario: s, places };
}

const WAIT = [0x25n, 0n, 0n, 0n] as const;
const q = (low: bigint, high = 0n) => [low, high, 0n, 0n];
const FS9 = ["fs a", "fs b", "fs large", "fs without PASID", "fs PASID 2", "nested a"];
const ALL = Object.keys(translations().places);

describe("VT-d: what a descriptor drops of the IOTLB", () => {
  const cells: [string, bigint[], string[]][] = [
    ["IOTLB global", q(0x12n), ALL],
    ["IOTLB domain 9", q(0x9_0022n), ALL.filter((name) => !name.includes("DID 5"))],
    ["IOTLB domain 5", q(0x5_0022n), ["fs DID 5", "ss DID 5"]],
    ["IOTLB page a of domain 9", q(0x9_0032n, A), [...FS9, "ss a"]],
    ["IOTLB page a of domain 9, IH", q(0x9_0032n, A | 0x40n), [...FS9, "ss a"]],
    ["IOTLB pages a and b of domain 9", q(0x9_0032n, A | 1n), [...FS9, "ss a", "ss b"]],
    ["IOTLB page elsewhere, domain 9", q(0x9_0032n, 0x7000_0000n), FS9],
    ["IOTLB page a of domain 7", q(0x7_0032n, A), []],
    ["PASID 1 of domain 9", q(0x1_0009_0026n), ["fs a", "fs b", "fs large"]],
    ["PASID 7 of domain 9, RID_PASID", q(0x7_0009_0026n), ["fs without PASID"]],
    ["PASID 2 of domain 9", q(0x2_0009_0026n), ["fs PASID 2"]],
    ["PASID 1 of domain 5", q(0x1_0005_0026n), []],
    // Table 24: by PASID, whatever the stage; by page, first-stage and nested ones alone.
    ["PASID 4 of domain 9, a second stage", q(0x4_0009_0026n), ["ss a", "ss b"]],
    ["PASID 4, page a, a second stage", q(0x4_0009_0036n, A), []],
    ["PASID 6 of domain 9, nested", q(0x6_0009_0026n), ["nested a"]],
    ["PASID 1, page a", q(0x1_0009_0036n, A), ["fs a"]],
    ["PASID 1, pages a and b", q(0x1_0009_0036n, A | 1n), ["fs a", "fs b"]],
    ["PASID 1, the large page, AM 9", q(0x1_0009_0036n, LARGE | 9n), ["fs large"]],
    ["PASID 1, more than the large page, AM 10", q(0x1_0009_0036n, LARGE | 10n), ["fs large"]],
    // 6.5.3.2: hardware may keep it in pieces.
    ["PASID 1, that piece of the large page, AM 0", q(0x1_0009_0036n, LARGE + 0x5000n), ["fs large"]],
    ["PASID 1, another piece of the large page, AM 0", q(0x1_0009_0036n, LARGE + 0x1f_f000n), []],
    ["PASID 1, behind the large page", q(0x1_0009_0036n, LARGE + 0x20_0000n), []],
    ["PASID 6, page a, nested", q(0x6_0009_0036n, A), ["nested a"]],
    ["PASID cache, global", q(0x37n), []],
    ["context cache, global", q(0x11n), []],
    ["device TLB", q(0x18_0000_0003n, 0x7fff_ffff_ffff_f001n), []],
    ["interrupt entry cache", q(0x04n), []],
  ];
  it.each(cells)("%s", async (_name, words, expected) => {
    const { scenario, places } = translations();
    const found = await covered(scenario, places, (s) => s.cmd(...words).cmd(...WAIT));
    expect(found.sort()).toEqual([...expected].sort());
  });

  const neutral: [string, object, string[]][] = [
    ["all, global", { cache: "all", granularity: "global" }, ALL],
    ["iotlb, domain", { cache: "iotlb", granularity: "domain", domain: 5 }, ["fs DID 5", "ss DID 5"]],
    ["iotlb, pasid", { cache: "iotlb", granularity: "pasid", pasid: 2 }, ["fs PASID 2"]],
    [
      "iotlb, page of any domain",
      { cache: "iotlb", granularity: "page", addr: "0x10000000" },
      ["fs a", "fs PASID 2", "fs DID 5", "ss a", "ss DID 5", "nested a"],
    ],
    ["iotlb, this device", { cache: "iotlb", granularity: "device", dev: DEV }, ALL],
    ["iotlb, another device", { cache: "iotlb", granularity: "device", dev: "00:04.0" }, []],
    [
      "iotlb, page, this device",
      { cache: "iotlb", granularity: "page", addr: "0x10001000", dev: DEV },
      ["fs b", "ss b"],
    ],
    ["context", { cache: "context", granularity: "global" }, []],
    ["pasid", { cache: "pasid", granularity: "global" }, []],
    ["devtlb", { cache: "devtlb", granularity: "global" }, []],
  ];
  it.each(neutral)("inv %s", async (_name, fields, expected) => {
    const { scenario, places } = translations();
    const found = await covered(scenario, places, (s) => s.inv(fields));
    expect(found.sort()).toEqual([...expected].sort());
  });
});

/** No table entry leads both here and to A: none that is cached of the one helps the other. */
const X = 0x100_5000_0000n;

/** Two tables that map `A` to the same and `X` to different pages: a context that changes from one to the other. */
function twoTables(s: Scenario, format: Format): { before: Radix; after: Radix; old: bigint } {
  const before = new Radix(s, format).map(A, 0x9000_0000n).map(X, 0xa000_0000n);
  const after = new Radix(s, format).map(A, 0x9000_0000n).map(X, 0xb000_0000n);
  return { before, after, old: 0xa000_0000n };
}

/** A PASID entry, or the RID_PASID's, that changes its first stage. */
function changingEntry(
  s: Scalable,
  pasid: number,
  did: bigint,
  dev: string,
  table: bigint,
  asRid = false,
): Place {
  const { before, after, old } = twoTables(s, X86_64);
  s.entry(pasid, did, before, null, table);
  const by = { dev, ...(asRid ? {} : { pasid }) };
  return {
    request: { ...by, addr: A },
    probe: { ...by, addr: X },
    old,
    change: () => s.entry(pasid, did, after, null, table),
  };
}

describe("VT-d: what a descriptor drops of the PASID cache", () => {
  function entries() {
    const s = new Scalable();
    const directory = s.allocate();
    const pasids = s.allocate();
    s.put(directory, pasids | 1n);
    s.context(directory, 0x20n);
    const places = {
      "1 of DID 9": changingEntry(s, 1, 9n, DEV, s.pasids),
      "2 of DID 9": changingEntry(s, 2, 9n, DEV, s.pasids),
      "3 of DID 5": changingEntry(s, 3, 5n, DEV, s.pasids),
      "RID_PASID 7 of DID 9": changingEntry(s, 7, 9n, DEV, s.pasids, true),
      "1 of DID 9, other device": changingEntry(s, 1, 9n, "00:04.0", pasids),
    };
    return { s, places };
  }
  const every = Object.keys(entries().places);
  const cells: [string, bigint[], string[]][] = [
    ["global", q(0x37n), every],
    ["domain 9", q(0x9_0007n), every.filter((name) => name.includes("DID 9"))],
    ["domain 5", q(0x5_0007n), ["3 of DID 5"]],
    ["PASID 1 of domain 9", q(0x1_0009_0017n), ["1 of DID 9", "1 of DID 9, other device"]],
    ["PASID 7 of domain 9", q(0x7_0009_0017n), ["RID_PASID 7 of DID 9"]],
    ["PASID 0 of domain 9", q(0x9_0017n), []],
    ["PASID 1 of domain 5", q(0x1_0005_0017n), []],
    ["context cache, global", q(0x11n), []],
    ["IOTLB global", q(0x12n), []],
  ];
  it.each(cells)("%s", async (_name, words, expected) => {
    const { s, places } = entries();
    const found = await covered(s, places, () => s.cmd(...words).cmd(...WAIT));
    expect(found.sort()).toEqual([...expected].sort());
  });
});

describe("VT-d: what a descriptor drops of the context cache", () => {
  function scalable() {
    const s = new Scalable();
    const changing = (dev: string, sid: bigint): Place => {
      const { before, after, old } = twoTables(s, X86_64);
      const [first, second] = [before, after].map((table) => {
        const directory = s.allocate();
        const pasids = s.allocate();
        s.put(directory, pasids | 1n);
        s.entry(1, 9n, table, null, pasids);
        return directory;
      });
      s.context(first!, sid);
      return {
        request: { dev, pasid: 1, addr: A },
        probe: { dev, pasid: 1, addr: X },
        old,
        change: () => s.context(second!, sid),
      };
    };
    return { s, places: { "00:03.0": changing("00:03.0", 0x18n), "00:03.1": changing("00:03.1", 0x19n) } };
  }
  const cells: [string, bigint[], string[]][] = [
    ["global", q(0x11n), ["00:03.0", "00:03.1"]],
    ["device, whatever domain id", q(0x18_0077_0031n), ["00:03.0"]],
    ["device, all functions", q(0x3_0018_0000_0031n), ["00:03.0", "00:03.1"]],
    // 6.5.2.1: processed as global.
    ["domain, whichever", q(0x9_0021n), ["00:03.0", "00:03.1"]],
  ];
  it.each(cells)("scalable mode: %s", async (_name, words, expected) => {
    const { s, places } = scalable();
    // A PASID entry that is still cached would give the old answer too.
    const found = await covered(s, places, () =>
      s
        .cmd(...words)
        .cmd(...q(0x37n))
        .cmd(...WAIT),
    );
    expect(found.sort()).toEqual([...expected].sort());
  });

  function legacy() {
    const s = new Scenario("intel", { rtaddr: ROOT });
    s.put(ROOT, CONTEXTS | 1n);
    const changing = (dev: string, sid: bigint, did: bigint): Place => {
      const { before, after, old } = twoTables(s, VTD_SECOND);
      const context = (table: Radix) => s.put(CONTEXTS + sid * 16n, table.root | 1n, (did << 8n) | 2n);
      context(before);
      return { request: { dev, addr: A }, probe: { dev, addr: X }, old, change: () => context(after) };
    };
    const places = {
      "00:03.0 of 9": changing("00:03.0", 0x18n, 9n),
      "00:03.1 of 9": changing("00:03.1", 0x19n, 9n),
      "00:03.2 of 5": changing("00:03.2", 0x1an, 5n),
    };
    return { s, places };
  }
  const legacyCells: [string, [bigint, bigint], string[]][] = [
    ["global", [0x11n, 0n], ["00:03.0 of 9", "00:03.1 of 9", "00:03.2 of 5"]],
    ["domain 9", [0x9_0021n, 0n], ["00:03.0 of 9", "00:03.1 of 9"]],
    ["device 00:03.0 of domain 9", [0x18_0009_0031n, 0n], ["00:03.0 of 9"]],
    ["device 00:03.0 of domain 5", [0x18_0005_0031n, 0n], []],
    ["device, all functions, domain 5", [0x3_0018_0005_0031n, 0n], ["00:03.2 of 5"]],
    ["IOTLB, global", [0x12n, 0n], []],
  ];
  it.each(legacyCells)("legacy mode: %s", async (_name, words, expected) => {
    const { s, places } = legacy();
    const found = await covered(s, places, () => s.cmd(...words).cmd(0x25n, 0n));
    expect(found.sort()).toEqual([...expected].sort());
  });
});

describe("VT-d: a request of two pages whose first faults", () => {
  const asked = (both: boolean) => {
    const s = new Scalable();
    const table = new Radix(s, X86_64);
    s.entry(1, 9n, table, null);
    const old = s.page();
    table.map(A + 0x1000n, old);
    const first = s.dma({ dev: DEV, pasid: 1, addr: A + 0xff0n, len: both ? 32 : 16 }, { code: 0x71n });
    table.map(A + 0x1000n, s.page());
    return { s, first, second: s.dma({ dev: DEV, pasid: 1, addr: A + 0x1000n }, old) };
  };

  it("may have left its second in the IOTLB", async () => {
    const { s, first, second } = asked(true);
    const run = await s.run();
    expect(run.outcome(first)).toMatchObject({ verdict: "match", code: "0x71", reads: 8 });
    expect(run.verdict(second)).toBe("stale");
  });

  it("has not where it ends with the first", async () => {
    const { s, second } = asked(false);
    expect((await s.run()).verdict(second)).toBe("mismatch");
  });
});
