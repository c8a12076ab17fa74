import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import { beforeAll, describe, expect, test } from "vitest";
import { TABLES } from "../pipeline/tables/tables.ts";
import { CLI, cli, ended, FIXTURE, type Ran, records, start, temporaryFolder } from "./support/cli.ts";
import { parseCsv } from "./support/csv.ts";

const folder = temporaryFolder();
const at = (...names: string[]) => join(folder, ...names);

/** Everything in a folder and below it, by its path there. */
function filesOf(path: string): Map<string, Buffer> {
  const names = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = names.map((entry) => join(entry.parentPath, entry.name)).sort();
  return new Map(paths.map((file) => [file.slice(path.length + 1), readFileSync(file)]));
}

const rowsOf = (bytes: Uint8Array) => parquetReadObjects({ file: new Uint8Array(bytes).buffer });

/** Waits until something is so. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe("one trace", () => {
  let plain: Ran;
  let tables: Ran;
  const broken = at("broken.ndjson");
  beforeAll(async () => {
    writeFileSync(broken, `${readFileSync(FIXTURE, "utf8")}{"type":"dma"}\nnothing\n`);
    plain = await cli([broken]);
    tables = await cli([broken, "--format", "parquet", "-o", at("one")]);
  });

  test("becomes a file a table, and the exit status stays what it is", async () => {
    expect(tables).toMatchObject({ status: plain.status, stdout: "" });
    expect(tables.status).toBe(2);
    expect(tables.stderr).toBe(
      `pasid-replay: ${broken}: 2 records could not be used: errors.parquet has them\n`,
    );
    const files = filesOf(at("one"));
    expect([...files.keys()]).toEqual([
      ...["errors.parquet", "findings.parquet", "marks.parquet", "outcomes.parquet", "stats.ndjson"],
    ]);
    const all = records(plain.stdout);
    for (const [type, table] of [
      ["outcome", "outcomes"],
      ["finding", "findings"],
      ["error", "errors"],
    ]) {
      const rows = await rowsOf(files.get(`${table}.parquet`)!);
      const lines = all.filter((record) => record.type === type).map(({ line }) => line);
      expect(rows.map(({ line }) => Number(line))).toEqual(lines);
      expect(new Set(rows.map(({ trace }) => trace)).size).toBeLessThan(2);
    }
    const stats = records(files.get("stats.ndjson")!.toString("utf8"));
    expect(stats.map(({ type }) => type)).toEqual(["stats", "summary"]);
    expect(stats.map(({ trace }) => trace)).toEqual([broken, broken]);
  });

  test("other files of the folder stay, and a selection narrows the rows", async () => {
    mkdirSync(at("kept"));
    writeFileSync(at("kept", "notes.txt"), "mine");
    writeFileSync(at("kept", "outcomes.csv"), "of an earlier run");
    await cli([FIXTURE, "--format", "csv", "-o", at("kept"), "--only", "faults", "--no-stats"]);
    const files = filesOf(at("kept"));
    expect([...files.keys()].sort()).toEqual([
      "errors.csv",
      "findings.csv",
      "marks.csv",
      "notes.txt",
      "outcomes.csv",
    ]);
    const [names, ...rows] = parseCsv(files.get("outcomes.csv")!.toString("utf8"));
    expect(rows.map((row) => row[names!.indexOf("name")])).toEqual(["SFS.2", "SGN.6", "SPT.2"]);
    expect(files.get("findings.csv")!.toString().split("\r\n")).toHaveLength(2);
  });

  test("as one table says on standard error what has no place in it", async () => {
    const sample = "samples/bind/entry-update.ndjson";
    const outcomes = await cli([sample, "--format", "csv"]);
    const expected = records((await cli([sample])).stdout);
    const findings = expected.filter(({ type }) => type === "finding");
    expect(outcomes.stderr).toBe(
      `pasid-replay: ${sample}: 1 finding is not among outcomes: --output FOLDER writes all, --only findings or marks these\n`,
    );
    const names = TABLES.outcomes.map(({ name }) => name);
    expect(parseCsv(outcomes.stdout)[0]).toEqual(names);
    expect(parseCsv(outcomes.stdout)).toHaveLength(
      1 + expected.filter(({ type }) => type === "outcome").length,
    );

    const only = await cli([
      sample,
      "--format",
      "parquet",
      "--only",
      "findings",
      "-o",
      at("findings.parquet"),
    ]);
    expect(only.stderr).toBe("");
    const rows = await rowsOf(readFileSync(at("findings.parquet")));
    expect(rows.map(({ rule }) => rule)).toEqual(findings.map(({ rule }) => rule));

    const errors = await cli([broken, "--format", "csv", "--only", "mismatches"]);
    expect(errors.status).toBe(2);
    expect(errors.stderr).toMatch(
      /^pasid-replay: .*broken\.ndjson:\d+: dma\.dev: .*\n.*broken\.ndjson:\d+: /,
    );
  });
});

describe("several traces", () => {
  let plain: Ran;
  beforeAll(async () => {
    mkdirSync(at("runs", "b"), { recursive: true });
    copyFileSync(FIXTURE, at("runs", "a.ndjson"));
    copyFileSync("samples/bind/entry-update.ndjson", at("runs", "b", "a.ndjson"));
    plain = await cli(["runs", "none.ndjson", "-k"], { cwd: folder });
  });

  test("have a folder each, the same with two threads, and a total that merge gives, too", async () => {
    const ran = await cli(["runs", "none.ndjson", "-k", "--format", "parquet", "-o", "out"], { cwd: folder });
    expect(ran.status).toBe(plain.status);
    expect(ran.stderr).toBe(plain.stderr);
    const files = filesOf(at("out"));
    const tables = ["errors", "findings", "marks", "outcomes"].map((table) => `${table}.parquet`);
    expect([...files.keys()]).toEqual([
      ...["runs_a.ndjson", "runs_b_a.ndjson"].flatMap((name) =>
        [...tables, "stats.ndjson"].map((file) => `${name}/${file}`),
      ),
      "total.ndjson",
    ]);
    const expected = records(plain.stdout);
    expect(records(files.get("total.ndjson")!.toString("utf8"))).toEqual([
      expected.find(({ error }) => error !== undefined),
      expected.at(-1),
    ]);
    const rows = await rowsOf(files.get("runs_b_a.ndjson/outcomes.parquet")!);
    expect(new Set(rows.map(({ trace }) => trace))).toEqual(new Set(["runs/b/a.ndjson"]));

    await cli(["runs", "none.ndjson", "-k", "--format", "parquet", "-o", "out2", "--jobs", "2"], {
      cwd: folder,
    });
    expect(filesOf(at("out2"))).toEqual(files);

    const stats = [...files.keys()]
      .filter((name) => name.endsWith("stats.ndjson"))
      .map((name) => at("out", name));
    const merged = records((await cli(["merge", ...stats])).stdout).at(-1);
    const { failed: _, ...total } = expected.at(-1);
    expect(merged).toEqual(total);
  });

  test("as one table of CSV have one line of names", async () => {
    const { stdout } = await cli(["runs", "--format", "csv", "--jobs", "2"], { cwd: folder });
    const [names, ...rows] = parseCsv(stdout);
    expect(names![0]).toBe("trace");
    const outcomes = records(plain.stdout).filter(({ type }) => type === "outcome");
    expect(rows.map(([trace, line]) => `${trace}:${line}`)).toEqual(
      outcomes.map(({ trace, line }) => `${trace}:${line}`),
    );
  });
});

describe("trouble", () => {
  test("a signal leaves nothing behind", async () => {
    const child = start(["-", "--format", "parquet", "-o", at("ended", "here")]);
    const end = ended(child);
    child.stdin!.write(readFileSync(FIXTURE));
    await until(() => existsSync(at("ended", "here")));
    child.kill("SIGINT");
    expect(await end).toMatchObject({ status: 130, stdout: "" });
    expect(existsSync(at("ended", "here"))).toBe(false);
  });

  test("nor does a trace that cannot be opened", async () => {
    const ran = await cli(["none.ndjson", "--format", "csv", "-o", at("nothing")]);
    expect(ran.status).toBe(2);
    expect(existsSync(at("nothing"))).toBe(false);
  });

  test.each([
    [
      ["--summary", "--format", "csv"],
      "--format csv: expected it without --summary and --stats-only, found both",
    ],
    [
      ["--format", "parquet", "-o", "a.csv"],
      '--output: expected a folder, or a file that ends in .parquet, found "a.csv"',
    ],
    [
      ["--format", "parquet", "-o", "a.parquet", FIXTURE],
      "--output: expected a folder for the tables of 2 traces, found one file for all",
    ],
    [
      ["--format", "csv", "-o", join(CLI, "folder")],
      `${join(CLI, "folder")}: found a file where a folder must be (ENOTDIR)`,
    ],
  ])("%j is refused", async (options, message) => {
    const ran = await cli([FIXTURE, ...options]);
    expect(ran.status).toBe(2);
    expect(ran.stderr).toContain(message);
  });
});
