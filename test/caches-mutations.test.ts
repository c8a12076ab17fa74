import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { decodeCommand } from "../parsers/commands/command.ts";
import { replay } from "../pipeline/replay-stream.ts";
import type { IommuModel } from "../walkers/walker.ts";
import { record } from "./support/caching-iommu.ts";
import { ROOT } from "./support/cli.ts";

type Json = Record<string, unknown>;

/** How many mutations of each kind and vendor; raise it to look harder. */
const MUTATIONS = Number(process.env.CACHE_MUTATIONS ?? 3);

function load(path: string): Json[] {
  return gunzipSync(readFileSync(join(ROOT, "samples", path)))
    .toString()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Json);
}

interface Judged {
  readonly verdicts: string[];
  readonly missing: number;
}

async function judge(records: readonly Json[]): Promise<Judged> {
  const verdicts: string[] = [];
  let missing = 0;
  const text = `${records.map((r) => JSON.stringify(r)).join("\n")}\n`;
  for await (const r of replay(Buffer.from(text), { stats: false })) {
    if (r.type === "error") throw new Error(JSON.stringify(r));
    if (r.type === "outcome") verdicts.push(r.verdict ?? "");
    if (r.type === "finding" && r.rule === "missing-invalidation") missing++;
  }
  return { verdicts, missing };
}

const answers = (records: readonly Json[]) =>
  records.filter((r) => r.type === "dma").map((r) => JSON.stringify(r.observed));

/** How far a translated address is from the input address, or what the answer is. */
function offsetOf(r: Json): string {
  const { result, pa } = r.observed as { result: string; pa?: string };
  return pa === undefined ? result : `${BigInt(pa) - BigInt(r.addr as string)}`;
}

/** A generator of numbers below a bound, the same in every run. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const SAMPLES: [string, IommuModel][] = [
  ["intel/intel-11.1-fs-inval-s1.ndjson.gz", "intel"],
  ["arm/arm-11.1-nested-4k-inval-1.ndjson.gz", "arm-smmuv3"],
  ["amd/amd-11.1-inval-s1.ndjson.gz", "amd"],
  ["riscv/riscv-ref-inval-s1.ndjson.gz", "riscv"],
];

const BAD = ["mismatch", "stale-after-invalidation"];

describe.each(SAMPLES)("%s on an IOMMU that caches everything", (path, model) => {
  const trace = load(path);
  const original = record(trace);
  const expected = answers(original.records);
  const commands = trace.flatMap((r, index) => {
    if (r.type !== "cmd") return [];
    const data = (r.data as string[]).map((text) => {
      const value = BigInt(text);
      return { hi: Number(BigInt.asIntN(32, value >> 32n)), lo: Number(BigInt.asIntN(32, value)) };
    });
    return [{ index, iommu: r.iommu, command: decodeCommand(model, data) }];
  });
  const invalidations = commands.filter((c) => c.command.invalidation !== null).map((c) => c.index);
  const requests = trace.flatMap((r, index) => (r.type === "dma" ? [index] : []));
  /** Whether an invalidation is complete when a request comes; until then the old answer is lawful. */
  function complete(line: number, request: number): boolean {
    const completions = commands.filter((c) => c.command.completion && c.iommu === trace[line]!.iommu);
    return (
      completions.length === 0 || completions.some((c) => c.index > line && c.index < requests[request]!)
    );
  }

  /** Whether the same translation was in use after an invalidation: then it may have been cached again. */
  function usedAgain(line: number, records: readonly Json[], request: number): boolean {
    const wanted = records[requests[request]!]!;
    return original.records.some(
      (r, index) =>
        index > line &&
        index < requests[request]! &&
        r.type === "dma" &&
        r.pasid === wanted.pasid &&
        offsetOf(r) === offsetOf(wanted),
    );
  }

  it("everything that it answers is lawful", async () => {
    const { verdicts } = await judge(original.records);
    expect(verdicts.filter((verdict) => BAD.includes(verdict))).toEqual([]);
    expect(verdicts.filter((verdict) => verdict === "match").length).toBeGreaterThan(verdicts.length / 2);
  });

  it("an invalidation that is left out is owed if and only if it shows", async () => {
    const pick = random(1);
    const before = await judge(original.records);
    for (let i = 0; i < MUTATIONS; i++) {
      const dropped = invalidations[pick(invalidations.length)]!;
      const mutated = record(trace.filter((_, index) => index !== dropped));
      const first = answers(mutated.records).findIndex((answer, seq) => answer !== expected[seq]);
      const shows = first >= 0;
      const { verdicts, missing } = await judge(mutated.records);
      const label = `without record ${dropped + 1}`;
      expect(
        verdicts.filter((verdict) => BAD.includes(verdict)),
        label,
      ).toEqual([]);
      if (shows) {
        expect(missing, label).toBeGreaterThan(0);
        expect(verdicts[first], label).toBe("stale");
      }
      // Whatever the IOMMU answers, nothing is owed that was not owed before where it answers the same.
      else expect(verdicts.join(), label).toBe(before.verdicts.join());
    }
  });

  it("an entry that is kept after its invalidation is found", async () => {
    const pick = random(2);
    const covering = invalidations.filter((index) => (original.covered.get(index) ?? 0) > 0);
    let found = 0;
    for (let i = 0; found < MUTATIONS && i < 20 * MUTATIONS; i++) {
      const line = covering[pick(covering.length)]!;
      const page = pick(original.covered.get(line)!);
      const mutated = record(trace, { line, page });
      const differs = answers(mutated.records).findIndex((answer, seq) => answer !== expected[seq]);
      if (differs < 0 || !complete(line, differs)) continue;
      if (usedAgain(line, mutated.records, differs)) continue;
      found++;
      const { verdicts } = await judge(mutated.records);
      const label = `page ${page} of record ${line + 1}, request ${differs}`;
      expect(verdicts[differs], label).toBe("stale-after-invalidation");
    }
    expect(found).toBeGreaterThan(0);
  });
});
