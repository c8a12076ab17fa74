/** Kinds of values that a field can have: few enough to see them all, many enough to tell what was tried. */
import { allOnes, widthOf } from "../../walkers/fuzz/world.ts";
import type { Layout } from "../../walkers/layout.ts";

/** Fields of up to so many bits have a kind for each value. */
const SMALL_BITS = 4;

/** Of wider fields. */
const WIDE = ["zero", "other", "ones"] as const;

/** Kinds of values of a field, and that any reserved bit is set where `field` is null. */
export function fieldClasses(layout: Layout, field: string): readonly string[] {
  const declared = layout.fields[field]!;
  if (declared.kind === "frame" || declared.kind === "address") return ["zero", "other"];
  const width = widthOf(layout, field);
  return width > SMALL_BITS ? WIDE : Array.from({ length: 2 ** width }, (_, value) => `${value}`);
}

export function classOf(layout: Layout, field: string, value: bigint): string {
  const { kind } = layout.fields[field]!;
  if (kind === "frame" || kind === "address") return value === 0n ? "zero" : "other";
  if (widthOf(layout, field) <= SMALL_BITS) return `${value}`;
  if (value === 0n) return "zero";
  return value === allOnes(layout, field) ? "ones" : "other";
}

/** Whether any bit of a structure can be reserved. */
export function hasReserved(layout: Layout): boolean {
  return reservedBitsOf(layout).length > 0;
}

const RESERVED = new WeakMap<Layout, readonly number[]>();

/** Numbers of the bits that no field has. */
export function reservedBitsOf(layout: Layout): readonly number[] {
  const known = RESERVED.get(layout);
  if (known !== undefined) return known;
  const words = layout.reserved();
  const bits = Array.from({ length: layout.bytes * 8 }, (_, bit) => bit).filter(
    (bit) => ((words[bit >> 5]! >>> (bit & 31)) & 1) === 1,
  );
  RESERVED.set(layout, bits);
  return bits;
}
