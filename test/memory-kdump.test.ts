import { deflateSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { TraceMemory } from "../parsers/memory/guest-memory.ts";
import type { SnapshotOptions } from "../parsers/memory/open-snapshot.ts";
import { SnapshotFile } from "../parsers/memory/snapshot-file.ts";
import { readyZstd } from "../parsers/zstd.ts";
import { type DumpedPage, flattened, kdump } from "./support/kdump-writer.ts";
import { lzoBlock, snappyBlock } from "./support/lz-writers.ts";
import { SnapshotFolder } from "./support/snapshot-folder.ts";

let folder: SnapshotFolder;
beforeAll(async () => {
  folder = new SnapshotFolder();
  await readyZstd();
});
afterAll(() => folder.remove());

function open(bytes: Uint8Array, options: SnapshotOptions = {}): TraceMemory | string {
  folder.write("vm.kdump", bytes);
  return folder.open("vm.kdump", options);
}

function memoryOf(bytes: Uint8Array, options: SnapshotOptions = {}): TraceMemory {
  folder.write("vm.kdump", bytes);
  return folder.memoryOf("vm.kdump", options);
}

const read = (memory: TraceMemory, frame: number, offset = 0, bytes = 8): string | null =>
  memory.fetch(frame, offset, bytes)
    ? Buffer.from(memory.view.buffer, memory.view.byteOffset + memory.at, bytes).toString("hex")
    : null;

const filled = (value: number, bytes = 4096) => new Uint8Array(bytes).fill(value);
/** Bytes that no compression shortens. */
function noise(seed: number, bytes = 4096): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length: bytes }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return state >>> 24;
  });
}
const text = (bytes: Uint8Array, from: number, to: number) =>
  Buffer.from(bytes.subarray(from, to)).toString("hex");

/** Pages on both sides of a byte, a group of the bitmap, and a block of the bitmap. */
const PAGES: DumpedPage[] = [
  ...[0, 1, 7, 8, 9, 63, 4095, 4096, 4097, 32_767, 32_768, 40_000].map((page) => ({
    page,
    data: page % 2 === 0 ? noise(page) : filled(page & 0xff),
  })),
  { page: 5 },
  { page: 39_999 },
];

