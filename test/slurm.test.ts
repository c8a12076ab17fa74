import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { CLI, cli, ROOT, records, temporaryFolder } from "./support/cli.ts";
import {
  killAllWith,
  lacking,
  type NodeName,
  SLURM_PROGRAMS,
  SlurmCluster,
  until,
} from "./support/slurm-cluster.ts";

const SCRIPTS = join(ROOT, "samples/slurm");
const SAMPLES = [
  "intel/intel-11.1-fs-inval-s1.ndjson.gz",
  "amd/amd-11.1-v1-s1.ndjson.gz",
  "bind/entry-update.ndjson",
  "arm/arm-11.1-nested-4k-inval-1.ndjson.gz",
];
const SHARES = 3;
const SHELL_CHECKER = "shellcheck";

/** A folder with traces of which one cannot be read to its end yet: whoever replays it is in the middle of its share. */
class Corpus {
  readonly list: string;
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.list = join(folder, "list.txt");
    mkdirSync(folder);
    const names = Array.from(
      { length: 2 * SHARES },
      (_, i) => `t${i}-${SAMPLES[i % SAMPLES.length]!.split("/")[1]}`,
    );
    for (const [i, name] of names.entries())
      copyFileSync(join(ROOT, "samples", SAMPLES[i % SAMPLES.length]!), join(folder, name));
    this.paths = names.map((name) => join(folder, name));
    writeFileSync(this.list, this.paths.map((path) => `${path}\n`).join(""));
    this.block();
  }

  readonly paths: readonly string[];

  /** The second trace of the first share waits for somebody to write it. */
  block(): void {
    renameSync(this.paths[1]!, join(this.#folder, "held"));
    execFileSync("mkfifo", [this.paths[1]!]);
  }

  release(): void {
    renameSync(join(this.#folder, "held"), this.paths[1]!);
  }
}

const folder = temporaryFolder();
const env = { PASID_REPLAY: CLI, SIZE: "2" };
let whole = "";

/** Whether a task has written what comes before the trace that it waits for. */
const inTheMiddle = (out: string) =>
  existsSync(out) &&
  readdirSync(out).some((name) => /^\.0\.ndjson/.test(name) && statSync(join(out, name)).size > 0);

function expectWhole(out: string, { paths }: Corpus): void {
  const files = readdirSync(out).filter((name) => name.endsWith(".ndjson") || name.endsWith(".tmp"));
  expect(files.sort()).toEqual(Array.from({ length: SHARES }, (_, i) => `${i}.ndjson`));
  const traces = files.flatMap((name) =>
    records(readFileSync(join(out, name), "utf8")).filter(({ type }) => type === "trace"),
  );
  expect(traces.map(({ path }) => path)).toEqual(paths);
  expect(readFileSync(join(out, "total.json"), "utf8")).toBe(
    whole.replaceAll("CORPUS", join(paths[0]!, "..")),
  );
}

beforeAll(async () => {
  const corpus = new Corpus(join(folder, "one"));
  corpus.release();
  const one = join(folder, "one.ndjson");
  await cli(["--files-from", corpus.list, "--only", "findings", "-o", one]);
  const merged = await cli(["merge", one, "--expect", corpus.list]);
  expect(merged.status).toBe(0);
  whole = merged.stdout;
});

describe.concurrent("many traces on many machines", () => {
  const noCheck = lacking([SHELL_CHECKER]).length > 0;
  test.skipIf(noCheck)(`the scripts are clean${noCheck ? ": skipped, no shellcheck here" : ""}`, () => {
    const scripts = readdirSync(SCRIPTS).filter((name) => name.endsWith(".sh"));
    expect(scripts).toHaveLength(5);
    execFileSync(SHELL_CHECKER, scripts, { cwd: SCRIPTS, encoding: "utf8" });
  });

  test("a folder is for one list and one size of shares", () => {
    const list = join(folder, "list");
    writeFileSync(list, "a\n\nb\nc\n");
    const prepare = (size: string) =>
      spawnSync(join(SCRIPTS, "prepare.sh"), [list, join(folder, "prepared")], {
        env: { ...process.env, SIZE: size },
        encoding: "utf8",
      });
    expect(prepare("2")).toMatchObject({ status: 0, stdout: "1\n", stderr: "" });
    expect(prepare("2")).toMatchObject({ status: 0, stdout: "1\n", stderr: "" });
    expect(prepare("3")).toMatchObject({
      status: 2,
      stdout: "",
      stderr: expect.stringContaining("other sizes of shares"),
    });
    writeFileSync(list, "a\nb\n");
    expect(prepare("2")).toMatchObject({
      status: 2,
      stdout: "",
      stderr: expect.stringContaining("found other traces"),
    });
  });

  const noSlurm = lacking(SLURM_PROGRAMS)[0];
  const name = "an array job goes on where a node fails, and counts nothing twice";
  test.skipIf(noSlurm !== undefined)(
    noSlurm === undefined ? name : `skipped, no ${noSlurm} here: ${name}`,
    async ({ skip }) => {
      const corpus = new Corpus(join(folder, "slurm"));
      const out = join(folder, "slurm-out");
      mkdirSync(join(folder, "cluster"));
      const cluster = await SlurmCluster.start(join(folder, "cluster")).catch((error: Error) =>
        skip(`no Slurm can be started here: ${error.message}`),
      );
      try {
        const submitted = execFileSync(join(SCRIPTS, "submit.sh"), [corpus.list, out, "--only", "findings"], {
          env: { ...cluster.env, ...env },
          encoding: "utf8",
        });
        const array = /^array (\d+), merge \d+/.exec(submitted)![1]!;
        await until(() => inTheMiddle(out));
        const job = `${array}_0`;
        const node = cluster.run("squeue", "-h", "-j", job, "-o", "%N").trim() as NodeName;
        cluster.kill(node);
        corpus.release();
        // What watches over the nodes of a cluster says so before the controller's own time is over.
        cluster.run("scontrol", "update", `NodeName=${node}`, "State=DOWN", "Reason=power");
        await until(() => cluster.run("squeue", "-h").trim() === "");
        expect(cluster.run("scontrol", "show", "job", job)).toMatch(/Restarts=1 /);
        expect(readFileSync(join(out, "merge.log"), "utf8")).toBe("");
        expectWhole(out, corpus);
      } finally {
        await cluster.stop();
      }
    },
  );

  const noParallel = lacking(["parallel"])[0];
  const resumed = "GNU parallel that is killed goes on where it was, and counts nothing twice";
  test.skipIf(noParallel !== undefined)(
    noParallel === undefined ? resumed : `skipped, no parallel here: ${resumed}`,
    async () => {
      const corpus = new Corpus(join(folder, "parallel"));
      const out = join(folder, "parallel-out");
      const args = [corpus.list, out, "--only", "findings"];
      const mark = `PASID_REPLAY_TEST=${out}`;
      const options = {
        env: { ...process.env, ...env, JOBS: "2", PASID_REPLAY_TEST: out },
        stdio: "ignore",
      } as const;
      const first = spawn(join(SCRIPTS, "parallel.sh"), args, options);
      const ended = once(first, "exit");
      // The others have ended, and are in its log: a line each, below its head.
      const logged = () =>
        existsSync(join(out, "joblog")) && readFileSync(join(out, "joblog"), "utf8").split("\n").length;
      await until(() => inTheMiddle(out) && logged() === SHARES + 1);
      killAllWith(mark);
      await ended;
      const files = () => [1, 2].map((share) => statSync(join(out, `${share}.ndjson`)).ino);
      const before = files();
      corpus.release();
      execFileSync(join(SCRIPTS, "parallel.sh"), args, options);
      expect(files()).toEqual(before);
      expect(logged()).toBe(SHARES + 2);
      expectWhole(out, corpus);
    },
  );
});
