import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readTrace } from "../parsers/trace/reader.ts";
import { TraceNames } from "../parsers/trace/records.ts";
import { bytesSource } from "../parsers/trace/source.ts";

async function read(text: string | Uint8Array, step?: number, maxLineBytes?: number) {
  const names = new TraceNames();
  const said: string[] = [];
  await readTrace(
    bytesSource(typeof text === "string" ? Buffer.from(text) : text, step),
    {
      dma: (line, r) =>
        said.push(
          `${line} dma ${names.devices.get(r.dev).text} ${r.addrLo} ${r.seq} ${r.tsText()} ${r.observedText()}`,
        ),
      mem: (line, r) => said.push(`${line} mem ${r.addrLo} ${Buffer.from(r.bytes.subarray(r.start, r.end))}`),
      record: (line, r) => said.push(`${line} ${JSON.stringify(r)}`),
      unknown: (line, type) => said.push(`${line} unknown ${type}`),
      error: (line, code, message) => said.push(`${line} ${code} ${message}`),
    },
    { names, ...(maxLineBytes === undefined ? {} : { maxLineBytes }) },
  );
  return said;
}

/** The same in chunks of many sizes; an error must not depend on how the input comes either. */
async function readAll(text: string | Uint8Array) {
  const said = await read(text);
  for (const step of [1, 2, 3, 5, 17]) expect(await read(text, step)).toEqual(said);
  return said;
}

const DMA =
  '{"type":"dma","seq":1,"dev":"00:03.0","addr":"0x10","ts":1.50,"observed":{"result":"ok","pa":"0x1"}}';
const MEM = '{"type":"mem","addr":"0x20","data":"00ff"}';
const MARK = '{"type":"mark","label":"é \\"}{[ 😀 \\u0000 \\n \\\\"}';
const DMA_SAID = 'dma 00:03.0 16 1 1.50 {"result":"ok","pa":"0x1"}';
const MEM_SAID = "mem 32 00ff";
const MARK_SAID = JSON.stringify(JSON.parse(MARK));

describe("records that are not one a line", () => {
  test.each([
    ["an array on one line", `[${DMA},${MEM},${MARK}]`, [1, 1, 1]],
    ["an array of one record a line", `[\n${DMA},\n${MEM},\n${MARK}\n]\n`, [2, 3, 4]],
    [
      "an array behind blank lines and a byte order mark",
      `\ufeff\n \n[ ${DMA}\n,${MEM} , \n\n${MARK}]`,
      [3, 4, 6],
    ],
    ["one behind the other", `${DMA}${MEM} ${MARK}`, [1, 1, 1]],
    ["several arrays", `[${DMA}]\n[]\n[${MEM}]${MARK}`, [1, 3, 3]],
  ])("%s", async (_, text, lines) => {
    expect(await readAll(text)).toEqual([
      `${lines[0]} ${DMA_SAID}`,
      `${lines[1]} ${MEM_SAID}`,
      `${lines[2]} ${MARK_SAID}`,
    ]);
  });

  test("pretty-printed ones, at the line on which each begins", async () => {
    const pretty = [MEM, MARK].map((text) => JSON.stringify(JSON.parse(text), null, 2)).join("\n");
    expect(await readAll(pretty)).toEqual([`1 ${MEM_SAID}`, `6 ${MARK_SAID}`]);
    const array = JSON.stringify([JSON.parse(MEM), JSON.parse(MARK)], null, "\t");
    expect(await readAll(array.replaceAll("\n", "\r\n"))).toEqual([`2 ${MEM_SAID}`, `7 ${MARK_SAID}`]);
  });

  test("numbers keep their digits, strings their characters, doubled fields their last value", async () => {
    const text = `[{"type":"dma","dev":"00:03.0","addr":"0x1","ts":12345678901234567890.10e+2,"len":-0},
      {"type":"dma","dev":"00:03.0","addr":7,"addr":"0x1","ts":"\\u00e9\\t/"}]`;
    expect(await readAll(text)).toEqual([
      "1 range dma.len: expected an integer 1 to 4294967295, found 0",
      '2 dma 00:03.0 1 NaN "é\\t/" ',
    ]);
  });

  test("are records like any other: what is wrong with one is said, and the rest is read", async () => {
    expect(await readAll(`[${DMA},5,[${DMA}],"x",{"type":"zot"},{"type":"mem"},\n${MEM}]`)).toEqual([
      `1 ${DMA_SAID}`,
      "1 schema record: expected an object, found 5",
      "1 schema record: expected an object, found an array of 1",
      '1 schema record: expected an object, found "x"',
      "1 unknown zot",
      '1 schema mem.addr: expected "0x" and 1 to 16 hex digits, found nothing',
      `2 ${MEM_SAID}`,
    ]);
  });

  test("any record comes out as it went in", async () => {
    const label = fc.string({ unit: "binary" });
    await fc.assert(
      fc.asyncProperty(
        fc.array(label),
        fc.constantFrom(undefined, 1, " "),
        fc.integer({ min: 1, max: 50 }),
        async (labels, indent, step) => {
          const records = labels.map((text) => ({ type: "mark", label: text }));
          const said = await read(JSON.stringify(records, null, indent), step);
          expect(said.map((s) => JSON.parse(s.slice(s.indexOf("{"))))).toEqual(records);
        },
      ),
      { numRuns: 200 },
    );
  });

  test("a record beyond the limit is one error and not kept", async () => {
    const long = `{"type":"mark","label":"${"x".repeat(200_000)}"}`;
    expect(await read(`[${MEM},\n${long},\n${MEM}]`, undefined, 500)).toEqual([
      `1 ${MEM_SAID}`,
      "2 json record: expected at most 500 bytes, found more",
      `3 ${MEM_SAID}`,
    ]);
  });
});

