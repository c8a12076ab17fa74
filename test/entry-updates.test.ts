/** Entries that change while they are in use: what is safe, what is reported, and at which request. */
import { describe, expect, test } from "vitest";
import { type Finding, findingsOf, mem, type Setup } from "./support/table-lint.ts";
import { UPDATE_CASES, VTD_SYNC } from "./support/update-cases.ts";

const RULES = [
  "changed-while-valid",
  "removed-while-valid",
  "valid-before-complete",
  "half-written-entry-used",
  "avoidable-refusal",
  "refused-while-replaced",
  "passed-while-replaced",
];
const updates = (findings: readonly Finding[]) => findings.filter(({ rule }) => RULES.includes(rule));

/** Records that set up a machine. */
function recordsOf({ model, regs, props, memory }: Setup): object[] {
  const hex = (value: bigint) => `0x${value.toString(16)}`;
  const registers = Object.entries(regs ?? {}).map(([name, value]) => [name, hex(value)]);
  return [
    { type: "iommu", id: "iommu0", model, regs: Object.fromEntries(registers), ...(props && { props }) },
    { type: "ram", addr: "0x0", size: "0x40000" },
    ...Object.entries(memory).flatMap(([at, words]) =>
      words.length === 0 ? [] : [mem(BigInt(at), ...words)],
    ),
  ];
}

const DEVICES: Readonly<Record<string, string>> = { "arm-smmuv3": "sid:24", amd: "00:03.0", riscv: "did:24" };

describe("each kind of entry, changed safely and not", () => {
  for (const { kind, change, setup, pasid, safe, unsafe, rule } of UPDATE_CASES) {
    const dev = DEVICES[setup.model] ?? "00:03.0";
    const dma = { type: "dma", dev, addr: "0x0", ...(pasid === undefined ? {} : { pasid }) };
    const prelude = [...recordsOf(setup), dma];
    test(`${kind}: ${change}`, async () => {
      expect(updates(await findingsOf([...prelude, ...safe, dma]))).toEqual([]);
      const found = updates(await findingsOf([...prelude, ...unsafe, dma]));
      expect(found.map((f) => f.rule)).toEqual([rule]);
      const writes = unsafe.flatMap((r, i) => ("addr" in r ? [prelude.length + 1 + i] : []));
      expect(writes).toContain(found[0]!.changed_line);
      expect(writes).toContain(found[0]!.until_line);
      expect(found[0]!.message).toMatch(/expected .*(cleared alone|set last)/);
    });
  }
});

/** A PASID table entry in use: PASID 5 of 00:02.0, first stage, DID 2, an identity of one page at 0x10000. */
const PASID_ENTRY = 0x4140n;
const TEARDOWN: readonly object[] = [
  {
    type: "iommu",
    id: "iommu0",
    model: "intel",
    regs: { cap: "0x1d2008c222f0406", ecap: "0x2c99884000fdf", rtaddr: "0x1400", gsts: "0xc0000000" },
  },
  { type: "ram", addr: "0x0", size: "0x100000" },
  mem(0x1000n, 0x2001n, 0n),
  mem(0x2200n, 0x3009n, 0n, 0n, 0n),
  mem(0x3000n, 0x4001n),
  mem(0x10000n, 0x11007n),
  mem(0x11000n, 0x12007n),
  mem(0x12000n, 0x13007n),
  mem(0x13080n, 0x30067n),
  mem(PASID_ENTRY, 0x41n, 2n, 0x10000n, 0n, 0n, 0n, 0n, 0n),
  { type: "dma", dev: "00:02.0", addr: "0x10000", pasid: 5, observed: { result: "ok", pa: "0x30000" } },
];
const DMA = { type: "dma", dev: "00:02.0", addr: "0x10000", pasid: 5 };
const REFUSED = { ...DMA, observed: { result: "fault", code: "0x59" } };
const next = TEARDOWN.length + 1;
const teardown = async (...records: object[]) => updates(await findingsOf([...TEARDOWN, ...records]));
const zeros = (words: number) => Array<bigint>(words).fill(0n);
const said = (found: readonly Finding[]) =>
  found.map(({ line, severity, rule, changed_line, until_line, request_line }) => ({
    line,
    severity,
    rule,
    lines: [changed_line, request_line, until_line],
  }));

