/** Mistakes that QEMU's amd-iommu makes, and what they explain: entries as AMD 48882, 2.2.2 and 2.2.3, lay them out. */
import { describe, expect, it } from "vitest";
import type { DeviceAnswer } from "../pipeline/device/answer.ts";
import { newWorldMaker } from "../pipeline/fuzz/campaign.ts";
import { ExpectedDepartures } from "../pipeline/fuzz/expected-departures.ts";
import { observedRecords } from "../pipeline/fuzz/judge.ts";
import { NO_ALIASES } from "../pipeline/verdicts/comparison.ts";
import { DeviceTableEntry } from "../walkers/amd-vi/device-table-entry.ts";
import { AMD_VI_BUGS } from "../walkers/amd-vi/fuzz/bugs.ts";
import { NO_LIMITS, type WorldRecord } from "../walkers/fuzz/world.ts";
import type { Layout } from "../walkers/layout.ts";
import { AmdV1Directory, AmdV1Entry } from "../walkers/page-tables/amd-v1.ts";

const DTE = 0x300;
const ROOT = 0x5000;
const [V, TV, MODE_1, MODE_7] = [1n, 2n, 1n << 9n, 7n << 9n];
const [IR, IW] = [1n << 61n, 1n << 62n];
const SA = 1n << 34n;
const PAGE_FAULT: DeviceAnswer = { result: "fault", code: "0x2", recorded: true };
const ILLEGAL: DeviceAnswer = { result: "fault", code: "0x1", recorded: true };
const UNRECORDED: DeviceAnswer = { result: "fault", recorded: false };

function mem(addr: number, ...words: bigint[]): WorldRecord {
  const bytes = Buffer.alloc(8 * words.length);
  for (const [i, word] of words.entries()) bytes.writeBigUInt64LE(word, 8 * i);
  return { type: "mem", addr: `0x${addr.toString(16)}`, data: bytes.toString("hex") };
}
const dte = (low: bigint, high = 0n, third = 0n, fourth = 0n) => mem(DTE, low, high, third, fourth);
const read: WorldRecord = { type: "dma", iommu: "iommu0", dev: "00:03.0", addr: "0x0", len: 1, access: "r" };
/** INVALIDATE_DEVTAB_ENTRY of 00:03.0. */
const FORGET: WorldRecord = { type: "cmd", iommu: "iommu0", data: ["0x2000000000000018", "0x0"] };

/**
 * Of 00:03.0.
 * @param page layout that the world has made the entry at ROOT as
 * @param names mistakes that are known
 * @param silentDenials one more, that is of caches
 * @returns lines of requests that they do not explain
 */
function unexplained(
  names: readonly string[],
  answers: readonly DeviceAnswer[],
  records: readonly WorldRecord[],
  page: Layout = AmdV1Entry,
  silentDenials = false,
): number[] {
  const world: WorldRecord[] = [
    { type: "ram", addr: "0x0", size: "0x10000" },
    { type: "iommu", id: "iommu0", model: "amd", regs: { efr: "0x29d3", efr2: "0x0", dev_tab_base: "0x1" } },
    ...records,
  ];
  const bugs = AMD_VI_BUGS.filter(({ name }) => names.includes(name));
  expect(bugs).toHaveLength(names.length);
  const made = (layout: Layout) => ({ layout, littleEndian: true, uses: [{ level: 1 }] });
  const entries = new Map([
    [BigInt(DTE), made(DeviceTableEntry)],
    [BigInt(ROOT), made(page)],
  ]);
  const expected = new ExpectedDepartures({ codeAliases: NO_ALIASES, bugs, silentDenials }, NO_LIMITS);
  return expected
    .judge(observedRecords(world, answers), { entryAt: (address) => entries.get(address) })
    .map(({ line }) => line - 2);
}

