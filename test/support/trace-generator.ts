/**
 * Synthetic traces of any size, for benchmarks and tests at scale: an Intel unit in scalable mode, devices with
 * several PASIDs each, first-stage and nested tables of 4 levels with pages of 4 KiB, 2 MiB and 1 GiB, and requests
 * with what a correct IOMMU answers. The tables are written as raw words (VT-d 5.10, chapter 9) and the answers come
 * from the list of pages that they were made from, not from a walk.
 */

import { littleEndianHex, PIECE_CHARS, randomNumbers } from "./trace-text.ts";

export interface SyntheticTrace {
  readonly requests: number;
  readonly seed: number;
  /** Devices 00:01.0 and up, at most 31: every other one is nested. Default 6. */
  readonly devices?: number;
  /** PASIDs of each device, at most 64; the first one is that of its requests without PASID. Default 4. */
  readonly pasids?: number;
  /** 4 KiB pages of each PASID; there are also 8 of 2 MiB and 1 of 1 GiB. Default 256. */
  readonly pages?: number;
}

const FRAME = 4096n;
const PRESENT = 1n;
/** First stage: P, R/W, U/S, A, and D on a leaf. Second stage: R, W. Both: PS. */
const FS_TABLE = 0x27n;
const FS_READ_ONLY = 0x25n;
const FS_DIRTY = 0x40n;
const SS_ENTRY = 0x3n;
const LARGE = 0x80n;

/** What a page of a process is. */
interface Page {
  /** First byte, below 2^47. */
  readonly iova: number;
  readonly bytes: number;
  readonly pa: number;
  readonly writable: boolean;
}

interface Process {
  /** `"dev":…` and, where the request has one, `,"pasid":…` */
  readonly names: string;
  readonly pages: readonly Page[];
  /** 4 KiB of addresses that nothing maps, in a table that exists. */
  readonly hole: number;
}

/**
 * The trace's text, in pieces of whole lines.
 * @returns a generator that holds the tables and one piece, whatever the number of requests
 */
export function* syntheticTrace(options: SyntheticTrace): Generator<string> {
  const random = randomNumbers(options.seed);
  const tables = new Tables();
  const processes = makeProcesses(tables, options, random);
  yield `${[
    `{"type":"header","format":"pasid-trace","version":1,"producer":"test/bench/generate.ts","comment":"seed ${options.seed}"}`,
    `{"type":"ram","addr":"0x0","size":"0x${tables.end.toString(16)}"}`,
    `{"type":"iommu","id":"dmar0","model":"intel","regs":{"rtaddr":"0x${(tables.root | 0x400n).toString(16)}","gsts":"0xc4000000"},"props":{"output_bits":46}}`,
  ].join("\n")}\n`;
  yield* tables.records();
  let piece = "";
  for (let seq = 0; seq < options.requests; seq++) {
    piece += request(seq, processes, random);
    if (piece.length >= PIECE_CHARS) {
      yield piece;
      piece = "";
    }
  }
  yield piece;
}

/** One request: mostly to a page that is there. */
function request(seq: number, processes: readonly Process[], random: (below: number) => number): string {
  const process = processes[random(processes.length)]!;
  const kind = random(64);
  const head = `{"type":"dma","seq":${seq},"iommu":"dmar0",${process.names},"addr":"0x`;
  if (kind === 0) {
    const addr = process.hole + 64 * random(64);
    // SFS.2: a first-stage entry is not present.
    return `${head}${addr.toString(16)}","len":64,"access":"r","observed":{"result":"fault","code":"0x71"}}\n`;
  }
  const page = process.pages[random(process.pages.length)]!;
  const offset = 64 * random(page.bytes / 64);
  const write = kind % 2 === 0;
  const ask = `${head}${(page.iova + offset).toString(16)}","len":64,"access":"${write ? "w" : "r"}"`;
  // SGN.5: no write permission.
  if (write && !page.writable) return `${ask},"observed":{"result":"fault","code":"0x85"}}\n`;
  return `${ask},"observed":{"result":"ok","pa":"0x${(page.pa + offset).toString(16)}"}}\n`;
}