describe("a PASID entry is torn down", () => {
  test("as Linux came to do it: P alone, invalidations, a wait, then the rest", async () => {
    const fixed = [mem(PASID_ENTRY, 0x40n, 2n, 0x10000n, ...zeros(5)), ...VTD_SYNC];
    expect(await teardown(...fixed, mem(PASID_ENTRY, ...zeros(8)), REFUSED)).toEqual([]);
  });

  test("all at once while it is present", async () => {
    const found = await teardown(mem(PASID_ENTRY, ...zeros(8)), ...VTD_SYNC, REFUSED);
    expect(said(found)).toEqual([
      { line: next, severity: "warning", rule: "removed-while-valid", lines: [next, undefined, next] },
    ]);
    expect(found[0]).toMatchObject({ bits: "255:128,127:0", pasid: 5, entry_addr: "0x4140" });
    expect(found[0]!.message).toContain(
      "expected P to be cleared alone, the entry to be invalidated and waited for, and only then the rest",
    );
  });

  test("by words, P last", async () => {
    const stores = [7n, 6n, 5n, 4n, 3n, 2n, 1n, 0n].map((word) => mem(PASID_ENTRY + 8n * word, 0n));
    // Only three of its words hold anything.
    expect(said(await teardown(...stores, ...VTD_SYNC, REFUSED))).toEqual([
      {
        line: next + 7,
        severity: "warning",
        rule: "removed-while-valid",
        lines: [next + 5, undefined, next + 7],
      },
    ]);
  });

  test("the rest before the invalidation is complete", async () => {
    const [context, pasids, wait] = VTD_SYNC as [object, object, object];
    const cleared = mem(PASID_ENTRY, 0x40n);
    const rest = mem(PASID_ENTRY + 8n, 0n, 0n);
    expect(said(await teardown(cleared, context, pasids, rest, wait))).toMatchObject([
      { line: next + 3, rule: "removed-while-valid" },
    ]);
    // What is invalidated is another cache, or another PASID's entry.
    const other = { type: "cmd", iommu: "iommu0", data: ["0x600020017", "0x0"] };
    for (const wrong of [context, other])
      expect(said(await teardown(cleared, wrong, wait, rest, pasids, wait))).toMatchObject([
        { line: next + 3, rule: "removed-while-valid" },
      ]);
  });

  test("a request between two of the stores is named, and no alibi", async () => {
    const torn = [mem(PASID_ENTRY + 16n, ...zeros(6)), DMA, mem(PASID_ENTRY, 0n, 0n), ...VTD_SYNC];
    const found = await teardown(...torn, REFUSED);
    expect(said(found)).toEqual([
      {
        line: next + 1,
        severity: "error",
        rule: "half-written-entry-used",
        lines: [next, next + 1, next + 2],
      },
    ]);
    expect(found[0]!.message).toContain(`the request in line ${next + 1} used it between the writes`);
  });

  test("but not one of another PASID, nor one that met the entry as it was", async () => {
    const first = mem(PASID_ENTRY + 16n, ...zeros(6));
    const rest = [mem(PASID_ENTRY, 0n, 0n), ...VTD_SYNC];
    const removed = [{ rule: "removed-while-valid", severity: "warning" }];
    expect(await teardown(first, { ...DMA, pasid: 6 }, ...rest)).toMatchObject(removed);
    // Before the first of the stores, or after the last.
    expect(await teardown(DMA, first, ...rest)).toMatchObject(removed);
    expect(await teardown(first, ...rest.slice(0, 1), DMA, ...rest.slice(1))).toMatchObject(removed);
  });

  test("a page that is written as a whole says how memory is, not how it came to be", async () => {
    expect(await teardown(mem(0x4100n, ...zeros(16)), ...VTD_SYNC, REFUSED)).toEqual([]);
    expect(await teardown(mem(0x4000n, ...zeros(512)), ...VTD_SYNC, REFUSED)).toEqual([]);
  });

  test("a system that never waits is taken to invalidate at once", async () => {
    const [context, pasids] = VTD_SYNC as [object, object];
    const cleared = mem(PASID_ENTRY, 0x40n);
    expect(await teardown(cleared, context, pasids, mem(PASID_ENTRY, ...zeros(8)))).toEqual([]);
    const neutral = { type: "inv", cache: "pasid", granularity: "global" };
    expect(await teardown(cleared, neutral, mem(PASID_ENTRY, ...zeros(8)))).toEqual([]);
  });
});

