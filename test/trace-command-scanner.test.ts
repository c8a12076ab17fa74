import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CommandScanner } from "../parsers/trace/command-scanner.ts";
import { RecordTeller } from "../parsers/trace/record-teller.ts";
import { TraceNames } from "../parsers/trace/records.ts";

/** A line as the reader holds it: a newline and some other text follow. */
function scanned(line: string, scanner = new CommandScanner()): unknown {
  const bytes = Buffer.concat([Buffer.from(line), Buffer.from('\n"data":["0x123"],"a":')]);
  scanner.use(bytes);
  return scanner.scan(0, bytes.indexOf(10));
}

/** What JSON.parse and the schema make of it. */
function byTheBook(line: string): unknown {
  let out: unknown = "nothing";
  const told = {
    dma() {},
    mem() {},
    record(_line: number, record: unknown) {
      out = record;
    },
    unknown() {},
    error(_line: number, code: string, message: string) {
      out = `${code} ${message}`;
    },
  };
  try {
    new RecordTeller(new TraceNames(), told).parsed(1, JSON.parse(line));
  } catch {
    out = "json";
  }
  return out;
}

describe("commands are read from the bytes of their line", () => {
  test("where they are plain", () => {
    expect(scanned('{"type":"cmd","iommu":"dmar0","data":["0x10032","0xFFFFFFFF80000fff"]}')).toEqual({
      type: "cmd",
      iommu: "dmar0",
      data: [
        { hi: 0, lo: 0x10032 },
        { hi: -1, lo: 0x80000fff | 0 },
      ],
    });
    expect(
      scanned(' { "iommu" : "a", "data" : [ "0x1" , "0x2","0x3" ,"0x4"] ,"type":"cmd" }  '),
    ).toMatchObject({
      iommu: "a",
      data: [{ lo: 1 }, { lo: 2 }, { lo: 3 }, { lo: 4 }],
    });
  });

  test("the name of the IOMMU may change from one to the next", () => {
    const scanner = new CommandScanner();
    const name = (iommu: string) =>
      scanned(`{"type":"cmd","iommu":"${iommu}","data":["0x1","0x2"]}`, scanner) as { iommu: string };
    expect(["a", "b", "b", "bb", "a"].map((iommu) => name(iommu).iommu)).toEqual(["a", "b", "b", "bb", "a"]);
  });

  const declined = {
    "another type": '{"type":"mem","iommu":"a","data":["0x1","0x2"]}',
    "a field that is not known": '{"type":"cmd","iommu":"a","data":["0x1","0x2"],"seq":1}',
    "a field twice": '{"type":"cmd","iommu":"a","iommu":"b","data":["0x1","0x2"]}',
    "one word": '{"type":"cmd","iommu":"a","data":["0x1"]}',
    "five words": '{"type":"cmd","iommu":"a","data":["0x1","0x1","0x1","0x1","0x1"]}',
    "no IOMMU": '{"type":"cmd","data":["0x1","0x2"]}',
    "an escape": '{"type":"cmd","iommu":"\\u0061","data":["0x1","0x2"]}',
    "something behind it": '{"type":"cmd","iommu":"a","data":["0x1","0x2"]}x',
    "a comma too many": '{"type":"cmd","iommu":"a","data":["0x1","0x2",]}',
  };
  test.each(Object.entries(declined))("not with %s", (_, line) => {
    expect(scanned(line)).toBeNull();
  });

  test("whatever is accepted is what JSON.parse and the schema say", () => {
    const piece = fc.constantFrom(
      ...'{}[],:" x0\\',
      '"type":"cmd"',
      '"iommu":"a"',
      '"data":["0x1","0x22"]',
      '"0x1"',
      '"0x123456789abcdef01"',
      "é",
      "\t",
    );
    const line = fc.constantFrom(
      '{"type":"cmd","iommu":"dmar0","data":["0x10032","0x1dbb000"]}',
      '{ "data": ["0x1", "0x2", "0x3", "0x4"], "iommu": "a b", "type": "cmd" }',
    );
    const cut = fc.tuple(line, fc.nat(80), fc.nat(4), fc.array(piece, { maxLength: 3 }));
    let accepted = 0;
    fc.assert(
      fc.property(cut, ([text, at, dropped, pieces]) => {
        const mutated = text.slice(0, at) + pieces.join("") + text.slice(at + dropped);
        const found = scanned(mutated);
        if (found === null) return;
        accepted++;
        expect(found).toEqual(byTheBook(mutated));
      }),
      { numRuns: 3000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });
});
