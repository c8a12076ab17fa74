/**
 * Writes a trace of one of the kinds that are measured:
 *
 *     npx tsx test/bench/generate.ts [--kind narrow] --requests 10000000 --seed 1 --out big.ndjson
 *
 * `narrow` (test/support/trace-generator.ts), `wide` (shared-trace.ts) or `dma-api` (dma-api-trace.ts; of it `--requests` says
 * how many lines). Without --out, to standard output.
 */
import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { KINDS, type TraceKind } from "./traces.ts";

const { values } = parseArgs({
  options: {
    kind: { type: "string", default: "narrow" },
    requests: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
    out: { type: "string", default: "-" },
  },
});
if (!Object.hasOwn(KINDS, values.kind))
  throw new Error(`--kind: expected ${Object.keys(KINDS).join(", ")}, found ${values.kind}`);
const pieces = KINDS[values.kind as TraceKind](Number(values.requests), Number(values.seed));
await pipeline(
  Readable.from(pieces, { objectMode: true, highWaterMark: 2 }),
  values.out === "-" ? process.stdout : createWriteStream(values.out),
);
