import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OutcomeFeed } from "../parsers/outcomes/outcome-feed.ts";
import { OutcomeLine } from "../parsers/outcomes/outcome-line.ts";
import { OutcomeScanner } from "../parsers/outcomes/outcome-scanner.ts";
import { streamKind } from "../parsers/outcomes/stream-kind.ts";
import { Devices } from "../parsers/trace/devices.ts";
import { TraceNames } from "../parsers/trace/records.ts";
import { parseAnswer } from "../pipeline/diff/answer.ts";

const SLACK = " ".repeat(16);

/** What a reader makes of a line: request, answer; or the error. */
function describeRecord(devices: Devices, line: number, record: OutcomeLine): unknown {
  const { traceLine, pasid, addrHi, addrLo, len, access, priv, seq, bytes, start, end } = record;
  const answer = parseAnswer(Buffer.from(bytes.subarray(start, end)).toString("utf8"));
  const device = devices.get(record.dev);
  return {
    line,
    traceLine,
    device: [device.segment, device.id],
    pasid,
    addrHi,
    addrLo,
    len,
    access,
    priv,
    seq,
    answer,
  };
}

/** Reads lines through the feed, or each by the slow path alone. */
function read(text: string, slow = false): unknown[] {
  const names = new TraceNames();
  const said: unknown[] = [];
  class Reader extends OutcomeFeed {
    protected override scan(start: number): number {
      return slow ? -1 : super.scan(start);
    }
  }
  const feed = new Reader(
    {
      outcome: (line, record) => said.push(describeRecord(names.devices, line, record)),
      record: (line, type) => said.push({ line, type }),
      error: (line, code, message) => said.push({ line, code, message }),
    },
    { names, maxLineBytes: 1 << 20 },
  );
  const bytes = Buffer.from(text);
  feed.buffer.set(bytes, feed.reserve());
  feed.added(bytes.length);
  feed.finish();
  return said;
}

const OUTCOME =
  '{"type":"outcome","line":12,"seq":3,"ts":"9:30","iommu":"dmar0","dev":"0000:00:03.0","pasid":5,"addr":"0xfedcba9876543210","len":64,"access":"rw","priv":true,"model":"intel","result":"ok","pa":"0x5000","page":4096,"perm":"rw-","sg":[["0x5000",16],["0x9000",48]],"reads":4,"verdict":"match"}';

test("an outcome is read into its request and its answer", () => {
  const [record] = read(OUTCOME);
  expect(record).toEqual({
    line: 1,
    traceLine: 12,
    device: [0, 24],
    pasid: 5,
    addrHi: 0xfedcba98 | 0,
    addrLo: 0x76543210,
    len: 64,
    access: 3,
    priv: true,
    seq: 3,
    answer: {
      result: "ok",
      pa: "0x5000",
      page: 4096,
      perm: "rw-",
      sg: [
        ["0x5000", 16],
        ["0x9000", 48],
      ],
      model: "intel",
      reads: 4,
      verdict: "match",
    },
  });
});

/** Most often the first. */
const mostly = (first: string, ...others: string[]) =>
  fc.oneof(
    { weight: 20, arbitrary: fc.constant(first) },
    { weight: 2, arbitrary: fc.constantFrom(...others) },
  );

/** Values of members, the usual one first; then odd and bad ones. */
const MEMBERS: Readonly<Record<string, fc.Arbitrary<string>>> = {
  line: mostly("1", "99999", '"x"'),
  seq: mostly("0", "-4", "1.5", "9007199254740991", "12345678901234567890"),
  ts: mostly("1.5e3", '"12:30"', "0"),
  iommu: mostly('"dmar0"', '"é"'),
  dev: mostly('"00:03.0"', '"0000:00:03.1"', '"sid:7"', '"x"', "3"),
  pasid: mostly("0", "1048575", "1048576", '"5"'),
  addr: mostly('"0x1000"', '"0XAB"', '"0xffffffffffffffff"', '"4096"', '"0x11111111111111111"'),
  len: mostly("1", "4294967295", "0", "4294967296"),
  access: mostly('"r"', '"w"', '"rw"', '"x"', '"wr"'),
  priv: mostly("true", "false", "null"),
  at: mostly('"translated"', '"untranslated"', '"translation-request"', '"translate"', "2"),
  result: mostly('"ok"', '"fault"', '"msi"', '"okay"', '"f"'),
  pa: mostly('"0x5000"', '"0x0A"'),
  sg: mostly('[["0x1",2]]', "[]"),
  code: mostly('"0x71"', '"\\u0030x71"', "113"),
  restart: mostly("null", '{"a":[1,{}]}', "-0.5"),
};

const line = fc
  .record({
    members: fc.shuffledSubarray(Object.keys(MEMBERS), { minLength: 4 }),
    required: fc.boolean(),
    space: fc.constantFrom("", " ", "\t "),
    tail: fc.constantFrom("", "", "", " ", "\r", ",", "x"),
  })
  .chain(({ members, required, space, tail }) => {
    const names = required ? [...new Set([...members, "dev", "addr", "result"])] : members;
    const values = names.map((name) => MEMBERS[name]!.map((value) => `"${name}"${space}:${space}${value}`));
    return fc
      .tuple(...values)
      .map((texts) => `{${['"type":"outcome"', ...texts].join(`${space},${space}`)}}${tail}`);
  });

test("the scanner takes only what the slow reader takes, and to the same values", () => {
  let scanned = 0;
  fc.assert(
    fc.property(fc.array(line, { minLength: 1, maxLength: 5 }), (texts) => {
      const text = texts.join("\n");
      expect(read(text)).toEqual(read(text, true));
      for (const one of texts) {
        const bytes = Buffer.from(`${one}\n${SLACK}`);
        const devices = new Devices();
        for (const name of ["00:03.0", "0000:00:03.1", "sid:7"]) devices.parse(name);
        const scanner = new OutcomeScanner(devices, new OutcomeLine());
        scanner.use(bytes);
        if (scanner.scan(0) >= 0) scanned++;
      }
    }),
    { numRuns: 1500 },
  );
  expect(scanned).toBeGreaterThan(500);
});

test("broken lines and other records", () => {
  expect(
    read(
      `{"type":"summary","lines":3}\n{"type":"outcome"\n\n[]\n{"type":"outcome","dev":"00:03.0"}\n${OUTCOME}`,
    ),
  ).toMatchObject([
    { line: 1, type: "summary" },
    { line: 2, code: "json" },
    { line: 4, code: "schema" },
    { line: 5, code: "schema", message: 'outcome.addr: expected "0x" and 1 to 16 hex digits, found nothing' },
    { line: 6, seq: 3 },
  ]);
});

describe("a stream is known by its first record that tells", () => {
  test.each([
    [OUTCOME, "outcomes"],
    ['{"type":"header","format":"pasid-trace","version":1}', "trace"],
    ['{"type":"mark","label":"x"}\n{"type":"dma","dev":"00:03.0","addr":"0x1"}', "trace"],
    ['{"type":"mark","line":3,"label":"x"}', "outcomes"],
    ['{"type":"mark","label":"\\"line\\":3"}\n{"type":"ram"}', "trace"],
    ['{"line":4,"type":"error"}', "outcomes"],
    ['{"type":"new"}\nnot JSON\n{ "type" : "stats" }', "outcomes"],
    ['[\n  {\n    "type": "iommu"', "trace"],
    ["", "trace"],
  ])("%s: %s", (text, kind) => {
    expect(streamKind(Buffer.from(text))).toBe(kind);
  });
});
