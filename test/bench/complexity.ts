/**
 * tsx test/bench/complexity.ts [kind,…] [largest, default 1000000]: how the time of a replay grows with the number of
 * records of each kind, and what memory it takes under a limit of 64 MiB. An exponent of 1 is linear; n log n is up to
 * 1.1. CPU time of this process, so that others on the machine do not count.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ChunkSource } from "../../parsers/trace/source.ts";
import { replayTrace } from "../../pipeline/replay/run.ts";
import { KINDS, type Lines } from "./record-kinds.ts";

const MEMORY_LIMIT = 64 * 2 ** 20;
const SIZES = [10_000, 100_000, 1_000_000];
async function* chunks(lines: Lines): AsyncGenerator<string> {
  let text = "";
  for (const line of lines) {
    text += `${line}\n`;
    if (text.length < 1 << 16) continue;
    yield text;
    text = "";
  }
  yield text;
}

async function seconds(kind: string, n: number, directory: string): Promise<number> {
  const before = process.cpuUsage();
  const lines = KINDS[kind]!(n, "memory.raw");
  await replayTrace(
    new ChunkSource(kind, chunks(lines), () => {}),
    { write() {} },
    { memoryLimit: MEMORY_LIMIT, directory },
  );
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

const [kinds = Object.keys(KINDS).join(","), largest = "1000000"] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), "pasid-complexity-"));
writeFileSync(join(directory, "memory.raw"), Buffer.alloc(8192));
try {
  for (const kind of kinds.split(",")) {
    const times: number[] = [];
    for (const n of SIZES) if (n <= Number(largest)) times.push(await seconds(kind, n, directory));
    const growth = times.slice(1).map((time, i) => Math.log10(time / times[i]!).toFixed(2));
    const memory = (process.memoryUsage().rss / 2 ** 20).toFixed(0);
    console.log(
      `${kind.padEnd(14)} ${times.map((time) => `${time.toFixed(2)} s`).join("  ")}  exponents ${growth.join(", ")}  ${memory} MiB`,
    );
  }
} finally {
  rmSync(directory, { recursive: true });
}
