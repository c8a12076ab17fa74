import { execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  constants,
  createWriteStream,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { CLI, cli, ended, FIXTURE, records, start, temporaryFolder } from "./support/cli.ts";

const folder = temporaryFolder();
const trace = readFileSync(FIXTURE, "utf8");
const lines = trace.trimEnd().split("\n");

/** The fixture with lines changed or added. */
function variant(name: string, change: (lines: string[]) => string[]): string {
  const path = join(folder, name);
  writeFileSync(path, `${change([...lines]).join("\n")}\n`);
  return path;
}

/** A long trace: the fixture with its first request many times over. */
function long(name: string, requests: number): string {
  return variant(name, (all) => [...all.slice(0, 9), ...Array<string>(requests).fill(all[9]!)]);
}

/** Bytes that a FIFO gives at once; 0 where nobody writes. */
function readAny(fd: number): number {
  try {
    return readSync(fd, Buffer.alloc(1));
  } catch {
    return 0;
  }
}

describe.concurrent("what is written", () => {
  test("an outcome per request, in order, then stats and summary", async () => {
    const ran = await cli([FIXTURE]);
    expect(ran).toMatchObject({ status: 0, stderr: "" });
    const out = records(ran.stdout);
    expect(out.map((r) => r.type)).toEqual([
      ...["outcome", "outcome", "mark", "outcome", "outcome", "outcome"],
      ...["stats", "summary"],
    ]);
    expect(out[0]).toMatchObject({ line: 10, result: "ok", pa: "0x12345040", verdict: "match" });
    expect(out[1].sg).toEqual([
      ["0x99999ff0", 16],
      ["0x12345000", 16],
    ]);
    expect(out[3]).toMatchObject({ code: "0x71", entry_addr: "0x6010", verdict: "match" });
  });

  test("the same bytes from a file, a pipe and gzip, with and without `replay`", async () => {
    const file = await cli(["replay", FIXTURE]);
    expect((await cli([FIXTURE])).stdout).toBe(file.stdout);
    expect((await cli(["-"], { input: trace })).stdout).toBe(file.stdout);
    expect((await cli(["-"], { input: gzipSync(trace) })).stdout).toBe(file.stdout);
  });

  test("--only takes lists and repetitions, --stats-only and --no-stats leave the rest out", async () => {
    const types = async (...args: string[]) =>
      records((await cli([FIXTURE, ...args])).stdout).map((r) => r.seq ?? r.type);
    expect(await types("--only", "faults", "--no-stats")).toEqual([3, 4, 5]);
    expect(await types("--only", "ok,marks", "--no-stats")).toEqual([1, 2, "mark"]);
    expect(await types("--only", "matches", "--only", "marks")).toEqual([1, "mark", 3, "stats", "summary"]);
    expect(await types("--stats-only")).toEqual(["stats", "summary"]);
    expect(await types("--no-stats")).toEqual([1, 2, "mark", 3, 4, 5]);
  });

  test("several traces: each begins anew, and stats and summary name it", async () => {
    const bad = variant("several.ndjson", (all) => all.filter((line) => !line.includes('"bind"')));
    const ran = await cli([FIXTURE, bad, "--stats-only"]);
    const out = records(ran.stdout);
    expect(out[0]).toEqual({ type: "trace", path: FIXTURE });
    const [error] = out.filter((r) => r.type === "error");
    expect(Object.keys(error).slice(0, 3)).toEqual(["type", "trace", "line"]);
    expect(error.trace).toBe(bad);
    expect(out.filter((r) => r.type === "stats").map((r) => r.trace)).toEqual([FIXTURE]);
    expect(out.filter((r) => r.type === "summary").map((r) => [r.trace, r.errors])).toEqual([
      [FIXTURE, 0],
      [bad, 5],
    ]);
    expect(ran.status).toBe(2);
  });

  test("--pa-granularity and --compare", async () => {
    const other = variant("granularity.ndjson", (all) =>
      all.map((line) => line.replace('"pa":"0x12345040"', '"pa":"0x12345000"').replace('"0x71"', '"0x72"')),
    );
    const diffs = async (...args: string[]) =>
      records((await cli([other, "--only", "mismatches", ...args])).stdout).map((r) => r.diff ?? r.type);
    expect(await diffs("--no-stats")).toEqual(["pa", "code"]);
    expect(await diffs("--no-stats", "--pa-granularity", "page")).toEqual(["code"]);
    expect(await diffs("--no-stats", "--compare", "pa")).toEqual(["pa"]);
    expect(await diffs("--no-stats", "--compare", "result")).toEqual([]);
  });

  test("--max-line makes a long line an error record", async () => {
    const ran = await cli([FIXTURE, "--max-line", "120", "--stats-only"]);
    expect(ran.status).toBe(2);
    expect(records(ran.stdout).find((r) => r.type === "error")).toMatchObject({ line: 1, code: "json" });
  });

  test("--allow-path lets a snapshot be elsewhere", async () => {
    const elsewhere = temporaryFolder();
    writeFileSync(join(elsewhere, "memory.raw"), Buffer.alloc(0x8000));
    const snapshot = JSON.stringify({ type: "snapshot", path: join(elsewhere, "memory.raw"), format: "raw" });
    const path = variant("snapshot.ndjson", (all) => [all[0]!, snapshot, ...all.slice(2)]);
    expect((await cli([path, "--stats-only"])).status).toBe(2);
    expect((await cli([path, "--stats-only", "--allow-path", elsewhere])).status).toBe(0);
  });
});

describe.concurrent("exit status", () => {
  const mismatch = variant("mismatch.ndjson", (all) =>
    all.map((line) => line.replace("0x12345040", "0x1000")),
  );

  test("1 for a mismatch, unless --fail-on says otherwise", async () => {
    expect((await cli([mismatch])).status).toBe(1);
    expect((await cli([mismatch, "--fail-on", "never"])).status).toBe(0);
    expect((await cli([mismatch, "--fail-on", "stale,hazard"])).status).toBe(0);
    expect((await cli([mismatch, "--compare", "result"])).status).toBe(0);
  });

  test("--fail-on fault and warning", async () => {
    expect((await cli([FIXTURE, "--fail-on", "fault"])).status).toBe(1);
    const unknown = variant("unknown.ndjson", (all) => [...all, '{"type":"news"}']);
    expect((await cli([unknown])).status).toBe(0);
    expect((await cli([unknown, "--fail-on", "mismatch,warning"])).status).toBe(1);
  });

  test("--fail-on hazard and finding: a changed entry without an invalidation", async () => {
    // The page moves between two requests for it, of which the second one observed nothing.
    const moved = '{"type":"mem","addr":"0x6008","data":"0770341200000000"}';
    const again = lines[9]!.replace(/,"observed".*/, "}");
    const stale = variant("stale.ndjson", (all) => [...all.slice(0, 10), moved, again]);
    const ran = await cli([stale, "--no-stats"]);
    expect(ran.status).toBe(0);
    const out = records(ran.stdout);
    expect(out.filter((r) => r.type === "outcome").map((r) => r.verdict)).toEqual(["match", "hazard"]);
    expect(out.find((r) => r.type === "finding")).toMatchObject({
      rule: "missing-invalidation",
      severity: "error",
    });
    expect((await cli([stale, "--fail-on", "hazard"])).status).toBe(1);
    expect((await cli([stale, "--fail-on", "finding"])).status).toBe(1);
    expect((await cli([stale, "--fail-on", "finding,hazard", "--no-caches"])).status).toBe(0);
  });

  test("--fail-on latent: the same, answered rightly", async () => {
    const moved = '{"type":"mem","addr":"0x6008","data":"0770341200000000"}';
    const again = lines[9]!.replace("0x12345040", "0x12347040");
    const path = variant("latent.ndjson", (all) => [...all.slice(0, 10), moved, again]);
    const ran = await cli([path, "--fail-on", "latent"]);
    expect(ran.status).toBe(1);
    const out = records(ran.stdout);
    expect(out.filter((r) => r.type === "outcome").map((r) => r.verdict)).toEqual(["match", "match"]);
    expect(out.find((r) => r.type === "finding")).toMatchObject({
      rule: "missing-invalidation",
      latent: true,
      line: 12,
      changed_line: 11,
    });
    expect(out.at(-1)).toMatchObject({ type: "summary", latent: 1 });
    expect((await cli([path, "--fail-on", "mismatch,stale,hazard"])).status).toBe(0);
    const shown = variant("shown.ndjson", (all) => [...all.slice(0, 10), moved, all[9]!]);
    expect((await cli([shown, "--fail-on", "latent"])).status).toBe(0);
    expect((await cli([shown, "--fail-on", "stale"])).status).toBe(1);
  });

  test("--code-alias: a code that the recorded system gives for another", async () => {
    const request = lines[9]!.replace(/"addr":"[^"]*"/, '"addr":"0x7f00000000"');
    const walked = variant("walked.ndjson", (all) => [...all.slice(0, 9), request]);
    const { code } = records((await cli([walked])).stdout).find((r) => r.type === "outcome")!;
    const fault = `"observed":{"result":"fault","code":"0x5"}`;
    const path = variant("alias.ndjson", (all) => [
      ...all.slice(0, 9),
      request.replace(/"observed":\{[^}]*\}/, fault),
    ]);
    expect((await cli([path])).status).toBe(1);
    expect((await cli([path, "--code-alias", `0x6=0x9,${code}=0x5`])).status).toBe(0);
    const wrong = await cli([path, "--code-alias", "0x5"]);
    expect(wrong).toMatchObject({ status: 2, stdout: "" });
    expect(wrong.stderr).toContain("--code-alias: expected a code of the specification and a recorded one");
  });

  test("--fail-on stale: for want of an invalidation, not while one is on its way", async () => {
    const iommu = '{"type":"iommu","id":"dmar0","model":"intel"}';
    const moved = '{"type":"mem","addr":"0x6008","data":"0770341200000000"}';
    const command = (...data: string[]) => JSON.stringify({ type: "cmd", iommu: "dmar0", data });
    const wait = command("0x25", "0x0", "0x0", "0x0");
    const page = command("0x500030036", "0x7f0000001000", "0x0", "0x0");
    const trace = (name: string, ...between: string[]) =>
      variant(name, (all) => [iommu, ...all.slice(0, 9), wait, all[9]!, moved, ...between, all[9]!, wait]);
    for (const [path, status] of [
      [trace("owed.ndjson"), 1],
      [trace("pending.ndjson", page), 0],
    ] as const) {
      const ran = await cli([path, "--fail-on", "stale"]);
      expect(ran.status).toBe(status);
      expect(
        records(ran.stdout)
          .filter((r) => r.type === "outcome")
          .map((r) => r.verdict),
      ).toEqual(["match", "stale"]);
      const rules = records(ran.stdout).flatMap((r) => (r.type === "finding" ? [r.rule] : []));
      expect(rules).toEqual(status === 1 ? ["missing-invalidation"] : []);
    }
  });

  test("2 for a record that cannot be used, whatever else there is", async () => {
    const broken = variant("broken.ndjson", (all) => [...all, "{"]);
    const ran = await cli([broken]);
    expect(ran.status).toBe(2);
    expect(records(ran.stdout).filter((r) => r.type === "error")).toMatchObject([{ line: 17, code: "json" }]);
    const both = variant("both.ndjson", () => [readFileSync(mismatch, "utf8").trimEnd(), "{"]);
    expect((await cli([both, "--fail-on", "never"])).status).toBe(2);
  });

  test("2 for what cannot be opened, with one line that says why", async () => {
    expect(await cli([join(folder, "none.ndjson")])).toEqual({
      status: 2,
      signal: null,
      stdout: "",
      stderr: `pasid-replay: ${join(folder, "none.ndjson")}: expected a trace, found no such file\n`,
    });
    const empty = join(folder, "empty");
    mkdirSync(empty);
    expect(await cli([empty])).toMatchObject({
      status: 2,
      stderr: `pasid-replay: ${empty}: expected a folder with traces, found none in it\n`,
    });
  });
});

