import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { countOf, toolArguments, UsageError } from "../support/tool-arguments.ts";
import { KINDS, type TraceKind } from "./traces.ts";

const USAGE = `npx tsx test/bench/generate.ts [--kind narrow] [--requests 1000000] [--seed 1] [--out big.ndjson]

Writes a trace of one of the kinds that are measured: narrow (test/support/trace-generator.ts), wide (shared-trace.ts) or dma-api
(dma-api-trace.ts; of it --requests says how many lines). Without --out, to standard output.`;

const { values } = toolArguments(
  USAGE,
  {
    kind: { type: "string", default: "narrow" },
    requests: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
    out: { type: "string", default: "-" },
  },
  ({ kind, requests, seed }, [stranger]) => {
    if (stranger !== undefined) throw new UsageError(`expected options alone, found ${stranger}`);
    if (kind === undefined || !Object.hasOwn(KINDS, kind))
      throw new UsageError(`--kind: expected ${Object.keys(KINDS).join(", ")}, found ${kind}`);
    countOf("--requests", requests);
    countOf("--seed", seed);
  },
);
const pieces = KINDS[values.kind as TraceKind](Number(values.requests), Number(values.seed));
await pipeline(
  Readable.from(pieces, { objectMode: true, highWaterMark: 2 }),
  values.out === "-" ? process.stdout : createWriteStream(values.out),
);
