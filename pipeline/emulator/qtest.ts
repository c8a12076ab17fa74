import { createServer, type Server, type Socket } from "node:net";
import type { EmulatedMachine } from "../../walkers/fuzz/emulator.ts";
import { hex } from "../../walkers/word64.ts";
import { DeviceFailure } from "../fuzz/port.ts";

/** x86's way into configuration space. */
const CONFIG_ADDRESS = 0xcf8;
const CONFIG_DATA = 0xcfc;
const CONFIG_ENABLE = 0x8000_0000;
/** PCI Express: of each function, where all of it is mapped. */
const CONFIG_BYTES = 4096;

/** Commands that were sent at once, and the answers to them that have come. */
interface Exchange {
  readonly commands: readonly string[];
  readonly replies: string[];
  readonly settle: () => void;
  readonly fail: (failure: DeviceFailure) => void;
}

/** QEMU's qtest protocol: commands as lines, each answered by one. */
export class Qtest implements EmulatedMachine {
  readonly #timeout: number;
  readonly #ecam: bigint | null;
  #socket: Socket | null = null;
  #partial = "";
  /** Commands that have not been sent. */
  readonly #waiting: string[] = [];
  /** What is sent as soon as the caller waits: whoever asks until then is answered with it. */
  #next: Promise<readonly string[]> | null = null;
  /** Sent, and not yet answered, in their order. */
  readonly #sent: Exchange[] = [];
  #wake: () => void = () => {};
  #ended: DeviceFailure | null = null;

  /** @param ecam where configuration space is mapped; null: it is reached by ports */
  constructor(timeout: number, ecam: bigint | null) {
    this.#timeout = timeout;
    this.#ecam = ecam;
  }

  /** Waits on a socket for the emulator to come. */
  async listen(path: string): Promise<Server> {
    const server = createServer((socket) => {
      this.#socket = socket;
      socket.setEncoding("utf8");
      socket.on("data", (text: string) => this.#take(text));
      socket.on("error", () => {});
      socket.on("close", () => this.end(new DeviceFailure("died", "the emulator closed its connection")));
      this.#wake();
    });
    await new Promise<void>((settle, fail) => {
      server.on("error", fail);
      server.listen(path, settle);
    });
    return server;
  }

  /** The emulator has come. */
  async connected(): Promise<void> {
    while (this.#socket === null) {
      if (this.#ended !== null) throw this.#ended;
      await this.#change();
    }
  }

  /** There will be no more answers. */
  end(failure: DeviceFailure): void {
    this.#ended ??= failure;
    for (const { fail } of this.#sent.splice(0)) fail(this.#ended);
    this.#wake();
  }

  #take(text: string): void {
    const lines = (this.#partial + text).split("\n");
    this.#partial = lines.pop()!;
    for (const line of lines) {
      // Interrupt lines may be told in between.
      if (!line.startsWith("IRQ")) this.#reply(line);
    }
  }

  #reply(line: string): void {
    const [first] = this.#sent;
    // What nobody has asked for is no answer.
    if (first === undefined) return;
    first.replies.push(line);
    if (first.replies.length < first.commands.length) return;
    this.#sent.shift();
    first.settle();
  }

  #change(): Promise<void> {
    return this.#inTime((settle) => {
      this.#wake = settle;
    });
  }

  /** @throws DeviceFailure where it takes too long */
  #inTime(begin: (settle: () => void, fail: (failure: DeviceFailure) => void) => void): Promise<void> {
    return new Promise((settle, fail) => {
      const seconds = this.#timeout / 1000;
      const hung = () =>
        fail(new DeviceFailure("hung", `expected an answer within ${seconds} s, found none`));
      const late = setTimeout(hung, this.#timeout);
      const ending =
        <T>(end: (value: T) => void) =>
        (value: T) => {
          clearTimeout(late);
          end(value);
        };
      begin(ending<void>(settle), ending(fail));
    });
  }

  /** A command, before the next read or `flush`. */
  send(command: string): void {
    this.#waiting.push(command);
  }

  write32(address: bigint, value: number): void {
    this.send(`writel ${hex(address)} ${hex(value >>> 0)}`);
  }

  write64(address: bigint, value: bigint): void {
    this.send(`writeq ${hex(address)} ${hex(value)}`);
  }

  write(address: bigint, bytes: string): void {
    this.send(`write ${hex(address)} ${hex(bytes.length / 2)} 0x${bytes}`);
  }

  /** Zeros. */
  clear(address: bigint, bytes: bigint): void {
    if (bytes > 0n) this.send(`memset ${hex(address)} ${hex(bytes)} 0x0`);
  }

  writeConfig(device: number, register: number, value: number): void {
    if (this.#ecam !== null) {
      this.write32(this.#ecam + BigInt(device * CONFIG_BYTES + register), value);
      return;
    }
    this.send(`outl ${hex(CONFIG_ADDRESS)} ${hex((CONFIG_ENABLE | (device << 8) | register) >>> 0)}`);
    this.send(`outl ${hex(CONFIG_DATA)} ${hex(value >>> 0)}`);
  }

  async read32(address: bigint): Promise<number> {
    return Number(await this.#value(`readl ${hex(address)}`));
  }

  async read64(address: bigint): Promise<bigint> {
    return this.#value(`readq ${hex(address)}`);
  }

  async read8(address: bigint): Promise<number> {
    return Number(await this.#value(`readb ${hex(address)}`));
  }

  async readBytes(address: bigint, bytes: number): Promise<Uint8Array> {
    const value = await this.#text(`read ${hex(address)} ${hex(bytes)}`);
    return Buffer.from(value.slice(2), "hex");
  }

  async #value(command: string): Promise<bigint> {
    return BigInt(await this.#text(command));
  }

  async #text(command: string): Promise<string> {
    const place = this.#waiting.push(command) - 1;
    const reply = (await this.flush())[place]!;
    const value = /^OK (0x[0-9a-f]+)$/i.exec(reply)?.[1];
    if (value === undefined)
      throw new DeviceFailure("nonsense", `${command}: expected a value, found ${JSON.stringify(reply)}`);
    return value;
  }

  /** Carries out what was sent: by the time that this is waited for. @returns the answers to it */
  flush(): Promise<readonly string[]> {
    this.#next ??= Promise.resolve().then(() => {
      this.#next = null;
      return this.#exchange(this.#waiting.splice(0));
    });
    return this.#next;
  }

  async #exchange(commands: readonly string[]): Promise<readonly string[]> {
    if (commands.length === 0) return [];
    const replies: string[] = [];
    await this.#inTime((settle, fail) => {
      if (this.#ended !== null) return fail(this.#ended);
      this.#sent.push({ commands, replies, settle, fail });
      this.#socket!.write(commands.map((command) => `${command}\n`).join(""));
    });
    const wrong = replies.findIndex((reply) => !reply.startsWith("OK"));
    if (wrong >= 0)
      throw new DeviceFailure(
        "nonsense",
        `${commands[wrong]}: expected OK, found ${JSON.stringify(replies[wrong])}`,
      );
    return replies;
  }

  close(): void {
    this.#socket?.destroy();
  }
}
