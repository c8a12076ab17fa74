import { execFileSync } from "node:child_process";
import builtin, * as fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { TraceMemory } from "../parsers/memory/guest-memory.ts";
import { openSnapshot, type SnapshotOptions } from "../parsers/memory/open-snapshot.ts";
import { SegmentImage } from "../parsers/memory/segment-image.ts";
import { elfCore } from "./support/elf-writer.ts";
import { SnapshotFolder } from "./support/snapshot-folder.ts";

/** Set by a test: every further read of a file fails with this code. */
let failReads: string | null = null;
/** Bytes that files were asked for. */
let bytesAsked = 0;
const { readSync } = fs;

/** Puts a function in the place of `readSync`, for all who have imported it. */
function readFilesBy(read: typeof fs.readSync): void {
  builtin.readSync = read;
  syncBuiltinESMExports();
}

let folder: SnapshotFolder;
let elsewhere: SnapshotFolder;
beforeAll(() => {
  readFilesBy(((...args: Parameters<typeof fs.readSync>) => {
    bytesAsked += args[1].byteLength;
    if (failReads !== null) throw Object.assign(new Error("read"), { code: failReads });
    return readSync(...args);
  }) as typeof fs.readSync);
  folder = new SnapshotFolder();
  elsewhere = new SnapshotFolder();
});
afterAll(() => {
  readFilesBy(readSync);
  folder.remove();
  elsewhere.remove();
});
afterEach(() => {
  failReads = null;
});

const page = (fill: number, size = 4096) => new Uint8Array(size).fill(fill);

function memoryOf(name: string, options: SnapshotOptions = {}): TraceMemory {
  return folder.memoryOf(name, options);
}

function errorOf(name: string, options: SnapshotOptions = {}): string {
  const opened = openSnapshot(name, folder.path, options);
  if (!opened.ok) return opened.error;
  opened.image.close();
  return "opened";
}

const byte = (memory: TraceMemory, frame: number, offset = 0): number | null =>
  memory.fetch(frame, offset, 1) ? memory.view.getUint8(memory.at) : null;

/** Does something without the rights of root, who may read everything. */
function asNobody<T>(action: () => T): T {
  if (process.geteuid!() !== 0) return action();
  process.seteuid!(65_534);
  try {
    return action();
  } finally {
    process.seteuid!(0);
  }
}

