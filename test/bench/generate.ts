/**
 * Writes a synthetic trace (test/support/trace-generator.ts):
 *
 *     npx tsx test/bench/generate.ts --requests 10000000 --seed 1 --out big.ndjson
 *
 * Without --out, to standard output.
 */
import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { syntheticTrace } from "../support/trace-generator.ts";

const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
    devices: { type: "string", default: "6" },
    pasids: { type: "string", default: "4" },
    pages: { type: "string", default: "256" },
    out: { type: "string", default: "-" },
  },
});
const pieces = syntheticTrace({
  requests: Number(values.requests),
  seed: Number(values.seed),
  devices: Number(values.devices),
  pasids: Number(values.pasids),
  pages: Number(values.pages),
});
await pipeline(
  Readable.from(pieces, { objectMode: true, highWaterMark: 2 }),
  values.out === "-" ? process.stdout : createWriteStream(values.out),
);