describe("windows", () => {
  const window = (...rest: object[]) => [mem(PASID_ENTRY, 0x40n), ...VTD_SYNC, REFUSED, ...rest, ...VTD_SYNC];

  test("a request that is refused between two states of an entry has both writes named", async () => {
    const found = await teardown(...window(mem(PASID_ENTRY + 8n, 3n, 0x20000n), mem(PASID_ENTRY, 0x41n)));
    expect(said(found)).toEqual([
      {
        line: next + 4,
        severity: "info",
        rule: "refused-while-replaced",
        lines: [next, next + 4, next + 6],
      },
    ]);
  });

  test("where one store would have done, it could have been hitless", async () => {
    const found = await teardown(...window(mem(PASID_ENTRY, 0x43n, 2n)));
    expect(said(found)).toMatchObject([{ line: next + 4, severity: "warning", rule: "avoidable-refusal" }]);
    expect(found[0]!.message).toContain("could have been hitless");
  });

  test("an entry that was removed, or that is the same again, was not changed; without a refusal there is nothing to say", async () => {
    const removed = [
      mem(PASID_ENTRY, ...zeros(8)),
      mem(PASID_ENTRY + 16n, 0x10000n),
      mem(PASID_ENTRY, 0x43n, 2n),
    ];
    expect(said(await teardown(...window(...removed)))).toMatchObject([{ rule: "refused-while-replaced" }]);
    expect(said(await teardown(...window(mem(PASID_ENTRY, 0x41n))))).toMatchObject([
      { rule: "refused-while-replaced" },
    ]);
    const silent = window(mem(PASID_ENTRY + 8n, 3n), mem(PASID_ENTRY, 0x41n)).filter((r) => r !== REFUSED);
    expect(await teardown(...silent)).toEqual([]);
    // Nobody saw it refused, and there was no other way.
    const unseen = window(mem(PASID_ENTRY + 8n, 3n, 0x20000n), mem(PASID_ENTRY, 0x41n));
    expect(await teardown(...unseen.map((r) => (r === REFUSED ? DMA : r)))).toEqual([]);
  });
});

describe("AMD: an entry whose V is clear lets requests pass", () => {
  const { setup } = UPDATE_CASES.find(({ kind }) => kind === "AMD device table entry")!;
  const dma = { type: "dma", dev: "00:03.0", addr: "0x1000" };
  const valid = setup.memory["0x8300"]!;
  const sync = [
    { type: "cmd", iommu: "iommu0", data: ["0x8000000000000000", "0x0"] },
    { type: "cmd", iommu: "iommu0", data: ["0x1000000000000000", "0x0"] },
  ];
  const prelude = [...recordsOf(setup), dma];
  const at = prelude.length;
  const through = async (low: bigint, ...between: object[]) =>
    updates(
      await findingsOf([
        ...prelude,
        mem(0x8300n, low, 0n),
        ...sync,
        ...between,
        mem(0x8300n, valid[0]!, 2n),
        ...sync,
        dma,
      ]),
    );

  test("one that comes while it is replaced is said, with both writes", async () => {
    const [found, ...others] = await through(0n, dma, dma);
    expect(others).toEqual([]);
    expect(said([found!])).toEqual([
      {
        line: at + 4,
        severity: "warning",
        rule: "passed-while-replaced",
        lines: [at + 1, at + 4, at + 6],
      },
    ]);
    expect(found!.message).toContain("expected V=1 and TV=0 meanwhile");
  });

  test("none comes, or one of another device, or TV=0 refuses it", async () => {
    expect(await through(0n)).toEqual([]);
    expect(await through(0n, { ...dma, dev: "00:04.0" })).toEqual([]);
    expect(await through(1n, dma)).toEqual([]);
  });
});

describe("half of an entry of 128-bit stores", () => {
  const { setup } = UPDATE_CASES.find(({ kind }) => kind === "VT-d context entry")!;
  const dma = { type: "dma", dev: "00:03.0", addr: "0x0" };

  test("a request that finds the new domain with the old table is named", async () => {
    const tables = [0x3000n, 0x5000n, 0x6000n].map((at) =>
      mem(at, (at === 0x3000n ? 0x5000n : at + 0x1000n) | 3n),
    );
    const prelude = [...recordsOf(setup), ...tables, mem(0x7000n, 0x20003n), dma];
    const found = await findingsOf([...prelude, mem(0x9188n, 0x202n), dma, mem(0x9180n, 0x4001n)]);
    const at = prelude.length;
    expect(updates(found)).toMatchObject([
      {
        rule: "half-written-entry-used",
        severity: "error",
        changed_line: at + 1,
        request_line: at + 2,
        until_line: at + 3,
      },
    ]);
  });
});

/** A level 1 stream table descriptor that points to itself: the array of entries that it leads to begins with it. */
test("an entry that becomes valid ends no window of another structure in its place", async () => {
  const L1STD = 0x4000_0000n;
  const regs = {
    idr0: "0xd40101a",
    idr1: "0x2730010",
    cr0: "0xd",
    strtab_base: "0x40000000",
    strtab_base_cfg: "0x10190",
  };
  const found = await findingsOf([
    { type: "ram", addr: "0x40000000", size: "0x100000" },
    { type: "iommu", id: "iommu0", model: "arm-smmuv3", regs },
    mem(L1STD, L1STD | 7n),
    { type: "cmd", iommu: "iommu0", data: ["0x46", "0x0"] },
    mem(L1STD, L1STD | 6n),
    { type: "dma", dev: "sid:33", addr: "0x12344fff" },
    mem(L1STD, L1STD | 7n),
  ]);
  expect(updates(found)).toEqual([]);
});
