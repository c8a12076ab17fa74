import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { openElfCore } from "../parsers/memory/elf-core.ts";
import { TraceMemory } from "../parsers/memory/guest-memory.ts";
import type { SegmentImage } from "../parsers/memory/segment-image.ts";
import { SnapshotFile } from "../parsers/memory/snapshot-file.ts";
import { type ElfSegment, elfCore } from "./support/elf-writer.ts";
import { SnapshotFolder } from "./support/snapshot-folder.ts";

let folder: SnapshotFolder;
beforeAll(() => {
  folder = new SnapshotFolder();
});
afterAll(() => folder.remove());

let files = 0;

/** Opens the bytes as a core: an image, or the sentence. */
function open(bytes: Uint8Array | string): SegmentImage | string {
  const path = typeof bytes === "string" ? bytes : folder.write(`core${files++}`, bytes);
  const file = SnapshotFile.open(path, "vm.elf");
  if (typeof file === "string") throw new Error(file);
  const image = openElfCore(file);
  if (typeof image === "string") file.close();
  return image;
}

function memoryOf(bytes: Uint8Array | string): TraceMemory {
  const image = open(bytes);
  if (typeof image === "string") throw new Error(image);
  const memory = new TraceMemory();
  memory.replace(image);
  return memory;
}

function read(memory: TraceMemory, address: bigint, bytes = 8): string | null {
  if (!memory.fetch(Number(address >> 12n), Number(address & 0xfffn), bytes)) return null;
  return Buffer.from(memory.view.buffer, memory.view.byteOffset + memory.at, bytes).toString("hex");
}

const page = (fill: number, size = 4096) => new Uint8Array(size).fill(fill);

const PT_NOTE = 4;
/** Elf64_Nhdr, the name and `bytes` of data, each padded to 4 bytes. */
function note(name: string, type: number, bytes: number): Buffer {
  const padded = Buffer.alloc(12 + ((name.length + 4) & ~3) + ((bytes + 3) & ~3), 0xee);
  padded.writeUInt32LE(name.length + 1, 0);
  padded.writeUInt32LE(bytes, 4);
  padded.writeUInt32LE(type, 8);
  padded.write(`${name}\0`, 12, "latin1");
  return padded;
}

