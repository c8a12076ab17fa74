import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { unpacked } from "../parsers/trace/decompress.ts";
import { isTraceError } from "../parsers/trace/errors.ts";
import { readTrace } from "../parsers/trace/reader.ts";
import { bytesSource, openTrace } from "../parsers/trace/source.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "trace-source-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Writes a file, reads it as a trace, and says which addresses and errors came out. */
async function read(name: string, ...parts: Uint8Array[]) {
  const path = join(directory, name);
  writeFileSync(path, Buffer.concat(parts));
  const addresses: number[] = [];
  const errors: string[] = [];
  const source = await openTrace(path);
  const size = source.size;
  const { lines, bytes } = await readTrace(source, {
    dma() {},
    mem: (_, r) => addresses.push(r.addrLo),
    record() {},
    unknown() {},
    error: (line, code, message) => errors.push(`${line} ${code} ${message.replace(directory, "")}`),
  });
  return { addresses, errors, lines, bytes, size };
}

const memLine = (i: number) =>
  `{"type":"mem","addr":"0x${(i * 8).toString(16)}","data":"${(i * 0x1234567).toString(16).padStart(16, "0")}"}\n`;
const text = (count: number) => Buffer.from(Array.from({ length: count }, (_, i) => memLine(i)).join(""));
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i * 8);

/** `text(40)` as the zstd command compresses it, with a checksum. */
const ZSTD = Buffer.from(
  "KLUv/QRohQkAdlQ0FaAZOsU3HR1yJfm/TCNFkl00Xq3VCjQAKwArAEVtc9Y8zRirCZKPK7RxkkbfO/KKNPGsaAAWgT2sBwSBQUxgEDC4b0AQIDwhMAh8IXEIKAIEyRv96hF1Joo2ZpAhreX2L8qWY/vzfE7X05OLjcZMxkJG3faGcS2RI8fPhbf+Tgl7eXfCwe+pPUjcy2iTdo+l8cdN18a1vJ5Fh7Ap8b1uTyd1Lm7WB4BFgLhIwTba82tjI3sdQlvUWo1lFCG5livRr1rZJNKrwgOH5oaIauJZKapXqDF4SULffwNwSUFaOREwEAERHhEssqCIPiKK+Qsd839mIqkziZwUiZyWQCM9hf9rm17Z9MqmV64iU3Y6QxFl1L51efTKdoTWYCAm06QoBhH+6a6bhw0IAADYKsXVQxY=",
  "base64",
);

describe("what a trace may be packed in, by its content", () => {
  test("nothing", async () => {
    const bytes = text(40);
    expect(await read("plain.gz", bytes)).toEqual({
      addresses: upTo(40),
      errors: [],
      lines: 40,
      bytes: bytes.length,
      size: bytes.length,
    });
  });

  test("nothing, and fewer bytes than a magic number has", async () => {
    expect((await read("empty", Buffer.from(""))).errors).toEqual([]);
    expect((await read("blank", Buffer.from("\n\n"))).lines).toBe(2);
    expect((await read("short", Buffer.from([0x1f]))).errors).toEqual([
      '1 json column 1: expected a value, found "\\u001f"',
    ]);
  });

  test("gzip, of several members, padded with zeros", async () => {
    const packed = gzipSync(text(5000));
    const one = await read("one", packed);
    expect(one).toMatchObject({
      addresses: upTo(5000),
      errors: [],
      bytes: packed.length,
      size: packed.length,
    });
    const two = await read("two", packed, gzipSync(text(3)), Buffer.alloc(70_000));
    expect(two).toMatchObject({ addresses: [...upTo(5000), ...upTo(3)], errors: [], lines: 5003 });
  });

  test("zstd, of several frames", async () => {
    expect(await read("one", ZSTD)).toMatchObject({ addresses: upTo(40), errors: [], bytes: ZSTD.length });
    const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    expect(await read("more", ZSTD, ZSTD, skippable, ZSTD)).toMatchObject({
      addresses: [...upTo(40), ...upTo(40), ...upTo(40)],
      errors: [],
    });
  });
});

