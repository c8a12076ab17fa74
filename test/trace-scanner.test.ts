import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LineReader } from "../parsers/trace/line-reader.ts";
import type { TraceHandler } from "../parsers/trace/record-source.ts";
import { type DmaRecord, type MemRecord, TraceNames } from "../parsers/trace/records.ts";
import { DMA, RecordScanner } from "../parsers/trace/scanner.ts";

/** What a record says, without the numbers that names happen to have and the buffers that texts lie in. */
function dmaValues(record: DmaRecord, names: TraceNames) {
  const { bytes: _, iommu, dev, tsStart: _s, tsEnd: _e, observed, ...rest } = record;
  const { start: _os, end: _oe, reason, ...seen } = observed;
  return {
    ...rest,
    iommu: iommu < 0 ? null : names.iommus.text(iommu),
    dev: names.devices.get(dev).text,
    ts: record.tsText(),
    observed: { ...seen, reason: reason < 0 ? null : names.reasons.text(reason) },
    observedText: record.observedText(),
  };
}

function memValues(record: MemRecord) {
  const { addrHi, addrLo, byIommu, bytes, start, end } = record;
  return { addrHi, addrLo, byIommu, data: Buffer.from(bytes.subarray(start, end)).toString("latin1") };
}

/** A line as the reader holds it: a newline and some other text follow. */
function lineBytes(line: string): Uint8Array {
  return Buffer.concat([Buffer.from(line), Buffer.from('\n"addr":"0x123","a":')]);
}

function slowly(line: string): unknown {
  const names = new TraceNames();
  let out: unknown = "nothing";
  const handler: TraceHandler = {
    dma: (_, record) => {
      out = dmaValues(record, names);
    },
    mem: (_, record) => {
      out = memValues(record);
    },
    record: (_, record) => {
      out = record;
    },
    unknown: (_, type) => {
      out = `unknown ${type}`;
    },
    error: (_, code, message) => {
      out = `${code} ${message}`;
    },
  };
  const bytes = lineBytes(line);
  new LineReader(names, handler).read(1, bytes, 0, bytes.indexOf(10));
  return out;
}

/** What the scanner makes of a line; undefined where it declines. */
function fast(line: string): unknown {
  const names = new TraceNames();
  // Devices are known by then: the line reader has seen them once.
  for (const device of DEVICES) names.devices.parse(device);
  const reader = new LineReader(names, {} as TraceHandler);
  const scanner = new RecordScanner(names, reader.dma, reader.mem);
  const bytes = lineBytes(line);
  // The records are reused: what the last line said must not shine through.
  const before = lineBytes(
    '{"type":"dma","seq":7,"ts":1,"iommu":"x","dev":"00:03.0","addr":"0xffffffffffffffff","pasid":5,"len":9,"access":"rw","priv":true,"data":"ff","by":"iommu","observed":{"result":"fault","code":"0x71","reason":"PERMISSION","stage":2,"class":"TT","ipa":"0xabcdef012345","flags":"0xffffffffff","pa":"0x99999999999","recorded":false}}',
  );
  const both = Buffer.concat([before.subarray(0, before.indexOf(10) + 1), bytes]);
  scanner.use(both);
  expect(scanner.scan(0)).toBe(before.indexOf(10));
  const start = before.indexOf(10) + 1;
  const end = scanner.scan(start);
  if (end < 0) return undefined;
  expect(end).toBe(start + bytes.indexOf(10));
  return scanner.type === DMA ? dmaValues(reader.dma, names) : memValues(reader.mem);
}

const DEVICES = [
  "00:03.0",
  "0000:00:03.0",
  "0001:ff:1f.7",
  "sid:7",
  "did:0xffffff",
  "devid:0x18",
  "sid:4294967295",
];

const hexDigits = (min: number, max: number) =>
  fc.stringMatching(new RegExp(`^([0-9a-f]{${min},${max}}|[0-9a-fA-F]{${min},${max}})$`));
const hex = fc.oneof(
  hexDigits(1, 16).map((d) => `"0x${d}"`),
  fc.constantFrom('"0x0"', '"0xffffffffffffffff"', '"0x80000000"', '"0x7fffffff80000000"', '"0X1F"'),
);
/** JSON texts of values that no field expects, or of the wrong kind for most. */
const anyJson = fc.oneof(
  fc.jsonValue().map((v) => JSON.stringify(v)),
  fc.constantFrom(
    "1.50",
    "-0",
    "1e3",
    "[[[{}]]]",
    '{"a":[1, {"b":null}]}',
    '"\\u0041\\n"',
    '"é"',
    "12345678901234567890",
  ),
);
const name = fc
  .oneof(
    fc.constantFrom("dmar0", "smmu1", "a", "abc", "an IOMMU with a rather long name", "riscv-iommu-0"),
    fc.string({ minLength: 1 }),
  )
  .map((s) => JSON.stringify(s));
const count = (max: number) => fc.integer({ min: 0, max }).map(String);