describe("compressed dumps", () => {
  it.each<[string, Buffer]>([
    ["as a file", kdump(PAGES)],
    ["flattened", flattened(kdump(PAGES), 16_384)],
    ["flattened in small pieces, last one first", flattened(kdump(PAGES), 1000, "backward")],
    ["big-endian", kdump(PAGES, { bigEndian: true })],
    ["of an old version", kdump(PAGES, { version: 5 })],
  ])("%s", (_, bytes) => {
    const memory = memoryOf(bytes);
    for (let round = 0; round < 2; round++)
      for (const { page, data } of PAGES) {
        expect(read(memory, page, 8, 64)).toBe(data === undefined ? "00".repeat(64) : text(data, 8, 72));
        expect(read(memory, page, 4088, 8)).toBe(
          data === undefined ? "00".repeat(8) : text(data, 4088, 4096),
        );
      }
    for (const page of [2, 6, 10, 62, 64, 4098, 32_766, 39_998, 40_001, 2 ** 40])
      expect(read(memory, page)).toBeNull();
    expect(memory.takeError()).toBeNull();
    memory.close();
  });

  it("splits blocks larger than a frame", () => {
    const data = noise(3, 65_536);
    const memory = memoryOf(kdump([{ page: 2, data }, { page: 3 }], { blockBytes: 65_536 }));
    for (let i = 0; i < 16; i++)
      expect(read(memory, 32 + i, 16)).toBe(text(data, i * 4096 + 16, i * 4096 + 24));
    expect(read(memory, 31)).toBeNull();
    expect(read(memory, 63)).toBe("0000000000000000");
    expect(read(memory, 64)).toBeNull();
    memory.close();
  });

  it("takes a page that was left out for zeros only where such pages were left out", () => {
    const pages = [{ page: 0, data: filled(1) }, { page: 5 }];
    const answers = [0, 1, 16, 31].map((level) => {
      const memory = memoryOf(kdump(pages, { level }));
      const answer = read(memory, 5);
      memory.close();
      return answer;
    });
    expect(answers).toEqual([null, "0000000000000000", null, "0000000000000000"]);
  });

  it("reads LZO and snappy pages, as makedumpfile -l and -p write them, beside others", () => {
    const steps = [{ literals: Buffer.from("a table's bytes ") }, { distance: 16, length: 4080 }];
    const pages: DumpedPage[] = [
      { page: 0, stored: { flags: 2, bytes: lzoBlock(steps).packed } },
      { page: 1, data: noise(1) },
      { page: 2, stored: { flags: 4, bytes: snappyBlock(steps).packed } },
      { page: 3, stored: { flags: 0, bytes: noise(3) } },
    ];
    for (const bytes of [kdump(pages), flattened(kdump(pages), 5000)]) {
      const memory = memoryOf(bytes);
      const expected = Buffer.from("a table's bytes ").toString("hex").repeat(4);
      for (const page of [0, 2]) expect(read(memory, page, 4032, 64)).toBe(expected);
      for (const page of [1, 3]) expect(read(memory, page, 4032, 64)).toBe(text(noise(page), 4032, 4096));
      expect(memory.takeError()).toBeNull();
      memory.close();
    }
  });

  it("reads zstd pages", () => {
    // A frame of one run-length block: 4096 times 0xa7 (RFC 8878, 3.1.1).
    const bytes = Buffer.from("28b52ffd60000f038000a7", "hex");
    const memory = memoryOf(kdump([{ page: 3, stored: { flags: 0x20, bytes } }]));
    expect(read(memory, 3, 4088)).toBe("a7".repeat(8));
    memory.close();
  });

  it("stays right when blocks are dropped and their buffers used again", () => {
    const pages = Array.from({ length: 1000 }, (_, page) => ({ page, data: filled((page * 7) & 0xff) }));
    const memory = memoryOf(kdump(pages), { cacheBytes: 0 });
    let state = 5;
    for (let i = 0; i < 3000; i++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      const page = (state >>> 8) % (i % 3 === 0 ? 30 : 1000);
      expect(read(memory, page)).toBe(((page * 7) & 0xff).toString(16).padStart(2, "0").repeat(8));
    }
    for (let first = 0; first < 900; first += 50) {
      read(memory, first);
      const { view, at } = memory;
      for (let i = 1; i <= 64; i++) read(memory, (first + i * 11) % 1000);
      expect(view.getUint8(at)).toBe((first * 7) & 0xff);
    }
    memory.close();
  });

  it.each<[string, DumpedPage["stored"], RegExp]>([
    [
      "damaged LZO data",
      { flags: 2, bytes: filled(1, 100) },
      /descriptor 0 \(page 0x3\): expected LZO data, found a copy from 2053 bytes before byte 4$/,
    ],
    [
      "LZO data of more than a page",
      { flags: 2, bytes: lzoBlock([{ literals: filled(1, 1) }, { distance: 1, length: 4096 }]).packed },
      /expected LZO data, found data larger than 4096 bytes$/,
    ],
    [
      "LZO data of less than a page",
      { flags: 2, bytes: lzoBlock([{ literals: filled(1, 100) }]).packed },
      /expected 4096 bytes of data, found 100$/,
    ],
    [
      "snappy data of less than it says",
      { flags: 4, bytes: Buffer.from("80200061", "hex") },
      /expected snappy data, found 1 of the 4096 bytes that it says$/,
    ],
    [
      "snappy data that says a gigabyte",
      { flags: 4, bytes: Buffer.from("808080800400", "hex") },
      /expected snappy data, found a length of 1073741824, larger than 4096 bytes$/,
    ],
    [
      "unknown flags",
      { flags: 0x40, bytes: filled(1, 100) },
      /expected raw, zlib, LZO, snappy or zstd data, found flags 0x40$/,
    ],
    ["damaged zlib data", { flags: 1, bytes: filled(1, 100) }, /expected zlib data, found /],
    [
      "zlib data of more than a page",
      {
        flags: 1,
        bytes: deflateSync(filled(0, 8192)),
      },
      /expected zlib data, found .*larger than 4096/,
    ],
    [
      "zstd data of less than a page",
      // A frame of one run-length block of 27 bytes.
      { flags: 0x20, bytes: Buffer.from("28b52ffd201bdb0000a7", "hex") },
      /expected 4096 bytes of data, found 27$/,
    ],
    ["damaged zstd data", { flags: 0x20, bytes: filled(1, 100) }, /expected zstd data, found /],
    [
      "raw data of less than a page",
      { flags: 0, bytes: filled(1, 100) },
      /expected 4096 bytes of data, found 100$/,
    ],
    [
      "data of more than a page",
      { flags: 1, bytes: filled(1, 5000) },
      /expected 1 to 4096 bytes within the file, found 5000 at /,
    ],
    [
      "data beyond the end",
      { flags: 0, bytes: filled(1, 100), size: 4096 },
      /expected 1 to 4096 bytes within the file, found 4096 at/,
    ],
  ])("a page with %s is an error, told once", (_, stored, message) => {
    const memory = memoryOf(kdump([{ page: 3, stored: stored! }, { page: 4 }]));
    expect(read(memory, 3)).toBeNull();
    const error = memory.takeError();
    expect(error?.code).toBe("io");
    expect(error?.message).toMatch(message);
    expect(read(memory, 3)).toBeNull();
    expect(memory.takeError()).toBeNull();
    expect(read(memory, 4)).toBe("0000000000000000");
    memory.close();
  });

  it("counts nothing where a flattened dump of a few bytes has no bitmap, however large it says that it is", () => {
    const pages = 2 ** 15 * 1000;
    const bytes = kdump([{ page: 3, data: filled(9) }, { page: pages - 1 }], { pages });
    const small = flattened(bytes, 4096);
    expect(small.length).toBeLessThan(50_000);
    const read = vi.spyOn(SnapshotFile.prototype, "read");
    const memory = memoryOf(small);
    const asked = read.mock.calls.reduce((sum, [, target]) => sum + target.length, 0);
    read.mockRestore();
    expect(asked).toBeLessThan(10_000 + 3 * small.length);
    expect(memory.fetch(3, 0, 8)).toBe(true);
    expect(memory.fetch(pages - 1, 0, 8)).toBe(true);
    expect(memory.fetch(2 ** 20, 0, 8)).toBe(false);
  });
});

