import { describe, expect, it } from "vitest";
import { replay } from "../pipeline/library/replay-stream.ts";
import { covered, type Format, type Place, Radix, Scenario } from "./support/cache-scenario.ts";
import { ALL_CAPABILITIES } from "./support/riscv-iommu.ts";
import { mem } from "./support/table-lint.ts";

const DDT = 0x10_0000n;
const A = 0x1000_0000n;
const B = 0x1000_1000n;
const GLOBAL = 0x1000_2000n;
const LARGE = 0x4000_0000n;
const X = 0x5000_0000n;

/** V, R, W, X, U, A, D. */
const FULL = 0xdfn;
const sv39 = (flags: bigint, topBits = 0): Format => ({
  levels: 3,
  bits: 9,
  pageBits: 12,
  topBits,
  table: (next) => ((next >> 12n) << 10n) | 1n,
  leaf: (pa) => ((pa >> 12n) << 10n) | flags,
});
const FIRST = sv39(FULL);
const GLOBALS = sv39(FULL | 0x20n);
const SECOND = sv39(FULL, 2);
const FENCE = [2n, 0n] as const;

class Riscv extends Scenario {
  #pages = 0x8000_0000n;

  /** Non-leaf invalidation (bit 42) and ranges (bit 43) beside what all tests have; 1LVL directory. */
  constructor() {
    super("riscv", {
      capabilities: ALL_CAPABILITIES | (3n << 42n),
      fctl: 0n,
      ddtp: ((DDT >> 12n) << 10n) | 2n,
    });
  }

  /** Device context of the extended format; MODE 8 is Sv39 and Sv39x4. */
  dc(dev: number, first: Radix | null, pscid: bigint, second: Radix | null = null, gscid = 0n): void {
    const iohgatp = second === null ? 0n : (8n << 60n) | (gscid << 44n) | (second.root >> 12n);
    const fsc = first === null ? 0n : (8n << 60n) | (first.root >> 12n);
    this.put(DDT + BigInt(dev) * 64n, 1n, iohgatp, pscid << 12n, fsc, 0n, 0n, 0n, 0n);
  }

  /** A device context with a process directory of one level (PD8). */
  pdt(dev: number, directory: bigint): void {
    this.put(DDT + BigInt(dev) * 64n, 0x21n, 0n, 0n, (1n << 60n) | (directory >> 12n), 0n, 0n, 0n, 0n);
  }

  pc(directory: bigint, pasid: number, table: Radix, pscid: bigint): void {
    this.put(directory + BigInt(pasid) * 16n, 1n | (pscid << 12n), (8n << 60n) | (table.root >> 12n));
  }

  page(bytes = 0x1000n): bigint {
    this.#pages = (this.#pages + 2n * bytes - 1n) & ~(bytes - 1n);
    return this.#pages;
  }

  place(dev: number, table: Radix, addr: bigint, level = 1): Place {
    const bytes = 1n << table.shift(level);
    const old = this.page(bytes);
    const offset = level === 1 ? 0n : 0x5000n;
    table.map(addr, old, level);
    return {
      request: { dev: `did:${dev}`, addr: addr + offset },
      old: old + offset,
      change: () => table.map(addr, this.page(bytes), level),
    };
  }
}

function translations(): { s: Riscv; places: Record<string, Place> } {
  const s = new Riscv();
  const host = new Radix(s, FIRST);
  const globals = new Radix(s, GLOBALS);
  const other = new Radix(s, FIRST);
  const [guest3, guest4] = [new Radix(s, FIRST), new Radix(s, FIRST)];
  const second = new Radix(s, SECOND);
  const identity = new Radix(s, SECOND);
  for (let gib = 0n; gib < 4n; gib++) identity.map(gib << 30n, gib << 30n, 3);
  s.dc(1, host, 5n);
  s.dc(2, globals, 6n);
  s.dc(3, other, 7n);
  s.dc(4, guest3, 5n, identity, 3n);
  s.dc(5, guest4, 5n, identity, 4n);
  s.dc(6, null, 0n, second, 9n);
  const places = {
    a: s.place(1, host, A),
    b: s.place(1, host, B),
    large: s.place(1, host, LARGE, 2),
    global: s.place(2, globals, GLOBAL),
    "PSCID 7 a": s.place(3, other, A),
    "GSCID 3 a": s.place(4, guest3, A),
    "GSCID 4 a": s.place(5, guest4, A),
    "second a": s.place(6, second, A),
    "second b": s.place(6, second, B),
  };
  return { s, places };
}

const places = translations().places;
const HOSTS = ["a", "b", "large", "global", "PSCID 7 a"];
const AV = 1n << 10n;
const GV = 1n << 33n;
const pscid = (id: bigint) => (1n << 32n) | (id << 12n);
const gscid = (id: bigint) => GV | (id << 44n);
/** ADDR at 61:10 and S at 9 of the second doubleword. */
const at = (addr: bigint, s = 0n) => ((addr >> 12n) << 10n) | (s << 9n);
const VMA = 1n;
const GVMA = 0x81n;

