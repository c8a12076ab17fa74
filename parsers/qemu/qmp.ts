/** QEMU's machine protocol, QMP (docs/interop/qmp-spec): one JSON object a line over a socket. */
import { connect, type Socket } from "node:net";

/** The emulator, or the connection to it, does not do what was asked; `message` says what was expected and found. */
export class QmpError extends Error {
  /** The emulator is gone: nothing can be asked of it any more. */
  readonly gone: boolean;
  /** Nobody listens there, or is about to: no emulator is left. */
  readonly absent: boolean;

  constructor(message: string, gone = false, absent = false) {
    super(message);
    this.name = "QmpError";
    this.gone = gone;
    this.absent = absent;
  }
}

export interface QmpVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
}

export interface QmpEvent {
  readonly event: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** How long an answer may take, in milliseconds; dumps of much memory set their own. */
const ANSWER_MS = 30_000;
const GREETING_MS = 10_000;
/** The longest line: the answers of `info mtree` have some megabytes. */
const MAX_LINE = 1 << 26;
const MAX_QUOTED = 80;

interface Waiting {
  readonly what: string;
  readonly settle: (answer: Record<string, unknown>) => void;
  readonly fail: (error: QmpError) => void;
}

const LAST_PORT = 65_535;

/** Where a socket is: a path, or host and port of one of TCP ("unix:PATH", "tcp:HOST:PORT" and "HOST:PORT" as well). */
export function socketAddress(text: string): { path: string } | { host: string; port: number } {
  const plain = text.replace(/^unix:/, "").replace(/^tcp:/, "");
  const match = /^([^/]*):(\d{1,5})$/.exec(plain);
  if (match === null || Number(match[2]) > LAST_PORT) return { path: plain };
  return { host: match[1] === "" ? "localhost" : match[1]!, port: Number(match[2]) };
}

/** A connection to a QEMU. Commands may be sent without waiting for the answers to those before: answers come in order. */
export class QmpClient {
  version: QmpVersion = { major: 0, minor: 0, micro: 0 };
  onEvent: ((event: QmpEvent) => void) | null = null;
  /** Settles when the connection has ended. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #name: string;
  readonly #waiting: Waiting[] = [];
  #rest: string[] = [];
  #restLength = 0;
  #ended: QmpError | null = null;

  private constructor(socket: Socket, name: string) {
    this.#socket = socket;
    this.#name = name;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#text(text));
    this.closed = new Promise((resolve) =>
      socket.on("close", () => {
        this.#end(new QmpError(`${name}: expected QEMU to answer, found the connection closed`, true));
        resolve();
      }),
    );
    socket.on("error", (error) => this.#end(connectionError(name, error)));
  }

  /**
   * Connects, and leaves the mode of negotiation.
   * @throws QmpError
   */
  static async open(name: string): Promise<QmpClient> {
    const socket = connect(socketAddress(name));
    const client = new QmpClient(socket, name);
    try {
      const greeting = await client.#next("QMP's greeting", GREETING_MS, () => {});
      client.version = versionOf(name, greeting);
      await client.execute("qmp_capabilities");
      return client;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** @throws QmpError where QEMU refuses, does not answer, or is gone */
  async execute(
    command: string,
    args: Readonly<Record<string, unknown>> = {},
    ms = ANSWER_MS,
  ): Promise<unknown> {
    const text = JSON.stringify({ execute: command, arguments: args });
    const answer = await this.#next(command, ms, () => this.#socket.write(`${text}\n`));
    if (answer.error === undefined) return answer.return;
    const { desc, class: kind } = answer.error as { desc?: unknown; class?: unknown };
    throw new QmpError(`${this.#name}: ${command}: QEMU says: ${String(desc ?? kind)}`);
  }

  /** A command of the human monitor. @returns what it prints */
  async monitor(line: string, ms = ANSWER_MS): Promise<string> {
    const text = await this.execute("human-monitor-command", { "command-line": line }, ms);
    if (typeof text === "string") return text;
    throw new QmpError(
      `${this.#name}: ${line}: expected the monitor's text, found ${quoted(JSON.stringify(text))}`,
    );
  }

  get gone(): boolean {
    return this.#ended !== null;
  }

  close(): void {
    this.#socket.destroy();
  }

  #next(what: string, ms: number, send: () => void): Promise<Record<string, unknown>> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    return new Promise((settle, fail) => {
      const timer = setTimeout(() => {
        // Answers have no numbers of ours: after a late one, nothing would fit any more.
        this.#end(
          new QmpError(`${this.#name}: ${what}: expected an answer within ${ms / 1000} s, found none`, true),
        );
        this.#socket.destroy();
      }, ms);
      const done = () => clearTimeout(timer);
      this.#waiting.push({
        what,
        settle: (answer) => {
          done();
          settle(answer);
        },
        fail: (error) => {
          done();
          fail(error);
        },
      });
      send();
    });
  }

  #text(text: string): void {
    let from = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", from)) {
      this.#rest.push(text.slice(from, end));
      from = end + 1;
      const line = this.#rest.join("");
      this.#rest = [];
      this.#restLength = 0;
      this.#line(line.trim());
    }
    if (from < text.length) {
      this.#rest.push(from === 0 ? text : text.slice(from));
      this.#restLength += text.length - from;
    }
    if (this.#restLength > MAX_LINE) this.#nonsense(`a line of more than ${MAX_LINE} characters`);
  }

  #line(line: string): void {
    if (line === "") return;
    let message: Record<string, unknown> | null = null;
    try {
      message = JSON.parse(line);
    } catch {
      // Said below.
    }
    if (typeof message !== "object" || message === null) this.#nonsense(quoted(line));
    else if (typeof message.event === "string") this.onEvent?.(message as unknown as QmpEvent);
    else if ("return" in message || "error" in message || "QMP" in message) {
      const waiting = this.#waiting.shift();
      if (waiting !== undefined) waiting.settle(message);
    } else this.#nonsense(quoted(line));
  }

  /** Whatever is at the other end, it is no QMP. */
  #nonsense(found: string): void {
    this.#end(new QmpError(`${this.#name}: expected a QMP message (a JSON object), found ${found}`, true));
    this.#socket.destroy();
  }

  #end(error: QmpError): void {
    this.#ended ??= error;
    for (const { fail } of this.#waiting.splice(0)) fail(this.#ended);
  }
}

function versionOf(name: string, greeting: Record<string, unknown>): QmpVersion {
  const qemu = (greeting.QMP as { version?: { qemu?: Partial<QmpVersion> } } | undefined)?.version?.qemu;
  const { major, minor, micro } = qemu ?? {};
  if (typeof major !== "number" || typeof minor !== "number")
    throw new QmpError(`${name}: expected QMP's greeting, found ${quoted(JSON.stringify(greeting))}`, true);
  return { major, minor, micro: micro ?? 0 };
}

/** What messages call the system's codes. */
const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "no such socket (ENOENT)",
  ECONNREFUSED: "a socket that nobody listens on, or no socket (ECONNREFUSED)",
  EACCES: "no permission (EACCES)",
  ENOTSOCK: "a file that is no socket (ENOTSOCK)",
};

function connectionError(name: string, error: Error): QmpError {
  const code = (error as NodeJS.ErrnoException).code ?? error.message;
  return new QmpError(
    `${name}: expected the QMP socket of a running QEMU, found ${REASONS[code] ?? code}`,
    true,
    ["ENOENT", "ECONNREFUSED", "ECONNRESET", "EPIPE"].includes(code),
  );
}

function quoted(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text);
}
