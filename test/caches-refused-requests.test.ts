/** What old contexts lead to while memory refuses the requests that use them. */
import { expect, it } from "vitest";
import { replay } from "../pipeline/library/index.ts";

type Json = Record<string, unknown>;

function mem(address: number, ...words: bigint[]): Json {
  const bytes = Buffer.alloc(8 * words.length);
  words.forEach((word, i) => {
    bytes.writeBigUInt64LE(word, 8 * i);
  });
  return { type: "mem", addr: `0x${address.toString(16)}`, data: bytes.toString("hex") };
}

/** A legacy-mode unit whose walks are coherent, with CAP.CM; device 00:03.0, domain 1, a second stage of 4 levels. */
const UNIT = [
  { type: "ram", addr: "0x1000", size: "0x7000" },
  mem(0x1000, 0x2001n, 0n),
  mem(0x2180, 0x3001n, 0x102n),
  mem(0x3000, 0x4003n),
  mem(0x4000, 0x5003n),
  mem(0x5000, 0x6003n),
  {
    type: "iommu",
    id: "dmar0",
    model: "intel",
    regs: { rtaddr: "0x1000", cap: "0x1d2008c222f0686", ecap: "0xf00f4b", gsts: "0xc4000000" },
  },
];
const ROOT = 0x1000;
/** The leaf of the page at 0x1000. */
const LEAF = 0x6008;
/** IOTLB invalidate, global; and its completion. */
const INVALIDATE = [
  { type: "cmd", iommu: "dmar0", data: ["0x12", "0x0"] },
  { type: "cmd", iommu: "dmar0", data: ["0x25", "0x0"] },
];

function read(addr: string, len: number, observed: Json): Json {
  return { type: "dma", iommu: "dmar0", dev: "00:03.0", addr, len, observed };
}

async function verdicts(records: readonly Json[]): Promise<(string | undefined)[]> {
  const out: (string | undefined)[] = [];
  const trace = Buffer.from(records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  for await (const record of replay(trace, { stats: false }))
    if (record.type === "outcome") out.push(record.verdict);
  return out;
}

it("what an old context translates may be cached, although memory has no such context any more", async () => {
  const before = { result: "ok", pa: "0x10000" };
  expect(
    await verdicts([
      ...UNIT,
      mem(LEAF, 0x10003n),
      read("0x1000", 1, before),
      // A reserved bit, and no invalidation of contexts: the old one is used, and makes a translation anew.
      mem(ROOT, 0x2001n, 1n),
      ...INVALIDATE,
      read("0x1000", 1, before),
      mem(LEAF, 0x20003n),
      read("0x1000", 1, before),
    ]),
  ).toEqual(["match", "stale", "stale"]);
});

it("a request that faults on its second page by an old context is not held against the first one", async () => {
  const denied = { result: "fault", code: "0x6" };
  expect(
    await verdicts([
      ...UNIT,
      mem(LEAF, 0n),
      read("0x1ffc", 1, denied),
      mem(LEAF, 0x10003n),
      ...INVALIDATE,
      read("0x1ffc", 1, { result: "ok", pa: "0x10ffc" }),
      mem(ROOT, 0n, 0n),
      // The page at 0x2000 has never been mapped.
      read("0x1ffc", 8, denied),
    ]),
  ).toEqual(["match", "match", "stale"]);
});
