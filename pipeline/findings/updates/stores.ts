/**
 * Whether an IOMMU that reads an entry while software changes it can have seen what it never was to be.
 *
 * A store is seen as a whole within each piece that the IOMMU reads at once. Of what lies in several pieces, or was
 * written by several stores, it may see any mixture: a piece as it was before, and another one as it was after. That
 * does no harm where the stores rewrite the same place, each of them a state of its own, or bits that no state of the
 * entry makes the IOMMU look at. Where it reads the entry as a whole, it sees the states in their order, and no mixture.
 */
import type { EntryKind } from "../../../walkers/tables/tree.ts";
import {
  allBits,
  bitsOf,
  bothBits,
  type EntryBits,
  type EntryUpdates,
} from "../../../walkers/tables/updates.ts";

/** An entry as it was. */
export class EntryState {
  readonly view: DataView;
  readonly words: EntryBits;
  readonly valid: boolean;
  /** What it makes the IOMMU look at; where it is not valid, nothing. */
  readonly used: EntryBits;

  /** @param view its bytes: a copy */
  constructor(kind: EntryKind, view: DataView) {
    const { layout, littleEndian, updates } = kind;
    this.view = view;
    this.words = layout.words(view, 0, littleEndian);
    this.valid = kind.valid(view, 0);
    this.used = this.valid ? (updates.used?.(view, 0) ?? allBits(layout)) : bitsOf(layout, []);
  }
}

/** A store, or what a record says of several, and what the entry was then. */
export interface Store {
  readonly line: number;
  /** Tick of the replay's clock. */
  readonly time: number;
  /** Bytes of the entry that were written: the first, and the one after the last. */
  readonly from: number;
  readonly to: number;
  readonly after: EntryState;
}

/** How stores are wrong: the entry was changed, made invalid, or made valid before it was complete. */
type TornPattern = "changed" | "removed" | "early";

/** Stores between which the IOMMU may have read an entry. */
export interface Torn {
  readonly pattern: TornPattern;
  /** Numbers of the first and the last of them: the same where one record has them all. */
  readonly first: number;
  readonly last: number;
  /** Pairs of them between which the entry was half written. */
  readonly halves: readonly (readonly [number, number])[];
  /** Bytes that differ and matter, bit n: byte n. */
  readonly bytes: bigint;
  /** Number of the store that made it invalid in between; -1: none did. */
  readonly invalid: number;
}

/** A store that changes something that matters. */
interface Change {
  readonly store: number;
  readonly from: number;
  readonly to: number;
  readonly bytes: bigint;
}

/**
 * Judges the stores to an entry between two times when the IOMMU was sure to hold nothing older.
 * @param base the entry before them
 * @returns null: each state that the IOMMU can have seen was meant to be
 */
export function tornBy(kind: EntryKind, base: EntryState, stores: readonly Store[]): Torn | null {
  const { read, store } = kind.updates;
  if (read <= store) return tornInOrder(kind, base, stores, null);
  // What a record says of several stores does not say in which order they were: one that is right is taken.
  let torn: Torn | null = null;
  for (const descending of [false, true]) {
    torn = tornInOrder(kind, base, stores, descending);
    if (torn === null) return null;
  }
  return torn;
}

/** @param descending null: records of several stores stay whole; else they are taken apart, upper parts first or last */
function tornInOrder(
  kind: EntryKind,
  base: EntryState,
  stores: readonly Store[],
  descending: boolean | null,
): Torn | null {
  const numbers: number[] = [];
  const parts: Store[] = [];
  let before = base;
  stores.forEach((store, number) => {
    for (const part of descending === null ? [store] : partsOf(kind, before, store, descending)) {
      parts.push(part);
      numbers.push(number);
    }
    before = store.after;
  });
  const changes = changesOf(kind, base, parts);
  const opening = base.valid ? -1 : parts.findIndex(({ after }) => after.valid);
  // Until an entry is valid, nothing in it matters.
  const relevant = changes.filter(({ store }) => base.valid || (opening >= 0 && store >= opening));
  const pairs = apart(relevant, opening, kind.updates);
  if (pairs.length === 0) return null;
  const valid = parts.at(-1)!.after.valid;
  const all = pairs.flat().map(({ store }) => store);
  const first = Math.min(...all);
  return {
    pattern: first === opening ? "early" : valid ? "changed" : "removed",
    first: numbers[first]!,
    last: numbers[Math.max(...all)]!,
    // A record that has all that a later one has was complete.
    halves: pairs
      .filter(([earlier, later]) => !within(later.bytes, earlier))
      .map(([earlier, later]) => [numbers[earlier.store]!, numbers[later.store]!] as const),
    bytes: relevant.reduce((bytes, change) => (change.store === opening ? bytes : bytes | change.bytes), 0n),
    invalid: valid && base.valid ? (numbers[parts.findIndex(({ after }) => !after.valid)] ?? -1) : -1,
  };
}

