/**
 * Mutations of recordings: one invalidation is left out, or the IOMMU keeps one entry although an invalidation covers
 * it. Whether that shows is decided by an IOMMU of plain maps that caches everything (caching-iommu.ts); whether the
 * replay sees it, and sees nothing where nothing shows, is counted.
 */

import { Devices } from "../../parsers/trace/devices.ts";
import { replay } from "../../pipeline/library/replay-stream.ts";
import { decodeCommand } from "../../walkers/commands/command.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { record } from "./caching-iommu.ts";
import { narrower } from "./narrower-commands.ts";

type Json = Record<string, unknown>;

/** Verdicts that blame the recorded IOMMU. */
const BLAMED = ["mismatch", "stale-after-invalidation"];
/** Requests that an invalidation is moved past, at most. */
const MOST_DELAYED = 20;
const OWED = ["missing-invalidation", "late-invalidation"];
/** Attempts for each mutation of the second kind that is wanted: most entries are not asked for again. */
const ATTEMPTS = 20;

export interface Judged {
  readonly verdicts: readonly string[];
  /** Findings of an invalidation that never came, or came after the use. */
  readonly missing: number;
}

/** What became of mutations of one kind. */
export interface Tally {
  /** Mutations made. */
  tried: number;
  /** Of these, how many show in an answer: those that matter. */
  shown: number;
  /** Of these, how many the replay reports as it should. */
  reported: number;
  /** What it should not have said, or did not say. */
  readonly failures: string[];
}

const newTally = (): Tally => ({ tried: 0, shown: 0, reported: 0, failures: [] });

/** A generator of numbers below a bound, the same in every run. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

export async function judge(records: readonly Json[]): Promise<Judged> {
  const verdicts: string[] = [];
  let missing = 0;
  const text = `${records.map((r) => JSON.stringify(r)).join("\n")}\n`;
  for await (const r of replay(Buffer.from(text), { stats: false })) {
    if (r.type === "error") throw new Error(JSON.stringify(r));
    if (r.type === "outcome") verdicts.push(r.verdict ?? "");
    if (r.type === "finding" && OWED.includes(r.rule)) missing++;
  }
  return { verdicts, missing };
}

export const blamed = (verdicts: readonly string[]) => verdicts.filter((v) => BLAMED.includes(v));

const answers = (records: readonly Json[]) =>
  records.filter((r) => r.type === "dma").map((r) => JSON.stringify(r.observed));

/** How far a translated address is from the input address, or what the answer is. */
function offsetOf(r: Json): string {
  const { result, pa } = r.observed as { result: string; pa?: string };
  return pa === undefined ? result : `${BigInt(pa) - BigInt(r.addr as string)}`;
}

const pageOf = ({ addr }: Json) => BigInt(addr as string) >> 12n;

interface Command {
  readonly index: number;
  readonly iommu: unknown;
  readonly completion: boolean;
  readonly invalidates: boolean;
}

export class Mutations {
  readonly #trace: readonly Json[];
  /** The trace with the answers of the IOMMU that caches everything. */
  readonly original: ReturnType<typeof record>;
  readonly #expected: readonly string[];
  #judged: Promise<Judged> | null = null;
  readonly #commands: readonly Command[];
  readonly #models: ReadonlyMap<unknown, IommuModel>;
  readonly #devices = new Devices();
  /** Indexes of records: invalidations, and requests. */
  readonly invalidations: readonly number[];
  readonly #requests: readonly number[];

