import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import type { Output } from "../cli/output.ts";
import { InspectJson } from "../cli/render/inspect-json.ts";
import { bytesSource, openTrace } from "../parsers/trace/source.ts";
import { diffStreams } from "../pipeline/diff/diff.ts";
import { IgnoreRules, ignoreRule } from "../pipeline/diff/ignore-rules.ts";
import { diffSummaryRecord } from "../pipeline/diff/summary-record.ts";
import { inspectTables } from "../pipeline/inspect/inspect-tables.ts";
import { replayTrace } from "../pipeline/replay/run.ts";
import { outputSchema } from "../pipeline/schemas/output-schema.ts";

const ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false });
const validate = ajv.compile(outputSchema());
const definitions = outputSchema().$defs as Record<string, { properties: Record<string, unknown> }>;

async function output(source: Parameters<typeof replayTrace>[0], directory: string) {
  const chunks: Buffer[] = [];
  await replayTrace(source, { write: (bytes) => void chunks.push(Buffer.from(bytes)) }, { directory });
  const lines = Buffer.concat(chunks).toString().trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown> & { type: string });
}

/** Every record keeps to the schema, and has no field that the schema does not know. */
function check(records: readonly (Record<string, unknown> & { type: string })[]): void {
  for (const record of records) {
    if (!validate(record)) expect.fail(`${JSON.stringify(record)}: ${ajv.errorsText(validate.errors)}`);
    const known = definitions[record.type]!.properties;
    for (const field of Object.keys(record))
      if (!Object.hasOwn(known, field)) expect(known).toHaveProperty(field);
  }
}

function parsed(chunks: readonly Buffer[]) {
  const lines = Buffer.concat(chunks).toString("utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown> & { type: string });
}

const folders = ["amd", "arm", "intel", "riscv"].map((vendor) => join("samples", vendor));
const samples = folders.flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => /(?<!\.out)\.ndjson(\.gz)?$/.test(name))
    .map((name) => join(folder, name)),
);

