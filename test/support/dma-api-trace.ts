/**
 * What a kernel's DMA API makes of an IOMMU: each request has a mapping of its own, which is written to the table before it and
 * taken out behind it, with an invalidation and a wait. VT-d in legacy mode (5.10, 9.1, 9.3, 9.8), one device and domain, a
 * second stage of 3 levels.
 */
import { inPieces, littleEndianHex, randomNumbers } from "./trace-text.ts";

export interface DmaApiTrace {
  /** Lines of the trace, at least: five for each request, behind some two dozen. */
  readonly lines: number;
  readonly seed: number;
  /** Addresses that are mapped in turn, at random: pages of 4 KiB, a power of two. Default 8192. */
  readonly pages?: number;
}

const ROOT = 0x100_0000;
const CONTEXT = 0x100_1000;
const TABLES = 0x100_2000;
const PRESENT = 1n;
const READ_WRITE = 3n;
const DOMAIN = 1n;
/** 39 bits, 3 levels; domain behind it. */
const CONTEXT_HI = 1n | (DOMAIN << 8n);
const PAGES_OF_A_TABLE = 512;
/** IOTLB invalidate: page-selective, drains, the domain; invalidation wait with status write. 6.5.2.3, 6.5.2.8 */
const INVALIDATE_PAGE = "0x10032";
const WAIT = "0x25";

export function dmaApiTrace({ lines, seed, pages = 8192 }: DmaApiTrace): Generator<string> {
  return inPieces(records(lines, randomNumbers(seed), pages));
}

function* records(lines: number, random: (below: number) => number, pages: number): Generator<string> {
  const leafTable = TABLES + 0x2000;
  const entry = (address: number, ...words: readonly bigint[]) =>
    `{"type":"mem","addr":"0x${address.toString(16)}","data":"${words.map(littleEndianHex).join("")}"}`;
  yield '{"type":"header","format":"pasid-trace","version":1,"producer":"test/bench/generate.ts"}';
  yield `{"type":"iommu","id":"dmar0","model":"intel","regs":{"rtaddr":"0x${ROOT.toString(16)}","cap":"0x1d2008c222f0606","ecap":"0xf00f4a","gsts":"0xc4000000"}}`;
  yield '{"type":"ram","addr":"0x0","size":"0x80000000"}';
  yield entry(ROOT, BigInt(CONTEXT) | PRESENT, 0n);
  yield entry(CONTEXT + 0x180, BigInt(TABLES) | PRESENT, CONTEXT_HI);
  yield entry(TABLES, BigInt(TABLES + 0x1000) | READ_WRITE);
  for (let table = 0; table < pages / PAGES_OF_A_TABLE; table++)
    yield entry(TABLES + 0x1000 + table * 8, BigInt(leafTable + table * 4096) | READ_WRITE);
  for (let line = 0; line < lines; line += 5) {
    const page = random(pages);
    const address = leafTable + page * 8;
    const frame = 0x10_0000 + random(0x10_0000);
    const iova = (page * 4096).toString(16);
    yield entry(address, (BigInt(frame) << 12n) | READ_WRITE);
    yield `{"type":"dma","iommu":"dmar0","dev":"00:03.0","addr":"0x${iova}","len":64,"access":"${random(2) === 0 ? "r" : "w"}"}`;
    yield entry(address, 0n);
    yield `{"type":"cmd","iommu":"dmar0","data":["${INVALIDATE_PAGE}","0x${iova}"]}`;
    yield `{"type":"cmd","iommu":"dmar0","data":["${WAIT}","0x0"]}`;
  }
}
