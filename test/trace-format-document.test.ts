import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { inputSchema } from "../parsers/trace/input-schema.ts";
import { type OutputRecord, replay } from "../pipeline/library/index.ts";
import { outputSchema } from "../pipeline/schemas/output-schema.ts";
import { FAULT_REASONS } from "../walkers/fault.ts";
import { IOMMUS } from "../walkers/models.ts";
import { VENDORS } from "../walkers/registry.ts";
import { ROOT } from "./support/cli.ts";

const PATH = "docs/trace-format.md";
const DOCUMENT = readFileSync(join(ROOT, PATH), "utf8");

interface Schema {
  readonly $defs?: Record<string, Schema>;
  readonly properties?: Record<string, Schema>;
  readonly required?: readonly string[];
  readonly items?: Schema | false;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
}

/** Fields of a type: their paths, and whether they may be left out. */
type FieldTable = Map<string, boolean>;

function fieldsOf(schema: Schema, prefix = "", found: FieldTable = new Map()): FieldTable {
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    if (prefix === "" && name === "type") continue;
    const path = prefix + name;
    found.set(path, !(schema.required ?? []).includes(name));
    fieldsOf(field, `${path}.`, found);
    if (field.items) fieldsOf(field.items, `${path}[].`, found);
  }
  return found;
}

/** Every text that some field may have, and no other. */
function valuesOf(schema: Schema, found = new Set<string>()): Set<string> {
  for (const value of [...(schema.enum ?? []), schema.const]) if (typeof value === "string") found.add(value);
  for (const field of Object.values(schema.properties ?? {})) valuesOf(field, found);
  if (schema.items) valuesOf(schema.items, found);
  return found;
}

/** Chapters of the document by the type that their title names. */
function chapters(title: string, mark: string): Map<string, string> {
  const part = new RegExp(`^## ${title}\\n([\\s\\S]*?)(?=^## )`, "m").exec(DOCUMENT)![1]!;
  const found = new Map<string, string>();
  for (const [, type, text] of part.matchAll(
    new RegExp(`^${mark} \`(.*)\`\\n([\\s\\S]*?)(?=^#|$(?![\\s\\S]))`, "gm"),
  )) {
    expect(found.has(type!), `two chapters on ${type}`).toBe(false);
    found.set(type!, text!);
  }
  return found;
}

/** The fields that the first cells of a chapter's table name; `?` behind one says that it may be left out. */
function documented(chapter: string): FieldTable {
  const found: FieldTable = new Map();
  const table = chapter.slice(chapter.indexOf("| field | kind | meaning |"));
  for (const line of table.split("\n").slice(2)) {
    if (!line.startsWith("|")) break;
    for (const [, name, optional] of line.split("|")[1]!.matchAll(/`([^`]+)`(\??)/g)) {
      expect(found.has(name!), `${name} stands twice`).toBe(false);
      found.set(name!, optional === "?");
    }
  }
  return found;
}

const sorted = (fields: FieldTable) => [...fields].sort(([a], [b]) => (a < b ? -1 : 1));

const SIDES = [
  ["Input records", "###", inputSchema() as Schema],
  ["Output records", "####", outputSchema() as Schema],
] as const;

describe.each(SIDES)("%s", (title, mark, schema) => {
  const definitions = schema.$defs!;
  const said = chapters(title, mark);

  test("has a chapter on each type of the JSON Schema, and on no other", () => {
    expect([...said.keys()].sort()).toEqual(Object.keys(definitions).sort());
  });

  test.each(Object.keys(definitions))("%s: the same fields, and the same ones may be left out", (type) => {
    expect(sorted(documented(said.get(type)!))).toEqual(sorted(fieldsOf(definitions[type]!)));
  });

  test.each(Object.keys(definitions))("%s: names every value that a field may have", (type) => {
    const values = valuesOf(definitions[type]!);
    values.delete(type);
    for (const value of values) expect(DOCUMENT, value).toContain(`\`${value}\``);
  });
});

describe("what the document says beside fields", () => {
  const row = (name: string) => new RegExp(`^\\| \`${name}\` \\| (.*) \\|$`, "m").exec(DOCUMENT)?.[1];

  test("all fault reasons, and no other", () => {
    const part = /## Fault reasons\n([\s\S]*?)^## /m.exec(DOCUMENT)![1]!;
    const said = [...part.matchAll(/^\| `(\w+)` \|/gm)].map((m) => m[1]);
    expect(said).toEqual(Object.keys(FAULT_REASONS));
  });

  test("the registers that a walk depends on", () => {
    for (const model of Object.keys(IOMMUS) as (keyof typeof IOMMUS)[]) {
      const names = [...row(model)!.matchAll(/`(\w+)`/g)].map((m) => m[1]!);
      expect(names.sort()).toEqual([...VENDORS[model].registerNames.walked].sort());
    }
  });

  test("a whole trace, which replays as it was recorded", async () => {
    const [, trace] = /```json\n([\s\S]*?)```/.exec(DOCUMENT)!;
    const records: OutputRecord[] = [];
    for await (const record of replay(Buffer.from(trace!), { strict: true })) records.push(record);
    const verdicts = records.filter((r) => r.type === "outcome").map((r) => r.verdict);
    expect(verdicts).toEqual(["match", "match"]);
    const findings = records.filter((r) => r.type === "finding").map((r) => r.rule);
    expect(findings).toEqual(["fault-history", "trace-incomplete"]);
    expect(records.filter((r) => r.type === "error")).toEqual([]);
    const types = trace!
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { type: string }).type);
    expect(new Set(types).size).toBeGreaterThan(8);
  });

  test("links that lead somewhere", () => {
    const titles = [...DOCUMENT.matchAll(/^#+ (.*)$/gm)].map((m) =>
      m[1]!
        .toLowerCase()
        .replace(/[^\w -]/g, "")
        .replaceAll(" ", "-"),
    );
    for (const [, target] of DOCUMENT.matchAll(/\]\(#([^)]*)\)/g)) expect(titles).toContain(target);
  });
});

test("the README leads to it, and the package has it", () => {
  expect(readFileSync(join(ROOT, "README.md"), "utf8")).toContain(`(${PATH})`);
  const { files } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { files: string[] };
  expect(files).toContain("docs");
});
