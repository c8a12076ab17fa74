import { describe, expect, it } from "vitest";
import { gcr3Pieces } from "./support/amd-iommu.ts";
import { covered, type Format, type Place, Radix, Scenario } from "./support/cache-scenario.ts";

const DEVICES = 0x10_0000n;
const A = 0x1000_0000n;
const B = 0x1000_1000n;
const LARGE = 0x4000_0000n;
/** No table entry leads both here and to A: none that is cached of the one helps the other. */
const X = 0x100_5000_0000n;

// v1: PR, Next Level at 11:9, IR and IW at 61 and 62. Guest: x86-64.
const RIGHTS = 3n << 61n;
const HOST: Format = {
  levels: 4,
  bits: 9,
  pageBits: 12,
  table: (next, level) => next | (BigInt(level - 1) << 9n) | 1n | RIGHTS,
  leaf: (pa) => pa | 1n | RIGHTS,
};
const GUEST: Format = {
  levels: 4,
  bits: 9,
  pageBits: 12,
  table: (next) => next | 0x27n,
  leaf: (pa, level) => pa | 0x67n | (level > 1 ? 0x80n : 0n),
};
const WAIT = [1n << 60n, 0n] as const;
const PDE = 2n;
const GN = 4n;
const S = 1n;
/** Everything: S=1 and ones up to bit 62. */
const ALL = 0x7fff_ffff_ffff_f000n | S;

class AmdVi extends Scenario {
  #pages = 0x8000_0000n;

  constructor(props: Readonly<Record<string, unknown>> = {}) {
    super("amd", { dev_tab_base: DEVICES | 1n }, props);
  }

  /** V, TV, Mode 4 where there are host tables, GV where there is a guest CR3 table, IR, IW. */
  dte(dev: number, domain: bigint, host: Radix | null, gcr3: bigint | null = null): void {
    const [low, high] = gcr3 === null ? [0n, 0n] : gcr3Pieces(gcr3);
    const guest = gcr3 === null ? 0n : 1n << 55n;
    const mode = host === null ? 0n : (4n << 9n) | host.root;
    this.put(DEVICES + BigInt(dev) * 32n, 3n | mode | low | guest | RIGHTS, domain | high, 0n, 0n);
  }

  gcr3(table: bigint, pasid: number, guest: Radix): void {
    this.put(table + BigInt(pasid) * 8n, guest.root | 1n);
  }

  page(bytes = 0x1000n): bigint {
    this.#pages = (this.#pages + 2n * bytes - 1n) & ~(bytes - 1n);
    return this.#pages;
  }

  place(dev: number, table: Radix, addr: bigint, pasid?: number, level = 1): Place {
    const bytes = 1n << table.shift(level);
    const old = this.page(bytes);
    const offset = level === 1 ? 0n : 0x5000n;
    table.map(addr, old, level);
    return {
      request: { dev: `devid:${dev}`, pasid, addr: addr + offset },
      old: old + offset,
      change: () => table.map(addr, this.page(bytes), level),
    };
  }
}

function identity(s: AmdVi): Radix {
  const host = new Radix(s, HOST);
  for (let gib = 0n; gib < 4n; gib++) host.map(gib << 30n, gib << 30n, 3);
  return host;
}

function translations(): { s: AmdVi; places: Record<string, Place> } {
  const s = new AmdVi();
  const [host, other] = [new Radix(s, HOST), new Radix(s, HOST)];
  const [flat, flat2, nested] = [new Radix(s, GUEST), new Radix(s, GUEST), new Radix(s, GUEST)];
  const [table, nestedTable] = [s.allocate(), s.allocate()];
  s.dte(1, 7n, host);
  s.dte(2, 8n, other);
  s.dte(3, 7n, null, table);
  s.gcr3(table, 1, flat);
  s.gcr3(table, 2, flat2);
  s.dte(4, 9n, identity(s), nestedTable);
  s.gcr3(nestedTable, 1, nested);
  const places = {
    a: s.place(1, host, A),
    b: s.place(1, host, B),
    large: s.place(1, host, LARGE, undefined, 2),
    "domain 8 a": s.place(2, other, A),
    "PASID 1 a": s.place(3, flat, A, 1),
    "PASID 1 b": s.place(3, flat, B, 1),
    "PASID 2 a": s.place(3, flat2, A, 2),
    "nested a": s.place(4, nested, A, 1),
  };
  return { s, places };
}

const places = translations().places;
const pages = (domain: bigint, pasid = 0n) => (3n << 60n) | (domain << 32n) | pasid;

