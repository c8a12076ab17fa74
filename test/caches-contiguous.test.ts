import { describe, expect, it } from "vitest";
import { type Format, Radix, Scenario } from "./support/cache-scenario.ts";
import { cdWords, type SteFields, steWords } from "./support/smmuv3-machine.ts";

const STREAMS = 0x1_0000n;
const CONT = 1n << 52n;
const SYNC = [0x46n, 0n] as const;

/** Table 0b11, block 0b01, page 0b11; AF, AP[1], nG. */
const stage1 = (levels: number, bits: number, pageBits: number, attributes = CONT): Format => ({
  levels,
  bits,
  pageBits,
  table: (next) => next | 3n,
  leaf: (pa, level) => pa | (level === 1 ? 3n : 1n) | 0xc40n | attributes,
});

class Smmu extends Scenario {
  constructor(regs: Readonly<Record<string, bigint>> = {}) {
    super("arm-smmuv3", { strtab_base: STREAMS, strtab_base_cfg: 8n, ...regs });
  }

  stream(sid: number, table: Radix, cd: object = {}, ste: SteFields = {}): void {
    const at = this.allocate(64n);
    const fields = { V: 1, AA64: 1, A: 1, R: 1, IPS: 5, EPD1: 1, T0SZ: 16, TG0: 0, TTB0: table.root };
    this.put(at, ...cdWords({ ...fields, ASID: 5, ...cd }));
    this.ste(sid, { Config: 5, S1ContextPtr: at, ...ste });
  }

  ste(sid: number, fields: SteFields): void {
    this.put(STREAMS + BigInt(sid) * 64n, ...steWords({ V: 1, ...fields }));
  }

  ask(addr: bigint, observed?: bigint, sid = 5): number {
    return this.dma({ dev: `sid:${sid}`, addr }, observed);
  }
}

const BASE = 0x4000_0000n;
const OLD = 0x1_0000_0000n;
const NEW = 0x2_0000_0000n;

/** Arm DDI 0487, table D8-104: granule, format, level of the leaf from below, log2 of a leaf and of its group. */
const GROUPS: readonly [string, Format, object, number, bigint, bigint][] = [
  ["4 KiB, level 3", stage1(4, 9, 12), {}, 1, 12n, 16n],
  ["4 KiB, level 2", stage1(4, 9, 12), {}, 2, 21n, 25n],
  ["16 KiB, level 3", stage1(3, 11, 14), { TG0: 2, T0SZ: 17 }, 1, 14n, 21n],
  ["16 KiB, level 2", stage1(3, 11, 14), { TG0: 2, T0SZ: 17 }, 2, 25n, 30n],
  ["64 KiB, level 3", stage1(3, 13, 16), { TG0: 1 }, 1, 16n, 21n],
];

function mapped(format: Format, cd: object, level: number, leaf: bigint, pages: number[]): [Smmu, Radix] {
  const s = new Smmu();
  const table = new Radix(s, format);
  s.stream(5, table, cd);
  for (const page of pages) table.map(BASE + (BigInt(page) << leaf), OLD + (BigInt(page) << leaf), level);
  return [s, table];
}