describe("where a snapshot may be", () => {
  it.skipIf(process.geteuid === undefined)("refuses a file that may not be read, or a folder", () => {
    folder.write("secret.raw", page(1));
    fs.chmodSync(folder.path, 0o755);
    fs.chmodSync(join(folder.path, "secret.raw"), 0);
    fs.mkdirSync(join(folder.path, "closed"), 0o700);
    folder.write("closed/b.raw", page(1));
    fs.chmodSync(join(folder.path, "closed"), 0);
    expect(asNobody(() => errorOf("secret.raw"))).toBe(
      "secret.raw: expected a readable file, found no permission (EACCES)",
    );
    expect(asNobody(() => errorOf("closed/b.raw"))).toBe(
      "closed/b.raw: expected a file beside the trace, found no permission (EACCES)",
    );
    fs.chmodSync(join(folder.path, "closed"), 0o700);
  });

  it("opens files beside the trace and below", () => {
    folder.write("a.raw", page(1));
    fs.mkdirSync(join(folder.path, "sub"));
    folder.write("sub/b.raw", page(2));
    for (const name of ["a.raw", "./a.raw", "sub/b.raw", "sub/../a.raw", join(folder.path, "a.raw")])
      expect(errorOf(name)).toBe("opened");
  });

  it("takes a name that begins with two dots for what it is", () => {
    folder.write("..a.raw", page(1));
    expect(errorOf("..a.raw")).toBe("opened");
  });

  it("does not leave the trace's folder, unless that is allowed", () => {
    const outside = elsewhere.write("out.raw", page(3));
    const up = join("..", elsewhere.path.split("/").pop()!, "out.raw");
    fs.symlinkSync(outside, join(folder.path, "link.raw"));
    fs.symlinkSync(elsewhere.path, join(folder.path, "linked"));
    for (const [name, found] of [
      [outside, `a path that leads out of it; --allow-path ${elsewhere.path} allows it`],
      [
        up,
        `a path that leads out of it; --allow-path ${join(folder.path, "..", elsewhere.path.split("/").pop()!)} allows it`,
      ],
      ["link.raw", "a link that leads out of it; --allow-path with the folder that it leads to allows it"],
      [
        "linked/out.raw",
        "a link that leads out of it; --allow-path with the folder that it leads to allows it",
      ],
    ] as const) {
      expect(errorOf(name)).toBe(
        `${name}: expected a file in the trace's folder or in an allowed one, found ${found}`,
      );
      expect(errorOf(name, { allow: ["/nowhere", elsewhere.path] })).toBe("opened");
      expect(errorOf(name, { allow: [outside] })).toBe("opened");
      expect(errorOf(name, { allow: [`${elsewhere.path}/out`] })).toMatch(
        /expected a file in the trace's folder/,
      );
    }
  });

  it("says the same of what is elsewhere, whether it is there or not", () => {
    elsewhere.write("there.raw", page(3));
    const pairs = [
      ["linked/there.raw", "linked/not-there"],
      [join(elsewhere.path, "there.raw"), join(elsewhere.path, "not-there")],
      [join("..", elsewhere.path.split("/").pop()!, "there.raw"), join("..", "no", "..", "not-there")],
    ] as const;
    const said = (name: string) =>
      errorOf(name)
        .slice(name.length)
        .replace(/--allow-path \S+/, "");
    for (const [there, not] of pairs) expect(said(not)).toBe(said(there));
    fs.symlinkSync(join(elsewhere.path, "there.raw"), join(folder.path, "to-there"));
    fs.symlinkSync(join(elsewhere.path, "not-there"), join(folder.path, "to-nothing"));
    expect(said("to-nothing")).toBe(said("to-there"));
  });

  it("takes the folder by any of its names", () => {
    fs.symlinkSync(folder.path, join(elsewhere.path, "alias"));
    const alias = join(elsewhere.path, "alias");
    expect(errorOf(join(alias, "a.raw"))).toBe("opened");
    expect(openSnapshot(join(folder.path, "a.raw"), alias)).toMatchObject({ ok: true });
  });

  it("follows a symbolic link that stays inside", () => {
    fs.symlinkSync("a.raw", join(folder.path, "inner.raw"));
    expect(errorOf("inner.raw")).toBe("opened");
  });

  it("says what it found instead of a regular file", () => {
    execFileSync("mkfifo", [join(folder.path, "fifo")]);
    fs.symlinkSync("round", join(folder.path, "round"));
    expect(errorOf("fifo")).toBe("fifo: expected a regular file, found a FIFO");
    expect(errorOf("sub")).toBe("sub: expected a regular file, found a directory");
    expect(errorOf("/dev/zero", { allow: ["/dev"] })).toBe(
      "/dev/zero: expected a regular file, found a character device",
    );
    expect(errorOf("none.elf")).toBe(
      "none.elf: expected a file beside the trace, found no such file (ENOENT)",
    );
    expect(errorOf("a.raw/x")).toMatch(/no such file \(ENOTDIR\)/);
    expect(errorOf("round")).toMatch(/found a symbolic link too many \(ELOOP\)/);
    expect(errorOf("a\0b")).toMatch(/found a name that no file can have/);
    expect(errorOf("x".repeat(5000))).toMatch(/ENAMETOOLONG/);
  });
});

