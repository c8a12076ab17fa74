import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { WorldRecord } from "../../walkers/fuzz/world.ts";
import type { DeviceAnswer } from "../device/answer.ts";
import { endWithUs } from "./orphans.ts";
import { DeviceFailure, type DeviceIdentity, type DevicePort } from "./port.ts";
import { type Hello, helloOfFuzzer, ProtocolError, readAnswer, readHello, readReset } from "./protocol.ts";

/** Longest line of a device. */
const MOST_LINE = 2 ** 20;
/** Lines that wait to be read: more than any window has requests. */
const MOST_AHEAD = 2 ** 17;
/** What is kept of what a device says on standard error. */
const MOST_STDERR = 2000;
/** How long a process that was asked to end may take for it, in milliseconds. */
const GRACE = 2000;

/** A device that is a program: it speaks the protocol of docs/dut-protocol.md on standard input and output. */
export class ProcessDevice implements DevicePort {
  readonly #command: string;
  readonly #timeout: number;
  #process: Conversation | null = null;
  #hello: Hello | null = null;

  private constructor(command: string, timeout: number) {
    this.#command = command;
    this.#timeout = timeout;
  }

  /**
   * Starts it, and hears what it supports.
   * @param command for the shell
   * @param timeout how long it may be silent, in milliseconds
   * @throws DeviceFailure
   */
  static async start(command: string, timeout: number): Promise<ProcessDevice> {
    const device = new ProcessDevice(command, timeout);
    await device.#connect();
    return device;
  }

  get identity(): DeviceIdentity {
    return this.#hello!;
  }

  async #connect(): Promise<Conversation> {
    if (this.#command.trim() === "") throw new DeviceFailure("start", "expected a command, found none");
    const conversation = new Conversation(this.#command, this.#timeout);
    try {
      await conversation.write(helloOfFuzzer());
      const hello = readHello(await conversation.line());
      if (this.#hello !== null && hello.model !== this.#hello.model)
        throw new ProtocolError(
          `hello.model: expected ${this.#hello.model}, as before, found ${hello.model}`,
        );
      this.#hello ??= hello;
      this.#process = conversation;
      return conversation;
    } catch (error) {
      await conversation.end();
      const failure = failureOf(error);
      throw new DeviceFailure("start", failure.message);
    }
  }

  async run(records: readonly WorldRecord[]): Promise<readonly (DeviceAnswer | undefined)[]> {
    const conversation = this.#process ?? (await this.#connect());
    try {
      return await this.#talk(conversation, records);
    } catch (error) {
      this.#process = null;
      await conversation.end();
      throw failureOf(error);
    }
  }

  async #talk(
    conversation: Conversation,
    records: readonly WorldRecord[],
  ): Promise<readonly (DeviceAnswer | undefined)[]> {
    await conversation.write('{"type":"reset"}');
    readReset(await conversation.line());
    const answers: (DeviceAnswer | undefined)[] = [];
    const asked: number[] = [];
    const hear = async () => {
      answers.push(readAnswer(await conversation.line(), asked.shift()!));
    };
    for (const record of records) {
      if (record.type === "dma") {
        while (asked.length >= this.#hello!.window) await hear();
        asked.push(record.seq as number);
      }
      await conversation.write(JSON.stringify(record));
    }
    while (asked.length > 0) await hear();
    return answers;
  }

  async close(): Promise<void> {
    await this.#process?.end();
    this.#process = null;
  }
}

function failureOf(error: unknown): DeviceFailure {
  if (error instanceof DeviceFailure) return error;
  if (error instanceof ProtocolError) return new DeviceFailure("nonsense", error.message);
  throw error;
}

/** A program that is talked with line by line. */
class Conversation {
  readonly #child: ChildProcess;
  readonly #timeout: number;
  readonly #lines: string[] = [];
  #partial = "";
  #stderr = "";
  /** Why there are no more lines; null: there may be. */
  #ended: DeviceFailure | null = null;
  #wake: () => void = () => {};

  constructor(command: string, timeout: number) {
    this.#timeout = timeout;
    // A group of its own: what the shell starts ends with it.
    const child = spawn(command, { shell: true, stdio: ["pipe", "pipe", "pipe"], detached: true });
    this.#child = child;
    endWithUs(child);
    child.on("error", (error) => this.#end(new DeviceFailure("start", error.message)));
    child.on("close", (code, signal) => {
      const how = signal !== null ? `was ended by ${signal}` : `ended with status ${code}`;
      this.#end(new DeviceFailure("died", `the device ${how}${this.#lastWords()}`));
    });
    // Who writes to a program that has ended is told by its end.
    child.stdin!.on("error", () => {});
    child.stdout!.setEncoding("utf8").on("data", (text: string) => this.#take(text));
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-MOST_STDERR);
    });
  }

  #lastWords(): string {
    const last = this.#stderr.trim().split("\n").slice(-3).join("; ");
    return last === "" ? "" : `; it said: ${last}`;
  }

  #end(failure: DeviceFailure): void {
    this.#ended ??= failure;
    this.#wake();
  }

  #take(text: string): void {
    const lines = (this.#partial + text).split("\n");
    this.#partial = lines.pop()!;
    if (this.#partial.length > MOST_LINE)
      this.#end(
        new DeviceFailure("nonsense", `expected lines of at most ${MOST_LINE} bytes, found a longer one`),
      );
    const said = lines.filter((line) => line.trim() !== "");
    for (const line of said) this.#lines.push(line);
    if (this.#lines.length > MOST_AHEAD)
      this.#end(
        new DeviceFailure("nonsense", `expected an answer to each request, found ${MOST_AHEAD} lines more`),
      );
    // A line of nothing is no sign of life.
    if (said.length > 0 || this.#ended !== null) this.#wake();
  }

  /** @throws DeviceFailure where the program has ended */
  async write(line: string): Promise<void> {
    if (this.#ended !== null && this.#lines.length === 0) throw this.#ended;
    const { stdin } = this.#child;
    if (stdin!.write(`${line}\n`)) return;
    // It must not wait for us to read while we wait for it: reading goes on by itself.
    const drained = new Promise<void>((settle) => stdin!.once("drain", settle));
    await this.#within(Promise.race([drained, this.#change()]));
  }

  /** The next line. @throws DeviceFailure */
  async line(): Promise<string> {
    while (this.#lines.length === 0) {
      if (this.#ended !== null) throw this.#ended;
      await this.#within(this.#change());
    }
    return this.#lines.shift()!;
  }

  #change(): Promise<void> {
    return new Promise((settle) => {
      this.#wake = settle;
    });
  }

  async #within(event: Promise<unknown>): Promise<void> {
    const abort = new AbortController();
    const late = sleep(this.#timeout, "late", { signal: abort.signal }).catch(() => "");
    const first = await Promise.race([event, late]);
    abort.abort();
    if (first === "late")
      throw new DeviceFailure(
        "hung",
        `expected an answer within ${this.#timeout / 1000} s, found none${this.#lastWords()}`,
      );
  }

  async end(): Promise<void> {
    const child = this.#child;
    child.stdin!.end();
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    this.#signal("SIGTERM");
    // A timer that is left over would keep the whole command from its end.
    await Promise.race([once(child, "close"), sleep(GRACE, undefined, { ref: false })]);
    if (child.exitCode === null && child.signalCode === null) this.#signal("SIGKILL");
    child.stdout!.destroy();
    child.stderr!.destroy();
  }

  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.#child.pid!, signal);
    } catch {
      // It has ended.
    }
  }
}