describe("where a document breaks, what stands before it is kept", () => {
  test.each([
    [
      "no comma",
      `[${DMA},\n${MEM} x ${MEM}]`,
      "2 json after column 42: expected JSON, found none (expected ',')",
    ],
    [
      "a wrong bracket",
      `[${DMA},\n${MEM}}`,
      "2 json after column 42: expected JSON, found none (expected ']')",
    ],
    [
      "the end within a record",
      `[${DMA},\n${MEM},\n{"type":`,
      "3 json after column 8: expected the end of the record that began on line 3, found the end of the input",
    ],
    [
      "the end of the array missing",
      `[${DMA},\n${MEM}`,
      "2 json after column 42: expected the end of the array of records, found the end of the input",
    ],
    [
      "something behind it",
      `[${DMA},\n${MEM}]\nend`,
      "3 json after column 0: expected JSON, found none (expected a value)",
    ],
  ])("%s", async (_, text, error) => {
    expect(await readAll(text)).toEqual([`1 ${DMA_SAID}`, `2 ${MEM_SAID}`, error]);
  });

  test("not UTF-8", async () => {
    const text = Buffer.from(`[${DMA},\n${MEM},\n{"type":"mark","label":"é_"}]`);
    text[text.indexOf("_") - 1] = 0x28;
    expect(await readAll(text)).toEqual([
      `1 ${DMA_SAID}`,
      `2 ${MEM_SAID}`,
      "3 json after column 0: expected UTF-8, found other bytes",
    ]);
  });

  test("nesting does not exhaust the stack", async () => {
    const deep = "[".repeat(100_000);
    expect(await read(deep)).toEqual([
      "1 json after column 100000: expected the end of the record that began on line 1, found the end of the input",
    ]);
    expect(await read(`[${MEM},{"type":"mem","a":${deep}`)).toHaveLength(2);
    expect(await read(`[{"type":"mark","label":"x","a":${deep}${"]".repeat(100_000)}},${MEM}]`)).toEqual([
      '1 {"type":"mark","label":"x"}',
      `1 ${MEM_SAID}`,
    ]);
  });
});

