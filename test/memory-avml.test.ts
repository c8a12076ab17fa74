import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TraceMemory } from "../parsers/memory/guest-memory.ts";
import type { SnapshotOptions } from "../parsers/memory/open-snapshot.ts";
import { avmlRange, chunk, dataChunk, IDENTIFIER } from "./support/avml-writer.ts";
import { SnapshotFolder } from "./support/snapshot-folder.ts";

let folder: SnapshotFolder;
beforeAll(() => {
  folder = new SnapshotFolder();
});
afterAll(() => folder.remove());

function open(bytes: Uint8Array, options: SnapshotOptions = {}): TraceMemory | string {
  folder.write("vm.lime", bytes);
  return folder.open("vm.lime", options);
}

function memoryOf(bytes: Uint8Array, options: SnapshotOptions = {}): TraceMemory {
  folder.write("vm.lime", bytes);
  return folder.memoryOf("vm.lime", options);
}

const byte = (memory: TraceMemory, frame: number, offset = 0): number | null =>
  memory.fetch(frame, offset, 1) ? memory.view.getUint8(memory.at) : null;

const MAX = 65_536;
/** Bytes that say where they are: runs of 16, so that they compress. */
const bytesAt = (first: number, length: number) =>
  Uint8Array.from({ length }, (_, i) => (Math.imul((first + i) >>> 4, 0x9e37_79b1) >>> 24) & 0xff);

/** A range in chunks of at most 64 KiB, every third one not compressed. */
function range(first: number, length: number, chunkBytes = MAX): Buffer {
  const chunks = [IDENTIFIER];
  for (let at = 0; at < length; at += chunkBytes) {
    const bytes = bytesAt(first + at, Math.min(chunkBytes, length - at));
    chunks.push(dataChunk(bytes, (at / chunkBytes) % 3 !== 2));
  }
  return avmlRange(BigInt(first), BigInt(length), chunks);
}

describe("AVML's compressed dumps", () => {
  it.each(["auto", "lime"] as const)("are read, by format %s", (format) => {
    const memory = memoryOf(Buffer.concat([range(0x1000, 0x9e000), range(0x100_0000, 0x5_0000)]), { format });
    for (let round = 0; round < 2; round++) {
      for (let frame = 1; frame < 0x9f; frame++)
        for (const offset of [0, 0x7ff, 0xfff])
          expect(byte(memory, frame, offset)).toBe(bytesAt(frame * 4096 + offset, 1)[0]);
      expect(byte(memory, 0x1010, 5)).toBe(bytesAt(0x101_0005, 1)[0]);
    }
    for (const frame of [0, 0x9f, 0xa0, 0xfff, 0x1050, 2 ** 40]) expect(byte(memory, frame)).toBeNull();
    expect(memory.takeError()).toBeNull();
    memory.close();
  });

  it("whose chunks and ranges begin and end within a frame", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 9000 }),
        fc.integer({ min: 1, max: 30_000 }),
        fc.integer({ min: 700, max: 20_000 }),
        fc.integer({ min: 1, max: 9000 }),
        (first, length, chunkBytes, gap) => {
          const second = first + length + gap;
          const parts = [range(first, length, chunkBytes), range(second, 5000, 3000)];
          const memory = memoryOf(Buffer.concat(gap % 2 === 0 ? parts : parts.reverse()), { cacheBytes: 0 });
          for (let at = 0; at < second + 9000; at += 997) {
            const inside = (at >= first && at < first + length) || (at >= second && at < second + 5000);
            expect(byte(memory, at >>> 12, at & 0xfff)).toBe(inside ? bytesAt(at, 1)[0] : null);
          }
          expect(memory.takeError()).toBeNull();
          memory.close();
        },
      ),
      { numRuns: 40 },
    );
  });

  it("with chunks to be skipped, empty ones, and a stream identifier again", () => {
    const data = bytesAt(0, 8192);
    const memory = memoryOf(
      avmlRange(0n, 8192n, [
        IDENTIFIER,
        chunk(0xfe, Buffer.alloc(1000)),
        dataChunk(data.subarray(0, 4096)),
        dataChunk(new Uint8Array(0)),
        IDENTIFIER,
        chunk(0x80, Buffer.alloc(0)),
        dataChunk(data.subarray(4096), false),
      ]),
    );
    expect(byte(memory, 0, 100)).toBe(data[100]);
    expect(byte(memory, 1, 4095)).toBe(data[8191]);
    memory.close();
  });
});

