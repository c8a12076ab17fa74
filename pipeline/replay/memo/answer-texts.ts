import { ACCESS_NAMES } from "../../../parsers/trace/accesses.ts";
import {
  CONTEXT_HEAD,
  CONTEXT_HEAD_BYTES,
  CONTEXT_SLOTS,
  CONTEXTS_AT,
  MAX_TAILS,
  MEMO_SLOT_WORDS,
  MIDDLES,
  TAIL_MIDDLES,
  TAIL_OBSERVED,
  TAIL_TEXT,
  TAIL_TEXT_BYTES,
  TAILS_AT,
} from "../../../parsers/trace/batch/layout.ts";
import type { Outcome } from "../../iommus/outcome.ts";
import type { RequestNames } from "../../iommus/request-names.ts";
import { headText } from "../../output/name-writer.ts";
import { middleText, tailText } from "../../output/outcome-writer.ts";
import { Pieces, type PlacedPiece } from "./pieces.ts";

/** Ways to give privilege: not, false, true. */
const PRIVILEGES = 3;

/** Texts for a batch machine, which writes outcomes that the memo knows. */
export class AnswerTexts {
  readonly #pieces: Pieces;
  readonly #contexts: Int32Array;
  readonly #tails: Int32Array;
  /** Tables of what stands between length and result, by status and model. */
  readonly #middles = new Map<string, number>();

  /** Whose heads contexts have, by their slots. */
  readonly #heads = new Map<number, RequestNames>();

  constructor(buffer: ArrayBufferLike) {
    this.#pieces = new Pieces(buffer);
    this.#contexts = new Int32Array(buffer, CONTEXTS_AT, CONTEXT_SLOTS * MEMO_SLOT_WORDS);
    this.#tails = new Int32Array(buffer, TAILS_AT, MAX_TAILS * MEMO_SLOT_WORDS);
  }

  get isFull(): boolean {
    return this.#pieces.isFull;
  }

  clear(): void {
    this.#pieces.clear();
    this.#middles.clear();
    this.#heads.clear();
  }

  /** Gives a context its head, if it has not got it. @param slot first word of its slot */
  head(slot: number, names: RequestNames, pasid: number): void {
    if (this.#heads.get(slot) === names) return;
    this.#heads.set(slot, names);
    const head = this.#pieces.put(headText(names, pasid));
    this.#contexts[slot + CONTEXT_HEAD] = head?.at ?? 0;
    this.#contexts[slot + CONTEXT_HEAD_BYTES] = head?.length ?? 0;
  }

  /** Gives a tail its text. */
  tail(number: number, outcome: Outcome): void {
    const text = this.#pieces.put(tailText(outcome));
    const middles = text === null ? 0 : this.#middlesOf(outcome);
    const at = number * MEMO_SLOT_WORDS;
    this.#tails[at + TAIL_TEXT] = middles === 0 ? 0 : text!.at;
    this.#tails[at + TAIL_TEXT_BYTES] = text?.length ?? 0;
    this.#tails[at + TAIL_MIDDLES] = middles;
    this.#tails[at + TAIL_OBSERVED] = 0;
  }

  /** Gives a tail the text of an observed fault that is the same: the first one. */
  observed(number: number, text: Uint8Array): void {
    const at = number * MEMO_SLOT_WORDS + TAIL_OBSERVED;
    if (this.#tails[at] !== 0) return;
    const piece = new Uint8Array(text.length + 4);
    new DataView(piece.buffer).setUint32(0, text.length, true);
    piece.set(text, 4);
    this.#tails[at] = this.#pieces.put(piece)?.at ?? 0;
  }

  #middlesOf(outcome: Outcome): number {
    const key = `${outcome.status} ${outcome.model}`;
    const known = this.#middles.get(key);
    if (known !== undefined) return known;
    const pieces: (PlacedPiece | null)[] = new Array(MIDDLES).fill(null);
    ACCESS_NAMES.forEach((_, access) => {
      for (let priv = 0; priv < PRIVILEGES; priv++)
        pieces[(access << 2) | priv] = this.#pieces.put(Buffer.from(middleText(access, priv, outcome)));
    });
    const table = this.#pieces.table(pieces);
    this.#middles.set(key, table);
    return table;
  }
}
