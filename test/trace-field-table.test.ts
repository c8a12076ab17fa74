import { describe, expect, test } from "vitest";
import { fieldReader } from "../parsers/trace/batch/field-code.ts";
import { boolean, integer, optional } from "../parsers/trace/field.ts";
import { FieldTable } from "../parsers/trace/field-table.ts";
import { DMA_FIELDS, MEM_FIELDS, OBSERVED_FIELDS } from "../parsers/trace/scanned-fields.ts";
import { OBSERVED, RECORDS } from "../parsers/trace/schema.ts";

const FIELDS = {
  ts: integer(0, 1, ""),
  tsc: optional(integer(0, 1, "")),
  translated: optional(boolean("")),
  translation: optional(boolean("")),
  transient: boolean(""),
};

function found(text: string): string | undefined {
  const bytes = Buffer.from(`${text}                `);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return new FieldTable(FIELDS, {}).find(bytes, view, 0)?.name;
}

describe("a table of fields", () => {
  test("finds names that begin alike, of any length, whatever follows", () => {
    for (const name of Object.keys(FIELDS)) {
      expect(found(`${name}":1`)).toBe(name);
      expect(found(`${name}" : 1`)).toBe(name);
    }
  });

  test("finds no others", () => {
    for (const name of ["t", "tsd", "transl", "translatee", "Transient", "", "t\u0000s"])
      expect(found(`${name}":1`)).toBeUndefined();
  });

  test("knows what may not be left out", () => {
    expect(new FieldTable(FIELDS, {}).required).toBe(0b10001);
  });

  test.each([
    ["dma", RECORDS.dma.fields, DMA_FIELDS],
    ["mem", RECORDS.mem.fields, MEM_FIELDS],
    ["observed", OBSERVED, OBSERVED_FIELDS],
  ])("has a plain form for each field of %s", (_, fields, scanned) => {
    expect(Object.keys(scanned).sort()).toEqual(Object.keys(fields).sort());
    for (const field of Object.values(fields)) expect(field.plain).toBeDefined();
  });
});

describe("the code that is made of it", () => {
  test("compares all of a name with its quote, in words", () => {
    const code = fieldReader("x", FIELDS, {
      translated: { take() {}, batch: { bit: 4, given: 8 } },
    });
    // "translat", then `ed"`.
    expect(code).toContain("word === 0x74616c736e617274 && (load<u64>(at + 1 + 8) & 0xffffff) === 0x226465");
    expect(code).toContain("behind(at + 11)");
    expect(code).toContain("setBits(8, 8)");
    expect(code).toContain("truth(p, 4)");
  });

  test("refuses a kind that the machine does not read", () => {
    expect(() => fieldReader("x", FIELDS, { transient: { take() {}, batch: { at: 0 } } })).toThrow(
      "transient: the batch machine does not read values of the kind boolean",
    );
  });
});