describe("the JSON Schema of output records", () => {
  test.each(samples)("holds for %s, and knows every field", async (path) => {
    const records = await output(await openTrace(path), dirname(path));
    expect(records.at(-1)!.type).toBe("summary");
    check(records);
  });

  test.each(samples)("holds for an inspection of %s", async (path) => {
    const chunks: Buffer[] = [];
    const output: Output = {
      name: "",
      write: async (data) => void chunks.push(Buffer.from(data as Uint8Array)),
      finish: async () => {},
      abandon: () => {},
      halt: async () => {},
    };
    const sink = new InspectJson(output);
    const selection = { maps: true, faulty: true, limit: 20, walks: 100_000 };
    await inspectTables(await openTrace(path), selection, sink, { directory: dirname(path) });
    await sink.flush();
    const records = parsed(chunks);
    expect(records.at(-1)!.type).toBe("inspect-summary");
    check(records);
  });

  test("holds for a comparison, with everything that it can say", async () => {
    const iommu = '{"type":"iommu","id":"d","model":"intel"}';
    const dma = (fields: object) =>
      JSON.stringify({ type: "dma", dev: "00:03.0", addr: "0x1000", ...fields });
    const fault = (code: string) => ({ result: "fault", code, reason: "PTE_FETCH", ipa: "0x20", extra: [1] });
    const a = [
      iommu,
      dma({ seq: 1, observed: fault("0x58") }),
      dma({ seq: 2, pasid: 4, priv: true, observed: { result: "ok", pa: "0x2000" } }),
      dma({ seq: 3, observed: fault("0x5b") }),
      dma({ seq: 4, observed: { result: "msi" } }),
      dma({ seq: 5, addr: "0x5000", len: 8 }),
      dma({ seq: 6, observed: fault("0x1") }),
      '{"type":"dma"}',
    ];
    const b = [
      iommu,
      '{"type":"ram","addr":"0x0","size":"0x1000"}',
      dma({ seq: 1, observed: fault("0x5b") }),
      dma({ seq: 2, pasid: 4, priv: true, observed: { result: "ok", pa: "0x3000" } }),
      dma({ seq: 3, observed: fault("0x5c") }),
      dma({ seq: 4, pasid: 7, access: "rw", observed: { result: "msi" } }),
      dma({ seq: 5, addr: "0x5000", len: 8, observed: { result: "ok", pa: "0x1" } }),
      dma({ seq: 7, observed: { result: "msi" } }),
    ];
    const chunks: Buffer[] = [];
    const source = (lines: readonly string[]) => bytesSource(Buffer.from(lines.join("\n")));
    const rules = [
      { class: "code", codes: "0x5b:0x5c", reason: "known" },
      { class: "address", codes: "0x1:0x2", reason: "never" },
      { class: "code", reason: "gone", expires: "2020-01-01" },
    ].map((rule, i) => ignoreRule(rule, `rule ${i}`, false));
    const result = await diffStreams(
      source(a),
      source(b),
      { write: (bytes) => void chunks.push(Buffer.from(bytes)) },
      { ignore: new IgnoreRules(rules, "2026-01-01") },
    );
    const records = [...parsed(chunks), JSON.parse(JSON.stringify(diffSummaryRecord(result)))];
    const classes = records.filter(({ type }) => type === "diff").map((record) => record.class);
    expect(new Set(classes)).toEqual(new Set(["code", "address", "request", "only-in-a", "only-in-b"]));
    expect(records.map(({ type }) => type)).toEqual(expect.arrayContaining(["error", "diff-summary"]));
    expect(Object.keys(records.at(-1)!)).toEqual(expect.arrayContaining(["first", "ignored", "notes"]));
    check(records);
  });

  test("holds for errors and marks", async () => {
    const trace = '{"type":"mark","label":""}\n{"type":"dma"}\nx\n{"type":"zot"}\n';
    const records = await output(bytesSource(Buffer.from(trace)), ".");
    expect(records.map((r) => r.type)).toEqual(expect.arrayContaining(["mark", "error", "summary"]));
    for (const record of records) expect(validate(record), JSON.stringify(record)).toBe(true);
  });

  const ok = {
    type: "outcome",
    line: 7,
    dev: "00:03.0",
    addr: "0x1",
    len: 8,
    access: "r",
    model: "intel",
    result: "ok",
    pa: "0x2",
    perm: "rw-",
    reads: 3,
  };
  const fault = {
    type: "outcome",
    line: 7,
    dev: "00:03.0",
    addr: "0x1",
    len: 8,
    access: "r",
    model: "intel",
    result: "fault",
    reason: "PERMISSION",
    code: "0x85",
    name: "SSR.2",
    reads: 3,
  };

  test("takes outcomes", () => {
    for (const record of [
      ok,
      fault,
      {
        ...ok,
        ts: "12:30",
        sg: [
          ["0x2", 4],
          ["0x5000", 4],
        ],
        passthrough: true,
      },
      { ...fault, level: -1, recorded: false, hole: true, verdict: "mismatch", diff: "code" },
    ])
      expect(validate(record), ajv.errorsText(validate.errors)).toBe(true);
  });

  test.each([
    { ...ok, pa: undefined },
    { ...ok, pa: "2" },
    { ...ok, pa: "0x02" },
    { ...ok, pa: "0xAB" },
    { ...ok, perm: "rwz" },
    { ...ok, line: 0 },
    { ...ok, model: "host" },
    { ...ok, reads: undefined },
    { ...ok, passthrough: false },
    { ...ok, sg: [["0x2", 4]] },
    { ...ok, sg: [["0x2"], ["0x3"]] },
    { ...fault, reason: "NONE" },
    { ...fault, name: undefined },
    { ...fault, recorded: true },
    { ...fault, verdict: "same" },
    { type: "error", line: 1, code: "syntax", message: "x" },
    { type: "nothing" },
    {},
  ])("refuses %j", (record) => {
    expect(validate(JSON.parse(JSON.stringify(record)))).toBe(false);
  });
});

test("holds where a table lies at the end of addresses, or has more entries than there are PASIDs", async () => {
  const end = [
    {
      type: "bind",
      dev: "00:03.0",
      config: { model: "intel", base_ptr: "0xfffffffffffff000", pasid_bits: 20 },
    },
    { type: "ram", addr: "0x0", size: "0x100000" },
    { type: "dma", dev: "00:03.0", addr: "0x0", pasid: 1_000_000 },
  ];
  const deep = [
    { type: "ram", addr: "0x0", size: "0x100000" },
    { type: "mem", addr: "0x1020", data: "0120000000000000" },
    {
      type: "bind",
      dev: "00:03.0",
      config: { model: "amd", base_ptr: "0x1000", pasid_bits: 20, amd: { glx: 2 } },
    },
    { type: "dma", dev: "00:03.0", addr: "0x0", pasid: 1 },
  ];
  const source = (records: readonly object[]) =>
    bytesSource(Buffer.from(records.map((record) => `${JSON.stringify(record)}\n`).join("")));
  const beyond = await output(source(end), ".");
  check(beyond);
  // The entry would be at 2^64 + 0x1d848: that address is none, and 0x1d848 is another entry's.
  const outcome = beyond.find((record) => record.type === "outcome");
  expect(outcome).toMatchObject({ result: "fault", hole: true });
  expect(outcome).not.toHaveProperty("entry_addr");
  const unreachable = await output(source(deep), ".");
  check(unreachable);
  expect(unreachable.filter((record) => record.rule === "unreachable-entry")).toHaveLength(1);
});