describe("a group of contiguous entries may be cached whole", () => {
  it.each(GROUPS)("%s", async (_, format, cd, level, leaf, group) => {
    const last = Number(1n << (group - leaf)) - 1;
    const [s, table] = mapped(format, cd, level, leaf, [0, 1, last, last + 1]);
    const at = (page: number) => BASE + (BigInt(page) << leaf);
    s.ask(at(0), OLD);
    for (const page of [1, last, last + 1]) table.map(at(page), NEW + at(page), level);
    const stale = [1, last].map((page) => s.ask(at(page), OLD + (BigInt(page) << leaf)));
    const beyond = s.ask(at(last + 1), OLD + (BigInt(last + 1) << leaf));
    const run = await s.run();
    expect(stale.map((seq) => run.verdict(seq))).toEqual(["stale", "stale"]);
    expect(run.verdict(beyond)).toBe("mismatch");
    expect(run.rules().filter((rule) => rule === "missing-invalidation")).toHaveLength(2);
  });

  it("without the bit, a page is cached alone", async () => {
    const [s, table] = mapped(stage1(4, 9, 12, 0n), {}, 1, 12n, [0, 1]);
    s.ask(BASE, OLD);
    table.map(BASE + 0x1000n, NEW);
    const seq = s.ask(BASE + 0x1000n, OLD + 0x1000n);
    expect((await s.run()).verdict(seq)).toBe("mismatch");
  });

  const SIXTEEN = Array.from({ length: 16 }, (_, page) => page);
  const KIB4 = stage1(4, 9, 12);
  /** CMD_TLBI_NH_VA of ASID 5. */
  const tlbi = (s: Smmu, page: number, more = 0n) =>
    s.cmd(0x12n | (5n << 48n), (BASE + (BigInt(page) << 12n)) | more);

  it("owes an invalidation of every page that is unmapped, whichever was used", async () => {
    const [s, table] = mapped(KIB4, {}, 1, 12n, SIXTEEN);
    s.ask(BASE + 0x5000n);
    for (const page of SIXTEEN) s.put(table.entry(BASE + (BigInt(page) << 12n)), 0n);
    for (const page of SIXTEEN) if (page !== 9) tlbi(s, page);
    s.cmd(...SYNC);
    const owed = s.ask(BASE + 0x9000n);
    const done = s.ask(BASE + 0x8000n);
    const run = await s.run();
    expect([run.verdict(owed), run.verdict(done)]).toEqual(["hazard", ""]);
    expect(run.rules().filter((rule) => rule === "missing-invalidation")).toHaveLength(1);
  });

  it("an invalidation drops the pages that it names; by TTL, those of the leaf's level", async () => {
    const [s, table] = mapped(KIB4, {}, 1, 12n, SIXTEEN);
    s.ask(BASE, OLD);
    for (const page of SIXTEEN) table.map(BASE + (BigInt(page) << 12n), NEW + (BigInt(page) << 12n));
    const before = s.ask(BASE + 0x3000n, OLD + 0x3000n);
    tlbi(s, 3);
    // TG 4 KiB; TTL level 2 at 4, level 3 at 5.
    tlbi(s, 4, (1n << 10n) | (2n << 8n));
    tlbi(s, 5, (1n << 10n) | (3n << 8n));
    s.cmd(...SYNC);
    const after = [2, 3, 4, 5].map((page) => {
      const offset = BigInt(page) << 12n;
      return s.ask(BASE + offset, OLD + offset);
    });
    const run = await s.run();
    expect(run.verdict(before)).toBe("stale");
    expect(after.map((seq) => run.verdict(seq))).toEqual([
      "stale",
      "stale-after-invalidation",
      "stale",
      "stale-after-invalidation",
    ]);
  });

  it("what a group said before one of its pages changed is remembered when another is used again", async () => {
    const [s, table] = mapped(KIB4, {}, 1, 12n, SIXTEEN);
    s.ask(BASE, OLD);
    table.map(BASE + 0x1000n, NEW);
    s.ask(BASE, OLD);
    const seq = s.ask(BASE + 0x1000n, OLD + 0x1000n);
    expect((await s.run()).verdict(seq)).toBe("stale");
  });

  it("says nothing of pages that were mapped into a group after it was used", async () => {
    const [s, table] = mapped(KIB4, {}, 1, 12n, [0, 1]);
    s.ask(BASE);
    table.map(BASE + 0x2000n, OLD + 0x2000n);
    const seq = s.ask(BASE + 0x2000n);
    const run = await s.run();
    expect(run.verdict(seq)).toBe("");
    expect(run.rules()).toEqual([]);
  });
});

