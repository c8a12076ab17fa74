import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { ROOT } from "./cli.ts";

type Json = Record<string, unknown>;

/** Numbers below a bound, the same for a seed in every run. */
export type Random = (below: number) => number;

export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Recordings of each vendor that change tables and invalidate while requests come. */
export const SEEDS = [
  "amd/amd-11.1-inval-s1.ndjson.gz",
  "amd/linux-amd-q11-k6.12-strict.ndjson",
  "arm/arm-11.1-nested-4k-inval-1.ndjson.gz",
  "arm/linux-smmu.ndjson",
  "intel/intel-11.1-fs-inval-s1.ndjson.gz",
  "intel/linux-vtd-legacy-q7-k6.1-strict.ndjson",
  "riscv/linux-riscv-paging.ndjson",
  "riscv/riscv-ref-inval-s1.ndjson.gz",
];

export function linesOf(sample: string): string[] {
  const bytes = readFileSync(join(ROOT, "samples", sample));
  return (sample.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString().trim().split("\n");
}

/** How many of the latest requests are varied. */
const LATEST = 24;

/**
 * The lines of a recording with more requests between them: earlier ones again, by other devices and PASIDs, with other
 * kinds of access, at other places of the page. Some of the other records are left out, repeated or moved, and some
 * written words are others.
 * @param repeats requests that follow each one
 */
export function varied(lines: readonly string[], random: Random, repeats: number): string[] {
  const out: string[] = [];
  const latest: Json[] = [];
  for (const line of lines) {
    const record = JSON.parse(line) as Json;
    if (record.type !== "dma") {
      if (record.type !== "mem" || random(8) > 0) out.push(line);
      if (random(24) === 0) out.push(line);
      if (random(24) === 0 && out.length > 1) out.push(out.splice(-2, 1)[0]!);
      if (record.type === "mem" && random(12) === 0) out.push(JSON.stringify(flipped(record, random)));
      continue;
    }
    out.push(line);
    latest.push(record);
    if (latest.length > LATEST) latest.shift();
    for (let more = random(repeats + 1); more > 0; more--)
      out.push(JSON.stringify(like(latest[random(latest.length)]!, latest, random)));
  }
  return out;
}

/** A write with one bit of its data changed. */
function flipped(record: Json, random: Random): Json {
  const data = Buffer.from(String(record.data), "hex");
  if (data.length > 0) data[random(data.length)]! ^= 1 << random(8);
  return { ...record, data: data.toString("hex") };
}

const ACCESSES = ["r", "w", "rw", "x"];

/** A request that resembles one of the latest. */
function like(record: Json, latest: readonly Json[], random: Random): Json {
  const other = latest[random(latest.length)]!;
  const made: Json = { ...record };
  if (random(3) === 0) made.dev = other.dev;
  const pasid = random(6);
  if (pasid === 0) delete made.pasid;
  else if (pasid === 1 && other.pasid !== undefined) made.pasid = other.pasid;
  if (random(3) === 0) made.access = ACCESSES[random(4)];
  if (random(8) === 0) made.priv = random(2) === 0;
  if (random(3) === 0) made.len = 1 << random(14);
  if (random(4) === 0) made.seq = random(1 << 30);
  if (random(6) === 0) made.ts = random(2) === 0 ? random(1000) / 8 : `t${random(100)}`;
  if (random(3) === 0) {
    const addr = BigInt(String(record.addr));
    const moved =
      random(3) === 0 ? addr + BigInt(random(3) - 1) * 4096n : (addr & ~0xfffn) + BigInt(random(4096));
    made.addr = `0x${BigInt.asUintN(64, moved).toString(16)}`;
    delete made.observed;
  }
  if (random(3) === 0) delete made.observed;
  return made;
}