describe("formats", () => {
  it("recognises an ELF core and a LiME dump, and takes the rest for raw", () => {
    folder.write("vm.elf", elfCore([{ paddr: 0x7000n, data: page(5) }]));
    const memory = memoryOf("vm.elf");
    expect(byte(memory, 7)).toBe(5);
    memory.close();
    const raw = memoryOf("vm.elf", { format: "raw" });
    expect(byte(raw, 0)).toBe(0x7f);
    expect(byte(raw, 7)).toBeNull();
    raw.close();
    expect(errorOf("a.raw", { format: "elf" })).toMatch(
      /^a\.raw: ELF header: expected .* found 64 bytes: 0101/,
    );
    expect(errorOf("a.raw", { format: "lime" })).toMatch(
      /LiME range 0 at offset 0: magic: expected 0x4c694d45, found/,
    );
  });

  it.each([
    ["1f8b0800", /found gzip data: decompress it first/],
    ["28b52ffd", /found zstd data: decompress it first/],
    ["fd377a585a00", /found xz data: decompress it first/],
    ["514649fb00000003", /found a qcow2 disk image/],
  ])("does not take %s for memory", (magic, message) => {
    folder.write("strange", Buffer.from(magic + "00".repeat(64), "hex"));
    expect(errorOf("strange")).toMatch(message);
    expect(errorOf("strange", { format: "raw" })).toBe("opened");
  });

  it("places a raw image at its base, aligned or not", () => {
    folder.write("odd.raw", Buffer.concat([page(1, 0x800), page(2), page(3, 5)]));
    const memory = memoryOf("odd.raw", { baseHi: 0x000f_ffff, baseLo: 0xffff_f800 | 0 });
    const frame = 0x000f_ffff * 2 ** 20 + 0xf_ffff;
    expect(byte(memory, frame, 0x7ff)).toBeNull();
    expect(byte(memory, frame, 0x800)).toBe(1);
    expect(byte(memory, frame + 1, 0)).toBe(2);
    expect(byte(memory, frame + 1, 0xfff)).toBe(2);
    expect(byte(memory, frame + 2, 4)).toBe(3);
    expect(byte(memory, frame + 2, 5)).toBeNull();
    memory.close();
    expect(errorOf("odd.raw", { baseHi: -1, baseLo: -4096 })).toMatch(
      /expected an end at 2\^64 at most from base 0xf{13}000/,
    );
    folder.write("empty.raw", new Uint8Array(0));
    expect(errorOf("empty.raw")).toBe("empty.raw: expected guest memory, found an empty file");
  });

  it.each(["spoilt.lime", "spoilt.ELF", "spoilt.kdump"])(
    "takes %s for raw memory only where it is said",
    (name) => {
      folder.write(name, page(7));
      expect(errorOf(name)).toMatch(
        /^spoilt\.\w+: expected an? .*, as its name says, found no header of one/,
      );
      const memory = memoryOf(name, { format: "raw" });
      expect(byte(memory, 0, 0)).toBe(7);
      memory.close();
    },
  );

  const limeHeader = (first: bigint, last: bigint, version = 1, little = true) => {
    const header = Buffer.alloc(32);
    if (little) {
      header.write("EMiL", "latin1");
      header.writeUInt32LE(version, 4);
      header.writeBigUInt64LE(first, 8);
      header.writeBigUInt64LE(last, 16);
    } else {
      header.write("LiME", "latin1");
      header.writeUInt32BE(version, 4);
      header.writeBigUInt64BE(first, 8);
      header.writeBigUInt64BE(last, 16);
    }
    return header;
  };

  it.each([true, false])("reads LiME ranges, little-endian: %s", (little) => {
    const ranges = [
      limeHeader(0x1000n, 0x9fbffn, 1, little),
      page(1, 0x9ec00),
      limeHeader((1n << 64n) - 0x1000n, (1n << 64n) - 1n, 1, little),
      page(2),
    ];
    folder.write("vm.lime", Buffer.concat(ranges));
    const memory = memoryOf("vm.lime");
    expect(byte(memory, 0, 0xfff)).toBeNull();
    expect(byte(memory, 1)).toBe(1);
    expect(byte(memory, 0x9f, 0xbff)).toBe(1);
    expect(byte(memory, 0x9f, 0xc00)).toBeNull();
    expect(byte(memory, 2 ** 52 - 1, 0xfff)).toBe(2);
    memory.close();
  });

  it.each<[string, Buffer, RegExp]>([
    ["another version", limeHeader(0n, 0n, 2), /range 0 at offset 0: version: expected 1, found 2$/],
    [
      "ends before starts",
      limeHeader(0x2000n, 0x1000n),
      /e_addr: expected s_addr 0x2000 or more, found 0x1000$/,
    ],
    [
      "truncated bytes",
      Buffer.concat([limeHeader(0n, 0xfffn), page(1, 100)]),
      /range 0 .*: e_addr 0xfff \(s_addr 0x0\): expected 4096 bytes to follow, found 100$/,
    ],
    [
      "the whole address space",
      limeHeader(0n, (1n << 64n) - 1n),
      /expected 18446744073709551616 bytes to follow, found 0$/,
    ],
    [
      "a truncated header",
      Buffer.concat([limeHeader(0n, 0xfffn), page(1), Buffer.from("EMiL")]),
      /range 1 at offset 4128: expected a header of 32 bytes, found the end of the file after 4$/,
    ],
    [
      "ranges that disagree",
      Buffer.concat([limeHeader(0n, 0xfffn), page(1), limeHeader(0x800n, 0x17ffn), page(2)]),
      /LiME range 1: expected memory that no other segment holds, found 0x800 also in LiME range 0/,
    ],
  ])("LiME: %s", (_, bytes, message) => {
    folder.write("bad.lime", bytes);
    expect(errorOf("bad.lime")).toMatch(message);
  });
});

