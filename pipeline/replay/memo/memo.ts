import { PERIOD_AT } from "../../../parsers/trace/batch/layout.ts";
import type { DmaRecord } from "../../../parsers/trace/records.ts";
import { FRAME_MASK, FRAME_SHIFT, frameHi, frameLo, frameOf } from "../../../walkers/memory.ts";
import { UNTRANSLATED } from "../../../walkers/request.ts";
import { OK } from "../../../walkers/result.ts";
import type { TranslationContext } from "../../caches/held/translation-context.ts";
import type { IommuUnit } from "../../iommus/iommu-unit.ts";
import type { Route } from "../../iommus/iommus.ts";
import type { Outcome } from "../../iommus/outcome.ts";
import type { RequestNames } from "../../iommus/request-names.ts";
import { AnswerTable, leafHi, leafKey, leafPages } from "./answer-table.ts";
import { AnswerTexts } from "./answer-texts.ts";
import { ContextTable } from "./context-table.ts";
import { sameTail, type Tail, type TailCounts, Tails } from "./tails.ts";

/** Classes, and numbers that were given to them: more are not told apart. */
const MAX_CLASSES = 1 << 20;
const NONE = -1;
/** After so many periods of one request, the first request of a period is not learned: nothing will be like it. */
const SHORT_PERIODS = 4;

/** How the contexts of a request were found. */
export interface ContextSource {
  /** Memory reads that it took. */
  readonly reads: number;
  /** By a binding, not from the registers on. */
  readonly bound: boolean;
}

/**
 * What requests come to, for as long as nothing happens that could change it: a *period*. A request like one that this
 * period has seen needs no walk, no note in the caches, and no judging but for a comparison with what was observed.
 *
 * Like another is a request of the same page, privilege and *class* of contexts, whose context the period has seen.
 * Contexts are of one class where they decode alike and what they translate is tagged alike: what one of them leaves in
 * the caches the others would leave as well. What they refuse they may refuse in different places, so that each has a
 * class of its own for that.
 */
export class Memo {
  readonly #period: Int32Array;
  readonly #contexts: ContextTable;
  readonly #answers: AnswerTable;
  readonly #tails: Tails;
  readonly #fold: TailCounts;
  readonly #texts: AnswerTexts | null;
  readonly #classes = new Map<string, number>();
  readonly #units = new Map<IommuUnit, number>();
  #nextClass = 1;
  /** Of the answer that was found last. */
  #slot = NONE;
  /** Sizes of leaves larger than a page that were entered, as log2. */
  readonly #leaves: number[] = [];

  /**
   * @param machine memory of a batch machine, which answers by this memo what it can; null: there is none
   * @param fold told in the end, or when the memo begins anew, how often each tail was the answer
   */
  constructor(fold: TailCounts, machine: ArrayBufferLike | null) {
    this.#texts = machine === null ? null : new AnswerTexts(machine);
    this.#fold = fold;
    this.#period = machine === null ? new Int32Array(1) : new Int32Array(machine, PERIOD_AT, 1);
    this.#period[0] = 1;
    this.#contexts = new ContextTable(machine);
    this.#answers = new AnswerTable(machine);
    this.#tails = new Tails(machine);
  }

  readonly #newTail = (number: number, outcome: Outcome) => this.#texts?.tail(number, outcome);

  /** Requests that could have been learned in this period, and how many periods in a row had only one. */
  #asked = 0;
  #short = 0;

  /** A request could be learned. @returns whether that is worth it */
  isWorthIt(): boolean {
    return ++this.#asked > 1 || this.#short < SHORT_PERIODS;
  }