describe("an input that is damaged gives what stands before the damage, and an error", () => {
  test("gzip, cut at any place", async () => {
    const packed = gzipSync(text(2000));
    for (const length of [3, 10, 11, 500, packed.length - 9, packed.length - 8, packed.length - 1]) {
      const { addresses, errors, lines } = await read("cut.gz", packed.subarray(0, length));
      expect(addresses).toEqual(upTo(addresses.length));
      expect(lines).toBe(addresses.length);
      expect(errors).toEqual([
        `${lines + 1} io /cut.gz: expected gzip data to its end, found: unexpected end of file`,
      ]);
      if (length > packed.length - 9) expect(lines).toBe(2000);
      else if (length === 500) expect(lines).toBeGreaterThan(20);
    }
  });

  test("gzip with something behind it", async () => {
    expect(await read("garbage.gz", gzipSync(text(2000)), Buffer.from("garbage"))).toMatchObject({
      addresses: upTo(2000),
      errors: ["2001 io /garbage.gz: expected gzip data to its end, found: incorrect header check"],
    });
  });

  test("gzip with a wrong checksum", async () => {
    const packed = gzipSync(text(2000));
    packed[packed.length - 8]! ^= 1;
    expect(await read("crc.gz", packed)).toMatchObject({
      addresses: upTo(2000),
      errors: ["2001 io /crc.gz: expected gzip data to its end, found: incorrect data check"],
    });
  });

  test("zstd, cut", async () => {
    for (const length of [4, 100, ZSTD.length - 5, ZSTD.length - 1]) {
      const { addresses, errors } = await read("cut.zst", ZSTD, ZSTD.subarray(0, length));
      expect(addresses.slice(0, 40)).toEqual(upTo(40));
      expect(errors).toHaveLength(1);
      expect(errors[0]).toMatch(
        /^\d+ io \/cut.zst: expected zstd data to its end, found: .*(EOF|end of file)/,
      );
    }
  });

  test("zstd with a wrong checksum, or of another size than its header says", async () => {
    const checksum = Buffer.from(ZSTD);
    checksum[ZSTD.length - 1]! ^= 1;
    expect((await read("crc.zst", checksum)).errors).toEqual([
      expect.stringMatching(/ io \/crc.zst: expected zstd data to its end, found: /),
    ]);
    // RFC 8878, 3.1.1: a single segment of 9 bytes, and a raw block of 8.
    const size = Buffer.concat([Buffer.from("28b52ffd2009410000", "hex"), Buffer.alloc(8, "\n")]);
    expect((await read("size.zst", size)).errors).toEqual([
      expect.stringMatching(/ io \/size.zst: expected zstd data to its end, found: /),
    ]);
  });

  test("zstd with a window of more than 128 MiB, which is not allocated", async () => {
    // RFC 8878, 3.1.1.1.2: window descriptors of 2^27, of 2^27 and an eighth, and of 2^31 bytes; a raw block of a newline.
    const frame = (descriptor: number) =>
      Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, descriptor, 0x09, 0, 0, 0x0a]);
    const largest = await read("window.zst", ...Array.from({ length: 500 }, () => frame(17 << 3)));
    expect(largest).toMatchObject({ errors: [], lines: 500 });
    for (const descriptor of [(17 << 3) | 1, 21 << 3])
      expect((await read("window.zst", frame(descriptor))).errors).toEqual([
        expect.stringMatching(/^1 io \/window.zst: expected zstd data to its end, found: .*memory|128 MiB/),
      ]);
  });

  test("damaged zstd leaves nothing behind: whatever windows it had, the next is read", async () => {
    // RFC 8878, 3.1.1.1.2: a window of 64 MiB; one raw block of one byte.
    const frame = Buffer.from("28b52ffd0080080000000a", "hex");
    const whole = Buffer.from("28b52ffd00800900000a", "hex");
    const drained = async (bytes: Buffer) => {
      const raw = bytesSource(bytes);
      delete raw.reopen;
      const source = await unpacked(raw);
      const n = await source.read(new Uint8Array(16), 0, 16).catch(() => -1);
      await source.close();
      return n;
    };
    for (let i = 0; i < 48; i++)
      await drained(i % 2 === 0 ? frame : Buffer.concat([frame, Buffer.alloc(9, 0xff)]));
    expect(await drained(whole)).toBe(1);
  });

  test("zstd with something behind it", async () => {
    const { addresses, errors } = await read("garbage.zst", ZSTD, Buffer.from("garbage"));
    expect(addresses).toEqual(upTo(40));
    expect(errors).toEqual([
      expect.stringMatching(/^41 io \/garbage.zst: expected zstd data to its end, found: /),
    ]);
  });
});

describe("what cannot be opened", () => {
  async function failure(path: string) {
    const error: unknown = await openTrace(path).catch((e: unknown) => e);
    return isTraceError(error) ? [error.code, error.message.replace(directory, "")] : error;
  }

  test("is said by a TraceError", async () => {
    expect(await failure(join(directory, "none"))).toEqual([
      "missing",
      "/none: expected a trace, found no such file",
    ]);
    mkdirSync(join(directory, "folder"));
    expect(await failure(join(directory, "folder"))).toEqual([
      "directory",
      "/folder: expected a trace, found a directory",
    ]);
    writeFileSync(join(directory, "file"), "");
    expect(await failure(join(directory, "file", "x"))).toEqual([
      "missing",
      "/file/x: expected a trace, found no such file",
    ]);
  });
});

test("standard input, and a FIFO", () => {
  const script = `
    import { openTrace } from "./parsers/trace/source.ts";
    import { readTrace } from "./parsers/trace/reader.ts";
    let n = 0;
    const source = await openTrace(process.argv[1]);
    const totals = await readTrace(source, { dma() {}, mem() { n++; }, record() {}, unknown() {}, error(...e) { console.log(e); } });
    console.log(n, totals.lines, totals.bytes, source.size);`;
  const node = ["--import", "tsx", "--input-type=module", "-e", script];
  const packed = gzipSync(text(5000));
  const piped = spawnSync(process.execPath, [...node, "-"], { input: packed, encoding: "utf8" });
  expect(piped.stdout).toBe(`5000 5000 ${packed.length} undefined\n`);
  if (process.platform !== "win32") {
    writeFileSync(join(directory, "plain"), text(5000));
    const fifo = join(directory, "fifo");
    const shell = `mkfifo "$1" && { cat "$2" > "$1" & shift 2; exec "$@"; }`;
    const args = [fifo, join(directory, "plain"), process.execPath, ...node, fifo];
    expect(execFileSync("sh", ["-c", shell, "sh", ...args], { encoding: "utf8" })).toBe(
      `5000 5000 ${text(5000).length} undefined\n`,
    );
  }
});
