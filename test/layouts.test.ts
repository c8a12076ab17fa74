import { describe, expect, test } from "vitest";
import { AMD_VI_LAYOUTS } from "../walkers/amd-vi/index.ts";
import { commandSetOf } from "../walkers/commands/command.ts";
import { bits, type Layout, layout } from "../walkers/layout.ts";
import { IOMMU_MODELS } from "../walkers/models.ts";
import { RISCV_LAYOUTS } from "../walkers/riscv/index.ts";
import { SMMUV3_LAYOUTS } from "../walkers/smmuv3/index.ts";
import { VTD_LAYOUTS } from "../walkers/vtd/index.ts";

const COMMANDS = IOMMU_MODELS.flatMap((model) => commandSetOf(model).specs.map((spec) => spec.layout));
const ALL: readonly Layout[] = [
  ...VTD_LAYOUTS,
  ...SMMUV3_LAYOUTS,
  ...AMD_VI_LAYOUTS,
  ...RISCV_LAYOUTS,
  ...COMMANDS,
];

/** Fields that share bits because which of them stands there depends on another one. */
function overlaps(layout: Layout): string[] {
  const owner = new Map<number, string>();
  const found: string[] = [];
  for (const name of layout.names())
    for (const [hi, lo] of layout.fields[name]!.parts)
      for (let bit = lo; bit <= hi; bit++) {
        const other = owner.get(bit);
        if (other !== undefined) found.push(`${other} and ${name} at bit ${bit}`);
        owner.set(bit, name);
      }
  return found;
}

describe.each(ALL.map((l) => [l.name, l] as const))("%s", (_name, l) => {
  test("every field is within the structure, in one word, high bit first", () => {
    for (const name of l.names()) {
      const field = l.fields[name]!;
      for (const [hi, lo] of field.parts) {
        expect(hi, name).toBeGreaterThanOrEqual(lo);
        expect(hi, name).toBeLessThan(l.bytes * 8);
        expect(Math.floor(hi / 64), name).toBe(Math.floor(lo / 64));
      }
    }
  });

  test("no two fields share bits", () => {
    expect(overlaps(l)).toEqual([]);
  });

  test("names its source, and every field what it is", () => {
    expect(l.source).not.toBe("");
    for (const name of l.names()) expect(l.fields[name]!.doc, name).not.toBe("");
  });

  test("enumerators fit their fields", () => {
    for (const name of l.names()) {
      const field = l.fields[name]!;
      const width = field.parts.reduce((sum, [hi, lo]) => sum + hi - lo + 1, 0);
      for (const value of Object.keys(field.values ?? {}))
        expect(Number(value), name).toBeLessThan(2 ** width);
    }
  });

  test("a reader gives just the bits of its field, wherever they lie", () => {
    // All ones but for the field, then the field alone: independent of how the field is written.
    const bytes = new Uint8Array(Math.max(l.bytes, 8));
    const view = new DataView(bytes.buffer);
    for (const name of l.names()) {
      const field = l.fields[name]!;
      if (field.kind === "ignored") continue;
      const read = l.reader(name);
      bytes.fill(0);
      for (const [hi, lo] of field.parts)
        for (let bit = lo; bit <= hi; bit++) bytes[bit >> 3]! |= 1 << (bit & 7);
      const [first, low] = field.parts[0]!;
      const lowest = field.kind === "address" ? Math.max(low, first - (first % 64) + 12) : low;
      const width = field.parts.reduce((sum, [hi, lo]) => sum + hi - lo + 1, 0) - (lowest - low);
      // An address that ends below its first frame bit has no frame number.
      if (width > 0) expect(read(view, 0), name).toBe(2 ** width - 1);
      for (let i = 0; i < bytes.length; i++) bytes[i]! ^= 0xff;
      if (width > 0) expect(read(view, 0), name).toBe(0);
    }
  });
});

test("a value that does not fit its field is refused", () => {
  const two = layout("two bits", "test", 8, { A: bits(5, 4, "a") });
  expect(() => two.build({ A: 4 })).toThrow("does not fit bits 5:4");
  expect(two.build({ A: 3 })[0]).toBe(0x30);
});
