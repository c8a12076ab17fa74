import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout } from "node:timers/promises";
import { QmpClient, QmpError } from "../../parsers/qemu/qmp.ts";
import { CliError, reasonOf } from "../errors.ts";
import { onInterrupt } from "../signals.ts";

/** How long a QEMU may take until its QMP socket answers, in milliseconds, and how often it is tried. */
const START_MS = 60_000;
const TRY_MS = 20;
const QUIT_MS = 5000;
/** What is kept of its standard error, to say why it did not start. */
const MAX_ERROR = 1 << 16;
/** Words with which it uses this terminal: then it stays in our group of processes. */
const INTERACTIVE = /^(?:--?nographic|--?curses|.*\bstdio\b.*|.*\bcurses\b.*)$/;

/** It does not start; `stderr` is what it said. */
export class StartError extends CliError {
  readonly stderr: string;

  constructor(message: string, stderr: string) {
    super(message);
    this.stderr = stderr;
  }
}

/** A QEMU that we have started. */
export class Emulator {
  readonly client: QmpClient;
  readonly #child: ChildProcess;

  private constructor(client: QmpClient, child: ChildProcess) {
    this.client = client;
    this.#child = child;
  }

  /**
   * Starts it, and waits until it answers.
   * @param words its command line
   * @param socket the QMP socket that these words name
   */
  static async start(words: readonly string[], socket: string): Promise<Emulator> {
    // Ctrl-C ends the recording: it must not reach a QEMU that does not read this terminal.
    const detached = !words.some((word) => INTERACTIVE.test(word));
    const child = spawn(words[0]!, words.slice(1), { stdio: ["inherit", "inherit", "pipe"], detached });
    let stderr = "";
    let ended: string | null = null;
    child.stderr!.on("data", (data: Buffer) => {
      if (stderr.length < MAX_ERROR) stderr += data.toString();
    });
    const gone = new Promise<void>((resolve) => {
      child.once("error", (error) => {
        ended = reasonOf(error);
        resolve();
      });
      child.once("close", (status, signal) => {
        ended = signal === null ? `exit status ${status}` : `signal ${signal}`;
        resolve();
      });
    });
    // Nobody else would end a QEMU that waits to be told to begin.
    const cancel = onInterrupt(() => {
      child.kill("SIGKILL");
      return gone;
    });
    try {
      const client = await answer(socket, gone, () => {
        if (ended !== null) throw startError(words, ended, stderr);
      });
      if (client === null) {
        child.kill("SIGKILL");
        throw startError(words, `no answer on its QMP socket within ${START_MS / 1000} s`, stderr);
      }
      child.stderr!.on("data", (data: Buffer) => process.stderr.write(ownWords(data.toString())));
      process.stderr.write(ownWords(stderr));
      return new Emulator(client, child);
    } finally {
      cancel();
    }
  }

  /** Ends it, if it has not ended. */
  async quit(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const closed = new Promise<boolean>((resolve) => child.once("close", () => resolve(true)));
    this.client.execute("quit").catch(() => {});
    if (!(await Promise.race([closed, setTimeout(QUIT_MS, false)]))) child.kill("SIGKILL");
    this.client.close();
  }
}

/**
 * Tries a QMP socket until it answers.
 * @param gone settles when it never will
 * @param check throws where that is so
 * @returns null: it took too long
 */
async function answer(socket: string, gone: Promise<void>, check: () => void): Promise<QmpClient | null> {
  const until = performance.now() + START_MS;
  for (;;) {
    check();
    try {
      return await QmpClient.open(socket);
    } catch (error) {
      if (!(error instanceof QmpError)) throw error;
      if (performance.now() > until) return null;
      await Promise.race([gone, setTimeout(TRY_MS)]);
    }
  }
}

/** Without what it says of the plugin for each store that it cannot place: these are counted. */
function ownWords(text: string): string {
  return text.replace(/^.*: invalid use of qemu_plugin_get_hwaddr\r?\n/gm, "");
}

function startError(words: readonly string[], found: string, stderr: string): StartError {
  const said = stderr.trim().split("\n").slice(-5).join("; ");
  return new StartError(
    `${words[0]}: expected QEMU to start, found ${found}${said === "" ? "" : `; it says: ${said}`}`,
    stderr,
  );
}