  constructor(trace: readonly Json[]) {
    this.#trace = trace;
    this.original = record(trace);
    this.#expected = answers(this.original.records);
    const models = new Map(trace.filter((r) => r.type === "iommu").map((r) => [r.id, r.model as IommuModel]));
    this.#models = models;
    this.#commands = trace.flatMap((r, index) => {
      if (r.type !== "cmd") return [];
      const data = (r.data as string[]).map((text) => {
        const value = BigInt(text);
        return { hi: Number(BigInt.asIntN(32, value >> 32n)), lo: Number(BigInt.asIntN(32, value)) };
      });
      const { completion, invalidation } = decodeCommand(models.get(r.iommu)!, data);
      return [{ index, iommu: r.iommu, completion, invalidates: invalidation !== null }];
    });
    this.invalidations = this.#commands.filter((c) => c.invalidates).map((c) => c.index);
    this.#requests = trace.flatMap((r, index) => (r.type === "dma" ? [index] : []));
  }

  /** What is said of the original. */
  judgedOriginal(): Promise<Judged> {
    this.#judged ??= judge(this.original.records);
    return this.#judged;
  }

  /**
   * Leaves out one invalidation at a time, as many as there are at most. The IOMMU's answers are lawful all the same: none may be blamed on it.
   * Where one differs, the driver owed the invalidation: the first that does is `stale`, with a finding. Where none
   * does, every verdict is as it was.
   */
  async drop(count: number, seed: number): Promise<Tally> {
    return this.#mutate(count, seed, (dropped) => this.#trace.filter((_, index) => index !== dropped));
  }

  /** Moves one invalidation at a time past some of the next requests. */
  async delay(count: number, seed: number): Promise<Tally> {
    const pick = randomNumbers(seed + 1);
    return this.#mutate(
      count,
      seed,
      (at) => {
        const later = this.#requests.filter((index) => index > at).slice(0, MOST_DELAYED);
        const past = later[pick(Math.max(later.length, 1))] ?? this.#trace.length - 1;
        const moved = [...this.#trace];
        moved.splice(past, 0, ...moved.splice(at, 1));
        return moved;
      },
      true,
    );
  }

  /** Makes one invalidation at a time narrower: of the page, device or PASID of one of the next requests alone, or of leaves alone. */
  async narrow(count: number, seed: number): Promise<Tally> {
    const pick = randomNumbers(seed + 1);
    const narrowed = new Map<number, Json>();
    for (const at of this.invalidations) {
      const { iommu, data } = this.#trace[at]!;
      const next = this.#requests.filter((index) => index > at && this.#trace[index]!.iommu === iommu);
      const request = this.#trace[next[pick(Math.min(Math.max(next.length, 1), MOST_DELAYED))] ?? -1];
      if (request === undefined) continue;
      const left = {
        page: BigInt(request.addr as string) & ~0xfffn,
        device: this.#idOf(request.dev as string),
        pasid: BigInt((request.pasid as number | undefined) ?? 0),
      };
      const words = narrower(this.#models.get(iommu)!, data as string[], left);
      if (words !== null) narrowed.set(at, { ...this.#trace[at]!, data: words });
    }
    return this.#mutate(count, seed, (at) => this.#trace.with(at, narrowed.get(at)!), true, [
      ...narrowed.keys(),
    ]);
  }

  /** Puts another invalidation of the recording in the place of one: what that one should cover is not covered. */
  async redirect(count: number, seed: number): Promise<Tally> {
    const pick = randomNumbers(seed + 1);
    return this.#mutate(
      count,
      seed,
      (at) => {
        const others = this.invalidations.filter(
          (index) => this.#trace[index]!.iommu === this.#trace[at]!.iommu,
        );
        const other = this.#trace[others[pick(others.length)]!]!;
        return this.#trace.map((r, index) => (index === at ? other : r));
      },
      true,
    );
  }

  /** Puts the widest invalidation beside one: nothing can be owed that was not before. */
  async widen(count: number, seed: number): Promise<Tally> {
    const tally = newTally();
    const before = await this.judgedOriginal();
    const covered = (index: number) => this.original.covered.get(index) ?? 0;
    const widest = this.invalidations.reduce((a, b) => (covered(b) > covered(a) ? b : a));
    for (const at of this.#some(count, seed)) {
      if (this.#trace[at]!.iommu !== this.#trace[widest]!.iommu) continue;
      tally.tried++;
      const { records } = record(this.#trace.toSpliced(at, 0, this.#trace[widest]!));
      const { verdicts, missing } = await judge(records);
      if (blamed(verdicts).length > 0) tally.failures.push(`record ${at + 1}: the IOMMU is blamed`);
      if (missing > before.missing) tally.failures.push(`record ${at + 1}: ${missing} findings`);
    }
    return tally;
  }

  /**
   * Makes a mutation of one invalidation at a time, and compares what is said with what shows.
   * @param mayBeFresher it may drop what the recording's invalidations did not
   * @param of which there are to choose from
   */
  async #mutate(
    count: number,
    seed: number,
    mutated: (at: number) => readonly Json[],
    mayBeFresher = false,
    of = this.invalidations,
  ): Promise<Tally> {
    const tally = newTally();
    const before = (await this.judgedOriginal()).verdicts.join();
    for (const at of this.#some(count, seed, of)) {
      tally.tried++;
      const { records } = record(mutated(at));
      const first = answers(records).findIndex((answer, seq) => answer !== this.#expected[seq]);
      const { verdicts, missing } = await judge(records);
      const wrong = (what: string) => tally.failures.push(`record ${at + 1}: ${what}`);
      if (blamed(verdicts).length > 0) wrong(`the IOMMU is blamed for ${blamed(verdicts).length} answers`);
      if (first < 0) {
        if (verdicts.join() !== before) wrong("nothing shows, and verdicts differ");
        continue;
      }
      tally.shown++;
      const owed = verdicts[first] === "stale" && missing > 0;
      if (owed || (mayBeFresher && verdicts[first] === "match")) tally.reported++;
      else wrong(`request ${first} shows it, verdict ${verdicts[first]}, ${missing} findings`);
    }
    return tally;
  }

  /**
   * The same where nobody recorded an answer: a request that could be answered from the entry that the invalidation
   * should have dropped is a hazard. None may be before, or the recording's driver owes invalidations by itself.
   */
  async dropUnanswered(count: number, seed: number): Promise<Tally> {
    const tally = newTally();
    const silent = ({ observed: _, ...r }: Json): Json => r;
    const before = await judge(this.#trace.map(silent));
    for (const dropped of this.#some(count, seed)) {
      tally.tried++;
      const trace = this.#trace.filter((_, index) => index !== dropped);
      const shown = answers(record(trace).records).findIndex((answer, seq) => answer !== this.#expected[seq]);
      const { verdicts, missing } = await judge(trace.map(silent));
      const wrong = (what: string) => tally.failures.push(`without record ${dropped + 1}: ${what}`);
      if (verdicts.some((verdict, seq) => before.verdicts[seq] === "hazard" && verdict !== "hazard"))
        wrong("a hazard is gone");
      if (shown < 0) continue;
      tally.shown++;
      if (verdicts[shown] === "hazard" && missing > 0) tally.reported++;
      else wrong(`request ${shown} shows it, verdict ${verdicts[shown]}, ${missing} findings`);
    }
    return tally;
  }

  /**
   * The IOMMU keeps one page that an invalidation covers. The first answer that this changes is blamed on it, unless
   * the invalidation was not complete by then, or the page had been in use again since. Where it covers one
   * stage alone, and that stage still says the same, what is kept of the other may answer so: then the driver owes another.
   */
  async keep(count: number, seed: number): Promise<Tally> {
    const pick = randomNumbers(seed);
    const tally = newTally();
    const covering = this.invalidations.filter((index) => (this.original.covered.get(index) ?? 0) > 0);
    const lines = covering.length === 0 ? 0 : ATTEMPTS * count;
    for (; tally.shown < count && tally.tried < lines; tally.tried++) {
      const line = covering[pick(covering.length)]!;
      const page = pick(this.original.covered.get(line)!);
      const { records, byOneStage } = record(this.#trace, { line, page });
      const first = answers(records).findIndex((answer, seq) => answer !== this.#expected[seq]);
      if (first < 0 || !this.#complete(line, first) || this.#usedAgain(line, records, first)) continue;
      tally.shown++;
      const { verdicts } = await judge(records);
      const lawful = byOneStage.has(this.#requests[first]!);
      if (verdicts[first] === (lawful ? "stale" : "stale-after-invalidation")) tally.reported++;
      else tally.failures.push(`page ${page} of record ${line + 1}, request ${first}: ${verdicts[first]}`);
    }
    return tally;
  }

  #idOf(name: string): bigint {
    const device = this.#devices.parse(name);
    if (typeof device === "string") throw new Error(`${name}: ${device}`);
    return BigInt(device.id);
  }

  /** Some of the invalidations, none twice; all where there are no more. */
  #some(count: number, seed: number, of = this.invalidations): number[] {
    const pick = randomNumbers(seed);
    const left = [...of];
    const some: number[] = [];
    while (some.length < count && left.length > 0) some.push(...left.splice(pick(left.length), 1));
    return some;
  }

  /** Whether an invalidation is complete when a request comes; until then the old answer is lawful. */
  #complete(line: number, request: number): boolean {
    const completions = this.#commands.filter((c) => c.completion && c.iommu === this.#trace[line]!.iommu);
    const at = this.#requests[request]!;
    return completions.length === 0 || completions.some((c) => c.index > line && c.index < at);
  }

  /**
   * Whether the same translation was in use after an invalidation: then it may have been cached again. Also by a
   * request that it denied, which the plain IOMMU does not cache.
   */
  #usedAgain(line: number, records: readonly Json[], request: number): boolean {
    const at = this.#requests[request]!;
    const wanted = records[at]!;
    return this.original.records.some(
      (r, index) =>
        index > line &&
        index < at &&
        r.type === "dma" &&
        r.pasid === wanted.pasid &&
        (offsetOf(r) === offsetOf(wanted) || (offsetOf(r) === "fault" && pageOf(r) === pageOf(wanted))),
    );
  }
}
