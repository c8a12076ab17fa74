import { QUOTE, type Scalars, wordOf } from "./bytes.ts";
import type { Fields, Plain } from "./field.ts";
import type { ScannedFields } from "./scanned-fields.ts";

/** Slots of the table: few of them are taken. A power of two. */
const SLOT_BITS = 6;
const MASK = 2 ** SLOT_BITS - 1;
const SPREAD = 0x9e37_79b1;
/** Masks for words of three bytes, and for the last of them. */
const THREE = 0xff_ffff;
const THIRD = 0xff_0000;
const QUOTE_THIRD = QUOTE << 16;

/** A field as scanners know it. */
export interface FieldEntry<R> {
  readonly name: string;
  readonly kind: Plain["kind"] | "none";
  /** Bounds of an integer. */
  readonly least: number;
  readonly most: number;
  /** Texts of a choice, with their closing quotes. */
  readonly choices: readonly string[];
  readonly among: "iommus" | "reasons";
  /** Its bit among those that a record must have; 0: it may be left out. */
  readonly required: number;
  readonly take: (record: R, value: Scalars) => void;
}

/** The fields of a kind of object, found by their names as they stand in a text. */
export class FieldTable<R> {
  readonly entries: readonly FieldEntry<R>[];
  /** Bits of all fields that may not be left out. */
  readonly required: number;
  /** Slot to field + 1, and of each field the first four bytes of its name, its closing quote included where it is shorter. */
  readonly #slots = new Uint8Array(MASK + 1);
  readonly #words: Int32Array;

  /**
   * @param fields as they are declared; their names have two letters at least
   * @param scanned what is made of them
   */
  constructor(fields: Fields, scanned: ScannedFields<R>) {
    let required = 0;
    this.entries = Object.entries(fields).map(([name, { plain, optional }], i) => {
      if (optional !== true) required |= 1 << i;
      return entryOf(name, plain, optional === true ? 0 : 1 << i, scanned[name] ?? null);
    });
    this.required = required;
    this.#words = Int32Array.from(this.entries, ({ name }) => wordOf(`${name}"`));
    for (const [i, word] of this.#words.entries()) {
      let slot = slotOf(word);
      while (this.#slots[slot] !== 0) slot = (slot + 1) & MASK;
      this.#slots[slot] = i + 1;
    }
  }

  /**
   * The field whose name begins at `at`; what follows the name is not looked at.
   * @returns null where there is none
   */
  find(bytes: Uint8Array, view: DataView, at: number): FieldEntry<R> | null {
    let word = view.getInt32(at, true);
    if ((word & THIRD) === QUOTE_THIRD) word &= THREE;
    for (let slot = slotOf(word); ; slot = (slot + 1) & MASK) {
      const field = this.#slots[slot]! - 1;
      if (field < 0) return null;
      if (this.#words[field] !== word) continue;
      const entry = this.entries[field]!;
      if (goesOn(bytes, at, entry.name)) return entry;
    }
  }
}

function slotOf(word: number): number {
  return Math.imul(word, SPREAD) >>> (32 - SLOT_BITS);
}

/** Whether a name that begins alike is the same. */
function goesOn(bytes: Uint8Array, at: number, name: string): boolean {
  for (let i = 4; i < name.length; i++) if (bytes[at + i] !== name.charCodeAt(i)) return false;
  return true;
}

function entryOf<R>(
  name: string,
  plain: Plain | undefined,
  required: number,
  scanned: ScannedFields<R>[string],
): FieldEntry<R> {
  return {
    name,
    required,
    kind: plain?.kind ?? "none",
    least: plain?.kind === "integer" ? plain.least : 0,
    most: plain?.kind === "integer" ? plain.most : 0,
    choices: plain?.kind === "choice" ? plain.names.map((text) => `${text}"`) : [],
    among: scanned?.among ?? "reasons",
    take: scanned === null ? nothing : scanned.take,
  };
}

function nothing(): void {}