describe("reading", () => {
  /** A frame's bytes say which one it is; the core's segment is not aligned in the file. */
  const FRAMES = 1024;
  function numbered(name: string): void {
    const data = Buffer.alloc(FRAMES * 4096);
    for (let i = 0; i < FRAMES * 512; i++) data.writeUInt32LE(i, i * 8);
    folder.write(name, elfCore([{ paddr: 0x10_0000n, data }], { gap: 0x34b }));
  }
  const numberAt = (memory: TraceMemory, frame: number, word: number): number | null =>
    memory.fetch(0x100 + frame, word * 8, 8) ? memory.view.getUint32(memory.at, true) : null;

  it("reads what is asked for, and a chunk once while it is cached", () => {
    numbered("numbered.elf");
    const opened = openSnapshot("numbered.elf", folder.path, { chunkBytes: 16384 });
    if (!opened.ok || !(opened.image instanceof SegmentImage)) throw new Error("not opened");
    const { file } = opened.image;
    const memory = new TraceMemory();
    memory.replace(opened.image);
    expect(file.chunkReads).toBe(0);
    for (let round = 0; round < 3; round++)
      for (const frame of [0, 1, 500, 1023]) expect(numberAt(memory, frame, 511)).toBe(frame * 512 + 511);
    expect(file.chunkReads).toBe(3);
    memory.close();
  });

  it("stays right when chunks are dropped and their buffers used again", () => {
    numbered("numbered.elf");
    const memory = memoryOf("numbered.elf", { chunkBytes: 4096, cacheBytes: 0 });
    let state = 7;
    for (let i = 0; i < 20_000; i++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      const frame = (state >>> 8) % FRAMES;
      const word = (state >>> 18) % 512;
      if (i % 5 === 0) {
        // A written page stays, and its neighbours stay the file's.
        const bytes = Buffer.alloc(4);
        bytes.writeUInt32LE(frame * 512 + word);
        memory.write(0, 0x10_0000 + frame * 4096 + word * 8, bytes);
      }
      expect(numberAt(memory, frame, word)).toBe(frame * 512 + word);
    }
    memory.close();
  });

  it("leaves a view alone for 64 further fetches", () => {
    numbered("numbered.elf");
    const memory = memoryOf("numbered.elf", { chunkBytes: 4096, cacheBytes: 0 });
    for (let first = 0; first + 65 < FRAMES; first += 7) {
      expect(numberAt(memory, first, 3)).toBe(first * 512 + 3);
      const { view, at } = memory;
      for (let i = 1; i <= 64; i++) numberAt(memory, (first + i * 13) % FRAMES, 0);
      expect(view.getUint32(at, true)).toBe(first * 512 + 3);
    }
    memory.close();
  });

  it("opens a core of 16 GiB at once and reads little of it", () => {
    const head = elfCore([{ paddr: 0x1_0000_0000n, offset: 0x1a3n, filesz: 1n << 34n }]);
    const last = 0x1a3 + 2 ** 34 - 8;
    folder.writeSparse("big.elf", 2 ** 34 + 0x1a3, [
      [0, head],
      [last, page(9, 8)],
    ]);
    const before = bytesAsked;
    const opened = openSnapshot("big.elf", folder.path);
    expect(bytesAsked - before).toBeLessThan(1 << 20);
    if (!opened.ok || !(opened.image instanceof SegmentImage)) throw new Error("not opened");
    const memory = new TraceMemory();
    memory.replace(opened.image);
    expect(byte(memory, 0x10_0000 + 2 ** 22 - 1, 4095)).toBe(9);
    expect(byte(memory, 0x10_0000)).toBe(0);
    expect(byte(memory, 0x10_0000 + 2 ** 22)).toBeNull();
    expect(opened.image.file.chunkReads).toBe(2);
    const held = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 4000; i++) memory.fetch(0x10_0000 + i * 1021, 0, 8);
    expect(process.memoryUsage().arrayBuffers - held).toBeLessThan(42 * 2 ** 20);
    expect(opened.image.file.chunkReads).toBeGreaterThan(3900);
    memory.close();
  });

  it("tells once of a file that was truncated after it was opened, and goes on", () => {
    numbered("cut.elf");
    const memory = memoryOf("cut.elf", { chunkBytes: 4096 });
    expect(numberAt(memory, 3, 0)).toBe(3 * 512);
    fs.truncateSync(join(folder.path, "cut.elf"), 64 * 1024);
    expect(numberAt(memory, 900, 0)).toBeNull();
    const error = memory.takeError();
    expect(error?.code).toBe("io");
    expect(error?.message).toMatch(/^cut\.elf: expected \d+ bytes, as when it was opened, found 65536$/);
    expect(numberAt(memory, 901, 0)).toBeNull();
    expect(memory.takeError()).toBeNull();
    expect(numberAt(memory, 3, 1)).toBe(3 * 512 + 1);
    memory.close();
  });

  it("tells once of a file that is written to meanwhile", () => {
    numbered("live.elf");
    const memory = memoryOf("live.elf", { chunkBytes: 4096 });
    fs.utimesSync(join(folder.path, "live.elf"), 1000, 1000);
    expect(numberAt(memory, 5, 0)).toBe(5 * 512);
    expect(memory.takeError()?.message).toBe("live.elf: expected it not to change, found it written to");
    expect(numberAt(memory, 500, 0)).toBe(500 * 512);
    expect(memory.takeError()).toBeNull();
    memory.close();
  });

  it("tells once of a read error, and tries again", () => {
    numbered("bad.elf");
    const memory = memoryOf("bad.elf", { chunkBytes: 4096 });
    failReads = "EIO";
    expect(numberAt(memory, 5, 0)).toBeNull();
    expect(memory.takeError()).toEqual({
      code: "io",
      message: expect.stringMatching(
        /^bad\.elf: expected 8192 bytes at offset \d+, found a read error \(EIO\)$/,
      ),
    });
    expect(numberAt(memory, 6, 0)).toBeNull();
    // Writing into such a frame makes the written bytes exist, and no others.
    memory.write(0, 0x10_7000, page(1, 8));
    expect(byte(memory, 0x107)).toBe(1);
    failReads = null;
    expect(memory.takeError()).toBeNull();
    expect(numberAt(memory, 5, 0)).toBe(5 * 512);
    memory.close();
  });

  it("says what failed while the headers were read", () => {
    numbered("bad.elf");
    failReads = "EIO";
    expect(errorOf("bad.elf")).toMatch(
      /^bad\.elf: expected 16 bytes at offset 0, found a read error \(EIO\)$/,
    );
  });
});

