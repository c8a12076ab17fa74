/**
 * One declaration per binary structure, by the specification's own absolute bit numbers. From it come the
 * walkers' readers and masks, the reserved mask, the printer of `walk` and `explain`, and the builder that tests
 * and generators use. What a declaration does not list is reserved.
 */

import { pciName } from "./pci.ts";

interface FieldOptions {
  /** The number is a PCI requester id. */
  readonly requester?: true;
  /** Name of the capability without which these bits are reserved. */
  readonly needs?: string;
  /** With `needs`: an IOMMU without it passes the bits over, and refuses nothing for them. */
  readonly unchecked?: true;
  /** Enumerators: value to name. */
  readonly values?: Readonly<Record<number, string>>;
}

type FieldKind = "bits" | "frame" | "address" | "ignored";

/** A field of a structure or register: made by `bit`, `bits`, `frame` and so on. */
export interface LayoutField extends FieldOptions {
  readonly kind: FieldKind;
  /** Bit ranges [high, low], most significant part first; all but split fields have one. */
  readonly parts: readonly (readonly [number, number])[];
  readonly doc: string;
}

/** One bit. */
export function bit(n: number, doc: string, options: FieldOptions = {}): LayoutField {
  return { kind: "bits", parts: [[n, n]], doc, ...options };
}

/** Bits hi:lo, read as an unsigned number. */
export function bits(
  hi: number,
  lo: number,
  doc: string,
  values?: Readonly<Record<number, string>>,
  options: FieldOptions = {},
): LayoutField {
  return { kind: "bits", parts: [[hi, lo]], doc, ...(values ? { values } : {}), ...options };
}

/** Bits hi:lo are a PCI requester id. */
export function requester(hi: number, lo: number, doc: string): LayoutField {
  return bits(hi, lo, doc, undefined, { requester: true });
}

/** Bits hi:lo hold a 4 KiB frame number (whatever their position in the word). */
export function frame(hi: number, lo: number, doc: string, options: FieldOptions = {}): LayoutField {
  return { kind: "frame", parts: [[hi, lo]], doc, ...options };
}

/**
 * Bits hi:lo of their 64-bit word are the same bits of a byte address. `reader` gives its frame number; the part
 * below 4 KiB, where the field has one, comes from `offsetReader`.
 */
export function address(hi: number, lo: number, doc: string, options: FieldOptions = {}): LayoutField {
  return { kind: "address", parts: [[hi, lo]], doc, ...options };
}

/** A number in several pieces, most significant piece first. */
export function split(
  parts: readonly (readonly [number, number])[],
  doc: string,
  options: FieldOptions = {},
): LayoutField {
  return { kind: "bits", parts, doc, ...options };
}

/** As `split`, and the number is a 4 KiB frame number. */
export function splitFrame(
  parts: readonly (readonly [number, number])[],
  doc: string,
  options: FieldOptions = {},
): LayoutField {
  return { kind: "frame", parts, doc, ...options };
}

/** Bits that the IOMMU ignores: available to software, or meant for somebody else. */
export function ignored(hi: number, lo: number, doc = "Ignored", options: FieldOptions = {}): LayoutField {
  return { kind: "ignored", parts: [[hi, lo]], doc, ...options };
}

/** Reads a field of a structure that starts at byte `at` of `view`. */
export type Reader = (view: DataView, at: number) => number;

/** A 64-bit mask or word as two int32 halves, as walkers keep page-table entries. */
export interface Mask {
  readonly hi: number;
  readonly lo: number;
}

/** A decoded field, for printing. */
export interface DecodedField {
  readonly name: string;
  readonly doc: string;
  /** "63:12", or "127:107,95:80" for a split field. */
  readonly bits: string;
  readonly value: bigint;
  /** What the value means: an enumerator's name, or an address in hex. */
  readonly text: string;
}

/** Tells which of several structures an entry is by what is in it. */
type TellStructure = (hi: number, lo: number) => Layout;

/** A structure in memory, or a register: its fields by the specification's absolute bit numbers. */
export class Layout<F extends string = string> {
  /** Masks of all fields of an 8-byte structure, for tests on `hi`/`lo` halves. */
  readonly mask: { readonly [K in F]: Mask };
  readonly name: string;
  /** Document and section. */
  readonly source: string;
  readonly bytes: number;
  readonly fields: { readonly [K in F]: LayoutField };
  /** Which structure it is by the halves of its first 64-bit word; null: always this one. */
  readonly told: TellStructure | null;
  /** What `reserved` gives of an IOMMU with every capability. */
  #reserved: Uint32Array | undefined;