describe("RISC-V: what an IOTINVAL covers", () => {
  const cells: [string, [bigint, bigint], string[]][] = [
    ["VMA of all hosts", [VMA, 0n], HOSTS],
    ["VMA of PSCID 5", [VMA | pscid(5n), 0n], ["a", "b", "large"]],
    ["VMA of PSCID 6, all of it global", [VMA | pscid(6n), 0n], []],
    ["VMA a of all hosts", [VMA | AV, at(A)], ["a", "PSCID 7 a"]],
    ["VMA of a global page, of all hosts", [VMA | AV, at(GLOBAL)], ["global"]],
    ["VMA of a global page, by PSCID", [VMA | AV | pscid(6n), at(GLOBAL)], []],
    ["VMA a of PSCID 5", [VMA | AV | pscid(5n), at(A)], ["a"]],
    ["VMA of 8 KiB from a", [VMA | AV | pscid(5n), at(A, 1n)], ["a", "b"]],
    ["VMA anywhere in the large page", [VMA | AV | pscid(5n), at(LARGE + 0x1f_f000n)], ["large"]],
    ["VMA behind the large page", [VMA | AV | pscid(5n), at(LARGE + 0x20_0000n)], []],
    ["VMA of GSCID 3", [VMA | gscid(3n), 0n], ["GSCID 3 a"]],
    ["VMA a of GSCID 3, PSCID 5", [VMA | AV | gscid(3n) | pscid(5n), at(A)], ["GSCID 3 a"]],
    ["VMA of GSCID 3, PSCID 6", [VMA | gscid(3n) | pscid(6n), 0n], []],
    ["VMA of GSCID 9, which has no first stage", [VMA | gscid(9n), 0n], []],
    ["GVMA of all guests leaves first stages", [GVMA, 0n], ["second a", "second b"]],
    ["GVMA of all guests ignores an address", [GVMA | AV, at(B)], ["second a", "second b"]],
    ["GVMA of GSCID 3, whose first stage has changed", [GVMA | gscid(3n), 0n], []],
    ["GVMA a of GSCID 9", [GVMA | AV | gscid(9n), at(A)], ["second a"]],
    ["GVMA of 8 KiB from a, GSCID 9", [GVMA | AV | gscid(9n), at(A, 1n)], ["second a", "second b"]],
    ["GVMA by the guest's address", [GVMA | AV | gscid(3n), at(A)], []],
    ["GVMA by where it leads", [GVMA | AV | gscid(3n), at(places["GSCID 3 a"]!.old)], []],
    ["INVAL_DDT", [3n, 0n], []],
    ["INVAL_PDT", [0x83n | GV | (1n << 40n), 0n], []],
    ["ATS.INVAL", [4n | (1n << 40n), at(0n)], []],
  ];
  it.each(cells)("%s", async (_name, words, expected) => {
    const { s, places: all } = translations();
    const found = await covered(s, all, () => s.cmd(...words).cmd(...FENCE));
    expect(found.sort()).toEqual([...expected].sort());
  });
});

/** Address-translation-cache invalidations: each of the two says only that its own stage's stores are seen. */
describe("RISC-V: what an IOTINVAL covers where the second stage under a first has changed", () => {
  const GPA = 0x7000_0000n;
  const cells: [string, [bigint, bigint], string[]][] = [
    ["VMA of the guest", [VMA | gscid(3n), 0n], []],
    ["GVMA of the guest", [GVMA | gscid(3n), 0n], ["a"]],
    ["GVMA by the guest physical address", [GVMA | AV | gscid(3n), at(GPA)], ["a"]],
    ["GVMA of another guest", [GVMA | gscid(4n), 0n], []],
  ];
  it.each(cells)("%s", async (_name, words, expected) => {
    const s = new Riscv();
    const [first, second] = [new Radix(s, FIRST), new Radix(s, SECOND)];
    first.map(A, GPA);
    for (let gib = 0n; gib < 4n; gib++) if (gib !== 1n) second.map(gib << 30n, gib << 30n, 3);
    second.map(GPA, 0xa000_0000n);
    s.dc(4, first, 5n, second, 3n);
    const change = () => void second.map(GPA, 0xb000_0000n);
    const a: Place = { request: { dev: "did:4", addr: A }, old: 0xa000_0000n, change };
    const found = await covered(s, { a }, () => s.cmd(...words).cmd(...FENCE));
    expect(found).toEqual(expected);
  });
});