  /** Something has happened: nothing that is known counts any more. */
  happened(): void {
    if (this.#asked > 0) this.#short = this.#asked === 1 ? this.#short + 1 : 0;
    this.#asked = 0;
    if (++this.#period[0]! < 0x7fff_ffff) return;
    this.#contexts.clear();
    this.#answers.clear();
    this.#period[0] = 1;
  }

  /** Looks for what a request comes to: `tail` and `aim` say it. */
  find(record: DmaRecord): boolean {
    const { addrHi, addrLo, access } = record;
    const period = this.#period[0]!;
    const contexts = this.#contexts;
    const context = contexts.slot(record.iommu, record.dev, record.pasid);
    if (contexts.period(context) !== period || standsAlone(record)) return false;
    const priv = record.priv ? 1 : 0;
    const group = (contexts.classOf(context) << 1) | priv;
    const own = (contexts.ownClass(context) << 1) | priv;
    this.#slot = this.#answers.find(group, own, addrHi, addrLo, access, period);
    if (this.#slot === NONE && this.#leaves.length > 0) this.#slot = this.#ofLeaf(group, record, period);
    return this.#slot !== NONE;
  }

  /** The slot of a page that a leaf grants an access to, entered by what is known of that. */
  #ofLeaf(group: number, { addrHi, addrLo, access }: DmaRecord, period: number): number {
    const answers = this.#answers;
    if (!answers.makeRoom()) return NONE;
    for (const shift of this.#leaves) {
      const leaf = answers.leaf(group, leafHi(addrHi, shift), leafKey(addrLo, shift), access, period);
      if (leaf === NONE) continue;
      const frame = frameOf(answers.paHi(leaf), answers.paLo(leaf)) + leafPages(addrHi, addrLo, shift);
      const tail = answers.tail(leaf);
      const page = addrLo & ~FRAME_MASK;
      return answers.grant(group, addrHi, page, access, period, tail, frameHi(frame), frameLo(frame));
    }
    return NONE;
  }

  /**
   * Whether it is known where the page of a request leads, if only by another kind of access to it, or by another page of a
   * leaf: its walk, if it `agrees`, leaves nothing in the caches that is not there.
   */
  foresees(record: DmaRecord): boolean {
    const { addrHi, addrLo } = record;
    const period = this.#period[0]!;
    const context = this.#contexts.slot(record.iommu, record.dev, record.pasid);
    if (this.#contexts.period(context) !== period || standsAlone(record)) return false;
    const group = (this.#contexts.classOf(context) << 1) | (record.priv ? 1 : 0);
    this.#foreseen = this.#answers.known(group, addrHi, addrLo & ~FRAME_MASK, period);
    for (const shift of this.#leaves)
      if (this.#foreseen === NONE)
        this.#foreseen = this.#answers.known(group, leafHi(addrHi, shift), leafKey(addrLo, shift), period);
    return this.#foreseen !== NONE;
  }

  /** Whether an outcome is the one that was foreseen. */
  agrees(outcome: Outcome): boolean {
    return outcome.status === OK && sameTail(this.#tails.all[this.#foreseen]!.outcome, outcome);
  }

  #foreseen = NONE;

  /** The tail of a number. */
  tail(number: number): Tail {
    return this.#tails.all[number]!;
  }

  /** What was observed of a request whose answer was found, a fault, is that fault. */
  observed({ bytes, observed: { start, end } }: DmaRecord): void {
    this.#texts?.observed(this.#answers.tail(this.#slot), bytes.subarray(start, end));
  }

  /** The tail of the answer that was found, its run led to where a request's bytes are. */
  answerTo(record: DmaRecord): Tail {
    const answers = this.#answers;
    const tail = this.#tails.all[answers.tail(this.#slot)]!;
    const { outcome } = tail;
    if (outcome.status === OK) {
      outcome.runFrame[0] = frameOf(answers.paHi(this.#slot), answers.paLo(this.#slot));
      outcome.runOffset[0] = record.addrLo & FRAME_MASK;
      outcome.runBytes[0] = record.len;
    }
    return tail;
  }

  /** Counts the answer that was found as that to a request. */
  count(record: DmaRecord, matches: boolean): void {
    this.#tails.count(this.#answers.tail(this.#slot), matches, record.len);
  }

  /**
   * Takes up what a request has come to, of which nothing is in doubt.
   * @param pair its contexts, where caches are kept track of
   * @param contexts what its contexts took to read, and whether they came by a binding
   * @param uniform a leaf that is larger than a page leads everywhere the same way (`UnitCaches.isUniform`)
   * @param single and it is one entry, that all of its pages are walked by
   */
  learn(
    record: DmaRecord,
    { unit, names }: Route,
    outcome: Outcome,
    pair: TranslationContext | null,
    contexts: ContextSource,
    uniform: boolean,
    single: boolean,
  ): void {
    if (standsAlone(record)) return;
    this.#makeRoom();
    const period = this.#period[0]!;
    const { addrHi, addrLo, access } = record;
    const slot = this.#note(record, unit, names, outcome, pair, contexts, period);
    const tail = this.#tails.of(unit, outcome, this.#newTail);
    const priv = record.priv ? 1 : 0;
    if (outcome.status === OK) {
      const frame = outcome.runFrame[0]!;
      const group = (this.#contexts.classOf(slot) << 1) | priv;
      const page = addrLo & ~FRAME_MASK;
      this.#answers.grant(group, addrHi, page, access, period, tail, frameHi(frame), frameLo(frame));
      if (uniform && outcome.pageShift > FRAME_SHIFT)
        this.#enterLeaf(group, record, outcome, period, tail, single ? access : 0);
    } else {
      const own = (this.#contexts.ownClass(slot) << 1) | priv;
      this.#answers.refuse(own, addrHi, addrLo, access, period, tail);
    }
  }

  #enterLeaf(
    group: number,
    { addrHi, addrLo }: DmaRecord,
    { pageShift: shift, runFrame }: Outcome,
    period: number,
    tail: number,
    access: number,
  ): void {
    if (!this.#leaves.includes(shift)) this.#leaves.push(shift);
    const first = runFrame[0]! - leafPages(addrHi, addrLo, shift);
    const hi = leafHi(addrHi, shift);
    const key = leafKey(addrLo, shift);
    this.#answers.grant(group, hi, key, access, period, tail, frameHi(first), frameLo(first));
  }

  /** Tells what was counted. */
  fold(): void {
    this.#tails.fold(this.#fold);
  }

  /** Notes that this period has seen the context of a request. @returns its slot */
  #note(
    { iommu, dev, pasid }: DmaRecord,
    unit: IommuUnit,
    names: RequestNames,
    outcome: Outcome,
    pair: TranslationContext | null,
    source: ContextSource,
    period: number,
  ): number {
    const contexts = this.#contexts;
    const slot = contexts.slot(iommu, dev, pasid);
    if (contexts.period(slot) === period) return slot;
    if (contexts.ownClass(slot) === 0) contexts.take(slot, iommu, dev, pasid, this.#nextClass++);
    this.#texts?.head(slot, names, pasid);
    contexts.note(slot, period, this.#classOf(unit, outcome, pair, pasid, source) ?? contexts.ownClass(slot));
    return slot;
  }

  /** The class that contexts share which are alike in all of this. */
  #classOf(
    unit: IommuUnit,
    { model }: Outcome,
    pair: TranslationContext | null,
    pasid: number,
    { reads, bound }: ContextSource,
  ): number | null {
    if (pair === null) return null;
    const { kind, tags, globalTags } = pair;
    let number = this.#units.get(unit);
    if (number === undefined) {
      number = this.#units.size;
      this.#units.set(unit, number);
    }
    const key = `${number}:${kind}:${tags.id}:${globalTags.id}:${pasid}:${reads}:${bound}:${model}`;
    let known = this.#classes.get(key);
    if (known === undefined) {
      known = this.#nextClass++;
      this.#classes.set(key, known);
    }
    return known;
  }

  /** Begins anew where one of the tables is full. */
  #makeRoom(): void {
    if (!this.#answers.makeRoom()) this.#answers.clear();
    const full = !this.#contexts.makeRoom() || this.#tails.isFull || this.#texts?.isFull === true;
    if (!full && this.#nextClass < MAX_CLASSES) return;
    this.fold();
    this.#texts?.clear();
    this.#tails.clear();
    this.#answers.clear();
    this.#contexts.clear();
    this.#classes.clear();
    this.#nextClass = 1;
  }
}

/** Whether a request is like no other: it is of more than one page, or no ordinary one (ATS), which others are answered by. */
function standsAlone({ addrLo, len, at }: DmaRecord): boolean {
  return at !== UNTRANSLATED || (addrLo & FRAME_MASK) + len > FRAME_MASK + 1;
}