function makeProcesses(
  tables: Tables,
  options: SyntheticTrace,
  random: (below: number) => number,
): readonly Process[] {
  const { devices = 6, pasids = 4, pages = 256 } = options;
  if (devices > 31 || pasids > 64)
    throw new RangeError(`expected at most 31 devices and 64 PASIDs, found ${devices} and ${pasids}`);
  const processes: Process[] = [];
  for (let device = 1; device <= devices; device++) {
    const pasidTable = tables.addDevice(device);
    const second = device % 2 === 0 ? new SecondStage(tables) : null;
    for (let pasid = 0; pasid < pasids; pasid++) {
      const space = new FirstStage(tables, second);
      const mapped = mapPages(space, pages, random);
      tables.setPasid(pasidTable, pasid, space.root, second?.root ?? null, device);
      const dev = `"dev":"0000:00:${device.toString(16).padStart(2, "0")}.0"`;
      processes.push({ names: pasid === 0 ? dev : `${dev},"pasid":${pasid}`, ...mapped });
    }
  }
  return processes;
}

/** Fills an address space. Each kind of page has 1 GiB-aligned addresses of its own, anywhere in the lower half. */
function mapPages(space: FirstStage, count: number, random: (below: number) => number) {
  const pages: Page[] = [];
  const bases = new Set<number>();
  while (bases.size < 3) bases.add(random(2 ** 17) * 2 ** 30);
  const [small, large, huge] = [...bases] as [number, number, number];
  const add = (iova: number, level: number) => {
    const writable = random(8) !== 0;
    pages.push({
      iova,
      bytes: 2 ** (3 + 9 * level),
      pa: Number(space.map(BigInt(iova), level, writable)),
      writable,
    });
  };
  for (let i = 0; i < count; i++) add(small + i * 4096, 1);
  for (let i = 0; i < 8; i++) add(large + i * 2 ** 21, 2);
  add(huge, 3);
  // The page table of the last small page has room behind it, unless it is full: then the next one is missing.
  return { pages, hole: small + count * 4096 };
}

/** Physical memory: tables as they are allocated from 16 MiB on, and the pages that requests go to, from 4 GiB on. */
class Tables {
  readonly root: bigint;
  readonly #words = new Map<bigint, BigUint64Array>();
  #next = 0x100_0000n;
  #nextPage = 0x1_0000_0000n;

  constructor() {
    this.root = this.table();
  }

  /** First byte behind all tables. */
  get end(): bigint {
    return this.#next;
  }

  table(): bigint {
    const address = this.#next;
    this.#next += FRAME;
    this.#words.set(address, new BigUint64Array(512));
    return address;
  }

