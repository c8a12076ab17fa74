import {
  CONTEXT_CLASS,
  CONTEXT_DEVICE,
  CONTEXT_IOMMU,
  CONTEXT_OWN_CLASS,
  CONTEXT_PASID,
  CONTEXT_PERIOD,
  CONTEXT_SLOTS,
  CONTEXTS_AT,
  MEMO_SLOT_WORDS,
} from "../../../parsers/trace/batch/layout.ts";
import { contextHash } from "./hashes.ts";
import { firstSlots, firstWord, twiceAsMany } from "./slots.ts";

/** Contexts by the numbers that a trace's records name them with: IOMMU, device, PASID. Open addressing. */
export class ContextTable {
  #words: Int32Array;
  /** Number of the last word. */
  #last: number;
  #taken = 0;

  /** @param machine memory of a batch machine that looks into it as well, or null */
  constructor(machine: ArrayBufferLike | null) {
    this.#words = firstSlots(machine, CONTEXTS_AT, CONTEXT_SLOTS);
    this.#last = this.#words.length - 1;
  }

  /** Makes room for one more, by more slots where there can be. @returns false where there is none */
  makeRoom(): boolean {
    if (this.#taken * (2 * MEMO_SLOT_WORDS) < this.#words.length) return true;
    if (this.#words.length === CONTEXT_SLOTS * MEMO_SLOT_WORDS) return false;
    this.#words = twiceAsMany(this.#words, CONTEXT_OWN_CLASS, hashOf);
    this.#last = this.#words.length - 1;
    return true;
  }

  /** First word of the slot of a context, or of the free one where it belongs. There is a free one. */
  slot(iommu: number, device: number, pasid: number): number {
    const words = this.#words;
    const last = this.#last;
    let slot = firstWord(contextHash(iommu, device, pasid), last);
    while (
      words[slot + CONTEXT_OWN_CLASS] !== 0 &&
      (words[slot + CONTEXT_DEVICE] !== device ||
        words[slot + CONTEXT_PASID] !== pasid ||
        words[slot + CONTEXT_IOMMU] !== iommu)
    )
      slot = (slot + MEMO_SLOT_WORDS) & last;
    return slot;
  }

  /** The period in which a context was noted; 0: it never was. */
  period(slot: number): number {
    return this.#words[slot + CONTEXT_PERIOD]!;
  }

  /** Its class, for answers that it shares with others; and its own. 0: not known. */
  classOf(slot: number): number {
    return this.#words[slot + CONTEXT_CLASS]!;
  }

  ownClass(slot: number): number {
    return this.#words[slot + CONTEXT_OWN_CLASS]!;
  }

  /** Fills a slot that is free. */
  take(slot: number, iommu: number, device: number, pasid: number, ownClass: number): void {
    const words = this.#words;
    words[slot + CONTEXT_IOMMU] = iommu;
    words[slot + CONTEXT_DEVICE] = device;
    words[slot + CONTEXT_PASID] = pasid;
    words[slot + CONTEXT_OWN_CLASS] = ownClass;
    this.#taken++;
  }

  note(slot: number, period: number, itsClass: number): void {
    this.#words[slot + CONTEXT_PERIOD] = period;
    this.#words[slot + CONTEXT_CLASS] = itsClass;
  }

  clear(): void {
    if (this.#taken === 0) return;
    this.#words.fill(0);
    this.#taken = 0;
  }
}

function hashOf(words: Int32Array, slot: number): number {
  return contextHash(
    words[slot + CONTEXT_IOMMU]!,
    words[slot + CONTEXT_DEVICE]!,
    words[slot + CONTEXT_PASID]!,
  );
}