describe("AMD-Vi: what a command covers of the translations", () => {
  const cells: [string, [bigint, bigint], string[]][] = [
    ["INVALIDATE_IOMMU_ALL", [8n << 60n, 0n], Object.keys(places)],
    ["pages of domain 7, everything", [pages(7n), ALL | PDE], ["a", "b", "large"]],
    ["pages of domain 8, everything", [pages(8n), ALL | PDE], ["domain 8 a"]],
    ["page a of domain 7", [pages(7n), A], ["a"]],
    ["8 KiB from a of domain 7", [pages(7n), A | S], ["a", "b"]],
    ["anywhere in the large page", [pages(7n), LARGE + 0x1f_f000n], ["large"]],
    ["behind the large page", [pages(7n), LARGE + 0x20_0000n], []],
    ["domain 7, PASID 1, everything", [pages(7n, 1n), ALL | PDE | GN], ["PASID 1 a", "PASID 1 b"]],
    ["domain 7, PASID 1, page a", [pages(7n, 1n), A | GN], ["PASID 1 a"]],
    ["domain 7, PASID 2, page a", [pages(7n, 2n), A | GN], ["PASID 2 a"]],
    ["domain 8, PASID 1", [pages(8n, 1n), ALL | GN], []],
    ["domain 9, PASID 1, page a", [pages(9n, 1n), A | GN], ["nested a"]],
    ["domain 9, host page behind it", [pages(9n), places["nested a"]!.old], ["nested a"]],
    ["domain 9, host page by the guest's address", [pages(9n), A], []],
    ["domain 9, host, everything", [pages(9n), ALL], ["nested a"]],
    ["INVALIDATE_DEVTAB_ENTRY", [(2n << 60n) | 1n, 0n], []],
    ["INVALIDATE_IOTLB_PAGES", [(4n << 60n) | 1n, ALL], []],
    ["INVALIDATE_INTERRUPT_TABLE", [(5n << 60n) | 1n, 0n], []],
  ];
  it.each(cells)("%s", async (_name, words, expected) => {
    const { s, places: all } = translations();
    const found = await covered(s, all, () => s.cmd(...words).cmd(...WAIT));
    expect(found.sort()).toEqual([...expected].sort());
  });
});

describe("AMD-Vi: what a command covers of the contexts", () => {
  function contexts() {
    const s = new AmdVi();
    const device = (dev: number, domain: bigint): Place => {
      const table = (x: bigint) => new Radix(s, HOST).map(A, 0x9000_0000n).map(X, x);
      const [before, after] = [table(0xa000_0000n), table(0xb000_0000n)];
      s.dte(dev, domain, before);
      const by = { dev: `devid:${dev}` };
      return {
        request: { ...by, addr: A },
        probe: { ...by, addr: X },
        old: 0xa000_0000n,
        change: () => s.dte(dev, domain, after),
      };
    };
    const table = s.allocate();
    s.dte(3, 7n, null, table);
    const entry = (pasid: number): Place => {
      const guest = (x: bigint) => new Radix(s, GUEST).map(A, 0x9000_0000n).map(X, x);
      const [before, after] = [guest(0xa000_0000n), guest(0xb000_0000n)];
      s.gcr3(table, pasid, before);
      const by = { dev: "devid:3", pasid };
      return {
        request: { ...by, addr: A },
        probe: { ...by, addr: X },
        old: 0xa000_0000n,
        change: () => s.gcr3(table, pasid, after),
      };
    };
    const all = { "DTE 1": device(1, 5n), "DTE 2": device(2, 6n), "PASID 1": entry(1), "PASID 2": entry(2) };
    return { s, all };
  }
  const cells: [string, [bigint, bigint], string[]][] = [
    ["INVALIDATE_IOMMU_ALL", [8n << 60n, 0n], Object.keys(contexts().all)],
    ["INVALIDATE_DEVTAB_ENTRY of 1", [(2n << 60n) | 1n, 0n], ["DTE 1"]],
    ["INVALIDATE_DEVTAB_ENTRY of 3 leaves its guest CR3 table's entries", [(2n << 60n) | 3n, 0n], []],
    ["pages of domain 5", [pages(5n), ALL | PDE], []],
    ["pages of domain 7, PASID 1, with PDE", [pages(7n, 1n), ALL | PDE | GN], ["PASID 1"]],
    ["pages of domain 7, PASID 1, without PDE", [pages(7n, 1n), ALL | GN], []],
    ["pages of domain 5, PASID 1, with PDE", [pages(5n, 1n), ALL | PDE | GN], []],
  ];
  it.each(cells)("%s", async (_name, words, expected) => {
    const { s, all } = contexts();
    const found = await covered(s, all, () => s.cmd(...words).cmd(...WAIT));
    expect(found.sort()).toEqual([...expected].sort());
  });
});

describe("AMD-Vi: entries that are not present", () => {
  it.each([
    [1, ["stale", "hazard", "stale-after-invalidation"]],
    [0, ["mismatch", "", "mismatch"]],
  ])("NpCache %i", async (npcache, expected) => {
    const s = new AmdVi({ npcache });
    const host = new Radix(s, HOST).map(B, 0x9000_0000n);
    s.dte(1, 7n, host);
    const request = { dev: "devid:1", addr: A };
    s.dma(request, { code: 2n });
    host.map(A, 0x9000_1000n);
    const before = s.dma(request, { code: 2n });
    const hazard = s.dma(request);
    s.cmd(pages(7n), A).cmd(...WAIT);
    const after = s.dma(request, { code: 2n });
    const run = await s.run();
    expect([before, hazard, after].map((seq) => run.verdict(seq))).toEqual(expected);
  });
});
