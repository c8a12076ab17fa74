import { describe, expect, test, vi } from "vitest";
import { bytesSource } from "../parsers/trace/source.ts";
import type { ReplayOptions } from "../pipeline/replay/options.ts";
import { replayTrace } from "../pipeline/replay/run.ts";
import { Radix, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";

async function replay(lines: readonly string[], options: Partial<ReplayOptions>) {
  const chunks: Buffer[] = [];
  const summary = await replayTrace(
    bytesSource(Buffer.from(`${lines.join("\n")}\n`)),
    { write: (bytes) => void chunks.push(Buffer.from(bytes)) },
    options,
  );
  const text = Buffer.concat(chunks).toString("utf8").trimEnd();
  return { summary, records: text.split("\n").map((line) => JSON.parse(line)) };
}

const hex = (n: number) => `0x${n.toString(16)}`;
const word = (n: number) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(n));
  return bytes.toString("hex");
};
const mem = (addr: number, data: string) => JSON.stringify({ type: "mem", addr: hex(addr), data });
const dma = (fields: object) => JSON.stringify({ type: "dma", dev: "00:03.0", addr: "0x1000", ...fields });
const RAM = '{"type":"ram","addr":"0x0","size":"0x10000000"}';

/** VT-d 5.10, 9.6: P, PGTT 100b (pass-through); the DID in bits 79:64. */
const passThrough = (did: number) => word(0x101) + word(did) + word(0).repeat(6);

describe("more PASIDs of one device than there is memory for", () => {
  const PASIDS = 1536;
  const PER_TABLE = 64;
  const DIRECTORY = 0x1000;
  const TABLES = 0x10_0000;
  const tables = Array.from({ length: PASIDS / PER_TABLE }, (_, i) => [
    // VT-d 5.10, 9.5: P, and the frame of the PASID table.
    mem(DIRECTORY + i * 8, word((TABLES + i * 4096) | 1)),
    mem(TABLES + i * 4096, passThrough(1).repeat(PER_TABLE)),
  ]).flat();
  const trace = [
    '{"type":"iommu","id":"d","model":"intel"}',
    RAM,
    ...tables,
    JSON.stringify({
      type: "bind",
      dev: "00:03.0",
      config: { model: "intel", base_ptr: hex(DIRECTORY), pasid_bits: 20 },
    }),
    // The PASID that was seen first gets ever new entries: it is the one to be dropped, and in use when that happens.
    ...Array.from({ length: PASIDS }, (_, pasid) => [
      mem(TABLES, passThrough(pasid + 1)),
      dma({ pasid: 0 }),
      dma({ pasid }),
    ]).flat(),
  ];

  test("drops others than the one in use, and says so", async () => {
    const { summary, records } = await replay(trace, { memoryLimit: 1 << 20 });
    const outcomes = records.filter(({ type }) => type === "outcome");
    expect(outcomes).toHaveLength(PASIDS * 2);
    for (const { result } of outcomes) expect(result).toBe("ok");
    expect(outcomes.at(-2).domain).toBe(PASIDS);
    expect(summary.forgotten).toBeGreaterThan(0);
    expect(records.filter(({ rule }) => rule === "memory-limit")).toHaveLength(1);
  });

  test("drops nothing where there is enough but versions of one entry, of which 16 are kept", async () => {
    const { summary } = await replay(trace, {});
    expect(summary.forgotten).toBe(PASIDS - 16);
  });
});

