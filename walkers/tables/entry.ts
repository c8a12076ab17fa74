import { bitRange, type Layout, type LayoutField } from "../layout.ts";
import { FRAME_BYTES, FRAME_SHIFT, type GuestMemory } from "../memory.ts";
import { hex } from "../word64.ts";
import { TABLE_RULES, type TableRule } from "./table-rules.ts";
import type { JudgedEntry, TableSpec, Tag } from "./tree.ts";
import { bitsOf } from "./updates.ts";

const WORD_BITS = 64;
/** Bytes that every table in use has some of: what `anythingAt` looks for. */
const WORD_BYTES = 8;

/** Something that is wrong with an entry. */
export interface Complaint {
  readonly rule: TableRule;
  readonly field: string | undefined;
  /** "63:12", by the structure's own bit numbers. */
  readonly bits: string | undefined;
  /** The field's value; of an address, all of its bits. */
  readonly value: bigint | undefined;
  /** What was expected, and what was found. */
  readonly text: string;
  /** Document and section. */
  readonly source: string;
  /** It is said of the first such entry of an IOMMU alone. */
  readonly once?: true;
}

/** A valid entry while it is judged: its bytes (a copy), and what has been found out about it. */
export class Entry implements JudgedEntry {
  readonly table: TableSpec;
  readonly index: number;
  readonly view: DataView;
  readonly at = 0;
  readonly complaints: Complaint[] = [];
  readonly tags: Tag[] = [];
  readonly tables: TableSpec[] = [];
  readonly #memory: GuestMemory;

  constructor(table: TableSpec, index: number, view: DataView, memory: GuestMemory) {
    this.table = table;
    this.index = index;
    this.view = view;
    this.#memory = memory;
  }

  get layout(): Layout {
    return this.table.kind.layout;
  }

  /** First id (device or PASID) that the entry stands for. */
  get first(): number {
    return this.table.first + this.index * this.table.kind.span;
  }

  /** The device that the entry is about, or that its table serves; -1 where it is about several. */
  get device(): number {
    const { kind, device } = this.table;
    if (kind.ids === "pasid") return device;
    return kind.span === 1 ? this.first : -1;
  }

  /** A field as its bits have it: an address without its low zeros. */
  value(field: string): bigint {
    return this.layout.extract(field, this.view, this.at, this.table.kind.littleEndian);
  }

  /** A field that holds an address, with its low zeros. */
  address(field: string): bigint {
    return this.value(field) << BigInt(addressShift(this.layout.fields[field]!));
  }

  /**
   * Complains about a field.
   * @param text what was expected; the field's name and value are put before it
   */
  complain(rule: TableRule, field: string, text: string, source = this.layout.source): void {
    const declared = this.layout.fields[field]!;
    const value = this.value(field) << BigInt(addressShift(declared));
    const bits = bitRange(declared);
    const meaning = declared.values?.[Number(value)];
    const what = `${field} (${bitsText(bits)}) is ${hex(value)}${meaning === undefined ? "" : ` (${meaning})`}`;
    this.complaints.push({ rule, field, bits, value, text: `${what}: ${text}`, source });
  }

  /**
   * Complains about reserved bits: those of no field by 64-bit words, those of a field that is reserved here by field.
   *
   * @param reserved 32-bit words, as `Layout.reserved` gives them
   * @param wide fields that hold addresses: their reserved bits are beyond the width that `width` names
   * @param from first bit to look at, and the one after the last
   */
  reservedBits(
    rule: TableRule,
    reserved: Uint32Array,
    wide: readonly string[],
    width: string,
    from = 0,
    to = this.layout.bytes * 8,
  ): void {
    const { layout } = this;
    const words = layout.words(this.view, this.at, this.table.kind.littleEndian);
    const seen = new Set<string>();
    for (let n = 0; n < words.length; n++) {
      const mask = (BigInt(reserved[2 * n + 1] ?? 0) << 32n) | BigInt(reserved[2 * n]!);
      if ((words[n]! & mask) === 0n) continue;
      const nameless: number[] = [];
      for (let bit = 0; bit < WORD_BITS; bit++) {
        const number = n * WORD_BITS + bit;
        if (number < from || number >= to) continue;
        if (((words[n]! >> BigInt(bit)) & 1n) === 0n) continue;
        if (((reserved[number >> 5]! >>> (number & 31)) & 1) === 0) continue;
        const field = fieldAt(layout, number);
        if (field === undefined) nameless.push(number);
        else if (!seen.has(field)) {
          seen.add(field);
          this.#reservedField(rule, field, wide, width);
        }
      }
      if (nameless.length > 0) this.#namelessBits(rule, words[n]!, n, nameless);
    }
  }