describe("what is wrong with a dump", () => {
  const patched = (change: (file: Buffer) => void) => {
    const file = kdump(PAGES);
    change(file);
    return file;
  };
  it.each<[string, Buffer, RegExp]>([
    ["a file that ends in the header", kdump(PAGES).subarray(0, 400), /kdump header: expected 464 bytes/],
    [
      "no sub-header",
      kdump(PAGES).subarray(0, 4150),
      /kdump sub-header: expected 104 bytes at 4096, found the end/,
    ],
    [
      "a strange block size",
      patched((f) => f.writeUInt32LE(4097, 0x1ac)),
      /block_size: expected a power of two from 4096 to 65536, found 4097$/,
    ],
    [
      "a 32-bit machine",
      patched((f) => {
        f.writeUInt32LE(0, 0x1ac);
        f.writeUInt32LE(4096, 0x1a0);
      }),
      /found one of a 32-bit machine$/,
    ],
    ["a split dump", kdump(PAGES, { split: 1 }), /sub-header split: expected a whole dump/],
    [
      "2^63 pages",
      patched((f) => f.writeBigUInt64LE(1n << 63n, 4096 + 0x60)),
      /max_mapnr: expected 1 to 4294967296, found 9223372036854775808$/,
    ],
    [
      "more pages than bits",
      patched((f) => f.writeBigUInt64LE(1n << 20n, 4096 + 0x60)),
      /bitmap_blocks: expected two bitmaps of 1048576 pages within/,
    ],
    [
      "bitmaps beyond the end",
      patched((f) => f.writeUInt32LE(0xffff_ffff, 0x1b4)),
      /bitmap_blocks: expected two bitmaps/,
    ],
    [
      "descriptors beyond the end",
      kdump(PAGES).subarray(0, 6 * 4096 + 100),
      /page descriptors: expected 12 that end at 24864, found a file of 24676 bytes$/,
    ],
    [
      "flattened: cut in the header",
      flattened(kdump(PAGES), 4096).subarray(0, 100),
      /flattened header: expected 4096 bytes, found 100$/,
    ],
    [
      "flattened: no end mark",
      flattened(kdump(PAGES), 4096).subarray(0, -16),
      /flattened record \d+ at offset \d+: expected 16 bytes, or an end mark before, found the end of the file after 0$/,
    ],
    [
      "flattened: cut in a record",
      flattened(kdump(PAGES), 4096).subarray(0, -100),
      /size: expected at most the \d+ bytes that follow, found \d+$/,
    ],
    [
      "flattened: nothing",
      flattened(Buffer.alloc(0), 4096),
      /flattened records: expected at least one, found none$/,
    ],
  ])("%s", (_, bytes, message) => {
    const memory = open(bytes);
    expect(memory).toMatch(message);
    expect(memory).toMatch(/^vm\.kdump: /);
  });

  it("flattened pieces that overlap", () => {
    const bytes = flattened(kdump(PAGES), 4096);
    bytes.writeBigInt64BE(8n, 4096 + 16 + 4096);
    expect(open(bytes)).toMatch(
      /expected a piece of its own, found it to overlap another one at 8 of the dump/,
    );
  });

  it("never throws, whatever the headers say", () => {
    const plain = kdump(PAGES.slice(0, 4));
    const flat = flattened(plain, 4096);
    const places = [...Array(464).keys()].filter((i) => i < 16 || i > 410);
    const mutation = fc.tuple(
      fc.constantFrom(...places, ...places.map((p) => p + 4096), ...places.map((p) => p + 4 * 4096)),
      fc.constantFrom(0, 1, 2, 0x20, 0x7f, 0x80, 0xff),
    );
    fc.assert(
      fc.property(
        fc.array(mutation, { maxLength: 5 }),
        fc.boolean(),
        fc.nat(plain.length),
        (mutations, flatten, cut) => {
          const bytes = Buffer.from(flatten ? flat : plain);
          for (const [at, value] of mutations) bytes[at] = value;
          const memory = open(cut % 4 === 0 ? bytes.subarray(0, cut) : bytes, { format: "kdump" });
          if (typeof memory === "string") {
            expect(memory).toMatch(/^vm\.kdump: .*expected .+, found .+/s);
            return;
          }
          for (const page of [0, 1, 7, 8, 9, 5, 1 << 20]) read(memory, page);
          const error = memory.takeError();
          if (error !== null) expect(error.message).toMatch(/^vm\.kdump: .*expected .+, found .+/s);
          memory.close();
        },
      ),
      { numRuns: 300 },
    );
  });
});
