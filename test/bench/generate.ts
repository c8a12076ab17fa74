/**
 * Writes a synthetic trace (test/support/trace-generator.ts):
 *
 *     npx tsx test/bench/generate.ts --requests 10000000 --seed 1 --out big.ndjson
 *
 * Without --out, to standard output.
 */
import { closeSync, openSync, writeSync } from "node:fs";
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
const file = values.out === "-" ? process.stdout.fd : openSync(values.out, "w");
const pieces = syntheticTrace({
  requests: Number(values.requests),
  seed: Number(values.seed),
  devices: Number(values.devices),
  pasids: Number(values.pasids),
  pages: Number(values.pages),
});
for (const piece of pieces) {
  const bytes = Buffer.from(piece, "latin1");
  let at = 0;
  while (at < bytes.length) at += writeSync(file, bytes, at);
}
if (values.out !== "-") closeSync(file);