describe("STE.CONT: one cached STE may stand for its neighbours", () => {
  /** Streams 4 to 7 alike; 5 becomes a bypass. */
  function streams(cont: number): Smmu {
    const s = new Smmu();
    const table = new Radix(s, stage1(4, 9, 12, 0n));
    table.map(BASE, OLD);
    for (const sid of [4, 5, 6, 7, 8]) s.stream(sid, table, {}, { CONT: cont });
    return s;
  }
  const cfgi = (s: Smmu, sid: number) => s.cmd(0x3n | (BigInt(sid) << 32n), 0n).cmd(...SYNC);

  it("until every stream of the span is invalidated", async () => {
    const s = streams(2);
    s.ask(BASE, OLD, 4);
    s.ste(5, { Config: 4 });
    s.ste(8, { Config: 4 });
    const first = s.ask(BASE, OLD, 5);
    const outside = s.ask(BASE, OLD, 8);
    cfgi(s, 5);
    const second = s.ask(BASE, OLD, 5);
    // The translations of its ASID go as well.
    s.cmd(0x11n | (5n << 48n), 0n);
    cfgi(s, 4);
    const third = s.ask(BASE, OLD, 5);
    const right = s.ask(BASE, BASE, 5);
    const run = await s.run();
    expect([first, outside, second, third, right].map((seq) => run.verdict(seq))).toEqual([
      "stale",
      "mismatch",
      "stale",
      "stale-after-invalidation",
      "match",
    ]);
  });

  it("owes an invalidation, and with CONT 0 none", async () => {
    const verdicts: string[] = [];
    for (const cont of [2, 0]) {
      const s = streams(cont);
      s.ask(BASE, undefined, 6);
      s.ste(5, { Config: 4 });
      const seq = s.ask(BASE, undefined, 5);
      verdicts.push((await s.run()).verdict(seq));
    }
    expect(verdicts).toEqual(["hazard", ""]);
  });
});