  constructor(
    name: string,
    source: string,
    bytes: number,
    fields: { readonly [K in F]: LayoutField },
    told: TellStructure | null,
  ) {
    this.name = name;
    this.told = told;
    this.source = source;
    this.bytes = bytes;
    this.fields = fields;
    const mask = {} as { [K in F]: Mask };
    for (const key of this.names()) {
      const words = this.#words([fields[key]]);
      mask[key] = { lo: words[0]! | 0, hi: words[1]! | 0 };
    }
    this.mask = mask;
  }

  /** The names of its fields, in the order of their declaration. */
  names(): F[] {
    return Object.keys(this.fields) as F[];
  }

  /** A reader of one field: little-endian unless said otherwise. Build it once, at module load. */
  reader(name: F, littleEndian = true): Reader {
    const field = this.fields[name];
    // A structure of four bytes is one 32-bit word: in big-endian too it is the first.
    const wordSwap = !littleEndian && this.bytes > 4;
    const readers = field.parts.map(([hi, lo]) => partReader(hi, lo, field.kind, littleEndian, wordSwap));
    if (readers.length === 1) return readers[0]!;
    return (view, at) => {
      let value = 0;
      for (let i = 0; i < readers.length; i++) {
        const [hi, lo] = field.parts[i]!;
        value = value * 2 ** (hi - lo + 1) + readers[i]!(view, at);
      }
      return value;
    };
  }

  /** A reader of an `address` field's part below 4 KiB, in bytes. */
  offsetReader(name: F, littleEndian = true): Reader {
    const [hi, lo] = this.fields[name].parts[0]!;
    const base = hi - (hi % 64);
    const low = partReader(base + 11, lo, "bits", littleEndian, !littleEndian && this.bytes > 4);
    const shift = lo - base;
    return (view, at) => low(view, at) << shift;
  }

  /** 32-bit words of the reserved bits, given which capabilities there are. */
  reserved(has: (capability: string) => boolean = () => true): Uint32Array {
    const defined = this.names()
      .map((n) => this.fields[n])
      .filter((f) => f.needs === undefined || f.unchecked || has(f.needs));
    return this.#words(defined).map((w) => ~w >>> 0);
  }

  /** 32-bit words of the bits that are passed over, given which capabilities there are. */
  unchecked(has: (capability: string) => boolean): Uint32Array {
    const fields = this.names().map((n) => this.fields[n]);
    return this.#words(fields.filter((f) => f.unchecked && !has(f.needs!)));
  }

  /** The value of a field as an exact integer (not for hot paths). */
  extract(name: F, view: DataView, at: number, littleEndian = true): bigint {
    let value = 0n;
    for (const [hi, lo] of this.fields[name].parts) {
      const word = this.#word(view, at + (lo >> 6) * 8, littleEndian);
      const width = BigInt(hi - lo + 1);
      value = (value << width) | ((word >> BigInt(lo & 63)) & ((1n << width) - 1n));
    }
    return value;
  }

  /** All fields of an entry, decoded for a person; ignored ones are left out. */
  decode(view: DataView, at: number, littleEndian = true): DecodedField[] {
    const out: DecodedField[] = [];
    for (const name of this.names()) {
      const field = this.fields[name];
      if (field.kind === "ignored") continue;
      const value = this.extract(name, view, at, littleEndian);
      out.push({ name, doc: field.doc, bits: bitRange(field), value, text: textOf(field, value) });
    }
    return out;
  }

