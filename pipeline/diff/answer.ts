import { REQUEST_MEMBERS } from "../../parsers/outcomes/outcome-line.ts";
import { isObject } from "../../parsers/trace/field.ts";
import type { AnswerKind } from "./answer-kinds.ts";
import { shallow } from "./shallow.ts";

/** What became of a request: the members of `observed`, or those of an outcome that are not about the request. */
export type Answer = Readonly<Record<string, unknown>>;

/** How two answers differ, from the coarsest to the finest. */
export const ANSWER_CLASSES = ["result", "address", "code", "record", "verdict"] as const;
export type AnswerClass = (typeof ANSWER_CLASSES)[number];

/** How deep to compare, with the sentence that `--help` prints. */
export const DEPTHS = {
  result: "ok, fault or msi",
  pa: "… and the physical address",
  code: "… and the fault code, or the reason where there is none",
  record: "… and what else the fault record or the translation says, and the verdict",
  all: "… and everything else that stands there",
} as const;
export type Depth = keyof typeof DEPTHS;
const DEPTH_NAMES = Object.keys(DEPTHS) as Depth[];

/** Members in the order in which they are written; others follow in the order in which they came. */
const ORDER = [
  "result",
  "pa",
  "page",
  "perm",
  "domain",
  "asid",
  "passthrough",
  "sg",
  "reason",
  "code",
  "name",
  "stage",
  "level",
  "class",
  "ipa",
  "entry_addr",
  "entry",
  "recorded",
  "hole",
  "fault_addr",
  "flags",
  "other_code",
  "model",
  "reads",
  "other_result",
  "verdict",
  "diff",
] as const;
const RANKS = new Map<string, number>(ORDER.map((name, rank) => [name, rank]));

/** Members of two outcomes that say nothing of what the IOMMU does. */
const REMARKS: ReadonlySet<string> = new Set(["name", "model", "reads", "other_code", "other_result"]);
/** Members that are compared under a name of their own, in any pair of answers. */
const NAMED: ReadonlySet<string> = new Set([
  "result",
  "pa",
  "sg",
  "code",
  "reason",
  "recorded",
  "verdict",
  "diff",
]);
/** What else a recorder may say of a fault record, or not. */
const RECORD_MEMBERS = ["stage", "class", "ipa", "flags"] as const;

/** @param text of a queue's request, not empty */
export function parseAnswer(text: string): Answer {
  const whole = text.startsWith("{");
  const members: Record<string, unknown> = JSON.parse(shallow(whole ? text : `{${text}}`));
  const answer: [string, unknown][] = Object.entries(members).map(([name, value]) => [
    name,
    canonical(value),
  ]);
  // An outcome's own members stand there where its text had them mixed.
  const kept = members.type === "outcome" ? answer.filter(([name]) => !isRequestMember(name)) : answer;
  kept.sort(([x], [y]) => rankOf(x) - rankOf(y));
  return Object.fromEntries(kept);
}

/**
 * How deep a comparison goes, and between what: two streams of the same kind say what they say, and what one of them
 * leaves out it denies; of different kinds, what only one of them can know is not compared.
 */
export class AnswerComparison {
  readonly #depth: number;
  readonly #kindA: AnswerKind;
  readonly #kindB: AnswerKind;

  constructor(depth: Depth, kindA: AnswerKind, kindB: AnswerKind) {
    this.#depth = DEPTH_NAMES.indexOf(depth);
    this.#kindA = kindA === "walk" ? "outcomes" : kindA;
    this.#kindB = kindB === "walk" ? "outcomes" : kindB;
  }

  /** Whether answers whose texts are the same are the same. */
  get sameKind(): boolean {
    return this.#kindA === this.#kindB;
  }

  /** @returns the coarsest class in which they differ, or null */
  difference(a: Answer, b: Answer): AnswerClass | null {
    if (a.result !== b.result) return "result";
    if (this.#depth >= DEPTH_NAMES.indexOf("pa") && this.#addressDiffers(a, b)) return "address";
    if (this.#depth >= DEPTH_NAMES.indexOf("code") && codeDiffers(a, b)) return "code";
    if (this.#depth < DEPTH_NAMES.indexOf("record")) return null;
    if (this.#recordDiffers(a, b)) return "record";
    return this.sameKind && (a.verdict !== b.verdict || a.diff !== b.diff) ? "verdict" : null;
  }

  #addressDiffers(a: Answer, b: Answer): boolean {
    if (a.pa !== undefined && b.pa !== undefined && a.pa !== b.pa) return true;
    return this.sameKind && !same(a.sg, b.sg);
  }

  #recordDiffers(a: Answer, b: Answer): boolean {
    if (!this.sameKind) return this.#recordDiffersFromObserved(a, b);
    // A code is what a fault record has: only one of them has written one.
    if ((a.code === undefined) !== (b.code === undefined)) return true;
    if ((a.recorded ?? true) !== (b.recorded ?? true)) return true;
    const all = this.#depth === DEPTH_NAMES.indexOf("all");
    if (this.#kindA === "observed" && !all)
      return RECORD_MEMBERS.some(
        (name) => a[name] !== undefined && b[name] !== undefined && !same(a[name], b[name]),
      );
    const names = new Set([...Object.keys(a), ...Object.keys(b)]);
    for (const name of names)
      if ((all || !REMARKS.has(name)) && !isNamed(name, all) && !same(a[name], b[name])) return true;
    return false;
  }

  /** `stage`, `class` and `recorded` where the observed side has them: as the trace contract compares. */
  #recordDiffersFromObserved(a: Answer, b: Answer): boolean {
    const [observed, outcome] = this.#kindA === "observed" ? [a, b] : [b, a];
    if (observed.stage !== undefined && observed.stage !== outcome.stage) return true;
    if (observed.class !== undefined && observed.class !== outcome.class) return true;
    return observed.recorded !== undefined && observed.recorded !== (outcome.recorded ?? true);
  }
}

/** A fault code is compared where both have one, else the reason where both have one. */
function codeDiffers(a: Answer, b: Answer): boolean {
  if (a.code !== undefined && b.code !== undefined)
    return a.code !== b.code && a.code !== b.other_code && a.other_code !== b.code;
  return a.reason !== undefined && b.reason !== undefined && a.reason !== b.reason;
}

/** What an answer comes to, in a word: "ok", "msi", a fault's code, its reason, or "fault". */
export function answerLabel(answer: Answer): string {
  if (answer.result !== "fault") return String(answer.result);
  return String(answer.code ?? answer.reason ?? "fault");
}

/** All but `reason` beside equal codes, which only "all" looks at. */
function isNamed(name: string, all: boolean): boolean {
  return NAMED.has(name) && !(all && name === "reason");
}

function isRequestMember(name: string): boolean {
  return (REQUEST_MEMBERS as readonly string[]).includes(name);
}

function rankOf(name: string): number {
  return RANKS.get(name) ?? ORDER.length;
}

/** Hex without padding and in lower case; everything else as it is. */
function canonical(value: unknown): unknown {
  if (typeof value === "string") {
    const hex = /^0x0*([0-9a-f]+)$/i.exec(value);
    return hex === null ? value : `0x${hex[1]!.toLowerCase()}`;
  }
  return Array.isArray(value) ? value.map(canonical) : value;
}

function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((x, i) => same(x, b[i]));
  return isObject(a) && isObject(b) && JSON.stringify(a) === JSON.stringify(b);
}