describe("device-entry-always-checked", () => {
  const ALWAYS = ["device-entry-always-checked"];

  it.each([
    ["bits 255:128, IV=0", dte(V, 0n, 0n, 2n)],
    ["bits 127:0, V=0", dte(4n)],
    ["both", dte(0n, 0n, 0n, 2n)],
  ])("explains that reserved bits are refused: %s", (_name, entry) => {
    expect(unexplained([], [ILLEGAL], [entry, read])).toEqual([2]);
    expect(unexplained(ALWAYS, [ILLEGAL], [entry, read])).toEqual([]);
    // One that few are checked of is told beside it.
    expect(unexplained([...ALWAYS, "device-entry-reserved"], [ILLEGAL], [entry, read])).toEqual([]);
  });

  it("explains no event for an entry without reserved bits, and none other than 2.5.2's", () => {
    expect(unexplained(ALWAYS, [ILLEGAL], [dte(V | IR, 0xffffn), read])).toEqual([2]);
    expect(unexplained(ALWAYS, [PAGE_FAULT], [dte(0n, 0n, 0n, 2n), read])).toEqual([2]);
  });
});

describe("untranslated-unlogged", () => {
  const UNLOGGED = ["suppress-all", "untranslated-unlogged"];

  it.each([
    ["TV=0", dte(V)],
    ["Mode 7", dte(V | TV | MODE_7 | IR)],
  ])("explains that there is no event: %s", (_name, entry) => {
    expect(unexplained(["suppress-all"], [UNRECORDED], [entry, read])).toEqual([2]);
    expect(unexplained(UNLOGGED, [UNRECORDED], [entry, read])).toEqual([]);
  });

  it("explains it as well where the entry said TV=0 with SA before, and was invalidated", () => {
    const records = [dte(V, SA), read, dte(V | TV | MODE_7, SA), FORGET, read];
    expect(unexplained(["suppress-all"], [UNRECORDED, UNRECORDED], records)).not.toEqual([]);
    expect(unexplained(UNLOGGED, [UNRECORDED, UNRECORDED], records)).toEqual([]);
  });

  it("and of HyperTransport's range, where that is taken for any other", () => {
    const special = { ...read, addr: "0xfd00000000" };
    expect(unexplained(UNLOGGED, [UNRECORDED], [dte(V), special])).toEqual([2]);
    expect(unexplained([...UNLOGGED, "hypertransport-range"], [UNRECORDED], [dte(V), special])).toEqual([]);
  });

  it("explains no other silence: of IR=0 with a Mode", () => {
    const entry = dte(V | TV | MODE_1 | BigInt(ROOT));
    expect(unexplained(UNLOGGED, [UNRECORDED], [entry, mem(ROOT, 1n | IR), read])).toEqual([3]);
  });
});

describe("device-in-address", () => {
  it("explains that a page is found whose device's id and address bits 63:48 come to the same number", () => {
    // 00:03.0 is 0x18: bit 52 of an address is a bit of that too, bit 53 is none.
    const table = dte(V | TV | (6n << 9n) | BigInt(ROOT) | IR);
    const at = (addr: string): WorldRecord => ({ ...read, addr });
    const found: DeviceAnswer = { result: "ok", pa: "0x9000" };
    const known = ["device-in-address"];
    for (const [addr, page, unexplainedLines] of [
      ["0x10000000000000", "0x9000", []],
      ["0x20000000000000", "0x9000", [4]],
      ["0x10000000001000", "0x9000", [4]],
      ["0x10000000000000", "0xa000", [4]],
    ] as const) {
      const entries = [table, mem(ROOT, 1n | IR | (5n << 9n) | BigInt(ROOT))];
      const records = [...entries, at("0x0"), at(addr)];
      const left = unexplained(known, [found, { ...found, pa: page }], records).filter((line) => line === 4);
      expect(left, addr).toEqual(unexplainedLines);
    }
  });
});