describe("more devices than there is memory for", () => {
  // IHI 0070, 5.2: STEs of zeros are not valid; the SMMU may cache them as they are (3.21.3).
  const smmu = [
    '{"type":"iommu","id":"s","model":"arm-smmuv3","regs":{"strtab_base":"0x400000","strtab_base_cfg":"0x10"}}',
    RAM,
  ];
  const request = (sid: number, more: object = {}) => dma({ dev: `sid:${sid}`, ...more });
  const SID = 3;
  const DEVICES = 4000;
  // STE.V and Config 0b100: bypass.
  const valid = mem(0x40_0000 + SID * 64, word(0b1001));
  const stale = request(SID, { observed: { result: "fault", code: "0x4" } });

  test("what has been dropped explains nothing any more, which is counted", async () => {
    const devices = Array.from({ length: DEVICES }, (_, i) => request(i));
    const trace = [...smmu, ...devices, valid, stale];
    const enough = await replay(trace, {});
    expect(enough.summary.forgotten).toBe(0);
    expect(Object.fromEntries(enough.summary.verdicts)).toEqual({ stale: 1 });
    const little = await replay(trace, { memoryLimit: 1 << 20 });
    expect(little.summary.forgotten).toBeGreaterThan(DEVICES / 4);
    expect(Object.fromEntries(little.summary.verdicts)).toEqual({ mismatch: 1 });
  });

  test("one that comes again after it was dropped is known again", async () => {
    const devices = Array.from({ length: DEVICES }, (_, i) => request(i));
    const trace = [...smmu, ...devices, request(SID), valid, stale];
    const { summary } = await replay(trace, { memoryLimit: 1 << 20 });
    expect(Object.fromEntries(summary.verdicts)).toEqual({ stale: 1 });
  });

  test("invalidating them one by one does not look at all of them each time", async () => {
    const count = 1 << 12;
    const requests = Array.from({ length: count }, (_, i) => request(i));
    // CMD_CFGI_STE (IHI 0070, 4.3.1): the StreamID in bits 63:32, Leaf in bit 64.
    const invalidations = Array.from(
      { length: count },
      (_, i) => `{"type":"cmd","iommu":"s","data":["${hex(i)}00000003","0x1"]}`,
    );
    let steps = 0;
    const { values } = Map.prototype;
    vi.spyOn(Map.prototype, "values").mockImplementation(function* (this: Map<unknown, unknown>) {
      for (const value of Reflect.apply(values, this, [])) {
        steps++;
        yield value;
      }
    } as typeof values);
    const { summary } = await replay([...smmu, ...requests, valid, ...invalidations, stale], {
      findings: false,
    });
    vi.restoreAllMocks();
    expect(steps).toBeLessThan(8 * count);
    // All were invalidated: none holds the invalid STE any more.
    expect(Object.fromEntries(summary.verdicts)).toEqual({ "stale-after-invalidation": 1 });
  });
});

describe("more invalidations than are remembered", () => {
  const A = 0x1000_0000n;
  const ELSEWHERE = 0x2000_0000n;
  const [OLD, NEW] = [0x8000_0000n, 0x9000_0000n];

  /** By device, which cached translations are not tagged with: kept, to be looked at when one is in question. */
  const invalidate = (s: Scenario, addr: bigint) =>
    s.inv({ cache: "iotlb", granularity: "page", dev: "00:03.0", addr: `0x${addr.toString(16)}` });

  function machine() {
    const s = new Scenario("intel", { rtaddr: 0x10_0000n });
    const table = new Radix(s, VTD_SECOND);
    s.put(0x10_0000n, 0x10_1001n).put(0x10_1180n, table.root | 1n, (9n << 8n) | 2n);
    return { s, table };
  }

  /** Asks twice in the end: without an answer, and with the one from before the change. */
  async function askedAt(s: Scenario, addr: bigint, others: number) {
    invalidate(s, A);
    for (let i = 0; i < others; i++) invalidate(s, ELSEWHERE + BigInt(i) * 0x1000n);
    const seqs = [s.dma({ dev: "00:03.0", addr }), s.dma({ dev: "00:03.0", addr }, OLD)];
    const run = await s.run();
    expect(run.rules().filter((rule) => rule !== "memory-limit")).toEqual([]);
    return seqs.map((seq) => run.verdict(seq));
  }

  test.each([
    [0, "stale-after-invalidation"],
    [2000, "stale"],
  ])("a translation before them is not said to be owed one: %i others", async (others, expected) => {
    const { s, table } = machine();
    table.map(A, OLD);
    s.dma({ dev: "00:03.0", addr: A });
    table.map(A, NEW);
    expect(await askedAt(s, A, others)).toEqual(["", expected]);
  });

  test.each([
    [0, "stale-after-invalidation"],
    [2000, "stale"],
  ])("nor is an entry above the last level: %i others", async (others, expected) => {
    const { s, table } = machine();
    const beside = A + 0x1000n;
    table.map(A, NEW).map(beside, OLD);
    s.dma({ dev: "00:03.0", addr: A });
    const next = s.allocate();
    s.put(next, NEW | 3n, NEW | 3n);
    table.replaceTable(A, 2, next);
    expect(await askedAt(s, beside, others)).toEqual(["", expected]);
  });
});