describe("replace", () => {
  it("drops ram, mem and the snapshot before; later records stand above the file", () => {
    folder.write("one.elf", elfCore([{ paddr: 0x1000n, data: page(1) }]));
    folder.write(
      "two.elf",
      elfCore([
        { paddr: 0x2000n, data: page(2) },
        { paddr: 0x3000n, data: page(3, 16) },
      ]),
    );
    const memory = memoryOf("one.elf");
    memory.ram(0, 0x8000, 0, 0x1000);
    memory.write(0, 0x9000, page(9, 8));
    expect([1, 2, 8, 9].map((f) => byte(memory, f))).toEqual([1, null, 0, 9]);
    const two = openSnapshot("two.elf", folder.path);
    if (!two.ok) throw new Error(two.error);
    memory.replace(two.image);
    expect([1, 2, 8, 9].map((f) => byte(memory, f))).toEqual([null, 2, null, null]);
    memory.ram(0, 0x2000, 0, 0x2000);
    memory.write(0, 0x2001, page(7, 1));
    expect([0, 1, 2].map((o) => byte(memory, 2, o))).toEqual([2, 7, 2]);
    expect([0, 15, 16, 4095].map((o) => byte(memory, 3, o))).toEqual([3, 3, 0, 0]);
    memory.close();
  });
});
