/** What departures are told apart by, in small worlds of an SMMUv3 (IHI 0070, 3.4.1, 4.4.2, 5.2, 5.4; DDI 0487, D8.3.1). */
import { expect, it } from "vitest";
import { type Departure, judgeWorld } from "../pipeline/fuzz/judge.ts";
import { kindOf, signaturesOf } from "../pipeline/fuzz/signature.ts";
import type { WorldRecord } from "../walkers/fuzz/world.ts";

const words = (...numbers: bigint[]) => {
  const bytes = Buffer.alloc(8 * numbers.length);
  numbers.forEach((number, i) => {
    bytes.writeBigUInt64LE(number, 8 * i);
  });
  return bytes.toString("hex");
};
const mem = (addr: string, ...numbers: bigint[]): WorldRecord => ({
  type: "mem",
  addr,
  data: words(...numbers),
});
const cmd = (...data: string[]): WorldRecord => ({ type: "cmd", iommu: "iommu0", data });
const dma = (seq: number, addr: string, observed: object): WorldRecord => ({
  ...{ type: "dma", seq, iommu: "iommu0", dev: "sid:0", addr, len: 1, access: "r", observed },
});

const LEAF = "0x32008";
const PA = { result: "ok", pa: "0x5000" };
/** CMD_SYNC. */
const SYNC = cmd("0x46", "0x0");
/** Stage 1 alone, 39 bits, TBI0, ASID 5: 0x1000 is mapped. @param nG bit 11 of the page's descriptor */
const world = (nG: bigint): WorldRecord[] => [
  { type: "ram", addr: "0x0", size: "0x100000" },
  mem("0x10000", 0x2_000bn, 0n, 0n, 0n, 0n, 0n, 0n, 0n),
  mem("0x20000", 0x0005_6245_c000_0019n, 0x3_0000n, 0n, 0n, 0n, 0n, 0n, 0n),
  mem("0x30000", 0x3_1003n),
  mem("0x31000", 0x3_2003n),
  mem(LEAF, 0x5743n | nG),
  {
    type: "iommu",
    id: "iommu0",
    model: "arm-smmuv3",
    regs: { cr0: "0xd", strtab_base: "0x10000", strtab_base_cfg: "0x6" },
  },
];
/** The page is removed, and invalidated; who has kept it answers as before. */
const kept = (nG: bigint, addr: string, removed: bigint, tlbi: string): WorldRecord[] => [
  ...world(nG),
  dma(1, addr, PA),
  mem(LEAF, removed),
  cmd(tlbi, "0x1000"),
  SYNC,
  dma(2, addr, PA),
];
const signatures = (records: WorldRecord[]) =>
  signaturesOf(records, judgeWorld(records)).map(({ text }) => text);

const ASID_5 = "0x5000000000012";
const ASID_9 = "0x9000000000012";
const NOT_GLOBAL = 0x800n;
const STALE = "stale-after-invalidation: F_TRANSLATION (0x10) → ok";

it("a global page that survives the invalidation of another ASID's", () => {
  expect(signatures(kept(0n, "0x1000", 0n, ASID_9))).toEqual([`after CMD_TLBI_NH_VA (global): ${STALE}`]);
  expect(signatures(kept(NOT_GLOBAL, "0x1000", 0n, ASID_9))).toEqual([]);
});

it("a page that was made under a tagged address, and survives the invalidation of the address", () => {
  const tagged = "0x7700000000001000";
  expect(signatures(kept(NOT_GLOBAL, tagged, 0n, ASID_5))).toEqual([
    `after CMD_TLBI_NH_VA (tagged address): ${STALE}`,
  ]);
});

it("neither", () => {
  expect(signatures(kept(NOT_GLOBAL, "0x1000", 0n, ASID_5))).toEqual([`after CMD_TLBI_NH_VA: ${STALE}`]);
});

it("what is special about an invalidation comes before a field that was changed, and a field before what is not", () => {
  const invalid = 0x5742n;
  const field = `VMSAv8-64 stage 1 descriptor.VALID: ${STALE}`;
  expect(signatures(kept(0n, "0x1000", invalid, ASID_9))).toEqual([
    `after CMD_TLBI_NH_VA (global): ${STALE}`,
  ]);
  expect(signatures(kept(NOT_GLOBAL, "0x1000", invalid | NOT_GLOBAL, ASID_5))).toEqual([field]);
});

it("another invalidation that comes after it and does not cover the page is not blamed", () => {
  const records = kept(NOT_GLOBAL, "0x1000", 0n, ASID_5);
  const last = records.pop()!;
  expect(signatures([...records, cmd("0x9000000000011", "0x0"), SYNC, last])).toEqual([
    `after CMD_TLBI_NH_VA: ${STALE}`,
  ]);
});

it("one that covers it is not either, behind a command at which the queue has stopped", () => {
  const records = kept(NOT_GLOBAL, "0x1000", 0n, ASID_5);
  const last = records.pop()!;
  const later = [cmd("0x5000000000011", "0x0"), SYNC, last];
  expect(signatures([...records, ...later])).toEqual([`after CMD_TLBI_NH_ASID: ${STALE}`]);
  expect(signatures([...records, cmd("0xff", "0x0"), ...later])).toEqual([`after CMD_TLBI_NH_VA: ${STALE}`]);
});

it("a large page that survives the invalidation of another address in it", () => {
  const block = 0x20_0741n | NOT_GLOBAL;
  const pa = { result: "ok", pa: "0x205000" };
  const records = [
    ...[...world(NOT_GLOBAL), mem("0x31000", block), dma(1, "0x5000", pa), mem("0x31000", 0n)],
    ...[cmd(ASID_5, "0x9000"), SYNC, dma(2, "0x5000", pa)],
  ];
  expect(signatures(records)).toEqual([`after CMD_TLBI_NH_VA (another address): ${STALE}`]);
});

it("a fault that is met elsewhere", () => {
  const outcome = { verdict: "mismatch", result: "fault", name: "F_PERMISSION", code: "0x13", stage: 2 };
  const kind = (answer: object, expected = "IN") =>
    kindOf({ outcome: { ...outcome, class: expected }, answer } as unknown as Departure);
  const answer = { result: "fault", code: "0x10", stage: 2 };
  expect(kind({ ...answer, class: "TT" })).toBe("mismatch: F_PERMISSION (0x13) → 0x10 (stage 2, TT)");
  expect(kind({ ...answer, class: "IN" })).toBe("mismatch: F_PERMISSION (0x13) → 0x10");
  expect(kind(answer)).toBe("mismatch: F_PERMISSION (0x13) → 0x10");
});

it("a departure from what an entry said before it was changed, which nothing has invalidated", () => {
  const readOnly = 0x57c3n | NOT_GLOBAL;
  const denied = { type: "dma", seq: 2, iommu: "iommu0", dev: "sid:0", addr: "0x1000", len: 1, access: "w" };
  const records = (...between: WorldRecord[]): WorldRecord[] => [
    ...[...world(NOT_GLOBAL), mem(LEAF, readOnly), dma(1, "0x1000", PA), mem(LEAF, 0n), ...between],
    { ...denied, observed: { result: "fault", recorded: false } },
  ];
  expect(signatures(records())).toEqual([
    "VMSAv8-64 stage 1 descriptor (entry since changed): mismatch: F_PERMISSION (0x13) → fault (record)",
  ]);
  expect(signatures(records(cmd(ASID_5, "0x1000"), SYNC))).toEqual([
    "VMSAv8-64 stage 1 descriptor: mismatch: F_TRANSLATION (0x10) → fault (record)",
  ]);
});
