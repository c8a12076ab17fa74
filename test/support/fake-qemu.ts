/** A QMP server that answers as QEMU does, for a machine of a test's making: protocol alone, no emulator. */
import { appendFileSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { FRAME_BYTES } from "../../walkers/memory.ts";

export interface FakeMachine {
  readonly version?: { major: number; minor: number; micro: number };
  /** What `info mtree` prints of the IOMMUs. */
  readonly regions: string;
  /** 32- or 64-bit registers by address. */
  readonly registers: Readonly<Record<string, bigint>>;
  /** Pages of RAM, by frame; others read as zero, and beyond RAM not at all. */
  readonly pages: Map<number, Buffer>;
  /** Trace events and whether they are enabled. */
  readonly events: Map<string, boolean>;
  /** What the machine writes to its log while it runs with events. */
  readonly log: string;
}

/** Answers one command; undefined: as the machine does, null: not at all. */
export type Override = (command: string, line: string) => object | string | null | undefined;

const RAM_FIRST = 0x100000;
const RAM_LAST = 0x3ffffff;

export class FakeQemu {
  /** Commands and lines of the monitor, in order. */
  readonly asked: string[] = [];
  readonly machine: FakeMachine;
  override: Override = () => undefined;
  /** Called when the machine is told to go on. */
  onCont: () => void = () => {};
  running = true;
  logfile = "";
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(machine: FakeMachine, server: Server) {
    this.machine = machine;
    this.#server = server;
  }

  static async open(path: string, machine: FakeMachine): Promise<FakeQemu> {
    const server = createServer();
    const fake = new FakeQemu(machine, server);
    server.on("connection", (socket) => fake.#serve(socket));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return fake;
  }

  /** Ends all connections, as a QEMU that crashes. */
  crash(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  send(text: string): void {
    for (const socket of this.#sockets) socket.write(text);
  }

  async close(): Promise<void> {
    this.crash();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    const qemu = this.machine.version ?? { major: 10, minor: 0, micro: 13 };
    const greeting = this.override("greeting", "");
    if (greeting !== null)
      socket.write(
        typeof greeting === "string"
          ? greeting
          : `${JSON.stringify(greeting ?? { QMP: { version: { qemu }, capabilities: [] } })}\r\n`,
      );
    let rest = "";
    socket.on("data", (data) => {
      rest += data.toString();
      for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
        const { execute, arguments: args } = JSON.parse(rest.slice(0, end));
        rest = rest.slice(end + 1);
        const line = String(args?.["command-line"] ?? "");
        this.asked.push(line === "" ? `${execute}${args?.name ? ` ${args.name}` : ""}` : line);
        const answer = this.override(execute, line);
        if (answer === null) continue;
        const given = answer ?? { return: this.#answer(execute, line, args ?? {}) };
        socket.write(typeof given === "string" ? given : `${JSON.stringify(given)}\r\n`);
      }
    });
  }

  #answer(command: string, line: string, args: Record<string, unknown>): unknown {
    if (command === "query-status") return { running: this.running };
    if (command === "query-kvm") return { enabled: false, present: true };
    if (command === "stop") this.running = false;
    if (command === "cont") this.#cont();
    if (command === "human-monitor-command") return this.#monitor(line);
    if (command === "trace-event-get-state") {
      const prefix = String(args.name).replace("*", "");
      return [...this.machine.events]
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, on]) => ({ name, state: on ? "enabled" : "disabled" }));
    }
    if (command === "trace-event-set-state") this.machine.events.set(String(args.name), args.enable === true);
    return {};
  }

  #cont(): void {
    this.running = true;
    if (
      this.logfile !== "" &&
      this.logfile !== "/dev/null" &&
      [...this.machine.events.values()].some(Boolean)
    )
      appendFileSync(this.logfile, this.machine.log);
    this.onCont();
  }

  #monitor(line: string): string {
    if (line === "info mtree -o") return this.machine.regions;
    if (line === "info mtree -f")
      return `FlatView #0\r\n AS "memory", root: system\r\n Root memory region: system\r\n  ${hex16(RAM_FIRST)}-${hex16(RAM_LAST)} (prio 0, ram): pc.ram @${hex16(RAM_FIRST)}\r\n`;
    if (line.startsWith("logfile ")) {
      this.logfile = line.slice(8);
      if (this.logfile !== "/dev/null") writeFileSync(this.logfile, "");
      return "";
    }
    const match = /^xp \/(\d+)([gw])x 0x([0-9a-f]+)$/.exec(line);
    return match === null
      ? `unknown command: '${line}'\r\n`
      : this.#xp(Number(match[1]), Number.parseInt(match[3]!, 16));
  }

  #xp(words: number, at: number): string {
    const register = this.machine.registers[`0x${at.toString(16)}`];
    if (register !== undefined) return `${hex16(at)}: 0x${register.toString(16).padStart(16, "0")}\r\n`;
    if ((at < RAM_FIRST || at > RAM_LAST) && !this.machine.pages.has(at / FRAME_BYTES))
      return `${hex16(at)}: Cannot access memory\r\n`;
    const page = this.machine.pages.get(at / FRAME_BYTES) ?? Buffer.alloc(FRAME_BYTES);
    const lines: string[] = [];
    for (let i = 0; i < words; i += 2)
      lines.push(
        `${(at + 8 * i).toString(16).padStart(8, "0")}: 0x${page
          .readBigUInt64LE(8 * i)
          .toString(16)
          .padStart(16, "0")} 0x${page
          .readBigUInt64LE(8 * i + 8)
          .toString(16)
          .padStart(16, "0")}\r\n`,
      );
    return lines.join("");
  }
}

function hex16(value: number): string {
  return value.toString(16).padStart(16, "0");
}