describe.concurrent("--output", () => {
  test("writes all of the output to a file, and nothing else", async () => {
    const path = join(folder, "out.ndjson");
    writeFileSync(path, "old");
    const ran = await cli([FIXTURE, "-o", path]);
    expect(ran).toMatchObject({ status: 0, stdout: "", stderr: "" });
    expect(readFileSync(path, "utf8")).toBe((await cli([FIXTURE])).stdout);
  });

  test("follows a symbolic link, and keeps the mode of the file", async () => {
    const real = join(folder, "real.ndjson");
    writeFileSync(real, "old", { mode: 0o600 });
    symlinkSync(real, join(folder, "link.ndjson"));
    await cli([FIXTURE, "-o", join(folder, "link.ndjson")]);
    expect(readFileSync(real, "utf8")).toContain('"summary"');
    expect(statSync(real).mode & 0o777).toBe(0o600);
  });

  test("leaves the old file alone, and no other, where the trace cannot be opened", async () => {
    const place = temporaryFolder();
    writeFileSync(join(place, "out.ndjson"), "old");
    const ran = await cli([FIXTURE, join(place, "none.ndjson"), "-o", join(place, "out.ndjson")]);
    expect(ran.status).toBe(2);
    expect(readdirSync(place)).toEqual(["out.ndjson"]);
    expect(readFileSync(join(place, "out.ndjson"), "utf8")).toBe("old");
  });

  test("refuses to write over its input", async () => {
    const path = variant("input.ndjson", (all) => all);
    const ran = await cli([path, "-o", path]);
    expect(ran).toMatchObject({ status: 2, stderr: expect.stringContaining("another file than the trace") });
    expect(readFileSync(path, "utf8")).toBe(trace);
  });

  test("refuses to append to its input by redirection: it would read what it writes", async () => {
    const path = variant("appended.ndjson", (all) => all);
    const out = openSync(path, "a");
    const ran = await ended(start([path], { stdio: ["ignore", out, "pipe"] }));
    closeSync(out);
    expect(ran).toMatchObject({ status: 2, stderr: expect.stringContaining("another file than the trace") });
    expect(readFileSync(path, "utf8")).toBe(trace);
  });

  test.skipIf(!existsSync("/dev/full"))("says so where the disk is full", async () => {
    const full = { status: 2, stderr: expect.stringMatching(/^pasid-replay: .*no space left.*ENOSPC\)\n$/) };
    expect(await cli([FIXTURE, "-o", "/dev/full"])).toMatchObject(full);
    const sink = createWriteStream("/dev/full");
    await new Promise((resolve) => sink.once("open", resolve));
    const child = start([FIXTURE], { stdio: ["ignore", sink, "pipe"] });
    expect(await ended(child)).toMatchObject(full);
    sink.destroy();
  });

  test("a file that cannot grow any further is an error, and is not left behind half-written", async () => {
    const place = temporaryFolder();
    const full = long("grown.ndjson", 5000);
    // In units of 512 or 1024 bytes: a disk that is full in the middle of a write.
    const script = 'ulimit -f 100 && exec "$0" "$@"';
    const child = spawn("/bin/sh", ["-c", script, CLI, full, "-o", join(place, "out.ndjson")]);
    const ran = await ended(child);
    expect(ran).toMatchObject({ status: 2, stderr: expect.stringContaining("too large (EFBIG)") });
    expect(readdirSync(place)).toEqual([]);
  });

  test("says so where the folder does not exist", async () => {
    const ran = await cli([FIXTURE, "-o", join(folder, "no/such/out.ndjson")]);
    expect(ran).toMatchObject({ status: 2, stderr: expect.stringContaining("ENOENT") });
  });
});

