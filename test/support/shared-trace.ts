/**
 * Address spaces that several devices share, as shared virtual addressing and containers have it: VT-d in scalable mode,
 * bound by the PASID directory's address, a first stage of 4 levels (5.10, 9.5, 9.6, 9.7). Every request is for a random page
 * of a random space; some are for none.
 */
import { inPieces, littleEndianHex, randomNumbers } from "./trace-text.ts";

export interface SharedTrace {
  readonly requests: number;
  readonly seed: number;
  /** Devices that are bound to the one PASID table. Default 4. */
  readonly devices?: number;
  /** Address spaces. Default 64. */
  readonly pasids?: number;
  /** Pages of 4 KiB of each. Default 1024. */
  readonly pages?: number;
}

const DIRECTORY = 0x10_0000;
const DIRECTORY_FRAMES = 32;
const PASID_BITS = 20;
/** PASIDs lie apart, so that several tables of them are in use. */
const PASID_STEP = 37;
const PRESENT = 1n;
/** First stage: P, R/W, U/S. */
const WRITABLE = 7n;
const READ_ONLY = 5n;
/** One page in so many is read-only. */
const READ_ONLY_STEP = 29;
/** Pages behind the last one that requests are for as well. */
const HOLES = 12;

/** Tables of 512 words by address, as they are written. */
class TablePages {
  readonly #words = new Map<number, BigUint64Array>();
  #next = DIRECTORY + DIRECTORY_FRAMES * 4096;

  table(): number {
    const address = this.#next;
    this.#next += 4096;
    return address;
  }

  get(address: number): bigint {
    return this.#words.get(Math.floor(address / 4096))?.[(address % 4096) / 8] ?? 0n;
  }

  set(address: number, word: bigint): void {
    const frame = Math.floor(address / 4096);
    const words = this.#words.get(frame) ?? new BigUint64Array(512);
    words[(address % 4096) / 8] = word;
    this.#words.set(frame, words);
  }

  /** The table that an entry leads to, made where there is none yet. */
  below(entry: number, flags: bigint): number {
    if (this.get(entry) === 0n) this.set(entry, BigInt(this.table()) | flags);
    return Number(this.get(entry) & ~0xfffn);
  }

  *records(): Generator<string> {
    for (const [frame, words] of this.#words)
      yield `{"type":"mem","addr":"0x${(frame * 4096).toString(16)}","data":"${[...words].map(littleEndianHex).join("")}"}`;
  }
}

export function sharedTrace(options: SharedTrace): Generator<string> {
  return inPieces(records(options));
}

function* records({
  requests,
  seed,
  devices = 4,
  pasids = 64,
  pages = 1024,
}: SharedTrace): Generator<string> {
  const random = randomNumbers(seed);
  const tables = new TablePages();
  const spaces = Array.from({ length: pasids }, (_, i) => addSpace(tables, i, pages, random));
  yield '{"type":"header","format":"pasid-trace","version":1,"producer":"test/bench/generate.ts"}';
  yield '{"type":"iommu","id":"dmar0","model":"intel"}';
  yield '{"type":"ram","addr":"0x0","size":"0x80000000"}';
  yield* tables.records();
  const names = Array.from(
    { length: devices },
    (_, i) => `0000:00:${(3 + i).toString(16).padStart(2, "0")}.0`,
  );
  for (const name of names)
    yield `{"type":"bind","iommu":"dmar0","dev":"${name}","config":{"version":1,"bytes":32,"model":"PASID_TABLE_FORMAT_INTEL","base_ptr":"0x${DIRECTORY.toString(16)}","pasid_bits":${PASID_BITS}}}`;
  for (let seq = 0; seq < requests; seq++) {
    const { pasid, base } = spaces[random(pasids)]!;
    const address = base + random(pages + HOLES) * 4096 + random(64) * 64;
    yield `{"type":"dma","seq":${seq},"iommu":"dmar0","dev":"${names[seq % devices]}","pasid":${pasid},"addr":"0x${address.toString(16)}","len":64,"access":"${random(3) === 0 ? "w" : "r"}"}`;
  }
}

function addSpace(tables: TablePages, index: number, pages: number, random: (below: number) => number) {
  const pasid = (index * PASID_STEP) % 4096;
  const pasidTable = tables.below(DIRECTORY + (pasid >> 6) * 8, PRESENT);
  const root = tables.table();
  const entry = pasidTable + (pasid % 64) * 64;
  // PGTT 1: first stage alone; AW 2.
  tables.set(entry, PRESENT | (1n << 6n) | (2n << 2n));
  tables.set(entry + 8, BigInt(1 + index));
  tables.set(entry + 16, BigInt(root));
  const base = (1 + random(254)) * 2 ** 39 + random(512) * 2 ** 30;
  for (let page = 0; page < pages; page++) {
    const address = base + page * 4096;
    let table = root;
    for (const shift of [39, 30, 21]) table = tables.below(table + indexAt(address, shift) * 8, WRITABLE);
    const frame = BigInt(2 ** 20 + random(2 ** 26 - 2 ** 20));
    tables.set(
      table + indexAt(address, 12) * 8,
      (frame << 12n) | (page % READ_ONLY_STEP === 0 ? READ_ONLY : WRITABLE),
    );
  }
  return { pasid, base };
}

function indexAt(address: number, shift: number): number {
  return Math.floor(address / 2 ** shift) % 512;
}