describe("what is wrong with an AVML dump", () => {
  const data = bytesAt(0, 4096);
  const good = () => dataChunk(data);
  const patched = (bytes: Buffer, at: number, value: number) => {
    bytes[at] = value;
    return bytes;
  };

  it.each<[string, Buffer, RegExp]>([
    [
      "another version",
      avmlRange(0n, 4096n, [good()], 3),
      /range 0 at offset 0: version: expected 2, found 3$/,
    ],
    [
      "an end before the start",
      avmlRange(0x2000n, -0xfffn, []),
      /e_addr: expected s_addr 0x2000 or more, found 0x1000$/,
    ],
    [
      "a header cut short",
      avmlRange(0n, 4096n, []).subarray(0, 20),
      /expected a header of 32 bytes, found .* after 20$/,
    ],
    [
      "a chunk cut short",
      avmlRange(0n, 4096n, [IDENTIFIER, good()]).subarray(0, 60),
      /chunk at offset 42: expected 4096 more bytes of memory, found the end of the file$/,
    ],
    [
      "less memory than the header says",
      avmlRange(0n, 8192n, [good()]),
      /expected 4096 more bytes of memory, found the end of the file$/,
    ],
    [
      "all of the address space",
      avmlRange(0n, 1n << 64n, [good()]),
      /expected 18446744073709547520 more bytes of memory, found the end of the file$/,
    ],
    [
      "more memory than the header says",
      avmlRange(0n, 100n, [good()]),
      /expected 100 bytes of memory at most, found 4096$/,
    ],
    ["an unknown chunk", avmlRange(0n, 4096n, [chunk(2, data)]), /type: expected 0 .* or 1 .*, found 2$/],
    [
      "a chunk without a checksum",
      avmlRange(0n, 4096n, [chunk(1, Buffer.alloc(3))]),
      /expected 4 bytes or more, found 3$/,
    ],
    [
      "a chunk that says a gigabyte",
      avmlRange(0n, 1n << 30n, [chunk(0, Buffer.from("00000000808080800400", "hex"))]),
      /expected at most 65536 bytes of memory, found 1073741824$/,
    ],
    [
      "a chunk that says nothing",
      avmlRange(0n, 4096n, [chunk(0, Buffer.from("00000000ffffffffff", "hex"))]),
      /expected at most 65536 bytes of memory, found NaN$/,
    ],
    [
      "another identifier",
      avmlRange(0n, 4096n, [patched(Buffer.from(IDENTIFIER), 5, 0x6e), good()]),
      /expected a stream identifier, found ff0600/,
    ],
    [
      "no size of the stream",
      avmlRange(0n, 4096n, [good()]).subarray(0, -3),
      /size of the stream: expected 8 bytes, found 5$/,
    ],
    [
      "a wrong size of the stream",
      patched(avmlRange(0n, 4096n, [good()]), 32 + good().length, 7),
      /size of the stream: expected \d+, found \d+$/,
    ],
    [
      "other bytes behind it",
      Buffer.concat([avmlRange(0n, 4096n, [good()]), Buffer.alloc(40)]),
      /range 1 at offset \d+: magic: expected "AVML", found/,
    ],
    [
      "the same memory twice",
      Buffer.concat([avmlRange(0n, 4096n, [good()]), avmlRange(0x800n, 4096n, [good()])]),
      /expected memory that no other range holds, found 0x800 twice$/,
    ],
  ])("%s", (_, bytes, message) => {
    const memory = open(bytes);
    expect(memory).toMatch(message);
    expect(memory).toMatch(/^vm\.lime: /);
  });

  it.each<[string, number, RegExp]>([
    [
      "a wrong checksum",
      32 + 4,
      /AVML chunk at offset 32: expected data of checksum 0x[0-9a-f]+, found 0x[0-9a-f]+$/,
    ],
    ["damaged data", 32 + 4 + 4 + 2, /AVML chunk at offset 32: expected snappy data, found /],
  ])("%s is an error where it is read, told once", (_, at, message) => {
    const bytes = Buffer.concat([
      patched(avmlRange(0n, 4096n, [good()]), at, 0xf3),
      avmlRange(0x1000n, 4096n, [dataChunk(bytesAt(0x1000, 4096))]),
    ]);
    const memory = memoryOf(bytes);
    expect(byte(memory, 0)).toBeNull();
    expect(memory.takeError()?.message).toMatch(message);
    expect(byte(memory, 0)).toBeNull();
    expect(memory.takeError()).toBeNull();
    expect(byte(memory, 1)).toBe(bytesAt(0x1000, 1)[0]);
    memory.close();
  });

  it("never throws, whatever the bytes say", () => {
    const plain = Buffer.concat([range(0, 20_000, 6000), range(0x1_0000, 5000)]);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(plain.length - 1), fc.nat(255)), { maxLength: 5 }),
        fc.nat(plain.length),
        fc.boolean(),
        (changes, cut, whole) => {
          const bytes = Buffer.from(plain);
          for (const [at, value] of changes) bytes[at] = value;
          const memory = open(whole ? bytes : bytes.subarray(0, cut), { format: "lime" });
          if (typeof memory === "string") {
            expect(memory).toMatch(/^vm\.lime: .*expected .+, found .+/s);
            return;
          }
          for (const frame of [0, 1, 2, 4, 16, 17]) byte(memory, frame, 100);
          const error = memory.takeError();
          if (error !== null) expect(error.message).toMatch(/^vm\.lime: .*expected .+, found .+/s);
          memory.close();
        },
      ),
      { numRuns: 300 },
    );
  });
});