describe.concurrent("usage", () => {
  test.each([
    [[], "expected a trace to replay"],
    [["--olny", "faults", FIXTURE], "did you mean --only?"],
    [["--only", "fault", FIXTURE], "did you mean faults?"],
    [["--fail-on", "", FIXTURE], "found nothing"],
    [["--compare", "all", FIXTURE], '--compare: expected one of result, pa, code, record, found "all"'],
    [["--stat-only", FIXTURE], "found stat-only; did you mean --stats-only?"],
    [["decode"], "expected at least 2 arguments, found 0"],
    [["--max-line", "much", FIXTURE], 'found "much"'],
    [["--only"], "--only: expected a value, found none"],
    [["--stats-only", "--only", "ok", FIXTURE], "--stats-only: expected it without --only, found both"],
    [["--stats-only", "--no-stats", FIXTURE], "expected it without --no-stats, found both"],
    [["replya", FIXTURE], "no such file; did you mean the command replay?"],
    [["-", "-"], "found it named twice"],
    [["-o", "a", "-o", "b", FIXTURE], "expected it once"],
  ])("%j: exit 2 and %s", async (args, message) => {
    const ran = await cli(args);
    expect(ran).toMatchObject({ status: 2, stdout: "" });
    expect(ran.stderr).toContain(message);
    const help = args[0] === "decode" ? "decode --help" : "--help";
    expect(ran.stderr).toMatch(/^pasid-replay: .*\nTry '.*'\.\n$/);
    expect(ran.stderr.split("\n")[1]).toBe(`Try 'pasid-replay ${help}'.`);
  });

  test("a wrong use of a command points to that command's help", async () => {
    const ran = await cli(["check", "--config", "x.json"]);
    expect(ran).toMatchObject({
      status: 2,
      stderr: "pasid-replay: expected --host, found none\nTry 'pasid-replay check --help'.\n",
    });
  });

  test("behind -- there are only files, whatever their names", async () => {
    const place = temporaryFolder();
    for (const name of ["-x.ndjson", "walk"]) writeFileSync(join(place, name), trace);
    const ran = await cli(["--stats-only", "--", "-x.ndjson", "walk"], { cwd: place });
    expect(ran).toMatchObject({ status: 0, stderr: "" });
    const paths = records(ran.stdout).filter((record) => record.type === "trace");
    expect(paths.map((record) => record.path)).toEqual(["-x.ndjson", "walk"]);
    expect((await cli(["walk", "--line", "10", "--", "walk"], { cwd: place })).status).toBe(0);
  });

  test("--help says what every option and name does; --version is the package's", async () => {
    const help = await cli(["--help"]);
    expect(help.status).toBe(0);
    for (const word of [
      "--fail-on",
      "--memory-limit",
      "mismatches",
      "hazard",
      "walk <trace>",
      "Examples:",
      "Exit status: 0",
    ])
      expect(help.stdout).toContain(word);
    const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
    expect((await cli(["--version"])).stdout).toBe(`${version}\n`);
  });
});

