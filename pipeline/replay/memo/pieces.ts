import { LONGEST_NAME, LONGEST_PIECE, PIECES_AT, PIECES_BYTES } from "../../../parsers/trace/batch/layout.ts";

/** A piece may be read so many bytes further. */
const SLACK = 16;

/** A text in the memory of a batch machine: its address and length. Null where there is none. */
export interface PlacedPiece {
  readonly at: number;
  readonly length: number;
}

/** Texts that outcomes are put together from, one behind another in the memory of a batch machine. */
export class Pieces {
  readonly #buffer: Buffer;
  #end = LONGEST_NAME;

  constructor(buffer: ArrayBufferLike) {
    this.#buffer = Buffer.from(buffer, PIECES_AT, PIECES_BYTES);
  }

  get isFull(): boolean {
    return this.#end + 64 * LONGEST_PIECE > PIECES_BYTES;
  }

  /** Puts a text; null where it is too long. There is room for some dozens. */
  put(text: Uint8Array): PlacedPiece | null {
    if (text.length > LONGEST_PIECE || this.isFull) return null;
    const at = this.#take(text.length + SLACK);
    this.#buffer.set(text, at);
    return { at: PIECES_AT + at, length: text.length };
  }

  /** Puts a table of pieces: address and length of each, zeros for none. @returns its address; 0 where there is no room */
  table(pieces: readonly (PlacedPiece | null)[]): number {
    if (this.isFull) return 0;
    const at = this.#take(pieces.length * 8);
    pieces.forEach((piece, i) => {
      this.#buffer.writeUInt32LE(piece?.at ?? 0, at + i * 8);
      this.#buffer.writeUInt32LE(piece?.length ?? 0, at + i * 8 + 4);
    });
    return PIECES_AT + at;
  }

  #take(bytes: number): number {
    const at = this.#end;
    this.#end += Math.ceil(bytes / 8) * 8;
    return at;
  }

  clear(): void {
    this.#end = LONGEST_NAME;
  }
}
