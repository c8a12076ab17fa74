import type { Bench } from "tinybench";
import { LineReader } from "../../parsers/trace/line-reader.ts";
import { readTrace } from "../../parsers/trace/reader.ts";
import type { TraceHandler } from "../../parsers/trace/record-source.ts";
import { TraceNames } from "../../parsers/trace/records.ts";
import { bytesSource } from "../../parsers/trace/source.ts";
import { syntheticTrace } from "../support/trace-generator.ts";

/** Records of each task: enough that starting to read does not count. */
const RECORDS = 100_000;

/** Trace reading: bytes to records, nothing done with them. Each iteration is 100,000 records. */
export function addScannerTasks(bench: Bench): void {
  const dma = requests();
  const text = dma.join("\n");
  const small = Array.from({ length: RECORDS }, (_, i) => memRecord(i, "6730001000000080")).join("\n");
  const reordered = dma.map((line) => {
    const { type, observed, ...rest } = JSON.parse(line) as Record<string, unknown>;
    return JSON.stringify(
      { observed, x_comment: ["not", { in: "the contract" }], ...rest, type },
      null,
      1,
    ).replaceAll("\n", "");
  });
  add(bench, "dma records", Buffer.from(text));
  add(bench, "dma records, spaced, in another order, with unknown fields", Buffer.from(reordered.join("\n")));
  add(bench, "mem records of 8 bytes", Buffer.from(small));
  add(bench, "dma records in a JSON array", Buffer.from(`[${dma.join(",\n")}]`));
  addJsonParse(bench, Buffer.from(`${text}\n`));
}

function add(bench: Bench, name: string, bytes: Buffer): void {
  const handler = new Counter();
  bench.add(`trace: 100,000 ${name}`, async () => {
    await readTrace(bytesSource(bytes), handler);
  });
}

/** What the scanner saves: the same records by JSON.parse and the schema. */
function addJsonParse(bench: Bench, bytes: Buffer): void {
  const reader = new LineReader(new TraceNames(), new Counter());
  bench.add("trace: 100,000 dma records by JSON.parse", () => {
    let line = 0;
    for (let at = 0; at < bytes.length; ) {
      const end = bytes.indexOf(10, at);
      reader.read(++line, bytes, at, end);
      at = end + 1;
    }
  });
}

class Counter implements TraceHandler {
  sum = 0;
  dma(_: number, record: { readonly addrLo: number }): void {
    this.sum += record.addrLo;
  }
  mem(_: number, record: { readonly start: number }): void {
    this.sum += record.start;
  }
  record(): void {}
  unknown(): void {}
  error(line: number, code: string, message: string): void {
    throw new Error(`line ${line}: ${code} ${message}`);
  }
}

function requests(): string[] {
  const text = [...syntheticTrace({ requests: RECORDS, seed: 1 })].join("");
  return text.split("\n").filter((line) => line.startsWith('{"type":"dma"'));
}

function memRecord(i: number, data: string): string {
  return `{"type":"mem","addr":"0x${(0x100_0000 + 8 * i).toString(16)}","data":"${data}"}`;
}