  /** Its 64-bit words, lowest address first; a structure of four bytes is one 32-bit word. */
  words(view: DataView, at: number, littleEndian = true): bigint[] {
    const words: bigint[] = [];
    for (let byte = 0; byte < this.bytes; byte += 8) words.push(this.#word(view, at + byte, littleEndian));
    return words;
  }

  /** Numbers of the reserved bits that are set, lowest first (not for hot paths). */
  reservedSet(view: DataView, at: number, littleEndian = true): number[] {
    this.#reserved ??= this.reserved();
    const set: number[] = [];
    for (const [i, word] of this.words(view, at, littleEndian).entries())
      for (const [base, half] of [
        [i * 64, word],
        [i * 64 + 32, word >> 32n],
      ] as const) {
        let rest = Number(half & 0xffff_ffffn) & this.#reserved[base >> 5]!;
        for (; rest !== 0; rest &= rest - 1) set.push(base + 31 - Math.clz32(rest & -rest));
      }
    return set;
  }

  /** Writes fields into a structure at byte `at` of `view`, leaving the other bits as they are. */
  encode(values: Partial<Record<F, number | bigint>>, view: DataView, at: number, littleEndian = true): void {
    for (const [name, given] of Object.entries(values) as [F, number | bigint | undefined][]) {
      if (given === undefined) continue;
      const field = this.fields[name];
      if (field === undefined) throw new RangeError(`${this.name} has no field ${name}`);
      let rest = BigInt(given);
      // An address field is given as its frame number, as its reader returns it, or as the whole byte address.
      if (field.kind === "address") {
        const lo = field.parts[0]![0] - (field.parts[0]![0] % 64);
        if (typeof given === "number") rest <<= 12n;
        rest >>= BigInt(field.parts[0]![1] - lo);
      }
      for (const [hi, lo] of [...field.parts].reverse()) {
        const width = BigInt(hi - lo + 1);
        const byte = at + (lo >> 6) * 8;
        const low = BigInt(lo & 63);
        const ones = (1n << width) - 1n;
        const word = (this.#word(view, byte, littleEndian) & ~(ones << low)) | ((rest & ones) << low);
        if (this.bytes > 4) view.setBigUint64(byte, word, littleEndian);
        else view.setUint32(byte, Number(word), littleEndian);
        rest >>= width;
      }
      if (rest !== 0n)
        throw new RangeError(`${this.name}.${name}: ${given} does not fit bits ${bitRange(field)}`);
    }
  }

  /** A whole structure from its fields; everything else is zero. */
  build(values: Partial<Record<F, number | bigint>>, littleEndian = true): Uint8Array {
    const out = new Uint8Array(this.bytes);
    this.encode(values, new DataView(out.buffer), 0, littleEndian);
    return out;
  }

  #word(view: DataView, byte: number, littleEndian: boolean): bigint {
    return this.bytes > 4
      ? view.getBigUint64(byte, littleEndian)
      : BigInt(view.getUint32(byte, littleEndian));
  }

  #words(fields: readonly LayoutField[]): Uint32Array {
    const words = new Uint32Array(Math.max(2, Math.ceil(this.bytes / 4)));
    for (const field of fields)
      for (const [hi, lo] of field.parts) for (let b = lo; b <= hi; b++) words[b >> 5]! |= 1 << (b & 31);
    return words;
  }
}

/**
 * Declares a structure.
 * @param name what the specification calls it
 * @param source document and section
 * @param bytes its size
 * @param told which structure an entry that is read as this one is by its first word; absent: always this one
 */
export function layout<F extends string>(
  name: string,
  source: string,
  bytes: number,
  fields: { readonly [K in F]: LayoutField },
  told: TellStructure | null = null,
): Layout<F> {
  return new Layout(name, source, bytes, fields, told);
}

export function bitRange(field: LayoutField): string {
  return field.parts.map(([hi, lo]) => (hi === lo ? `${hi}` : `${hi}:${lo}`)).join(",");
}

function textOf(field: LayoutField, value: bigint): string {
  if (field.kind === "frame") return `0x${(value << 12n).toString(16)}`;
  if (field.kind === "address") {
    const lo = field.parts[0]![1] % 64;
    return `0x${(value << BigInt(lo)).toString(16)}`;
  }
  if (field.requester) return value === 0n ? "" : pciName(Number(value));
  return field.values?.[Number(value)] ?? "";
}

/** Builds the reader of one contiguous range: the cases differ in how many 32-bit loads they need. */
function partReader(
  hi: number,
  lo: number,
  kind: FieldKind,
  littleEndian: boolean,
  wordSwap: boolean,
): Reader {
  if (kind === "address") {
    // As a frame number: only the bits from 12 up.
    return partReader(hi, Math.max(lo, hi - (hi % 64) + 12), "frame", littleEndian, wordSwap);
  }
  // In a big-endian doubleword the high 32-bit half comes first.
  const word = (n: number) => (wordSwap ? (n >> 5) ^ 1 : n >> 5) * 4;
  const shift = lo & 31;
  const width = hi - lo + 1;
  if (hi >> 5 === lo >> 5) {
    const byte = word(lo);
    if (width === 32) return (view, at) => view.getUint32(at + byte, littleEndian);
    const mask = 2 ** width - 1;
    return (view, at) => (view.getUint32(at + byte, littleEndian) >>> shift) & mask;
  }
  const loByte = word(lo);
  const hiByte = word(hi);
  const hiMask = 2 ** ((hi & 31) + 1) - 1;
  const scale = 2 ** (32 - shift);
  return (view, at) =>
    ((view.getUint32(at + hiByte, littleEndian) & hiMask) >>> 0) * scale +
    (view.getUint32(at + loByte, littleEndian) >>> shift);
}