describe("ELF cores", () => {
  // The first page of a QEMU core of two small RAM blocks, field by field in hex: independent of the writer.
  const HEADER_HEX =
    "7f454c4602010100000000000000000004003e00010000000000000000000000" +
    "4000000000000000000000000000000000000000400038000200000000000000";
  const PHDRS_HEX =
    "0100000000000000b0000000000000000000000000000000" +
    "0010000000000000080000000000000010000000000000000000000000000000" +
    "0100000000000000b8000000000000000000000000000000" +
    "0000000001000000080000000000000008000000000000000000000000000000";

  it("reads a core given as raw bytes", () => {
    const memory = memoryOf(Buffer.from(`${HEADER_HEX}${PHDRS_HEX}0123456789abcdef1122334455667788`, "hex"));
    expect(read(memory, 0x1000n)).toBe("0123456789abcdef");
    expect(read(memory, 0x1008n)).toBe("0000000000000000");
    expect(read(memory, 0x1010n)).toBeNull();
    expect(read(memory, 0x1_0000_0000n)).toBe("1122334455667788");
    expect(read(memory, 0xff8n)).toBeNull();
    memory.close();
  });

  it("places segments by physical address, whatever the virtual one and the place in the file", () => {
    const memory = memoryOf(
      elfCore(
        [
          { type: 4, paddr: 0n, data: page(0xee, 816) },
          { paddr: 0x1_0000_0000n, vaddr: 0x7000n, data: page(0x22, 0x3000) },
          { paddr: 0x7000n, vaddr: 0xffff_8880_0000_0000n, data: page(0x11) },
        ],
        { gap: 0x5d0 },
      ),
    );
    expect(read(memory, 0x7ff8n)).toBe("1111111111111111");
    expect(read(memory, 0x1_0000_2ff8n)).toBe("2222222222222222");
    expect(read(memory, 0x0n)).toBeNull();
    expect(read(memory, 0x8000n)).toBeNull();
    expect(read(memory, 0x1_0000_3000n)).toBeNull();
    memory.close();
  });

  it("takes the byte order for the headers alone", () => {
    const core = elfCore([{ paddr: 0x12_3000n, data: Buffer.from("0102030405060708", "hex") }], {
      bigEndian: true,
    });
    expect(core.readBigUInt64BE(64 + 24)).toBe(0x12_3000n);
    const memory = memoryOf(core);
    expect(read(memory, 0x12_3000n)).toBe("0102030405060708");
    memory.close();
  });

  it("takes the number of program headers from section header 0 where e_phnum is 0xffff", () => {
    // More than 16 bits can count, every other page of the lower memory.
    const data = page(0x5a, 8);
    const segments: ElfSegment[] = [];
    for (let i = 0; i < 70_000; i++) segments.push({ paddr: BigInt(i) * 0x2000n, data });
    segments[69_999]!.data = page(0x77, 8);
    for (const bigEndian of [false, true]) {
      const memory = memoryOf(elfCore(segments, { extended: segments.length, bigEndian }));
      expect(read(memory, 69_998n * 0x2000n)).toBe("5a5a5a5a5a5a5a5a");
      expect(read(memory, 69_999n * 0x2000n)).toBe("7777777777777777");
      expect(read(memory, 70_000n * 0x2000n)).toBeNull();
      memory.close();
    }
  });

  it("reads zeros behind p_filesz, also where QEMU mapped memory that it did not dump (p_offset -1)", () => {
    const memory = memoryOf(
      elfCore([
        { paddr: 0x1000n, data: page(0x33, 0x1808), memsz: 0x4000n },
        { paddr: 0xfee0_0000n, offset: (1n << 64n) - 1n, filesz: 0n, memsz: 0x1000n },
      ]),
    );
    expect(read(memory, 0x2800n)).toBe("3333333333333333");
    expect(read(memory, 0x2808n)).toBe("0000000000000000");
    expect(read(memory, 0x4ff8n)).toBe("0000000000000000");
    expect(read(memory, 0x5000n)).toBeNull();
    expect(read(memory, 0xfee0_0ff8n)).toBe("0000000000000000");
    memory.close();
  });

  it("joins a frame that two segments share, wherever they are in the file", () => {
    const memory = memoryOf(
      elfCore([
        { paddr: 0x9_fc04n, data: page(0x22, 0x3fc) },
        { paddr: 0x9_f000n, data: page(0x11, 0xc04) },
      ]),
    );
    expect(read(memory, 0x9_fc00n)).toBe("1111111122222222");
    memory.close();
  });

  it("lets segments overlap where they agree", () => {
    const bytes = new Uint8Array(0x3000).map((_, i) => (i * 7) & 0xff);
    const samePlace = elfCore([
      { paddr: 0x1000n, vaddr: 0x1n, data: bytes },
      { paddr: 0x2000n, vaddr: 0x2n, offset: BigInt(64 + 3 * 56 + 0x1000), filesz: 0x1000n },
      { paddr: 0x1008n, vaddr: 0x3n, offset: BigInt(64 + 3 * 56 + 8), filesz: 0x2ff8n },
    ]);
    const sameBytes = elfCore([
      { paddr: 0x1800n, data: bytes.subarray(0x800, 0x2000) },
      { paddr: 0x1000n, data: bytes.subarray(0, 0x2800) },
      { paddr: 0x3000n, data: bytes.subarray(0x2000) },
    ]);
    for (const core of [samePlace, sameBytes]) {
      const memory = memoryOf(core);
      for (let at = 0; at < 0x3000; at += 64)
        expect(read(memory, 0x1000n + BigInt(at), 64)).toBe(
          Buffer.from(bytes.subarray(at, at + 64)).toString("hex"),
        );
      expect(read(memory, 0x4000n)).toBeNull();
      memory.close();
    }
  });

  it("reads VirtualBox's dumpvmcore: a note, then RAM and MMIO ranges (VMM/VMMR3/DBGFCoreWrite.cpp)", () => {
    const notes = Buffer.concat([note("VBCORE", 0xb00, 24), note("VBCPU", 0xb01, 1000)]);
    const memory = memoryOf(
      elfCore([
        { type: PT_NOTE, paddr: 0n, data: notes },
        { paddr: 0n, data: page(0x11, 0xa_0000) },
        // A range of MMIO: its size in memory alone, its place that of the next one's bytes.
        { paddr: 0xa_0000n, filesz: 0n, memsz: 0x2_0000n },
        { paddr: 0xf_0000n, data: page(0x22, 0x1_0000) },
        { paddr: 0x1_0000_0000n, data: page(0x33, 0x2000) },
        { paddr: 0xfee0_0000n, filesz: 0n, memsz: 0x1000n },
      ]),
    );
    expect(read(memory, 0x9_fff8n)).toBe("1111111111111111");
    expect(read(memory, 0xa_0000n)).toBe("0000000000000000");
    expect(read(memory, 0xc_0000n)).toBeNull();
    expect(read(memory, 0xf_0000n)).toBe("2222222222222222");
    expect(read(memory, 0x1_0000_1ff8n)).toBe("3333333333333333");
    expect(read(memory, 0xfee0_0000n)).toBe("0000000000000000");
    memory.close();
  });

  it("reads virsh dump --memory-only: a note a CPU, then segments without virtual addresses (QEMU's dump.c)", () => {
    const cpu = [note("CORE", 1, 336), note("QEMU", 0, 440)];
    const notes = Buffer.concat([...cpu, ...cpu, note("VMCOREINFO", 0, 700)]);
    const low = page(0x44, 0x8000);
    for (const gap of [0, 0x2f4]) {
      const memory = memoryOf(
        elfCore(
          [
            { type: PT_NOTE, paddr: 0n, data: notes },
            { paddr: 0n, data: low },
            { paddr: 0xfffc_0000n, data: page(0x55, 0x4_0000) },
            { paddr: 0x1_0000_0000n, data: page(0x66, 0x1000) },
          ],
          { gap },
        ),
      );
      expect(read(memory, 0x7ff8n)).toBe("4444444444444444");
      expect(read(memory, 0x8000n)).toBeNull();
      expect(read(memory, 0xffff_fff8n)).toBe("5555555555555555");
      expect(read(memory, 0x1_0000_0000n)).toBe("6666666666666666");
      memory.close();
    }
  });

  it("reaches the last byte of the address space", () => {
    const memory = memoryOf(elfCore([{ paddr: 0xffff_ffff_ffff_f000n, data: page(0x44) }]));
    expect(read(memory, 0xffff_ffff_ffff_fff8n)).toBe("4444444444444444");
    expect(read(memory, 0xffff_ffff_ffff_eff8n)).toBeNull();
    memory.close();
  });
});