describe("where a document breaks, what stands behind it is read from the next record that begins a line", () => {
  const PRETTY = JSON.stringify(
    [MEM, MARK, DMA].map((text) => JSON.parse(text)),
    null,
    2,
  );
  test.each([
    ["no quote behind a string", PRETTY.replace('"00ff"', '"00ff'), ["6 json", "7 mark", "11 dma"]],
    ["no colon", PRETTY.replace('"label":', '"label"'), ["2 mem", "9 json", "11 dma"]],
    ["no comma between records", PRETTY.replace("},", "}"), ["2 mem", "7 json", "7 mark", "11 dma"]],
    ["no brace behind a record", PRETTY.replace("  },\n", ""), ["6 json", "6 mark", "10 dma"]],
    [
      "words between records",
      `${MEM}${MEM} x\n${MARK}\ny\n${DMA}`,
      ["1 mem", "1 mem", "1 json", "2 mark", "3 json", "4 dma"],
    ],
    ["lines of an array", `[\n${MEM},\n"x":,\n${MARK},\n${DMA}\n]`, ["2 mem", "3 json", "4 mark", "5 dma"]],
    ["a nested object that begins a line is no record", `[{"a":\n{"b":1}, x},\n${DMA}]`, ["2 json", "3 dma"]],
  ])("%s", async (_, text, said) => {
    const kind = (line: string) =>
      line.replace(/^(\d+) (?:(json|mem|dma)|.*"type":"(mark)").*/, (_all, n, a, b) => `${n} ${a ?? b}`);
    expect((await readAll(text)).map(kind)).toEqual(said);
  });

  test("as often as there is a mistake, in linear time", async () => {
    const lines = 20_000;
    const said = await read(`[\n${`${MEM} x\n`.repeat(lines)}]`);
    expect(said).toHaveLength(2 * lines);
  });
});

describe("a line-delimited trace is not taken for a document because of its first line", () => {
  test.each([
    ["cut in a field name", '{"type":"me'],
    ["cut in a string", '{"type":"mark","label":"abc'],
    ["cut behind a comma", '{"type":"mem",'],
    ["cut behind a colon", '{"type":"mem","addr":'],
    ["cut behind a brace", "{"],
    ["cut behind a bracket", '{"type":"cmd","data":['],
    ["cut in an array", '{"type":"cmd","data":["0x1",'],
    ["nothing but a bracket of something", "[garbage"],
    ["a log's time", "[12:00:01] booting"],
    ["bytes that are no text", "\0\0\x01"],
    ["the end of a record", 'a":"0x1"}'],
    ["no JSON", "# a comment"],
    ["a closing brace too many", `${MEM}}`],
  ])("%s", async (_, first) => {
    const said = await readAll(`${first}\n${MEM}\n${DMA}\n`);
    expect(said[0]).toMatch(/^1 json column \d+: expected /);
    expect(said.slice(1)).toEqual([`2 ${MEM_SAID}`, `3 ${DMA_SAID}`]);
  });

  test("nor because of its first lines", async () => {
    const cut = ['{"type":"mem",', '{"type":', '{"type":"cmd","data":["0x1",'];
    const said = await readAll(`${cut.join("\r\n")}\r\n${MEM}\r\n${DMA}`);
    expect(said.slice(0, 3).map((line) => line.replace(/:.*/, ""))).toEqual(
      [1, 2, 3].map((line) => `${line} json column ${cut[line - 1]!.length + 2}`),
    );
    expect(said.slice(3)).toEqual([`4 ${MEM_SAID}`, `5 ${DMA_SAID}`]);
  });

  test("nor where each file that it was put together of has a byte order mark", async () => {
    expect(await readAll(`\ufeff${MEM}\n\ufeff${DMA}\n\ufeff${MARK}\n\ufeff`)).toEqual([
      `1 ${MEM_SAID}`,
      `2 ${DMA_SAID}`,
      `3 ${MARK_SAID}`,
    ]);
  });

  test("the only line", async () => {
    expect(await readAll('{"type":"mem",')).toEqual([
      "1 json column 15: expected a field name, found the end of the line",
    ]);
  });
});
