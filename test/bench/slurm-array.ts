/**
 * Replays a corpus as an array job on a Slurm of two nodes, kills one of them in the middle, and compares what comes out with
 * one run over all; `--help` says how it is called. The dead node is found by the controller alone, by its silence.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { SlurmCluster, until } from "../support/slurm-cluster.ts";
import { countOf, toolArguments, UsageError } from "../support/tool-arguments.ts";

const USAGE = `npx tsx test/bench/slurm-array.ts --list traces.txt [--share 5] [--kill-after 8]

Replays the traces that a file lists, one a line, as an array job on a Slurm of two nodes, of which one is killed after so many
complete shares. Needs npm run build, and Debian's slurmctld, slurmd, slurm-client and munge.`;

const { values } = toolArguments(
  USAGE,
  {
    list: { type: "string" },
    share: { type: "string", default: "5" },
    "kill-after": { type: "string", default: "8" },
  },
  ({ list, share, "kill-after": after }) => {
    if (list === undefined) throw new UsageError("--list: expected a file with paths of traces, found none");
    countOf("--share", share);
    countOf("--kill-after", after);
  },
);

const CLI = resolve("dist/cli/main.js");
const SUBMIT = resolve("samples", "slurm", "submit.sh");
const HOUR = 3600;
const folder = mkdtempSync(join(tmpdir(), "pasid-replay-array-"));
const out = join(folder, "out");
mkdirSync(join(folder, "cluster"));
const began = performance.now();
const say = (text: string) =>
  console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${text}`);

const cluster = await SlurmCluster.start(join(folder, "cluster"));
try {
  say(`a controller and two nodes, in ${folder}`);
  const env = { ...cluster.env, PASID_REPLAY: CLI, SIZE: values.share };
  const submit = () =>
    execFileSync(SUBMIT, [values.list!, out, "--only", "findings"], {
      env,
      encoding: "utf8",
    });
  const submitted = submit().trim();
  say(submitted);
  const array = /^array (\d+)/.exec(submitted)![1]!;
  const complete = () =>
    existsSync(out) ? readdirSync(out).filter((name) => /^\d+\.ndjson$/.test(name)).length : 0;
  const running = () => cluster.run("squeue", "-h", "-t", "R", "-w", "n1", "-o", "%i").trim();
  await until(() => complete() >= Number(values["kill-after"]) && running().startsWith(`${array}_`), HOUR);
  const victim = running();
  cluster.kill("n1");
  say(`${complete()} shares are complete; n1 is dead, with task ${victim}`);
  await until(() => cluster.run("squeue", "-h", "-t", "R", "-w", "n1", "-o", "%i").trim() === "", HOUR);
  say("the controller has noticed");
  await until(() => cluster.run("squeue", "-h").trim() === "", HOUR);
  say(
    `all has ended; of ${victim}: ${/Restarts=\d+/.exec(cluster.run("scontrol", "show", "job", victim))?.[0]}`,
  );
  say(`merge.log: ${readFileSync(join(out, "merge.log"), "utf8").trim() || "empty"}`);
} finally {
  await cluster.stop();
}

const one = join(folder, "one.ndjson");
spawnSync(CLI, ["--files-from", values.list!, "--only", "findings", "--keep-going", "-o", one]);
const whole = execFileSync(CLI, ["merge", one], { encoding: "utf8" });
const total = readFileSync(join(out, "total.json"), "utf8");
say(`one run over all has ${whole === total ? "the same" : "ANOTHER"} total:`);
console.log(total.trimEnd().split("\n").at(-1));
process.exitCode = whole === total ? 0 : 1;
