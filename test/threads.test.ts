/** A second thread reads and scans ahead: what comes out is what one thread says, whatever the lines, and whatever is missing. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { BatchMachine } from "../parsers/trace/batch/machine.ts";
import { ReadAhead } from "../parsers/trace/batch/read-ahead.ts";
import { bytesSource, openTrace } from "../parsers/trace/source.ts";
import type { ReplayOptions } from "../pipeline/replay/options.ts";
import { replayTrace } from "../pipeline/replay/run.ts";
import { CLI, ended, FIXTURE, ROOT, temporaryFolder } from "./support/cli.ts";
import { difference, output } from "./support/paths.ts";
import { syntheticTrace } from "./support/trace-generator.ts";

const folder = temporaryFolder();
const lines = [...syntheticTrace({ requests: 6000, seed: 5, devices: 3, pages: 8 })]
  .join("")
  .trim()
  .split("\n");

/** What a window of text may have in it: lines longer than one, more lines than it has records, ends of many kinds. */
function awkward(): Buffer {
  const long = `{"type":"note","text":"${"x".repeat(700_000)}"}`;
  const device = '{"type":"dma","dev":"0000:00:1e.0","addr":"0x1000"}';
  const parts = [
    ...lines.slice(0, 2000),
    long,
    "\n".repeat(20_000),
    ...new Array(30).fill(device),
    "no record",
    ...lines.slice(2000, 4000).map((line) => `${line} \r`),
    long,
    long,
    "",
    ...lines.slice(4000),
    device,
  ];
  return Buffer.from(parts.join("\n"));
}

const text = awkward();
const plain = join(folder, "awkward.ndjson");
const packed = join(folder, "awkward.ndjson.gz");
writeFileSync(plain, text);
writeFileSync(packed, gzipSync(text));

/** What two threads write of a file, and how many worked on it. */
async function byTwo(path: string, options: Partial<ReplayOptions>) {
  const pieces: Buffer[] = [];
  const write = (bytes: Buffer) => void pieces.push(Buffer.from(bytes));
  const { threads } = await replayTrace(
    await openTrace(path),
    { write },
    { ...options, fast: true, threads: 2 },
  );
  return { threads, bytes: Buffer.concat(pieces) };
}

describe("two threads write what one does", () => {
  it.each([2 ** 24, 100_000])(
    "of a file, packed or not, with lines of up to %i bytes",
    async (maxLineBytes) => {
      const one = await output(text, { maxLineBytes, fast: false });
      for (const path of [plain, packed]) {
        const { threads, bytes } = await byTwo(path, { maxLineBytes });
        expect(threads).toBe(2);
        expect(difference(one, bytes)).toBeNull();
      }
    },
  );

  it("of an input that breaks off", async () => {
    const cut = join(folder, "cut.ndjson.gz");
    writeFileSync(cut, readFileSync(packed).subarray(0, -20_000));
    const pieces: Buffer[] = [];
    const write = (bytes: Buffer) => void pieces.push(Buffer.from(bytes));
    await replayTrace(await openTrace(cut), { write }, { fast: true, threads: 1 });
    const one = Buffer.concat(pieces);
    expect(one.toString()).toContain("expected gzip data to its end");
    expect(difference(one, (await byTwo(cut, {})).bytes)).toBeNull();
  });

  it("of less than a window", async () => {
    const few = Buffer.from(lines.slice(0, 400).join("\n"));
    const options = { fast: true, threads: 2 } as const;
    expect(difference(await output(few, { fast: false }), await output(few, options, 1000))).toBeNull();
  });
});

describe("a thread that ends early", () => {
  /** The bytes of a source as its windows give them, then as it is read. */
  async function bytesOf(path: string, kill: (thread: ReadAhead) => Promise<void>): Promise<Buffer> {
    const source = path === "" ? bytesSource(text, 50_000) : await openTrace(path);
    const ahead = new ReadAhead(BatchMachine.make()!, source, 2 ** 24);
    await ahead.begin();
    const pieces: Buffer[] = [];
    for (let window = await ahead.next(); window !== null; window = await ahead.next()) {
      pieces.push(Buffer.from(window.text.subarray(0, window.length)));
      if (pieces.length === 2) await kill(ahead);
    }
    const rest = Buffer.alloc(text.length);
    for (let n = 1; n > 0 && !ahead.ended; ) {
      n = await source.read(rest, 0, rest.length);
      pieces.push(Buffer.from(rest.subarray(0, n)));
    }
    await ahead.close();
    await source.close();
    return Buffer.concat(pieces);
  }

  it.each([plain, ""])("leaves no byte out (%s)", async (path) => {
    expect((await bytesOf(path, async () => {})).equals(text)).toBe(true);
    expect((await bytesOf(path, (ahead) => ahead.close())).equals(text)).toBe(true);
  });
});

describe("where something is missing", () => {
  const expected = output(readFileSync(FIXTURE), { directory: join(ROOT, "test/fixtures"), fast: false });

  /** The command on a Node.js that lacks something. */
  async function run(flags: readonly string[]) {
    const stdin = openSync("/dev/null", "r");
    const args = [...flags, CLI, "replay", "--threads", "2", "--timing", FIXTURE];
    const env = { ...process.env, PASID_REPLAY_FAST: "1" };
    const ran = await ended(spawn(process.execPath, args, { stdio: [stdin, "pipe", "pipe"], env }));
    closeSync(stdin);
    expect(difference(await expected, Buffer.from(ran.stdout))).toBeNull();
    return ran.stderr;
  }

  it("is said of WebAssembly's SIMD", async () => {
    // Processors without SSSE3 are those that have no SIMD for it; elsewhere, all of WebAssembly goes.
    const flag = process.arch === "x64" ? "--no-enable-ssse3" : "--no-expose-wasm";
    expect(await run([flag])).toContain("every request by itself; without WebAssembly's SIMD");
  });

  it("is said of threads", async () => {
    const flag = process.allowedNodeEnvironmentFlags.has("--permission") ? "" : "experimental-";
    const allowed = ["--allow-fs-read=*", "--allow-fs-write=*", "--no-warnings"];
    expect(await run([`--${flag}permission`, ...allowed])).toMatch(
      /in batches; without a second thread \(.+\)/,
    );
  });

  it("is not said of either where they are there", async () => {
    expect(await run([])).toMatch(/\d+ requests in batches; 2 threads\n/);
  });
});
