/** A thread that replays traces. */
import { type MessagePort, parentPort } from "node:worker_threads";
import { isTraceError } from "../../parsers/trace/errors.ts";
import { printable } from "../../parsers/trace/show.ts";
import { CliError } from "../errors.ts";
import type { Output } from "../output.ts";
import { replayOne } from "../replay-one.ts";
import type { JobNews, JobOrder } from "./messages.ts";

/** Bytes of output that wait for their turn: past it a worker waits as well. */
const MOST_WAITING = 1 << 25;

/** Replays one trace after another, as it is asked to, until its thread is ended. */
function serveReplays(port: MessagePort): void {
  const output = new PortOutput(port);
  port.on("message", async (request: JobOrder) => {
    if (request.type === "taken") output.taken(request.bytes);
    else answer(port, await replayed(request, output));
  });
}

async function replayed(
  { path, options }: Extract<JobOrder, { type: "replay" }>,
  output: Output,
): Promise<JobNews> {
  try {
    return { type: "done", summary: await replayOne(path, path, output, options) };
  } catch (error) {
    const known = isTraceError(error) || error instanceof CliError;
    const message = error instanceof Error ? (known ? error.message : `${error.stack}`) : String(error);
    return { type: "failed", message, ofTrace: isTraceError(error) };
  }
}

function answer(port: MessagePort, message: JobNews): void {
  port.postMessage(message);
}

/** Hands output on to the thread that writes it. */
class PortOutput implements Output {
  readonly name = "standard output";
  readonly #port: MessagePort;
  #waiting = 0;
  #goOn: (() => void) | null = null;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  async write(data: Uint8Array | string, file?: string): Promise<void> {
    // A copy: what is given may be used again after the call, and this one goes to the other thread as it is.
    const bytes = new Uint8Array(typeof data === "string" ? Buffer.from(printable(data), "utf8") : data);
    this.#waiting += bytes.length;
    this.#port.postMessage({ type: "output", bytes, file } satisfies JobNews, [bytes.buffer]);
    while (this.#waiting > MOST_WAITING)
      await new Promise<void>((resolve) => {
        this.#goOn = resolve;
      });
  }

  taken(bytes: number): void {
    this.#waiting -= bytes;
    this.#goOn?.();
    this.#goOn = null;
  }

  async finish(): Promise<void> {}
  abandon(): void {}
  async halt(): Promise<void> {}
}

serveReplays(parentPort!);