describe("hit-denied-unrecorded", () => {
  const TABLE = dte(V | TV | MODE_1 | BigInt(ROOT) | IR | IW);
  const page = (rights: bigint) => mem(ROOT, 1n | (9n << 12n) | rights);
  const write: WorldRecord = { ...read, access: "w" };
  const written: DeviceAnswer = { result: "ok", pa: "0x9000" };

  it.each([
    ["memory denies it as well", [], 4],
    ["memory grants it since", [page(IR | IW)], 5],
    ["nothing is there any more", [mem(ROOT, 0n)], 5],
  ])("explains that what was cached of a write denies a read without an event: %s", (_name, since, line) => {
    const records = [TABLE, page(IW), write, ...since, read];
    expect(unexplained([], [written, UNRECORDED], records)).toEqual([line]);
    expect(unexplained([], [written, UNRECORDED], records, AmdV1Entry, true)).toEqual([]);
  });

  it("explains none of a page that nothing has used, or that the rights are there for", () => {
    const refused = [TABLE, page(IW), read];
    expect(unexplained([], [UNRECORDED], refused, AmdV1Entry, true)).toEqual([3]);
    const granted = [TABLE, page(IR | IW), write, read];
    expect(unexplained([], [written, UNRECORDED], granted, AmdV1Entry, true)).toEqual([4]);
    const absent = [TABLE, mem(ROOT, 0n), read, read];
    expect(unexplained([], [PAGE_FAULT, UNRECORDED], absent, AmdV1Entry, true)).toEqual([4]);
  });
});

describe("untranslated-passes", () => {
  it("explains that a request passes, by the entry's rights, where TV is 0 and V is 1", () => {
    const passes: DeviceAnswer = { result: "ok", pa: "0x0" };
    const known = ["untranslated-passes"];
    expect(unexplained(known, [passes], [dte(V | IR), read])).toEqual([]);
    expect(unexplained(known, [passes], [dte(V | IW), read])).toEqual([2]);
    expect(unexplained(known, [{ result: "ok", pa: "0x1000" }], [dte(V | IR), read])).toEqual([2]);
    expect(unexplained(known, [passes], [dte(V | TV | MODE_7 | IR), read])).toEqual([2]);
  });
});

describe("worlds for a device that can be told of what passes only where memory is", () => {
  it("ask for addresses of memory, and of devices beyond the device table", async () => {
    const memory = { base: 0x140_0000n, bytes: 0x2c0_0000n };
    const limits = { ...NO_LIMITS, memory, pagesInMemory: true, devices: [0x18, 0xf0], pasid: false };
    const { maker } = await newWorldMaker("amd", limits, 1);
    const worlds = Array.from({ length: 40 }, () => maker.next().records);
    const asks = (records: readonly WorldRecord[], is: (record: WorldRecord) => boolean) =>
      records.some((record) => record.type === "dma" && is(record));
    const ofMemory = ({ addr }: WorldRecord) => {
      const at = BigInt(addr as string);
      return at >= memory.base && at < memory.base + memory.bytes;
    };
    const isShort = (records: readonly WorldRecord[]) => {
      const regs = records.find(({ type }) => type === "iommu")!.regs as Record<string, string>;
      return (BigInt(regs.dev_tab_base!) & 0x1ffn) === 0n;
    };
    const beyond = worlds.filter((world) => isShort(world) && asks(world, ({ dev }) => dev === "00:1e.0"));
    expect(worlds.filter((world) => asks(world, ofMemory)).length).toBeGreaterThan(10);
    expect(beyond.length).toBeGreaterThan(5);
  });
});

describe("what is misread of an entry goes by what it is", () => {
  const WALKED = dte(V | TV | (2n << 9n) | BigInt(ROOT) | IR);
  // 2.2.3: Next Level 1, without IR, to a table where no memory is; and a page without IR.
  const directory = mem(ROOT, 1n | (1n << 9n) | (1n << 47n) | IW);
  const page = mem(ROOT, 1n | IW);
  const UNREADABLE: DeviceAnswer = { result: "fault", code: "0x4", recorded: true };

  it.each([AmdV1Entry, AmdV1Directory])("whatever it was made as: $name", (made) => {
    const known = ["upper-permissions"];
    expect(unexplained(known, [UNREADABLE], [WALKED, directory, read], made)).toEqual([]);
    expect(unexplained(known, [{ result: "ok", pa: "0x0" }], [WALKED, page, read], made)).toEqual([3]);
  });
});