  #reservedField(rule: TableRule, field: string, wide: readonly string[], width: string): void {
    if (wide.includes(field)) {
      this.complain(TABLE_RULES["address-too-wide"], field, `expected an address of ${width}`);
      return;
    }
    const { needs } = this.layout.fields[field]!;
    if (needs === undefined) {
      this.complain(rule, field, "expected zeros in the bits that this IOMMU reserves");
      return;
    }
    const ignored = rule === TABLE_RULES["ignored-entry-bits"];
    // What an IOMMU does not check, and would pass over anyway, is nothing to speak of.
    if (ignored && !this.#looksAt(field)) return;
    const reported = needs.startsWith("a ") ? "" : ", which the IOMMU does not report";
    this.complain(rule, field, `expected 0 without ${needs}${reported}`);
    // One function writes them all.
    if (ignored) this.complaints.push({ ...this.complaints.pop()!, once: true });
  }

  /** Whether the entry, as it is, makes the IOMMU look at a field. */
  #looksAt(field: string): boolean {
    const used = this.table.kind.updates.used?.(this.view, this.at);
    return used === undefined || bitsOf(this.layout, [field]).some((word, i) => (word & used[i]!) !== 0n);
  }

  #namelessBits(rule: TableRule, word: bigint, n: number, bits: readonly number[]): void {
    const base = n * WORD_BITS;
    const value = bits.reduce((mask, bit) => mask | (1n << BigInt(bit - base)), 0n) & word;
    const list = ranges(bits);
    this.complaints.push({
      rule,
      field: undefined,
      bits: list,
      value,
      text: `${bitsText(list)} set, expected zeros in what is reserved`,
      source: this.layout.source,
    });
  }

  /**
   * Complains about an address that cannot be, or that leads out of recorded memory.
   *
   * @param frame what the field points to, and the byte offset in it
   * @param frames first frame number beyond what the IOMMU addresses; `width` names it
   * @param resolve second stage that the address goes through
   * @returns whether something is there
   */
  pointer(
    field: string,
    frame: number,
    frames: number,
    width: string,
    resolve?: ((frame: number) => number) | undefined,
  ): boolean {
    if (frame >= frames) {
      // Reserved bits may have said so already.
      if (!this.complaints.some((c) => c.field === field && c.rule === TABLE_RULES["address-too-wide"]))
        this.complain(TABLE_RULES["address-too-wide"], field, `expected an address of ${width}`);
      return false;
    }
    const host = resolve === undefined ? frame : resolve(frame);
    if (host >= 0 && anythingAt(this.#memory, host)) return true;
    this.complain(
      TABLE_RULES["pointer-outside-memory"],
      field,
      host < 0
        ? "expected an address that the second stage translates"
        : "expected an address in recorded memory",
    );
    return false;
  }

  tag(tag: Omit<Tag, "source"> & { readonly source?: string }): void {
    this.tags.push({ source: this.layout.source, ...tag });
  }

  /** The entry leads to a table. */
  leadsTo(table: TableSpec): void {
    this.tables.push(table);
  }
}

/** Whether any part of a frame is in recorded memory. */
export function anythingAt(memory: GuestMemory, frame: number): boolean {
  if (memory.fetch(frame, 0, FRAME_BYTES)) return true;
  for (let offset = 0; offset < FRAME_BYTES; offset += WORD_BYTES)
    if (memory.fetch(frame, offset, WORD_BYTES)) return true;
  return false;
}

/** Zeros below an address that a field leaves out. */
function addressShift(field: LayoutField): number {
  if (field.kind === "frame") return FRAME_SHIFT;
  return field.kind === "address" ? field.parts[0]![1] % WORD_BITS : 0;
}

function fieldAt(layout: Layout, bit: number): string | undefined {
  return layout.names().find((name) => layout.fields[name]!.parts.some(([hi, lo]) => bit >= lo && bit <= hi));
}

/** "bit 3", "bits 63:12". */
function bitsText(bits: string): string {
  return /^[0-9]+$/.test(bits) ? `bit ${bits}` : `bits ${bits}`;
}

/** "70:67,3" for ascending bit numbers 3, 67 to 70. */
function ranges(bits: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < bits.length; ) {
    let end = i;
    while (end + 1 < bits.length && bits[end + 1] === bits[end]! + 1) end++;
    parts.unshift(end === i ? `${bits[i]}` : `${bits[end]}:${bits[i]}`);
    i = end + 1;
  }
  return parts.join(",");
}
