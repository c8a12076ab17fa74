import { describe, expect, test } from "vitest";
import { enumerate } from "./support/inspection.ts";
import { inspectUnit } from "./support/inspection-records.ts";
import { leaf, pointer, RiscvTable, SV57, TC_V } from "./support/riscv-builder.ts";
import { RiscvIommu } from "./support/riscv-iommu.ts";
import { TableMemory } from "./support/table-memory.ts";
import { legacyMachine, ROOT, SS } from "./support/vtd-machine.ts";

const WHO = { device: 0x18 };

/** 00:03.0 behind a 4-level second stage whose root is filled with pointers to itself. */
function cyclic() {
  const machine = legacyMachine({}, { output_bits: 46 });
  for (let i = 0n; i < 512n; i++) machine.put(SS + 8n * i, SS | 3n);
  return machine;
}

describe("tables that point back into themselves", () => {
  test("end with the budget: nothing is known from the position on", () => {
    const { walker } = cyclic();
    const found = enumerate({ walker, ...WHO }, 1000);
    expect(found).toMatchObject({ complete: false, walks: 1000 });
    // Every 4 KiB of 2^48 bytes maps to the table: no two of them are one range.
    expect(found.ranges.length).toBe(1000);
    expect(found.ranges.every((r) => r.output === Number(SS >> 12n) && r.frames === 1)).toBe(true);
    expect(found.position).toBe(1000);
  });

  test("a whole inspection ends with one note that says where, and counts what it has seen", async () => {
    const { memory } = cyclic();
    const registers = { rtaddr: ROOT };
    const { records, walks } = await inspectUnit("intel", memory, registers, {
      walks: 10_000,
      maps: false,
      props: { output_bits: 46 },
    });
    expect(walks).toBe(10_000);
    const notes = records.filter((r) => r.type === "note");
    expect(notes).toEqual([
      {
        type: "note",
        note: "effort",
        dev: "00:03.0",
        next: expect.stringMatching(/^0x2[0-9a-f]{3}000$/),
        message: expect.stringContaining("10000 walks"),
      },
    ]);
    const { ranges, pages, complete } = records.find((r) => r.type === "pasid");
    expect(complete).toBe(false);
    expect(pages).toEqual({ 4096: ranges });
    expect(Number(notes[0].next)).toBe(ranges * 4096);
  });

  test("the budget bounds the devices, too", async () => {
    const memory = new TableMemory();
    memory.ram(0x1_0000n, 0x1000n);
    // A linear stream table of 2^32 entries, at 0 by its alignment, of which the page at 64 KiB is recorded.
    const registers = { strtab_base: 0x1_0000n, strtab_base_cfg: 32n };
    const { records, walks } = await inspectUnit("arm-smmuv3", memory, registers, { walks: 5000 });
    expect(walks).toBe(5000);
    expect(records.at(-2)).toMatchObject({
      note: "faulty",
      name: "F_STE_FETCH",
      hole: true,
      count: 5000 - 1024 - 64,
    });
    expect(records.filter((r) => r.note === "effort")).toHaveLength(1);
    expect(records.at(-1)).toMatchObject({ note: "effort" });
  });
});

describe("sparse tables", () => {
  test("one page at the end of 2^57 bytes takes no more walks than there are entries on the way", () => {
    const iommu = new RiscvIommu();
    const table = new RiscvTable(iommu.memory, SV57, { allocate: iommu.allocate });
    const va = (1n << 57n) - 4096n;
    table.map(va, 0x1234_5000n);
    iommu.device(1, { tc: TC_V, fsc: pointer(10n, table.root) });
    const found = enumerate({ walker: iommu.walker, device: 1 });
    expect(found.complete).toBe(true);
    // The address is the last of the 64-bit space, the upper half being copies of bit 56.
    expect(found.ranges).toEqual([
      expect.objectContaining({ frame: 2 ** 52 - 1, frames: 1, output: 0x12345, perm: 7, pageShift: 12 }),
    ]);
    // Equal empty entries are stepped over together.
    expect(found.walks).toBeLessThan(12);
  });

  test("entries that are not present in different ways are looked at one by one", () => {
    const machine = legacyMachine();
    machine.put(SS, (SS + 0x1000n) | 3n).put(SS + 0x1000n, (SS + 0x2000n) | 3n);
    machine.put(SS + 0x2000n, (SS + 0x3000n) | 3n);
    for (let i = 0n; i < 512n; i++) machine.put(SS + 0x3000n + 8n * i, i << 12n);
    machine.put(SS + 0x3000n + 8n * 300n, 0x77_7003n);
    const found = enumerate({ walker: machine.walker, ...WHO });
    expect(found.ranges.map((r) => [r.frame, r.output])).toEqual([[300, 0x777]]);
    expect(found.walks).toBeGreaterThan(511);
  });
});