describe("pipes, signals and terminals", () => {
  test("a reader that has seen enough ends it quietly", async () => {
    const child = start([long("pipe.ndjson", 50_000)]);
    child.stdout!.once("data", () => child.stdout!.destroy());
    let stderr = "";
    child.stderr!.on("data", (text) => {
      stderr += text;
    });
    const status = await new Promise((resolve) => child.on("close", resolve));
    expect([status, stderr]).toEqual([0, ""]);
  });

  test("output comes as the input does; an interrupt ends it after whole lines, with status 130", async () => {
    const child = start(["-"]);
    const finished = ended(child);
    child.stdin!.on("error", () => {});
    child.stdin!.write(trace);
    await new Promise((resolve) => child.stdout!.once("data", resolve));
    child.kill("SIGINT");
    const ran = await finished;
    expect(ran).toMatchObject({ status: 130, stderr: "" });
    expect(records(ran.stdout).map((r) => r.line)).toEqual([10, 11, 12, 13, 14, 15]);
  });

  test("an interrupt leaves no file behind", async () => {
    const place = temporaryFolder();
    const child = start(["-", "-o", join(place, "out.ndjson")]);
    const finished = ended(child);
    child.stdin!.on("error", () => {});
    child.stdin!.write(trace);
    while (readdirSync(place).length === 0) await sleep(20);
    expect(readdirSync(place)).toEqual([expect.stringMatching(/^\.out\.ndjson\..*tmp$/)]);
    child.kill("SIGTERM");
    expect((await finished).status).toBe(143);
    expect(readdirSync(place)).toEqual([]);
  });

  test("signals end it while a FIFO has no other end, or a reader that has stopped", async () => {
    const place = temporaryFolder();
    const fifo = join(place, "fifo");
    execFileSync("mkfifo", [fifo]);
    const reading = start([fifo, "-o", join(place, "out.ndjson")]);
    const read = ended(reading);
    for (let i = 0; i < 500 && readdirSync(place).length === 1; i++) await sleep(20);
    await sleep(100);
    reading.kill("SIGINT");
    expect((await read).status).toBe(130);

    const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    const writing = start([long("stalled.ndjson", 50_000), "-o", fifo]);
    const written = ended(writing);
    for (let i = 0; i < 500 && readAny(reader) === 0; i++) await sleep(20);
    writing.kill("SIGTERM");
    await sleep(100);
    writing.kill("SIGTERM");
    const { status, signal } = await written;
    closeSync(reader);
    expect(status === 143 || signal === "SIGTERM").toBe(true);
  });

  test("what comes through FIFOs and goes into one", async () => {
    const place = temporaryFolder();
    for (const name of ["in", "out"]) execFileSync("mkfifo", [join(place, name)]);
    const child = start([join(place, "in"), "-o", join(place, "out")]);
    const finished = ended(child);
    const output = ended(spawn("cat", [join(place, "out")], { stdio: ["ignore", "pipe", "pipe"] }));
    await sleep(200);
    // Where nobody reads, it waits, and is not to keep this thread.
    await writeFile(join(place, "in"), trace);
    expect((await finished).status).toBe(0);
    expect((await output).stdout).toBe((await cli([FIXTURE])).stdout);
  });

  test("a run without requests says so, and --fail-on empty makes it fail", async () => {
    const input = '{"type":"mark","label":"a"}\n{"type":"dma","dev":"00:03.0","addr":"0x0"}\n';
    const none = await cli(["-"], { input: input.split("\n")[0]! });
    expect([none.status, none.stderr]).toEqual([
      0,
      "pasid-replay: standard input: expected requests to replay, found none\n",
    ]);
    expect((await cli(["-", "--fail-on", "empty"], { input: input.split("\n")[0]! })).status).toBe(1);
    expect((await cli(["-"], { input })).stderr).toContain("found none");
    expect(await cli([FIXTURE, "--fail-on", "empty"])).toMatchObject({ status: 0, stderr: "" });
  });

  test("--strict", async () => {
    const path = variant("strict.ndjson", (all) => [
      ...all.slice(0, 10),
      all[9]!.replace('"addr"', '"adress":1,"addr"'),
    ]);
    expect((await cli([path])).status).toBe(0);
    const strict = await cli([path, "--strict"]);
    expect([strict.status, records(strict.stdout).find((r) => r.type === "error").message]).toEqual([
      2,
      'dma: expected known fields, found "adress"; did you mean addr?',
    ]);
  });

  test("--timing goes to standard error and leaves the output as it is", async () => {
    const ran = await cli([FIXTURE, "--timing"]);
    expect(ran.stdout).toBe((await cli([FIXTURE])).stdout);
    expect(ran.stderr).toMatch(/^pasid-replay: .*: 5 requests, 16 lines, .* requests\/s.*\n$/);
  });

  test("progress only on request where standard error is no terminal", async () => {
    expect((await cli([FIXTURE])).stderr).toBe("");
    const forced = await cli([FIXTURE, "--progress"]);
    expect(forced.stderr).toContain("100%");
    expect(forced.stdout).toBe((await cli([FIXTURE])).stdout);
  });

  test.skipIf(!existsSync("/usr/bin/script"))("progress at a terminal gives the cursor back", async () => {
    const at = async (args: string) => {
      const command = `${CLI} ${FIXTURE} -o ${join(folder, "tty.ndjson")} ${args}`;
      return (
        await ended(
          spawn("/usr/bin/script", ["-qec", command, "/dev/null"], { stdio: ["ignore", "pipe", "pipe"] }),
        )
      ).stdout;
    };
    const shown = await at("");
    expect(shown).toContain("requests/s");
    expect(shown.lastIndexOf("\x1b[?25h")).toBeGreaterThan(shown.lastIndexOf("\x1b[?25l"));
    expect(await at("--no-progress")).toBe("");
  });
});
