import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { hostname, userInfo } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout } from "node:timers/promises";

export const SLURM_PROGRAMS = [
  "munged",
  "slurmctld",
  "slurmd",
  "sbatch",
  "scontrol",
  "sinfo",
  "squeue",
] as const;
const NODES = ["n0", "n1"] as const;
export type NodeName = (typeof NODES)[number];

/** Daemons are not in everybody's path. */
const PATH = [process.env.PATH, "/usr/sbin", "/usr/local/sbin"].join(delimiter);
/** The shortest that a requeued job can be made to wait, in seconds. */
const LEAST_EXPIRY = 5;

/** Programs that are not on this machine. */
export function lacking(programs: readonly string[]): string[] {
  return programs.filter(
    (program) =>
      spawnSync("sh", ["-c", `command -v ${program}`], { env: { ...process.env, PATH } }).status !== 0,
  );
}

/** A Slurm with a controller and two nodes of one processor each, all on this machine and of this user. */
export class SlurmCluster {
  readonly #folder: string;
  readonly #daemons = new Map<string, ChildProcess>();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** @param folder an empty one, for all that it writes */
  static async start(folder: string): Promise<SlurmCluster> {
    const cluster = new SlurmCluster(folder);
    try {
      await cluster.#start();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** Environment of commands that talk to it. */
  get env(): NodeJS.ProcessEnv {
    return { ...process.env, PATH, SLURM_CONF: join(this.#folder, "slurm.conf") };
  }

  /** Runs a command of Slurm. */
  run(command: string, ...args: readonly string[]): string {
    return execFileSync(command, args, { env: this.env, encoding: "utf8" });
  }

  /** A node loses its power: its daemon, and what runs on it. */
  kill(node: NodeName): void {
    this.#daemons.get(node)!.kill("SIGKILL");
    this.#killTasks(node);
  }

  /** Ends everything. */
  async stop(): Promise<void> {
    const ended = [...this.#daemons.values()].map(async (daemon) => {
      if (daemon.exitCode === null && daemon.signalCode === null && daemon.kill("SIGKILL"))
        await once(daemon, "exit");
    });
    await Promise.all(ended);
    for (const node of NODES) this.#killTasks(node);
  }

  async #start(): Promise<void> {
    const folder = this.#folder;
    // munge asks for folders that everybody may look into.
    chmodSync(folder, 0o755);
    for (const name of ["state", "munge", ...NODES]) mkdirSync(join(folder, name));
    const munge = (name: string) => join(folder, "munge", name);
    writeFileSync(munge("key"), randomBytes(128), { mode: 0o600 });
    this.#daemon("munged", "munged", [
      "--foreground",
      "--force",
      `--key-file=${munge("key")}`,
      `--socket=${munge("socket")}`,
      `--pid-file=${munge("pid")}`,
      `--seed-file=${munge("seed")}`,
      `--log-file=${munge("log")}`,
    ]);
    await until(() => readdirSync(join(folder, "munge")).includes("socket"));
    writeFileSync(join(folder, "slurm.conf"), configuration(folder, munge("socket"), await freePorts(3)));
    this.#daemon("slurmctld", "slurmctld", ["-D", "-c"]);
    for (const node of NODES) this.#daemon(node, "slurmd", ["-D", "-N", node]);
    const all = NODES.map(() => "idle\n").join("");
    await until(() => this.#answer("sinfo", "-h", "-N", "-o", "%T") === all);
  }

  /** What a command says, once there is a controller to answer it. */
  #answer(command: string, ...args: readonly string[]): string {
    return spawnSync(command, args, { env: this.env, encoding: "utf8" }).stdout;
  }

  #daemon(name: string, program: string, args: readonly string[]): void {
    const log = openSync(join(this.#folder, `${name}.log`), "w");
    const daemon = spawn(program, args, { env: this.env, stdio: ["ignore", log, log] });
    daemon.on("error", () => {});
    this.#daemons.set(name, daemon);
  }

  /** The processes of jobs on a node, and Slurm's own above them. */
  #killTasks(node: NodeName): void {
    for (const pid of processesWith(`SLURM_CONF=${this.env.SLURM_CONF}`, `SLURMD_NODENAME=${node}`)) {
      const parent = /^PPid:\t(\d+)/m.exec(processFile(pid, "status"))?.[1] ?? "";
      if (processFile(parent, "cmdline").startsWith("slurmstepd")) killed(parent);
      killed(pid);
    }
  }
}

/** Kills all processes that have these settings in their environment. */
export function killAllWith(...settings: readonly string[]): void {
  for (const pid of processesWith(...settings)) killed(pid);
}

function processesWith(...settings: readonly string[]): string[] {
  return readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    const environment = processFile(name, "environ").split("\0");
    return settings.every((setting) => environment.includes(setting));
  });
}

/** Waits until something is so. @throws Error where it does not come to be */
export async function until(isSo: () => boolean, seconds = 60): Promise<void> {
  for (let tries = seconds * 20; tries > 0; tries--) {
    if (isSo()) return;
    await setTimeout(50);
  }
  throw new Error(`expected within ${seconds} s: ${isSo}`);
}

function processFile(pid: string, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    // It has ended, or is somebody else's.
    return "";
  }
}

function killed(pid: string): void {
  try {
    process.kill(Number(pid), "SIGKILL");
  } catch {
    // It has ended.
  }
}

async function freePorts(n: number): Promise<number[]> {
  const servers = Array.from({ length: n }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}

function configuration(folder: string, socket: string, [port, ...nodePorts]: readonly number[]): string {
  const host = hostname().split(".")[0];
  const { username } = userInfo();
  return `ClusterName=test
SlurmctldHost=${host}(127.0.0.1)
SlurmctldPort=${port}
SlurmUser=${username}
SlurmdUser=${username}
AuthType=auth/munge
AuthInfo=socket=${socket},cred_expire=${LEAST_EXPIRY}
StateSaveLocation=${folder}/state
SlurmdSpoolDir=${folder}/%n
SlurmctldPidFile=${folder}/slurmctld.pid
SlurmdPidFile=${folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdTimeout=5
MailProg=/bin/true
${NODES.map(
  (node, i) =>
    `NodeName=${node} NodeHostname=${host} NodeAddr=127.0.0.1 Port=${nodePorts[i]} CPUs=1 RealMemory=2048`,
).join("\n")}
PartitionName=all Nodes=${NODES.join(",")} Default=YES State=UP
`;
}
