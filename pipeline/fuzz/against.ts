/** Two devices on the same worlds: where they differ from each other, whatever a correct one answers. */
import type { WorldRecord } from "../../walkers/fuzz/world.ts";
import type { DeviceAnswer } from "../device/answer.ts";
import { newWorldMaker } from "./campaign.ts";
import { ask, kindOfFailure, lastRequest } from "./failing-worlds.ts";
import { judgeWorld, observedRecords } from "./judge.ts";
import { DeviceFailure, type DevicePort } from "./port.ts";
import { type Shown, shrink } from "./shrink.ts";

/** Or how a device failed to answer. */
type Answers = readonly (DeviceAnswer | undefined)[] | DeviceFailure;

/** A world in which two devices differ. */
interface Differing extends Shown {
  readonly answers: readonly [Answers, Answers];
  /** Which of them differ at `line`: what each answers. */
  readonly pair: string;
}

/** A kind of difference between two devices. */
export interface Disagreement {
  /** "ok → fault 0x58"; "an answer → died: …". */
  readonly pair: string;
  /** Which device answers as a correct one may: "first", "second", "both" or "neither". */
  readonly right: string;
  readonly world: number;
  /** The smallest world that shows it, with what the first and what the second device answered, if it did. */
  readonly records: readonly [readonly WorldRecord[], readonly WorldRecord[]];
  readonly line: number;
  requests: number;
}

export interface AgainstOptions {
  readonly seed: number;
  readonly worlds: number;
  /** Asked before each world, with how many worlds and requests there were. */
  readonly goesOn: (worlds: number, requests: number) => boolean;
  /** Ends at once what is made small; `goesOn` ends the rest. */
  readonly signal?: AbortSignal | undefined;
  readonly onFinding: (found: Disagreement) => void | Promise<void>;
}

/** @returns how many worlds and requests both were asked, and where they differ */
export async function compareDevices(
  first: DevicePort,
  second: DevicePort,
  options: AgainstOptions,
): Promise<{ readonly worlds: number; readonly requests: number; readonly found: readonly Disagreement[] }> {
  const { model, limits } = first.identity;
  const { maker, coverage } = await newWorldMaker(model, limits, options.seed);
  const found = new Map<string, Disagreement>();
  let worlds = 0;
  let requests = 0;
  for (; worlds < options.worlds && options.goesOn(worlds, requests); worlds++) {
    const world = maker.next();
    const answers = await askBoth(first, second, world.records);
    requests += world.records.filter(({ type }) => type === "dma").length;
    judgeWorld(observed(world.records, answers[0]), coverage);
    if (coverage.takeNews().length > 0) maker.keep(world);
    for (const differing of differencesOf(world.records, answers)) {
      const known = found.get(differing.pair);
      if (known !== undefined) {
        known.requests++;
        continue;
      }
      const disagreement = await shrunk(first, second, differing, world.number, options.signal);
      found.set(differing.pair, disagreement);
      await options.onFinding(disagreement);
    }
  }
  return { worlds, requests, found: [...found.values()] };
}

async function askBoth(
  first: DevicePort,
  second: DevicePort,
  records: readonly WorldRecord[],
): Promise<[Answers, Answers]> {
  return [await ask(first, records), await ask(second, records)];
}

function observed(records: readonly WorldRecord[], answers: Answers): readonly WorldRecord[] {
  return answers instanceof DeviceFailure ? records : observedRecords(records, answers);
}

function differencesOf(records: readonly WorldRecord[], answers: readonly [Answers, Answers]): Differing[] {
  const [one, other] = answers;
  if (one instanceof DeviceFailure || other instanceof DeviceFailure) {
    const [a, b] = answers.map((said) => (said instanceof DeviceFailure ? kindOfFailure(said) : "an answer"));
    return a === b ? [] : [{ records, answers, line: lastRequest(records), pair: `${a} → ${b}` }];
  }
  const out: Differing[] = [];
  let asked = 0;
  records.forEach((record, i) => {
    if (record.type !== "dma") return;
    const [a, b] = [one[asked], other[asked]];
    asked++;
    if (a === undefined || b === undefined) return;
    const pair = pairOf(a, b);
    if (pair !== "") out.push({ records, answers, line: i + 1, pair });
  });
  return out;
}

/** What two answers are where they differ; "": they do not, as far as both say anything. */
function pairOf(a: DeviceAnswer, b: DeviceAnswer): string {
  const texts = [a, b].map(({ result, code, reason }) => [result, code ?? reason ?? ""].join(" ").trim());
  if (a.result !== b.result) return texts.join(" → ");
  if (a.result === "ok") return a.pa === b.pa ? "" : "ok at another address";
  if (a.code !== undefined && b.code !== undefined && a.code !== b.code) return texts.join(" → ");
  const recorded = a.recorded !== undefined && b.recorded !== undefined && a.recorded !== b.recorded;
  return recorded ? `${texts[0]}, recorded by ${a.recorded ? "the first" : "the second"} alone` : "";
}

async function shrunk(
  first: DevicePort,
  second: DevicePort,
  differing: Differing,
  world: number,
  signal: AbortSignal | undefined,
): Promise<Disagreement> {
  const shows = async (records: readonly WorldRecord[]): Promise<Differing | null> => {
    const answers = await askBoth(first, second, records);
    return differencesOf(records, answers).find(({ pair }) => pair === differing.pair) ?? null;
  };
  const { regs } = first.identity.limits;
  const isFixed = (register: string) => regs[register] !== undefined;
  const { shown } = await shrink(differing, shows, isFixed, { signal });
  const both = shown.answers.map((answers) => observed(shown.records, answers));
  const right = shown.answers.map(
    (answers, i) =>
      !(answers instanceof DeviceFailure) && !judgeWorld(both[i]!).some(({ line }) => line === shown.line),
  );
  return {
    pair: differing.pair,
    right: right[0] ? (right[1] ? "both" : "first") : right[1] ? "second" : "neither",
    world,
    records: [both[0]!, both[1]!],
    line: shown.line,
    requests: 1,
  };
}
