/**
 * makedumpfile's flattened format: a dump as it is written to a pipe, by QEMU too where `dump-guest-memory` was not
 * asked for a raw kdump. A header block, then records: offset and size of a piece (64 bits each, big-endian), and
 * its bytes; offset -1 ends it. Source: makedumpfile's IMPLEMENTATION, QEMU's dump.h (MakedumpfileHeader,
 * MakedumpfileDataHeader).
 */
import type { SnapshotFile } from "./snapshot-file.ts";

export const FLATTENED_MAGIC = "makedumpfile";

/** What a dump's bytes are read from: a file, or the pieces of a flattened one. */
export interface DumpBytes {
  readonly name: string;
  readonly size: number;
  /** Fills `target` from a position on; returns how many bytes there were. */
  read(position: number, target: Uint8Array): number;
  /** Whether bytes from a position on, all before the end, are zeros because nothing was ever written there. */
  isHole?(position: number, bytes: number): boolean;
}

const HEADER = { bytes: 4096, type: 16, version: 24 } as const;
const RECORD_BYTES = 16;
/** As many as a dump of half a terabyte has; bounds the time that a nonsensical file takes. */
const MAX_RECORDS = 1 << 23;

/** The dump inside a flattened file. */
export class FlattenedDump implements DumpBytes {
  readonly name: string;
  readonly size: number;
  readonly #file: SnapshotFile;
  /** Pieces in the order of their offsets in the dump: offset, size, position in the file. */
  readonly #offsets: Float64Array;
  readonly #sizes: Float64Array;
  readonly #positions: Float64Array;

  private constructor(file: SnapshotFile, pieces: readonly Piece[]) {
    this.name = file.name;
    this.#file = file;
    this.#offsets = Float64Array.from(pieces, (p) => p.offset);
    this.#sizes = Float64Array.from(pieces, (p) => p.size);
    this.#positions = Float64Array.from(pieces, (p) => p.position);
    const last = pieces[pieces.length - 1]!;
    this.size = last.offset + last.size;
  }

  /** @returns the dump, or a sentence that says what is wrong with the file */
  static open(file: SnapshotFile): FlattenedDump | string {
    const header = Buffer.alloc(HEADER.bytes);
    if (file.read(0, header) < HEADER.bytes)
      return `${file.name}: flattened header: expected ${HEADER.bytes} bytes, found ${file.size}`;
    for (const field of ["type", "version"] as const) {
      const found = header.readBigInt64BE(HEADER[field]);
      if (found !== 1n) return `${file.name}: flattened header ${field}: expected 1, found ${found}`;
    }
    const pieces = readRecords(file);
    if (typeof pieces === "string") return pieces;
    pieces.sort((a, b) => a.offset - b.offset);
    for (let i = 1; i < pieces.length; i++)
      if (pieces[i - 1]!.offset + pieces[i - 1]!.size > pieces[i]!.offset)
        return (
          `${file.name}: flattened record at offset ${pieces[i]!.position - RECORD_BYTES}: expected a piece of its own, ` +
          `found it to overlap another one at ${pieces[i]!.offset} of the dump: rearrange the file with makedumpfile -R`
        );
    return new FlattenedDump(file, pieces);
  }

  /** Between the pieces there is nothing written: zeros. */
  read(position: number, target: Uint8Array): number {
    const wanted = Math.max(0, Math.min(target.length, this.size - position));
    target.fill(0, 0, wanted);
    for (let i = this.#lastAtOrBefore(position); i < this.#offsets.length; i++) {
      const start = this.#offsets[i]!;
      if (start >= position + wanted) break;
      const from = Math.max(start, position);
      const to = Math.min(start + this.#sizes[i]!, position + wanted);
      if (from >= to) continue;
      const piece = target.subarray(from - position, to - position);
      const found = this.#file.read(this.#positions[i]! + from - start, piece);
      if (found < piece.length) return from - position + found;
    }
    return wanted;
  }

  isHole(position: number, bytes: number): boolean {
    const i = this.#lastAtOrBefore(position);
    if (this.#offsets[i]! > position) return this.#offsets[i]! >= position + bytes;
    const next = this.#offsets[i + 1] ?? this.size;
    return this.#offsets[i]! + this.#sizes[i]! <= position && next >= position + bytes;
  }

  #lastAtOrBefore(position: number): number {
    let low = 0;
    let high = this.#offsets.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#offsets[middle]! <= position) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

interface Piece {
  readonly offset: number;
  readonly size: number;
  readonly position: number;
}

function readRecords(file: SnapshotFile): Piece[] | string {
  const record = Buffer.alloc(RECORD_BYTES);
  const pieces: Piece[] = [];
  for (let position = HEADER.bytes; ; ) {
    const where = `${file.name}: flattened record ${pieces.length} at offset ${position}`;
    const found = file.read(position, record);
    if (found < RECORD_BYTES)
      return `${where}: expected ${RECORD_BYTES} bytes, or an end mark before, found the end of the file after ${found}`;
    const offset = record.readBigInt64BE(0);
    if (offset === -1n) break;
    const size = record.readBigInt64BE(8);
    position += RECORD_BYTES;
    if (offset < 0n || offset > MAX_OFFSET) return `${where}: offset: expected 0 to 2^50, found ${offset}`;
    if (size < 0n || size > BigInt(file.size - position))
      return `${where}: size: expected at most the ${file.size - position} bytes that follow, found ${size}`;
    if (pieces.length === MAX_RECORDS) return `${where}: expected at most ${MAX_RECORDS} records, found more`;
    if (size > 0n) pieces.push({ offset: Number(offset), size: Number(size), position });
    position += Number(size);
  }
  return pieces.length > 0 ? pieces : `${file.name}: flattened records: expected at least one, found none`;
}

/** Keeps sums of offsets and sizes exact. */
const MAX_OFFSET = 1n << 50n;
