/** The traces that whole runs are measured on, by kind. */
import { closeSync, openSync, writeSync } from "node:fs";
import { dmaApiTrace } from "../support/dma-api-trace.ts";
import { sharedTrace } from "../support/shared-trace.ts";
import { syntheticTrace } from "../support/trace-generator.ts";

export type TraceKind = "narrow" | "wide" | "dma-api";

/** @param size requests; of `dma-api`, lines */
export const KINDS: Readonly<Record<TraceKind, (size: number, seed: number) => Generator<string>>> = {
  narrow: (requests, seed) => syntheticTrace({ requests, seed }),
  wide: (requests, seed) => sharedTrace({ requests, seed }),
  "dma-api": (lines, seed) => dmaApiTrace({ lines, seed }),
};

/** Writes a trace and returns the number of its lines. */
export function writeTrace(path: string, pieces: Iterable<string>): number {
  const file = openSync(path, "w");
  let lines = 0;
  for (const piece of pieces) {
    const bytes = Buffer.from(piece, "latin1");
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    for (const byte of bytes) if (byte === 10) lines++;
  }
  closeSync(file);
  return lines;
}
