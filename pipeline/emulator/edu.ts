/** QEMU's `edu` device: a function with a buffer of 4 KiB that it copies from or to memory when it is told to. */
import type { Qtest } from "./qtest.ts";

const BAR0 = 0x10;
const COMMAND = 0x4;
/** Memory space and bus master. */
const ENABLED = 0x6;
const SOURCE = 0x80n;
const DESTINATION = 0x88n;
const COUNT = 0x90n;
const DMA = 0x98n;
const START = 1;
const TO_MEMORY = 2;
const BUFFER = 0x4_0000n;
/** Half of the buffer is for what is read; what is written comes from the other half. */
const HALF = 0x800n;
/** Virtual time after which a copy is done, in nanoseconds. */
const DELAY = 100_000_001;

/** Longest copy, in bytes: older versions take one that ends with the buffer for too long. */
export const EDU_BYTES = Number(HALF) - 8;

export class EduDevice {
  /** Requester id. */
  readonly id: number;
  readonly #bar: bigint;

  /** @param bar where its registers are put: 1 MiB */
  constructor(id: number, bar: bigint) {
    this.id = id;
    this.#bar = bar;
  }

  enable(machine: Qtest): void {
    machine.writeConfig(this.id, BAR0, Number(this.#bar));
    machine.writeConfig(this.id, COMMAND, ENABLED);
  }

  /** Fills the half of the buffer that is written from, out of memory that nothing translates. */
  fill(machine: Qtest, address: bigint, steps: boolean): Promise<void> {
    return this.#copy(machine, address, BUFFER, BigInt(EDU_BYTES), START, steps);
  }

  /**
   * Copies: before the next read, or what is sent is flushed.
   * @param steps whether time goes on by command; else it goes on by itself
   */
  request(machine: Qtest, address: bigint, bytes: number, write: boolean, steps: boolean): Promise<void> {
    return write
      ? this.#copy(machine, BUFFER, address, BigInt(bytes), START | TO_MEMORY, steps)
      : this.#copy(machine, address, BUFFER + HALF, BigInt(bytes), START, steps);
  }

  /** Writes the first byte of what it has read last to memory. */
  drain(machine: Qtest, address: bigint, steps: boolean): Promise<void> {
    return this.#copy(machine, BUFFER + HALF, address, 1n, START | TO_MEMORY, steps);
  }

  async #copy(
    machine: Qtest,
    from: bigint,
    to: bigint,
    bytes: bigint,
    command: number,
    steps: boolean,
  ): Promise<void> {
    machine.write64(this.#bar + SOURCE, from);
    machine.write64(this.#bar + DESTINATION, to);
    machine.write64(this.#bar + COUNT, bytes);
    machine.write64(this.#bar + DMA, BigInt(command));
    if (steps) {
      machine.send(`clock_step ${DELAY}`);
      return;
    }
    while (((await machine.read32(this.#bar + DMA)) & START) !== 0);
  }
}