const observedFields: Record<string, fc.Arbitrary<string>> = {
  result: fc.constantFrom('"ok"', '"fault"', '"msi"'),
  pa: hex,
  code: hex,
  ipa: hex,
  flags: hex,
  reason: fc.constantFrom('"PERMISSION"', '"PTE_FETCH"', '"SOMETHING_ELSE"', '"x"'),
  stage: fc.constantFrom("1", "2"),
  class: fc.constantFrom('"CD"', '"TT"', '"IN"'),
  recorded: fc.constantFrom("true", "false"),
  event: fc.constant('"13000000"'),
};
const space = fc.oneof(
  { weight: 5, arbitrary: fc.constant("") },
  { weight: 1, arbitrary: fc.stringMatching(/^[ \t\r]{1,3}$/) },
);

/** An object's text: these members in any order, with any white space. */
function objectText(members: [string, string][]): fc.Arbitrary<string> {
  return fc
    .tuple(
      fc.shuffledSubarray(members, { minLength: members.length }),
      fc.array(space, { minLength: members.length * 4 + 1, maxLength: members.length * 4 + 1 }),
    )
    .map(([order, spaces]) => {
      let at = 0;
      const texts = order.map(
        ([key, value]) =>
          `${spaces[at++]}${JSON.stringify(key)}${spaces[at++]}:${spaces[at++]}${value}${spaces[at++]}`,
      );
      return `{${texts.length === 0 ? spaces[at] : texts.join(",")}}`;
    });
}

/** Some members with values from a table, and some that mean nothing. */
function members(
  table: Record<string, fc.Arbitrary<string>>,
  required: string[],
): fc.Arbitrary<[string, string][]> {
  const known = Object.entries(table).map(([key, value]) =>
    required.includes(key)
      ? value.map((v): [string, string] | null => [key, v])
      : fc.option(value.map((v): [string, string] => [key, v])),
  );
  const unknown = fc.array(
    fc.tuple(
      fc.oneof(
        fc.constantFrom("types", "lend", "de", "ad", "ty", "observe", "ts2", "", "__proto__"),
        fc.string(),
      ),
      anyJson,
    ),
    { maxLength: 2 },
  );
  return fc
    .tuple(fc.tuple(...known), unknown)
    .map(([some, more]) => [
      ...some.filter((m) => m !== null),
      ...more.filter(([key]) => !(key in table) && key !== "type"),
    ]);
}

const observed = members(observedFields, ["result"]).chain(objectText);
const dmaLine = members(
  {
    type: fc.constant('"dma"'),
    dev: fc.constantFrom(...DEVICES).map((d) => JSON.stringify(d)),
    addr: hex,
    iommu: name,
    pasid: count(2 ** 20 - 1),
    len: fc.integer({ min: 1, max: 2 ** 32 - 1 }).map(String),
    access: fc.constantFrom('"r"', '"w"', '"rw"', '"x"'),
    priv: fc.constantFrom("true", "false"),
    seq: fc.oneof(count(2 ** 31), fc.maxSafeInteger().map(String)),
    ts: fc.oneof(count(1e9), fc.constantFrom("1.500", "-1e-3", '"12:30:01.5"', '"\\u0031"')),
    observed,
  },
  ["type", "dev", "addr"],
).chain(objectText);
const memLine = members(
  {
    type: fc.constant('"mem"'),
    addr: hex,
    data: fc.array(hexDigits(2, 2), { maxLength: 20 }).map((d) => `"${d.join("")}"`),
    by: fc.constantFrom('"iommu"', '"cpu"', '"iommu2"', '""'),
  },
  ["type", "addr", "data"],
).chain(objectText);

/** A line with a few bytes removed, replaced or doubled. */
const mutated = fc
  .tuple(
    fc.oneof(dmaLine, memLine),
    fc.array(
      fc.tuple(
        fc.nat(),
        fc.constantFrom("", "0", '"', "\\", "}", "{", ",", ":", " ", "x", "-", ".", "e", "é", "\0", "[", "f"),
      ),
      { minLength: 1, maxLength: 3 },
    ),
    fc.boolean(),
  )
  .map(([line, edits, insert]) => {
    let out = line;
    for (const [where, text] of edits) {
      const at = where % (out.length + 1);
      out = out.slice(0, at) + text + out.slice(insert ? at : at + 1);
    }
    return out;
  });

/** A line with one value replaced by another JSON value, or with a member given twice. */
const wrongValue = fc
  .tuple(
    fc.constantFrom(
      "dev",
      "addr",
      "iommu",
      "pasid",
      "len",
      "access",
      "priv",
      "seq",
      "ts",
      "observed",
      "data",
      "by",
      "type",
    ),
    fc.oneof(
      anyJson,
      hex,
      observed,
      fc.constantFrom(
        '"0x12345678901234567"',
        "1048576",
        "4294967296",
        "0",
        "00",
        "01",
        '""',
        '"abc"',
        "9007199254740992",
      ),
    ),
    fc.boolean(),
    fc.constantFrom("dma", "mem"),
  )
  .map(([key, value, before, type]) => {
    const rest = `"type":"${type}","dev":"00:03.0","addr":"0x1","data":"00"`;
    return before ? `{"${key}":${value},${rest}}` : `{${rest},"${key}":${value}}`;
  });