/** Pairs of stores that the IOMMU may have seen one without the other; one that changes several pieces is a pair by itself. */
function apart(changes: readonly Change[], opening: number, updates: EntryUpdates): [Change, Change][] {
  const { read, independent } = updates;
  return changes.flatMap((later, j) => {
    const alone = later.store === opening || independent === true || piecesOf(later.bytes, read) <= 1;
    const pairs = changes
      .slice(0, j)
      .filter((earlier) => !together(earlier, later, opening, updates))
      .map((earlier): [Change, Change] => [earlier, later]);
    return alone ? pairs : [...pairs, [later, later] satisfies [Change, Change]];
  });
}

/** Whether two stores are none of one change: one rewrites the place of the other, or they are to different pieces. */
function together(a: Change, b: Change, opening: number, { read, independent }: EntryUpdates): boolean {
  const pieces = piecesOf(a.bytes | b.bytes, read);
  if (independent === true && pieces === piecesOf(a.bytes, read) + piecesOf(b.bytes, read)) return true;
  if (a.store === opening) return within(b.bytes, a);
  return pieces <= 1 && (within(b.bytes, a) || within(a.bytes, b));
}

function within(bytes: bigint, { from, to }: Change): boolean {
  const range = ((1n << BigInt(to - from)) - 1n) << BigInt(from);
  return (bytes & ~range) === 0n;
}

/** Pieces of a size that some bytes lie in. */
function piecesOf(bytes: bigint, size: number): number {
  const piece = (1n << BigInt(size)) - 1n;
  let count = 0;
  for (let left = bytes; left !== 0n; left >>= BigInt(size)) if ((left & piece) !== 0n) count++;
  return count;
}

/** The stores that change what matters: to the state before or after them, or where states can mix, to any of them. */
function changesOf(kind: EntryKind, base: EntryState, stores: readonly Store[]): Change[] {
  const whole = kind.updates.read >= kind.layout.bytes;
  const any = stores.reduce((used, { after }) => bothBits(used, after.used), base.used);
  const changes: Change[] = [];
  let before = base;
  for (const [store, { from, to, after }] of stores.entries()) {
    const bytes = changedBytes(
      before.words,
      after.words,
      whole ? bothBits(before.used, after.used) : any,
      kind.littleEndian,
    );
    if (bytes !== 0n) changes.push({ store, from, to, bytes });
    before = after;
  }
  return changes;
}

/** Bytes in memory that differ in some bits. */
function changedBytes(a: EntryBits, b: EntryBits, bits: EntryBits, littleEndian: boolean): bigint {
  let changed = 0n;
  a.forEach((word, i) => {
    const differs = (word ^ b[i]!) & bits[i]!;
    for (let byte = 0; byte < 8; byte++)
      if (((differs >> BigInt(8 * byte)) & 0xffn) !== 0n)
        changed |= 1n << BigInt(8 * i + (littleEndian ? byte : 7 - byte));
  });
  return changed;
}

/** A record taken apart into the stores that it must have been. */
function partsOf(kind: EntryKind, before: EntryState, record: Store, descending: boolean): Store[] {
  const { store: size } = kind.updates;
  const parts: Store[] = [];
  for (let at = record.from - (record.from % size); at < record.to; at += size)
    parts.push({ ...record, from: Math.max(at, record.from), to: Math.min(at + size, record.to) });
  if (parts.length < 2) return [record];
  if (descending) parts.reverse();
  const bytes = bytesOf(before.view).slice();
  return parts.map((part) => {
    bytes.set(bytesOf(record.after.view).subarray(part.from, part.to), part.from);
    return { ...part, after: new EntryState(kind, new DataView(bytes.slice().buffer)) };
  });
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/**
 * Pieces of an entry, by what the IOMMU reads at once, that are to change when a valid entry becomes another one: what
 * the old one does not use can be prepared before, and what the new one does not use cleaned up after it. With one piece
 * the entry need not be invalid meanwhile.
 */
export function piecesToChange(kind: EntryKind, from: EntryState, to: EntryState): number {
  const { layout, updates, littleEndian } = kind;
  const prepared = from.words.map((word, i) => (word & from.used[i]!) | (to.words[i]! & ~from.used[i]!));
  const bytes = changedBytes(prepared, to.words, to.used, littleEndian);
  if (updates.read < layout.bytes || bytes === 0n) return piecesOf(bytes, updates.read);
  const stores = [{ line: 0, time: 0, from: 0, to: layout.bytes, after: to }];
  return tornBy(kind, from, stores) === null ? 1 : layout.bytes / updates.store;
}