describe("more pages than there is memory for", () => {
  const PAGES = 40_000;
  const ROOT = 0x1000;
  const [CONTEXTS, TOP, MIDDLE, LAST] = [0x2000, 0x3000, 0x4000, 0x5000];
  const OLD = 0x80_0000;
  const NEW = 0x90_0000;
  // VT-d 5.10, 9.8: R and W. One last table stands behind every entry of the middle one: many pages, few tables.
  const leaf = (pa: number) => word(pa | 3);
  const trace = [
    `{"type":"iommu","id":"d","model":"intel","regs":{"rtaddr":"${hex(ROOT)}"}}`,
    RAM,
    mem(ROOT, word(CONTEXTS | 1)),
    // AW 1: 39 bits, 3 levels; DID 9.
    mem(CONTEXTS + 0x18 * 16, word(TOP | 1) + word((9 << 8) | 1)),
    mem(TOP, word(MIDDLE | 3)),
    mem(MIDDLE, word(LAST | 3).repeat(512)),
    mem(LAST, leaf(OLD).repeat(512)),
  ];
  const page = (n: number, more: object = {}) => dma({ addr: hex(n * 4096), ...more });
  const old = { observed: { result: "ok", pa: hex(OLD) } };
  const use = Array.from({ length: PAGES }, (_, n) => page(n));
  const change = mem(LAST, leaf(NEW).repeat(512));
  const asked = [0, 1, PAGES - 2, PAGES - 1];

  async function run(memoryLimit: number | undefined, requests: readonly string[]) {
    const answers = asked.map((n) => page(n, old));
    const options = { ...(memoryLimit === undefined ? {} : { memoryLimit }), findings: true };
    const { summary, records } = await replay([...trace, ...requests, change, ...answers], options);
    const verdicts = records.filter(({ type }) => type === "outcome").slice(-asked.length);
    return { summary, verdicts: verdicts.map(({ verdict }) => verdict), records };
  }

  test("all are kept where there is enough", async () => {
    const { summary, verdicts } = await run(undefined, use);
    expect(verdicts).toEqual(["stale", "stale", "stale", "stale"]);
    expect(summary.forgotten).toBe(0);
  });

  test("the oldest go, loudly, and explain nothing any more", async () => {
    const { summary, verdicts, records } = await run(1 << 20, use);
    expect(verdicts).toEqual(["mismatch", "mismatch", "stale", "stale"]);
    expect(summary.forgotten).toBeGreaterThan(PAGES / 4);
    const [finding] = records.filter(({ rule }) => rule === "memory-limit");
    expect(finding).toMatchObject({ severity: "warning", forgotten: summary.forgotten });
    expect(records.at(-1)).toMatchObject({ type: "summary", forgotten: summary.forgotten });
  });

  test("what is used again stays", async () => {
    // The last request before each sixteenth of them is one of page 0.
    const requests = use.flatMap((line, n) => (n % (PAGES / 16) === 0 ? [page(0), line] : [line]));
    const { verdicts } = await run(1 << 20, requests);
    expect(verdicts).toEqual(["stale", "mismatch", "stale", "stale"]);
  });
});
