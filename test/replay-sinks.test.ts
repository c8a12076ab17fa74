import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { TraceSource } from "../parsers/trace/reader.ts";
import type { RecordSource, TraceHandler } from "../parsers/trace/record-source.ts";
import { RecordTeller } from "../parsers/trace/record-teller.ts";
import { TraceNames } from "../parsers/trace/records.ts";
import { bytesSource } from "../parsers/trace/source.ts";
import { replay, replayBytes } from "../pipeline/library/replay-stream.ts";
import { ByteWriter } from "../pipeline/output/byte-writer.ts";
import { NdjsonSink } from "../pipeline/output/ndjson-sink.ts";
import type { OutputRecord } from "../pipeline/output/records.ts";
import { DEFAULT_OPTIONS } from "../pipeline/replay/options.ts";
import { replayRecords } from "../pipeline/replay/run.ts";
import { inspectTrace } from "../pipeline/walk/walk-trace.ts";

const SAMPLES = readdirSync("samples", { recursive: true, encoding: "utf8" })
  .filter((name) => /\.ndjson(\.gz)?$/.test(name) && !name.includes(".out."))
  .map((name) => join("samples", name))
  .sort();

/** Records as JSON values, told without any text. */
class ValueSource implements RecordSource {
  readonly names = new TraceNames();
  readonly live = false;
  readonly consumed = 0;
  lines = 0;
  readonly #values: readonly unknown[];

  constructor(values: readonly unknown[]) {
    this.#values = values;
  }

  async next(handler: TraceHandler): Promise<boolean> {
    const teller = new RecordTeller(this.names, handler);
    while (this.lines < this.#values.length && handler.stopped !== true)
      teller.parsed(++this.lines, this.#values[this.lines - 1]);
    return false;
  }

  async close(): Promise<void> {}
}

function linesOf(path: string): string[] {
  const packed = readFileSync(path);
  return (path.endsWith(".gz") ? gunzipSync(packed) : packed).toString("utf8").trimEnd().split("\n");
}

async function textOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all).toString("utf8");
}

async function written(source: RecordSource, directory: string): Promise<string> {
  const out = new ByteWriter();
  const options = { ...DEFAULT_OPTIONS, directory };
  await replayRecords(source, new NdjsonSink(out, options.only), options, () => {});
  return out.take().toString("utf8");
}

describe("objects, and lines of NDJSON", () => {
  it("are there to be compared", () => expect(SAMPLES.length).toBeGreaterThan(10));

  it.each(SAMPLES)("say the same: %s", async (path) => {
    const text = await textOf(replayBytes(path));
    const records: OutputRecord[] = [];
    for await (const record of replay(path)) records.push(record);
    const lines = text.trimEnd().split("\n");
    expect(records.length).toBe(lines.length);
    for (const [i, record] of records.entries()) {
      if (JSON.stringify(record) !== lines[i]) expect(JSON.stringify(record)).toBe(lines[i]);
      expect(record).toStrictEqual(JSON.parse(lines[i]!));
    }
  });
});

describe("records without text", () => {
  it.each(SAMPLES.filter((path) => !path.includes("-s1")))(
    "come to the same as their text: %s",
    async (path) => {
      const lines = linesOf(path);
      const folder = dirname(path);
      const values = new ValueSource(lines.map((line) => JSON.parse(line)));
      const text = new TraceSource(bytesSource(Buffer.from(`${lines.join("\n")}\n`)));
      expect(await written(values, folder)).toBe(await written(text, folder));
    },
  );
});

describe("a walk", () => {
  it("of a request without text is that of its line, and nothing after it is read", async () => {
    const lines = linesOf("samples/riscv/riscv-qemu-11.1-mix-s1.ndjson.gz");
    const text = Buffer.from(`${lines.join("\n")}\n`);
    const records = lines.map((line) => JSON.parse(line));
    const requests = [...records.keys()].filter((i) => records[i].type === "dma");
    const outcomes = new Map<number, OutputRecord>();
    for await (const record of replay(text)) if (record.type === "outcome") outcomes.set(record.line, record);
    for (let i = 0; i < requests.length; i += 97) {
      const line = requests[i]! + 1;
      const values = new ValueSource(records);
      const walked = await inspectTrace(values, { line });
      expect(walked).toStrictEqual(await inspectTrace(new TraceSource(bytesSource(text)), { line }));
      expect(walked.outcome).toStrictEqual(outcomes.get(line));
      expect(values.lines).toBe(line);
    }
  });
});