describe("--from and --limit", () => {
  /** Pages 10 to 19 one after another, then every second one. */
  function pages() {
    const machine = legacyMachine();
    machine.put(SS, (SS + 0x1000n) | 3n).put(SS + 0x1000n, (SS + 0x2000n) | 3n);
    machine.put(SS + 0x2000n, (SS + 0x3000n) | 3n, 0x4000_0083n, 0n, 0x8000_0001n);
    for (let i = 10n; i < 20n; i++) machine.put(SS + 0x3000n + 8n * i, ((0x1000n + i) << 12n) | 3n);
    for (let i = 20n; i < 40n; i += 2n) machine.put(SS + 0x3000n + 8n * i, ((0x3000n + i) << 12n) | 3n);
    return machine;
  }
  const inspect = (options: object) => inspectUnit("intel", pages().memory, { rtaddr: ROOT }, options);
  // biome-ignore lint/suspicious/noExplicitAny: records of all types
  const maps = (records: any[]) => records.filter((r) => r.type === "map").map((r) => [r.iova, r.size]);

  test("a range is cut at the first address asked for, a large page too", async () => {
    expect(maps((await inspect({ from: 15 })).records).slice(0, 2)).toEqual([
      ["0xf000", 5 * 4096],
      ["0x14000", 4096],
    ]);
    const { records } = await inspect({ from: 513 });
    expect(records.filter((r) => r.type === "map")[0]).toMatchObject({
      iova: "0x201000",
      pa: "0x40001000",
      size: 2 ** 21 - 4096,
      pageShift: 21,
    });
    expect(records.find((r) => r.type === "pasid").pages).toEqual({ 2097152: 1 });
  });

  test("the note says where to go on, and going on there gives the rest", async () => {
    const all = await inspect({});
    const some = await inspect({ limit: 4 });
    const note = some.records.find((r) => r.type === "note");
    expect(note).toMatchObject({ note: "limit", next: "0x1a000" });
    expect(some.records.find((r) => r.type === "pasid")).toMatchObject({ ranges: 4, complete: false });
    const rest = await inspect({ from: Number(note.next) / 4096, faulty: false });
    expect([...maps(some.records), ...maps(rest.records)]).toEqual(maps(all.records));
    // As many ranges as there are need no note.
    const enough = await inspect({ limit: maps(all.records).length + 1 });
    expect(enough.records.filter((r) => r.note === "limit")).toEqual([]);
  });

  test("entries at fault are notes, merged like pages", async () => {
    const machine = pages();
    // A 2 MiB page that is not aligned, twice; and a table that is nowhere.
    machine.put(SS + 0x2000n + 16n, 0x4000_1083n, 0x4000_1083n, 0x99_9000_0003n);
    const { records } = await inspectUnit("intel", machine.memory, { rtaddr: ROOT }, { from: 1024 });
    expect(records.filter((r) => r.type === "note")).toEqual([
      {
        type: "note",
        note: "faulty",
        dev: "00:03.0",
        iova: "0x400000",
        size: 2 ** 22,
        reason: "BAD_PTE",
        code: "0xc",
        name: "LSS.2",
        stage: 2,
        level: 2,
        entry_addr: "0x302010",
        entry: "0x40001083",
        message: expect.any(String),
      },
      expect.objectContaining({
        iova: "0x800000",
        size: 2 ** 21,
        reason: "WALK_EABT",
        entry_addr: "0x9990000000",
        hole: true,
      }),
    ]);
  });
});

describe("pages whose leaf is several entries", () => {
  test("Svnapot: 16 entries are one page; a broken run is shown as it is", () => {
    const iommu = new RiscvIommu();
    const table = new RiscvTable(iommu.memory, SV57, { allocate: iommu.allocate });
    table.mapNapot(0x10_0000n, 0x50_0000n);
    table.mapNapot(0x11_0000n, 0x60_0000n);
    iommu.device(1, { tc: TC_V, fsc: pointer(10n, table.root) });
    const broken = table.entry(0x11_5000n, 1)!;
    table.write(broken, leaf(0x70_0000n, 0xdfn));
    const found = enumerate({ walker: iommu.walker, device: 1 }).ranges;
    expect(found.map((r) => [r.frame, r.frames, r.output, r.pageShift, r.pages])).toEqual([
      [0x100, 16, 0x500, 16, 1],
      [0x110, 5, 0x600, 16, 1],
      [0x115, 1, 0x700, 12, 1],
      [0x116, 10, 0x606, 16, 1],
    ]);
  });
});
