import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { FRAME_SHIFT } from "../../walkers/memory.ts";
import { CliError } from "../errors.ts";

/** What the plugin does with stores to a frame: parsers/qemu/plugin/stores.c has the same. */
export const UNWATCHED = 0;
export const LOGGED = 1;
/** Its entries lead to further pages: the plugin asks before it goes on. */
export const ASKED = 2;
const REGISTERS = 4;

const MAGIC = 0x31424154504152n;
const HEADER_BYTES = 4096;
const MAX_RAM = 64;
const MAX_REGISTERS = 64;
const AT = {
  magic: 0,
  enabled: 8,
  frames: 16,
  ramCount: 24,
  registerCount: 32,
  unseen: 40,
  ram: 48,
} as const;
const AT_REGISTERS = AT.ram + MAX_RAM * 24;
/** Most frames that are watched: 16 TiB of guest memory, a byte each in a file that is empty but for what is written. */
const MAX_FRAMES = 2 ** 32;

/** A stretch of RAM: guest-physical, and where it lies in QEMU's memory. */
export interface HostRam {
  readonly first: bigint;
  readonly last: bigint;
  readonly host: bigint;
}

/** The file that says which pages are watched: QEMU has it mapped. */
export class PageMap {
  readonly path: string;
  readonly frames: number;
  readonly #fd: number;

  /** @param end one past the last address that is watched */
  constructor(path: string, end: bigint) {
    this.path = path;
    this.frames = Number((end + 4095n) >> BigInt(FRAME_SHIFT));
    if (this.frames > MAX_FRAMES)
      throw new CliError(`expected a machine whose memory ends below 16 TiB, found 0x${end.toString(16)}`);
    this.#fd = openSync(path, "wx+", 0o600);
    ftruncateSync(this.#fd, HEADER_BYTES + this.frames);
    this.#word(AT.magic, MAGIC);
    this.#word(AT.frames, BigInt(this.frames));
  }

  /** Where RAM is, and which registers the plugin asks about. @throws CliError for more than there is room for */
  describe(ram: readonly HostRam[], registers: readonly bigint[]): void {
    if (ram.length > MAX_RAM)
      throw new CliError(`expected at most ${MAX_RAM} stretches of RAM, found ${ram.length}`);
    for (const [i, { first, last, host }] of ram.entries())
      for (const [k, value] of [first, last - first + 1n, host].entries())
        this.#word(AT.ram + 24 * i + 8 * k, value);
    this.#word(AT.ramCount, BigInt(ram.length));
    this.ask(registers);
  }

  /** Which registers the plugin asks about from here on: others are none any more. */
  ask(registers: readonly bigint[]): void {
    if (registers.length > MAX_REGISTERS)
      throw new CliError(`expected at most ${MAX_REGISTERS} registers, found ${registers.length}`);
    for (const [i, address] of registers.entries()) this.#word(AT_REGISTERS + 8 * i, address & ~7n);
    this.#word(AT.registerCount, BigInt(registers.length));
    for (const address of registers) this.watch(Number(address >> BigInt(FRAME_SHIFT)), REGISTERS);
  }

  enable(on: boolean): void {
    this.#word(AT.enabled, on ? 1n : 0n);
  }

  watch(frame: number, kind: number): void {
    if (frame < this.frames) writeSync(this.#fd, Uint8Array.of(kind), 0, 1, HEADER_BYTES + frame);
  }

  /** Stores that the plugin could not see whole. */
  get unseen(): number {
    const word = Buffer.alloc(8);
    readSync(this.#fd, word, 0, 8, AT.unseen);
    return Number(word.readBigUInt64LE());
  }

  close(): void {
    closeSync(this.#fd);
  }

  #word(at: number, value: bigint): void {
    const word = Buffer.alloc(8);
    word.writeBigUInt64LE(value);
    writeSync(this.#fd, word, 0, 8, at);
  }
}
