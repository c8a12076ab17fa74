import type { Layout } from "../layout.ts";

/** Bits of an entry, by 64-bit words, lowest address first. */
export type EntryBits = readonly bigint[];

/**
 * How an entry may change while the IOMMU uses it. It reads an entry at any time, in pieces of `read` bytes, each of a
 * time of its own; software changes at most `store` bytes at once. So what may change while an entry is valid is what one
 * store changes within one piece; what a valid entry makes the IOMMU pass over may change at any time.
 */
export interface EntryUpdates {
  /** Bytes that the IOMMU reads at once, aligned: a divisor of the entry's size, or that size. */
  readonly read: number;
  /** Bytes that one store changes at most, aligned. */
  readonly store: number;
  /** The pieces have nothing to do with each other. */
  readonly independent?: true;
  /** The field that makes an entry valid. */
  readonly gate: string;
  /** An entry that is not valid lets requests pass; this is how one looks that refuses them. */
  readonly refusing?: string;
  /** Bits that a valid entry, as it is, makes the IOMMU look at; without it, all. */
  used?(view: DataView, at: number): EntryBits;
  /** Document and section. */
  readonly source: string;
}

/** All bits of a structure. */
export function allBits({ bytes }: Layout): EntryBits {
  return Array.from({ length: Math.ceil(bytes / 8) }, () => (1n << 64n) - 1n);
}

/** The bits of some fields. */
export function bitsOf<F extends string>(layout: Layout<F>, fields: readonly F[]): EntryBits {
  const words = allBits(layout).map(() => 0n);
  for (const field of fields)
    for (const [hi, lo] of layout.fields[field].parts)
      for (let bit = lo; bit <= hi; bit++) words[bit >> 6]! |= 1n << BigInt(bit & 63);
  return words;
}

export function bothBits(a: EntryBits, b: EntryBits): EntryBits {
  return a.map((word, i) => word | b[i]!);
}

/** `bits` without all those of `others`. */
export function exceptBits(bits: EntryBits, ...others: EntryBits[]): EntryBits {
  return others.reduce((left, other) => left.map((word, i) => word & ~other[i]!), bits);
}