/** What the scanner accepts means what the line reader says it means. */
function sameWherever(line: string): void {
  const quick = fast(line);
  if (quick !== undefined) expect(quick).toEqual(slowly(line));
}

describe("the scanner agrees with JSON.parse and the schema", () => {
  test("on dma records in any order and spacing, with unknown fields", () => {
    fc.assert(fc.property(dmaLine, sameWherever), { numRuns: 1500 });
  });

  test("on mem records", () => {
    fc.assert(fc.property(memLine, sameWherever), { numRuns: 700 });
  });

  test("on records with one wrong or doubled value", () => {
    fc.assert(fc.property(wrongValue, sameWherever), { numRuns: 2000 });
  });

  test("on broken lines", () => {
    fc.assert(fc.property(mutated, sameWherever), { numRuns: 3000 });
  });
});

describe("the scanner reads by itself", () => {
  test.each([
    '{"type":"dma","seq":0,"iommu":"dmar0","dev":"0000:00:03.0","addr":"0xbb60380","len":64,"access":"r","observed":{"result":"ok","pa":"0xbb60380"}}',
    '{ "addr" : "0X00000000BB60380" , "dev" : "did:0xffffff" , "access" : "rw" , "type" : "dma" }\r',
    '{"type":"dma","dev":"sid:7","addr":"0x1","pasid":1048575,"priv":false,"ts":"12:30","x":{"y":[1,"\\n",null]},"observed":{"event":[1],"result":"fault","code":"0x71","class":"IN","stage":2,"recorded":false}}',
    '{"type":"dma","dev":"sid:7","addr":"0x1","ts":-1.5e+3}',
    '{"type":"mem","addr":"0x10080e8","data":"0192000100008060"}',
    '{"data":"","by":"iommu","addr":"0x1","type":"mem"}',
  ])("%s", (line) => {
    expect(fast(line)).toBeDefined();
    expect(fast(line)).toEqual(slowly(line));
  });

  test("values to the last bit", () => {
    expect(
      fast(
        '{"type":"dma","seq":900719925474099,"iommu":"i","dev":"00:03.0","addr":"0xFEDCBA9876543210","len":4294967295,"access":"x","observed":{"result":"fault","code":"0x1fffffffffffff"}}',
      ),
    ).toMatchObject({
      seq: 900719925474099,
      iommu: "i",
      addrHi: 0xfedcba98 | 0,
      addrLo: 0x76543210,
      len: 4294967295,
      access: 4,
      pasid: -1,
      observed: {
        result: 1,
        code: 2 ** 53 - 1,
        hasPa: false,
      },
    });
  });
});

describe("the scanner leaves to the line reader", () => {
  test.each([
    ["a device that is new", '{"type":"dma","dev":"00:09.0","addr":"0x1"}'],
    ["an escaped field name", '{"type":"dma","dev":"00:03.0","\\u0061ddr":"0x1"}'],
    ["an escaped unknown name", '{"type":"dma","dev":"00:03.0","addr":"0x1","\\n":1}'],
    ["text beyond ASCII", '{"type":"dma","dev":"00:03.0","addr":"0x1","iommu":"é"}'],
    ["a fraction", '{"type":"dma","dev":"00:03.0","addr":"0x1","len":1.0}'],
    ["an exponent", '{"type":"dma","dev":"00:03.0","addr":"0x1","len":1e0}'],
    ["a leading zero", '{"type":"dma","dev":"00:03.0","addr":"0x1","len":01}'],
    ["17 digits", '{"type":"dma","dev":"00:03.0","addr":"0x12345678901234567"}'],
    ["no digits", '{"type":"dma","dev":"00:03.0","addr":"0x"}'],
    ["a missing address", '{"type":"dma","dev":"00:03.0"}'],
    ["no type", '{"dev":"00:03.0","addr":"0x1"}'],
    ["another type", '{"type":"mark","label":"x","addr":"0x1"}'],
    ["half a byte", '{"type":"mem","addr":"0x1","data":"012"}'],
    ["observed without a result", '{"type":"dma","dev":"00:03.0","addr":"0x1","observed":{"pa":"0x1"}}'],
    ["an empty observed", '{"type":"dma","dev":"00:03.0","addr":"0x1","observed":{}}'],
    ["a second value", '{"type":"mem","addr":"0x1","data":""}{}'],
    ["a trailing comma", '{"type":"mem","addr":"0x1","data":"",}'],
    ["a name too many", '{"type":"dma","dev":"00:03.0","addr":"0x1","iommu":""}'],
    ["a blank line", " "],
  ])("%s", (_, line) => {
    expect(fast(line)).toBeUndefined();
  });
});
