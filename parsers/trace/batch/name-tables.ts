import type { TraceNames } from "../records.ts";
import {
  CONTROL_AT,
  CONTROL_NAMES,
  CONTROL_WORDS,
  DEVICES_AT,
  IOMMUS_AT,
  LONGEST_NAME,
  NAME_SLOTS,
  PIECES_AT,
} from "./layout.ts";
import type { BatchMachine } from "./machine.ts";

/** Where a name stands while it is entered: pieces begin with room for it. */
const SCRATCH = PIECES_AT;

/** Names that a machine knows, of one kind. */
class NameTable {
  readonly #machine: BatchMachine;
  readonly #at: number;
  /** Names that it has been told of. */
  #known = 0;
  entered = 0;

  constructor(machine: BatchMachine, at: number) {
    this.#machine = machine;
    this.#at = at;
  }

  /** Tells the machine of names that are new. What is too long, or too much, it goes without. */
  update(size: number, text: (number: number) => string): void {
    for (; this.#known < size; this.#known++) {
      const bytes = Buffer.from(text(this.#known));
      if (bytes.length > LONGEST_NAME || this.entered * 2 >= NAME_SLOTS) continue;
      const scratch = new Uint8Array(this.#machine.buffer, SCRATCH, LONGEST_NAME);
      scratch.fill(0);
      scratch.set(bytes);
      this.#machine.calls.enterName(this.#at, SCRATCH, bytes.length, this.#known);
      this.entered++;
    }
  }
}

/** The names of a trace as a machine knows them: their numbers are those of `TraceNames`. */
export class NameTables {
  readonly #names: TraceNames;
  readonly #iommus: NameTable;
  readonly #devices: NameTable;
  readonly #control: Int32Array;

  constructor(machine: BatchMachine, names: TraceNames) {
    this.#names = names;
    this.#iommus = new NameTable(machine, IOMMUS_AT);
    this.#devices = new NameTable(machine, DEVICES_AT);
    this.#control = new Int32Array(machine.buffer, CONTROL_AT, CONTROL_WORDS);
  }

  /** How many the machine knows. */
  get entered(): number {
    return this.#iommus.entered + this.#devices.entered;
  }

  /** Tells the machine of names that have come since. */
  update(): void {
    const { iommus, devices } = this.#names;
    this.#iommus.update(iommus.size, (number) => iommus.text(number));
    this.#devices.update(devices.size, (number) => devices.get(number).text);
    Atomics.store(this.#control, CONTROL_NAMES, this.entered);
  }
}