describe("entries that caches may hold in two ways at once", () => {
  const KIB4 = stage1(4, 9, 12, 0n);
  const NT = 1n << 16n;
  const tlbiAll = (s: Smmu) => s.cmd(0x11n | (5n << 48n), 0n).cmd(...SYNC);

  function block(idr3?: bigint): [Smmu, Radix] {
    const s = new Smmu(idr3 === undefined ? {} : { idr3 });
    const table = new Radix(s, KIB4);
    s.stream(5, table);
    return [s, table];
  }

  /** A block becomes a table that maps the same, in one write, or by way of an invalid entry. */
  async function split(
    idr3: bigint | undefined,
    leaf: bigint,
    steps: "one" | "two" = "one",
  ): Promise<string[]> {
    const [s, table] = block(idr3);
    const entry = table.entry(BASE, 2);
    s.put(entry, OLD | 0xc41n | leaf);
    s.ask(BASE);
    const pages = s.allocate();
    s.put(pages, OLD | 0xc43n);
    if (steps === "two") {
      s.put(entry, 0n);
      tlbiAll(s);
    }
    s.put(entry, pages | 3n);
    tlbiAll(s);
    s.ask(BASE);
    return (await s.run()).rules();
  }

  it("a block is split without break-before-make: by IDR3.BBML and nT", async () => {
    const bbml = (level: bigint) => level << 11n;
    expect(await split(bbml(0n), 0n)).toEqual(["break-before-make"]);
    expect(await split(bbml(1n), 0n)).toEqual(["break-before-make"]);
    expect(await split(bbml(1n), NT)).toEqual([]);
    expect(await split(bbml(2n), 0n)).toEqual([]);
    expect(await split(undefined, 0n)).toEqual([]);
    expect(await split(bbml(0n), 0n, "two")).toEqual([]);
  });

  it("a page is moved, or given another memory type", async () => {
    const READ_ONLY = 0x80n;
    /** Taken for 0xc43 without nG. */
    const GLOBAL = 1n << 55n;
    const leafOf = (value: bigint) => (value & ~GLOBAL) | ((value & GLOBAL) === 0n ? 0xc43n : 0x443n);
    for (const [before, after, expected] of [
      [OLD, NEW, ["break-before-make"]],
      [OLD, OLD | 4n, ["break-before-make"]],
      [OLD | READ_ONLY, NEW | READ_ONLY, []],
      [OLD, OLD | READ_ONLY, []],
      [OLD, 0n, []],
      // SH; nG to global, and back.
      [OLD, OLD | 0x300n, ["break-before-make"]],
      [OLD, OLD | GLOBAL, ["break-before-make"]],
      [OLD | GLOBAL, OLD, []],
      [OLD, OLD | CONT, ["break-before-make"]],
    ] as const) {
      const [s, table] = block(0n);
      const entry = table.entry(BASE);
      s.put(entry, leafOf(before));
      s.ask(BASE);
      s.put(entry, after === 0n ? 0n : leafOf(after));
      tlbiAll(s);
      s.ask(BASE);
      expect((await s.run()).rules(), `${before} ${after}`).toEqual(expected);
    }
  });

  it("a new value before the invalidation of the old one has come, or is complete", async () => {
    /** @returns rules of what is found, with the lines of the write that broke the entry and of the one that made it */
    async function remade(
      idr3: bigint,
      between: (s: Smmu, entry: bigint) => void,
      made = (pages: bigint) => pages | 3n,
    ) {
      const [s, table] = block(idr3);
      s.cmd(...SYNC);
      const entry = table.entry(BASE, 2);
      s.put(entry, OLD | 0xc41n);
      s.ask(BASE);
      const broken = s.lines.length + 1;
      between(s, entry);
      s.put(entry, made(s.allocate()));
      const line = s.lines.length;
      tlbiAll(s);
      const found = (await s.run()).of("finding");
      return found.map(({ rule, changed_line, until_line, latent }) => [
        rule,
        changed_line === broken,
        until_line === line,
        latent,
      ]);
    }
    const zero = (s: Smmu, entry: bigint) => void s.put(entry, 0n);
    const early = ["late-invalidation", true, true, true];
    expect(await remade(0n, zero)).toEqual([early]);
    expect(await remade(1n << 11n, (s, entry) => void s.put(entry, OLD | NT | 0xc41n))).toEqual([early]);
    const unwaited = (s: Smmu, entry: bigint) => void s.put(entry, 0n).cmd(0x11n | (5n << 48n), 0n);
    expect(await remade(0n, unwaited)).toEqual([["break-before-make", true, false, undefined]]);
    const waited = (s: Smmu, entry: bigint) => tlbiAll(s.put(entry, 0n));
    expect(await remade(0n, waited)).toEqual([]);
    expect(await remade(2n << 11n, zero)).toEqual([]);
    // What it was before.
    expect(await remade(0n, zero, () => OLD | 0xc41n)).toEqual([]);
  });

  it("without an invalidation, that one is what is missing", async () => {
    const [s, table] = block(0n);
    table.map(BASE, OLD);
    s.ask(BASE);
    table.map(BASE, NEW);
    s.ask(BASE);
    expect((await s.run()).rules()).toEqual(["missing-invalidation"]);
  });

  it("a group whose entries are not alike", async () => {
    const group = async (third: bigint | null, base = OLD, asked = 0n) => {
      const s = new Smmu();
      const table = new Radix(s, stage1(4, 9, 12));
      s.stream(5, table);
      for (let page = 0n; page < 16n; page++) table.map(BASE + (page << 12n), base + (page << 12n));
      if (third !== null) s.put(table.entry(BASE + 0x3000n), third);
      s.ask(BASE + asked);
      s.ask(BASE + 0x1000n);
      return (await s.run()).of("finding");
    };
    const entry = (OLD + 0x3000n) | CONT | 0xc43n;
    expect(await group(null)).toEqual([]);
    expect(await group(0n)).toEqual([]);
    // Without AF it is not held.
    expect(await group(entry ^ 0x400n)).toEqual([]);
    // Table D8-104: the range that they lead to is aligned to its size.
    expect((await group(null, OLD + 0x1000n))[0]!.message).toContain("not aligned to its size");
    for (const [third, why] of [
      [entry + 0x1000n, "leads to an address that does not follow theirs"],
      [entry ^ CONT, "is not marked as one of them"],
      [entry | 0x80n, "has other permissions"],
      // AttrIndx, SH, nG.
      ...[0x4n, 0x300n, 0x800n].map((bits) => [entry ^ bits, "has other attributes"] as const),
    ] as const) {
      const findings = await group(third);
      expect(findings).toHaveLength(1);
      expect(findings[0]).toMatchObject({ rule: "inconsistent-group", severity: "error" });
      expect(findings[0]!.message).toContain(`entry 3 of them ${why}`);
    }
    // The odd one is asked for itself.
    const [own] = await group(entry + 0x1000n, OLD, 0x3000n);
    expect(own!.message).toContain("entry 3 of them leads to an address that does not follow theirs");
  });
});