describe("what is wrong with a core", () => {
  const good: ElfSegment[] = [
    { type: 4, paddr: 0n, data: page(1, 16) },
    { paddr: 0x1000n, data: page(2) },
  ];
  const patched = (at: number, bytes: number[]) => {
    const core = elfCore(good);
    core.set(bytes, at);
    return core;
  };
  const cases: [string, () => Uint8Array, RegExp][] = [
    [
      "an empty file",
      () => Buffer.alloc(0),
      /^vm\.elf: ELF header: expected 64 bytes .*, found an empty file$/,
    ],
    ["a file that ends in the header", () => elfCore(good).subarray(0, 63), /found 63 bytes: 7f454c46/],
    [
      "other magic",
      () => patched(0, [0x7e]),
      /expected 64 bytes that begin with 7f 45 4c 46, found .*7e454c46/,
    ],
    ["32 bits", () => patched(4, [1]), /EI_CLASS: expected 2 \(64-bit\), found 1 \(32-bit\)$/],
    ["no byte order", () => patched(5, [3]), /EI_DATA: expected 1 .* or 2 .*, found 3$/],
    [
      "an executable",
      () => elfCore(good, { type: 2 }),
      /e_type: expected 4 \(ET_CORE\), found 2 \(ET_EXEC\)$/,
    ],
    ["a strange type", () => elfCore(good, { type: 0xff00 }), /e_type: expected 4 \(ET_CORE\), found 65280$/],
    ["program headers of another size", () => patched(0x36, [32]), /e_phentsize: expected 56, found 32$/],
    ["no program headers", () => elfCore(good, { phnum: 0 }), /e_phnum: expected at least one.*, found 0$/],
    [
      "a program header table beyond the end",
      () => patched(0x20, [0, 0x20]),
      /e_phoff 0x2000 with 2 program headers: expected a table within the file's 4288 bytes, found its end at 0x2070$/,
    ],
    [
      "an e_phoff beyond every double",
      () => patched(0x20, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
      /e_phoff .* expected a table within the file's 4288 bytes/,
    ],
    [
      "PN_XNUM without a section header",
      () => elfCore(good, { phnum: 0xffff }),
      /e_shoff \(e_phnum is PN_XNUM\): expected a section header within .*, found 0x0$/,
    ],
    [
      "a claim of 2^32 - 1 program headers",
      () => elfCore(good, { extended: 0xffff_ffff }),
      /section header 0 sh_info .*: expected at most 1048576, found 4294967295$/,
    ],
    [
      "more program headers than there are bytes",
      () => elfCore(good, { extended: 1_000_000 }),
      /with 1000000 program headers: expected a table within/,
    ],
    [
      "no PT_LOAD",
      () => elfCore([{ type: 4, paddr: 0n, data: page(1, 16) }]),
      /program headers: expected at least one PT_LOAD, found none among 1$/,
    ],
    [
      "a segment that ends beyond the file",
      () => elfCore([...good, { paddr: 0x9000n, offset: 0x100n, filesz: 0x10_0000n }]),
      /program header 2 p_offset \+ p_filesz: expected an end within the file's 4344 bytes, found p_offset 0x100, p_filesz 0x100000$/,
    ],
    [
      "a truncated file",
      () => elfCore(good).subarray(0, -1),
      /program header 1 p_offset \+ p_filesz: expected an end within the file's 4287 bytes/,
    ],
    [
      "p_offset + p_filesz beyond 2^64",
      () => elfCore([{ paddr: 0n, offset: (1n << 64n) - 8n, filesz: 16n }]),
      /program header 0 p_offset \+ p_filesz: expected an end within/,
    ],
    [
      "p_filesz above p_memsz",
      () => elfCore([{ paddr: 0n, data: page(1), memsz: 0xfffn }]),
      /program header 0 p_filesz: expected at most p_memsz, 0xfff, found 0x1000$/,
    ],
    [
      "a segment that wraps",
      () => elfCore([{ paddr: 0xffff_ffff_ffff_f008n, data: page(1) }]),
      /program header 0 p_memsz: expected an end at 2\^64 at most from p_paddr 0xfffffffffffff008 on, found 0x1000$/,
    ],
    [
      "zeros that wrap",
      () => elfCore([{ paddr: 0x1000n, data: page(1), memsz: (1n << 64n) - 1n }]),
      /program header 0 p_memsz: expected an end at 2\^64 at most/,
    ],
    [
      "segments that disagree",
      () => elfCore([...good, { paddr: 0x1ff8n, data: page(9, 16) }]),
      /program header 2: expected memory that no other segment holds, found 0x1ff8 also in program header 1 \(0x1000 to 0x2000\), with other bytes$/,
    ],
  ];
  it.each(cases)("%s", (_, build, message) => {
    const image = open(build());
    expect(image).toMatch(message);
    expect(image).toMatch(/^vm\.elf: /);
  });

  it("does not count on its own for a sparse file of a million empty headers", () => {
    const path = folder.writeSparse("zeros.elf", 2 ** 40, [[0, elfCore([], { extended: 1 << 20 })]]);
    const reads = vi.spyOn(SnapshotFile.prototype, "read");
    expect(open(path)).toMatch(/expected at least one PT_LOAD, found none among 1048576$/);
    const count = reads.mock.calls.length;
    reads.mockRestore();
    // They are read many at once.
    expect(count).toBeLessThan(2000);
  });

  it("never throws, whatever the headers say", () => {
    const core = elfCore(
      [
        { type: 4, paddr: 0n, data: page(1, 16) },
        { paddr: 0x1000n, data: page(2, 64), memsz: 0x2000n },
        { paddr: 0x8000n, data: page(3, 64) },
      ],
      { extended: 3 },
    );
    const headers = 64 + 3 * 56 + 64;
    const interesting = fc.constantFrom(0, 1, 2, 4, 0x7f, 0x80, 0xf0, 0xff);
    const mutation = fc.tuple(fc.nat(headers - 1), fc.array(interesting, { minLength: 1, maxLength: 8 }));
    const cut = fc.oneof(
      { weight: 4, arbitrary: fc.constant(core.length) },
      { weight: 1, arbitrary: fc.nat(core.length) },
    );
    fc.assert(
      fc.property(fc.array(mutation, { maxLength: 4 }), cut, (mutations, length) => {
        const bytes = Buffer.from(core);
        for (const [at, values] of mutations) bytes.set(values.slice(0, headers - at), at);
        const image = open(folder.write("fuzz", bytes.subarray(0, length)));
        if (typeof image === "string") {
          expect(image).toMatch(/^vm\.elf: .*expected .+, found .+/s);
          return;
        }
        const memory = new TraceMemory();
        memory.replace(image);
        for (const at of [0n, 0x1000n, 0x1038n, 0x2ff8n, 0x8000n, 0xffff_ffff_ffff_fff8n]) read(memory, at);
        expect(memory.takeError()).toBeNull();
        memory.close();
      }),
      { numRuns: 500 },
    );
  });
});
