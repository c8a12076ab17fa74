/** Recordings without some of what is in them: the answers, or the invalidations. */
import { replay } from "../../pipeline/library/replay-stream.ts";
import { decodeCommand } from "../../walkers/commands/command.ts";
import type { IommuModel } from "../../walkers/models.ts";

type Json = Readonly<Record<string, unknown>>;

/** What a replay says of owed invalidations. */
export interface Owed {
  /** Each as "entry changed in line". */
  readonly changes: readonly string[];
  /** Those of them that only an answer by another reading of the specification shows: by the usual one nothing was held. */
  readonly byOtherReading: readonly string[];
  /** How many of them no answer shows. */
  readonly latent: number;
  readonly verdicts: Readonly<Record<string, number>>;
}

export const withoutAnswers = (trace: readonly Json[]): Json[] =>
  trace.map(({ observed: _, ...record }) => record);

/** Commands that invalidate something are gone, completions stay; so the lines are others. */
export function withoutInvalidations(trace: readonly Json[]): Json[] {
  const models = new Map(trace.filter((r) => r.type === "iommu").map((r) => [r.id, r.model as IommuModel]));
  return trace.filter((r) => {
    if (r.type === "inv") return false;
    if (r.type !== "cmd") return true;
    const words = (r.data as string[]).map((text) => {
      const value = BigInt(text);
      return { hi: Number(BigInt.asIntN(32, value >> 32n)), lo: Number(BigInt.asIntN(32, value)) };
    });
    return decodeCommand(models.get(r.iommu)!, words).invalidation === null;
  });
}

/** With the answers of memory as it is to each request: of an IOMMU that caches nothing. */
export async function answeredByMemory(trace: readonly Json[]): Promise<Json[]> {
  const answers = new Map<number, Json>();
  const options = { stats: false, findings: false, caches: false };
  for await (const r of replay(bytesOf(trace), options)) {
    if (r.type !== "outcome") continue;
    const { result, pa, code } = r;
    answers.set(r.line, {
      result,
      ...(pa === undefined ? {} : { pa }),
      ...(code === undefined ? {} : { code }),
    });
  }
  return trace.map((r, i) => (r.type === "dma" ? { ...r, observed: answers.get(i + 1) } : r));
}

export async function owed(trace: readonly Json[]): Promise<Owed> {
  const changes: string[] = [];
  const byOtherReading: string[] = [];
  const shown = new Set<number>();
  let latent = 0;
  let verdicts = {};
  for await (const r of replay(bytesOf(trace))) {
    if (r.type === "summary") verdicts = r.verdicts;
    if (r.type === "outcome" && r.verdict === "stale" && r.other_result !== undefined) shown.add(r.line);
    if (r.type !== "finding" || !/^(missing|late)-invalidation$/.test(r.rule)) continue;
    changes.push(`${r.entry_addr} in line ${r.changed_line}`);
    if (shown.has(r.first_line!)) byOtherReading.push(changes.at(-1)!);
    if (r.latent) latent++;
  }
  return { changes: changes.sort(), byOtherReading, latent, verdicts };
}

function bytesOf(trace: readonly Json[]): Buffer {
  return Buffer.from(`${trace.map((r) => JSON.stringify(r)).join("\n")}\n`);
}