describe("RISC-V: what an IODIR covers", () => {
  function contexts() {
    const s = new Riscv();
    const table = (x: bigint) => new Radix(s, FIRST).map(A, 0x9000_0000n).map(X, x);
    const place = (dev: number, pasid: number | undefined, set: (t: Radix) => void): Place => {
      const [before, after] = [table(0xa000_0000n), table(0xb000_0000n)];
      set(before);
      const by = { dev: `did:${dev}`, pasid };
      return {
        request: { ...by, addr: A },
        probe: { ...by, addr: X },
        old: 0xa000_0000n,
        change: () => set(after),
      };
    };
    const [first, second] = [s.allocate(), s.allocate()];
    s.pdt(3, first);
    s.pdt(4, second);
    const all = {
      "DC 1": place(1, undefined, (t) => s.dc(1, t, 21n)),
      "DC 2": place(2, undefined, (t) => s.dc(2, t, 22n)),
      "PC 1 of 3": place(3, 1, (t) => s.pc(first, 1, t, 31n)),
      "PC 2 of 3": place(3, 2, (t) => s.pc(first, 2, t, 32n)),
      "PC 1 of 4": place(4, 1, (t) => s.pc(second, 1, t, 33n)),
    };
    return { s, all };
  }
  const did = (id: bigint) => GV | (id << 40n);
  const cells: [string, [bigint, bigint], string[]][] = [
    ["INVAL_DDT of all", [3n, 0n], Object.keys(contexts().all)],
    ["INVAL_DDT of 1", [3n | did(1n), 0n], ["DC 1"]],
    ["INVAL_DDT of 3 covers its processes", [3n | did(3n), 0n], ["PC 1 of 3", "PC 2 of 3"]],
    ["INVAL_PDT 1 of 3", [0x83n | did(3n) | (1n << 12n), 0n], ["PC 1 of 3"]],
    ["INVAL_PDT 0 of 1 leaves the device context", [0x83n | did(1n), 0n], []],
    ["VMA of all hosts", [VMA, 0n], []],
  ];
  it.each(cells)("%s", async (_name, words, expected) => {
    const { s, all } = contexts();
    const found = await covered(s, all, () => s.cmd(...words).cmd(...FENCE));
    expect(found.sort()).toEqual([...expected].sort());
  });

  /** Caching in-memory data structures: nothing whose V bit is clear is cached. */
  it("what is not valid is not cached", async () => {
    const s = new Riscv();
    const table = new Radix(s, FIRST).map(B, 0x9000_0000n);
    s.dma({ dev: "did:1", addr: A }, { code: 258n });
    s.dc(1, table, 5n);
    const device = s.dma({ dev: "did:1", addr: A }, { code: 258n });
    s.dma({ dev: "did:1", addr: A }, { code: 13n });
    table.map(A, 0x9000_1000n);
    const page = s.dma({ dev: "did:1", addr: A }, { code: 13n });
    const run = await s.run();
    expect([device, page].map((seq) => run.verdict(seq))).toEqual(["mismatch", "mismatch"]);
  });
});

/** "Caching in-memory data structures" keeps out of caches what is not valid; a context that is valid and breaks a rule is not. */
describe("a device context that refuses a request", () => {
  const CONTEXT = 0x1_0600n;
  const records = (first: bigint) => [
    { type: "ram", addr: "0x10000", size: "0x10000" },
    mem(CONTEXT, first & 0xffn, first & ~0xffn),
    { type: "iommu", id: "iommu0", model: "riscv", regs: { capabilities: "0x78c2cf4f10", ddtp: "0x4002" } },
    { type: "dma", dev: "did:24", addr: "0x5000", observed: { result: "fault" } },
    mem(CONTEXT, 1n, 0n),
  ];
  // iohgatp.MODE 15 is reserved.
  const MISCONFIGURED = (15n << 60n) | 1n;
  const verdicts = async (lines: readonly object[]) => {
    const out: string[] = [];
    for await (const record of replay(Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(""))))
      if (record.type === "outcome") out.push(record.verdict ?? "");
    return out;
  };
  const asked = (code: string) => ({
    type: "dma",
    dev: "did:24",
    addr: "0x5000",
    observed: { result: "fault", code },
  });

  it("may be held where it is misconfigured, until it is invalidated", async () => {
    const invalidated = [
      { type: "cmd", iommu: "iommu0", data: ["0x3", "0x0"] },
      { type: "cmd", iommu: "iommu0", data: ["0x2", "0x0"] },
    ];
    expect(await verdicts([...records(MISCONFIGURED), asked("0x103")])).toEqual(["match", "stale"]);
    expect(await verdicts([...records(MISCONFIGURED), ...invalidated, asked("0x103")])).toEqual([
      "match",
      "stale-after-invalidation",
    ]);
  });

  it("is not held where V is clear", async () => {
    expect(await verdicts([...records(0n), asked("0x102")])).toEqual(["match", "mismatch"]);
  });
});

it("Sv32: entries that are the last of their frames change", async () => {
  const verdicts: unknown[] = [];
  for await (const record of replay("test/fixtures/riscv-sv32-last-entries.ndjson"))
    if (record.type === "outcome") verdicts.push(record.verdict);
  expect(verdicts).toEqual(["match", "stale", "stale"]);
});