  page(level: number): bigint {
    const bytes = 1n << BigInt(3 + 9 * level);
    const address = (this.#nextPage + bytes - 1n) & ~(bytes - 1n);
    this.#nextPage = address + bytes;
    return address;
  }

  get(address: bigint): bigint {
    return this.#words.get(address & ~(FRAME - 1n))![Number(address % FRAME) / 8]!;
  }

  set(address: bigint, word: bigint): void {
    this.#words.get(address & ~(FRAME - 1n))![Number(address % FRAME) / 8] = word;
  }

  /** Root, context and PASID directory entries of device 00:dd.0; returns its PASID table. */
  addDevice(device: number): bigint {
    const upper = device >= 16 ? 8n : 0n;
    if (this.get(this.root + upper) === 0n) this.set(this.root + upper, this.table() | PRESENT);
    const context = (this.get(this.root + upper) & ~(FRAME - 1n)) + BigInt(device % 16) * 8n * 32n;
    const directory = this.table();
    const pasidTable = this.table();
    // PASIDE; PDTS 0: 128 directory entries. RID_PASID 0.
    this.set(context, directory | 0x8n | PRESENT);
    this.set(directory, pasidTable | PRESENT);
    return pasidTable;
  }

  setPasid(table: bigint, pasid: number, first: bigint, second: bigint | null, domain: number): void {
    const entry = table + BigInt(pasid) * 64n;
    // PGTT 1 first stage, 3 nested (with AW 2: 4 levels) in bits 8:6; FSPM 0: 4 levels.
    this.set(entry, second === null ? 0x41n : second | 0xc9n);
    this.set(entry + 8n, BigInt(domain));
    this.set(entry + 16n, first);
  }

  /** The tables as `mem` records, one for each run of entries that are not zero. */
  *records(): Generator<string> {
    for (const [address, words] of this.#words) {
      let piece = "";
      for (let i = 0; i < 512; i++) {
        if (words[i] === 0n) continue;
        const first = i;
        let data = "";
        for (; i < 512 && words[i] !== 0n; i++) data += littleEndianHex(words[i]!);
        piece += `{"type":"mem","addr":"0x${(address + BigInt(first) * 8n).toString(16)}","data":"${data}"}\n`;
      }
      yield piece;
    }
  }
}

/** Guest-physical memory of a device, and the 4-level second-stage table that maps it. */
class SecondStage {
  readonly root: bigint;
  readonly #tables: Tables;
  #next = 0x10_0000n;

  constructor(tables: Tables) {
    this.#tables = tables;
    this.root = tables.table();
  }

  /** Maps a new guest page of a level to a host address; returns the guest's address. */
  add(host: bigint, level: number): bigint {
    const bytes = 1n << BigInt(3 + 9 * level);
    const guest = (this.#next + bytes - 1n) & ~(bytes - 1n);
    this.#next = guest + bytes;
    let table = this.root;
    for (let at = 4; at > level; at--) {
      const entry = entryAt(table, guest, at);
      if (this.#tables.get(entry) === 0n) this.#tables.set(entry, this.#tables.table() | SS_ENTRY);
      table = this.#tables.get(entry) & ~(FRAME - 1n);
    }
    this.#tables.set(entryAt(table, guest, level), host | SS_ENTRY | (level > 1 ? LARGE : 0n));
    return guest;
  }
}

/** A process's 4-level first-stage table: at host addresses, or at guest addresses under a second stage. */
class FirstStage {
  readonly root: bigint;
  readonly #tables: Tables;
  readonly #second: SecondStage | null;
  /** Guest address of a table to where it is. */
  readonly #hosts = new Map<bigint, bigint>();

  constructor(tables: Tables, second: SecondStage | null) {
    this.#tables = tables;
    this.#second = second;
    this.root = this.#table();
  }

  /** Maps a new page of a level; returns the host address that it is at. */
  map(iova: bigint, level: number, writable: boolean): bigint {
    let table = this.#hosts.get(this.root)!;
    for (let at = 4; at > level; at--) {
      const entry = entryAt(table, iova, at);
      if (this.#tables.get(entry) === 0n) this.#tables.set(entry, this.#table() | FS_TABLE);
      table = this.#hosts.get(this.#tables.get(entry) & ~(FRAME - 1n))!;
    }
    const host = this.#tables.page(level);
    const guest = this.#second?.add(host, level) ?? host;
    const flags = (writable ? FS_TABLE | FS_DIRTY : FS_READ_ONLY) | (level > 1 ? LARGE : 0n);
    this.#tables.set(entryAt(table, iova, level), guest | flags);
    return host;
  }

  /** A new table: its address as entries have it. */
  #table(): bigint {
    const host = this.#tables.table();
    const guest = this.#second?.add(host, 1) ?? host;
    this.#hosts.set(guest, host);
    return guest;
  }
}

/** Address of the entry for an input address in a table of a level (1 is the leaf of a 4 KiB page). */
function entryAt(table: bigint, address: bigint, level: number): bigint {
  return table + ((address >> BigInt(3 + 9 * level)) & 511n) * 8n;
}
