import { Worker } from "node:worker_threads";
import { packagePath } from "../../parsers/package-files.ts";
import { TraceError } from "../../parsers/trace/errors.ts";
import { Summary } from "../../pipeline/output/statistics.ts";
import { CliError } from "../errors.ts";
import type { Output } from "../output.ts";
import type { ReplayFilesOptions } from "../replay-one.ts";
import type { JobNews, JobOrder } from "./messages.ts";

/** What a thread runs: `worker.ts`, as it is built. */
const WORKER = "dist/cli/worker.js";

/** A trace that a worker is at, or has replayed: what it says that nobody has taken yet. */
class Job {
  readonly worker: Worker;
  readonly #answers: JobNews[] = [];
  #arrived: (() => void) | null = null;

  constructor(worker: Worker) {
    this.worker = worker;
  }

  put(answer: JobNews): void {
    this.#answers.push(answer);
    this.#arrived?.();
    this.#arrived = null;
  }

  async next(): Promise<JobNews> {
    while (this.#answers.length === 0)
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    return this.#answers.shift()!;
  }
}

/**
 * Replays traces in several threads, which begin them in their order. Their output comes together again in that order: what
 * a later trace has to say waits, and past some bytes its thread as well.
 */
export class ReplayPool {
  readonly #paths: readonly string[];
  readonly #options: ReplayFilesOptions;
  readonly #jobs: (Job | undefined)[] = [];
  readonly #workers: Worker[] = [];
  /** Those who wait for a job to be begun. */
  readonly #waiting = new Map<number, () => void>();
  #begun = 0;

  constructor(paths: readonly string[], threads: number, options: ReplayFilesOptions) {
    this.#paths = paths;
    this.#options = options;
    for (let i = 0; i < Math.min(threads, paths.length); i++) this.#start();
  }

  /**
   * Writes what a trace comes to. Called for each, in their order.
   * @throws TraceError where it cannot be opened; what `output` throws
   */
  async take(index: number, output: Output): Promise<Summary> {
    while (this.#jobs[index] === undefined)
      await new Promise<void>((resolve) => this.#waiting.set(index, resolve));
    const job = this.#jobs[index]!;
    for (;;) {
      const answer = await job.next();
      if (answer.type === "output") {
        const { bytes, file } = answer;
        await output.write(bytes, file);
        ask(job.worker, { type: "taken", bytes: bytes.length });
        continue;
      }
      // Nobody asks for it again: what it holds may go.
      this.#jobs[index] = undefined;
      // A message carries what an object holds, not what it can do.
      if (answer.type === "done") return Object.assign(new Summary(), answer.summary);
      throw errorOf(this.#paths[index]!, answer);
    }
  }

  /** Ends all threads, whatever they are at. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #start(): void {
    const worker = new Worker(packagePath(WORKER));
    this.#workers.push(worker);
    let job: Job | null = null;
    worker.on("message", (answer: JobNews) => {
      job!.put(answer);
      if (answer.type !== "output") job = this.#begin(worker);
    });
    worker.on("error", (error) => {
      job?.put({
        type: "failed",
        message: `${error instanceof Error ? error.stack : error}`,
        ofTrace: false,
      });
    });
    job = this.#begin(worker);
  }

  /** Gives a worker the next trace; null where there is none. */
  #begin(worker: Worker): Job | null {
    const index = this.#begun;
    const path = this.#paths[index];
    if (path === undefined) return null;
    this.#begun++;
    const job = new Job(worker);
    this.#jobs[index] = job;
    ask(worker, { type: "replay", path, options: this.#options });
    this.#waiting.get(index)?.();
    this.#waiting.delete(index);
    return job;
  }
}

function ask(worker: Worker, request: JobOrder): void {
  worker.postMessage(request);
}

/** A failure as it would have been thrown here. */
function errorOf(path: string, { message, ofTrace }: Extract<JobNews, { type: "failed" }>): Error {
  if (!ofTrace) return new CliError(message);
  const prefix = `${path}: `;
  return new TraceError(
    "unreadable",
    path,
    message.startsWith(prefix) ? message.slice(prefix.length) : message,
  );
}
