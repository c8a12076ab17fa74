import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Bench } from "tinybench";
import { type Case, recordedCases } from "./cases.ts";

const SAMPLES = fileURLToPath(new URL("../../samples", import.meta.url));
/** By vendor: recordings whose requests are walked. */
const RECORDINGS: Readonly<Record<string, readonly string[]>> = {
  SMMUv3: ["arm/arm-10.0-s1-16k-1.ndjson.gz", "arm/arm-11.1-nested-4k-1.ndjson.gz"],
  "AMD-Vi": ["amd/amd-gcr3-l2-s1.ndjson.gz"],
  "RISC-V": ["riscv/riscv-ref-pd20-s1.ndjson.gz"],
};
/** Walks of each task's iteration. */
const WALKS = 1000;

/**
 * Walks of recorded requests, one stage and both: of each the number of reads that most of them make. To be held against
 * VT-d's (walks.ts) read for read.
 */
export async function addVendorWalkTasks(bench: Bench): Promise<void> {
  for (const [vendor, recordings] of Object.entries(RECORDINGS)) {
    const cases = (await Promise.all(recordings.map((path) => recordedCases(join(SAMPLES, path))))).flat();
    const nested = (c: Case) => c.unit.engine.walk(c.request).firstShift !== 0;
    addTasks(bench, `${vendor}, one stage`, commonest(cases.filter((c) => !nested(c))));
    addTasks(bench, `${vendor}, nested`, commonest(cases.filter(nested)));
  }
}

function addTasks(bench: Bench, kind: string, cases: readonly Case[]): void {
  const some = Array.from({ length: WALKS }, (_, i) => cases[i % cases.length]!);
  const contexts = new Map(
    [...new Set(some.map((c) => c.unit))].map(({ walker, engine }) => [
      engine,
      { device: walker.newDevice(), process: walker.newPasidContext() },
    ]),
  );
  bench.add(`walk: 1000 ${kind}, uncached, ${readsOf(some[0]!)} reads each`, () => {
    let status = 0;
    for (const { unit, request } of some) {
      const { device, process } = contexts.get(unit.engine)!;
      status |= unit.engine.walkUncached(request, device, process).status;
    }
    return status;
  });
  bench.add(`walk: 1000 ${kind}, cached`, () => {
    let status = 0;
    for (const { unit, request } of some) status |= unit.engine.walk(request).status;
    return status;
  });
}

function readsOf({ unit, request }: Case): number {
  return unit.engine.walk(request).reads;
}

/** Those that make the number of reads that most make. */
function commonest(cases: readonly Case[]): Case[] {
  const byReads = new Map<number, Case[]>();
  for (const c of cases) byReads.set(readsOf(c), [...(byReads.get(readsOf(c)) ?? []), c]);
  const [most] = [...byReads.values()].sort((a, b) => b.length - a.length);
  if (most === undefined) throw new Error("no request of this kind in the recordings");
  return most;
}
