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

/** Contexts by the numbers that a trace's records name them with: IOMMU, device, PASID. Open addressing. */
export class ContextTable {
  readonly #words: Int32Array;
  #taken = 0;

  constructor(buffer: ArrayBufferLike) {
    this.#words = new Int32Array(buffer, CONTEXTS_AT, CONTEXT_SLOTS * MEMO_SLOT_WORDS);
  }

  get isFull(): boolean {
    return this.#taken * 2 >= CONTEXT_SLOTS;
  }

  /** First word of the slot of a context, or of the free one where it belongs. There is a free one. */
  slot(iommu: number, device: number, pasid: number): number {
    const words = this.#words;
    let slot = contextHash(iommu, device, pasid) * MEMO_SLOT_WORDS;
    while (
      words[slot + CONTEXT_OWN_CLASS] !== 0 &&
      (words[slot + CONTEXT_DEVICE] !== device ||
        words[slot + CONTEXT_PASID] !== pasid ||
        words[slot + CONTEXT_IOMMU] !== iommu)
    )
      slot = (slot + MEMO_SLOT_WORDS) & (CONTEXT_SLOTS * MEMO_SLOT_WORDS - 1);
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
