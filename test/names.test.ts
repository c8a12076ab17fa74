import { describe, expect, test } from "vitest";
import { Devices } from "../parsers/trace/devices.ts";
import { Names } from "../parsers/trace/names.ts";

/** Counts the steps of look-ups in tables: each reads a slot. */
function countingSlots<T>(run: () => T): { readonly result: T; readonly steps: number } {
  let steps = 0;
  const original = Int32Array;
  class Counted extends Int32Array {
    constructor(size: number) {
      super(size);
      // biome-ignore lint/correctness/noConstructorReturn: stands for the array
      return new Proxy(this, {
        get(of, key) {
          if (typeof key === "string") steps++;
          const value = Reflect.get(of, key, of);
          return typeof value === "function" ? value.bind(of) : value;
        },
        set: (of, key, value) => Reflect.set(of, key, value, of),
      });
    }
  }
  globalThis.Int32Array = Counted as never;
  try {
    return { result: run(), steps };
  } finally {
    globalThis.Int32Array = original;
  }
}

/** As names.ts hashes a name of more than 12 bytes. */
function longHash(text: string): number {
  let hash = text.length;
  for (const char of text) hash = Math.imul(hash ^ char.charCodeAt(0), 0x0100_0193);
  return hash ^ (hash >>> 15);
}

/** Names whose hashes agree in their low bits: all begin at one slot. */
function colliding(count: number): string[] {
  const names: string[] = [];
  for (let i = 0; names.length < count; i++) {
    const name = `COLLIDING_${i.toString(36).padStart(6, "0")}`;
    if ((longHash(name) & 0xfff) === 5) names.push(name);
  }
  return names;
}

describe("names", () => {
  test("keep their numbers, however many there are", () => {
    for (const nameOf of [
      (i: number) => `n${i.toString(36).padStart(4, "0")}`,
      (i: number) => `a longer name, ${i}`,
    ]) {
      const names = new Names();
      for (let i = 0; i < 5000; i++) {
        expect(names.internText(nameOf(i))).toBe(i);
        expect(names.internText(nameOf(i))).toBe(i);
      }
      for (let i = 0; i < 5000; i++) expect(names.findText(nameOf(i))).toBe(i);
    }
  });

  test("that were made to collide are found in a bounded number of steps, and keep their numbers", () => {
    const names = colliding(1500);
    const { result, steps } = countingSlots(() => {
      const table = new Names();
      for (const name of names) table.internText(name);
      return table;
    });
    expect(steps).toBeLessThan(1500 * 1000);
    expect(result.size).toBe(1500);
    for (const [i, name] of names.entries()) {
      expect(result.findText(name)).toBe(i);
      expect(result.internText(name)).toBe(i);
      expect(result.text(i)).toBe(name);
    }
    expect(result.findText("COLLIDING_no")).toBe(-1);
  });

  test("of devices, whose ids were made to collide, and their other spellings", () => {
    const hashOf = (id: number) => {
      const hash = Math.imul(id, 0x9e37_79b1);
      return hash ^ (hash >>> 15);
    };
    const ids: number[] = [];
    for (let id = 0; ids.length < 1200; id++) if ((hashOf(id) & 0xfff) === 7) ids.push(id);
    const devices = new Devices();
    for (const id of ids) expect(devices.parse(`sid:${id}`)).toMatchObject({ id });
    for (const [i, id] of ids.entries())
      expect(devices.parse(`sid:0x${id.toString(16)}`)).toMatchObject({ id, canonical: i });
  });
});
