import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { bytesSource, openTrace } from "../parsers/trace/source.ts";
import { outputSchema } from "../pipeline/output-schema.ts";
import { replayTrace } from "../pipeline/run.ts";

const ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false });
const validate = ajv.compile(outputSchema());
const definitions = outputSchema().$defs as Record<string, { properties: Record<string, unknown> }>;

async function output(source: Parameters<typeof replayTrace>[0], directory: string) {
  const chunks: Buffer[] = [];
  await replayTrace(source, { write: (bytes) => void chunks.push(Buffer.from(bytes)) }, { directory });
  const lines = Buffer.concat(chunks).toString().trimEnd().split("\n");
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
    for (const record of records) {
      if (!validate(record)) expect.fail(`${JSON.stringify(record)}: ${ajv.errorsText(validate.errors)}`);
      const known = definitions[record.type]!.properties;
      for (const field of Object.keys(record)) expect(known).toHaveProperty(field);
    }
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
