import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { ByteSource } from "../byte-source.ts";
import { THREAD } from "./built.ts";
import {
  CONTROL_AT,
  CONTROL_END,
  CONTROL_FINISHED,
  CONTROL_GIVEN,
  CONTROL_RUNS,
  CONTROL_WAITED_FOR,
  CONTROL_WORDS,
  POSITION_AT,
  WINDOWS,
} from "./layout.ts";
import type { BatchMachine } from "./machine.ts";
import type { ThreadOrder } from "./thread.ts";
import { TextWindow } from "./windows.ts";

/** Windows between two turns of the event loop, which signals and progress need. */
const WINDOWS_PER_TURN = 32;

/** It makes next to no garbage, for which it needs no room. */
const LIMITS = { maxYoungGenerationSizeMb: 1 };

/**
 * A second thread (thread.ts) that works ahead: finds the records of a text before they are needed, and, where it is a file
 * that can be read in any place, reads it as well. What it finds is what whoever asks would have found.
 */
export class ReadAhead {
  /** Why there is no second thread, where there is none. */
  trouble: string | null = null;
  /** The input has ended: nobody needs to look whether more has come. */
  ended = false;
  readonly #source: ByteSource;
  readonly #machine: BatchMachine;
  readonly #control: Int32Array;
  readonly #windows: readonly TextWindow[];
  #worker: Worker | null = null;
  /** Windows that the thread was given, and those that were taken from it. */
  #given = 0;
  #taken = 0;
  /** Windows that are done with. */
  #free = 0;
  /** Called when there may be news. */
  #wake: (() => void) | null = null;
  /** Called when a window is free. */
  #room: (() => void) | null = null;
  /** What broke the input off, behind all windows. */
  #failure: unknown;

  constructor(machine: BatchMachine, source: ByteSource, maxLineBytes: number) {
    this.#source = source;
    this.#machine = machine;
    this.#control = new Int32Array(machine.buffer, CONTROL_AT, CONTROL_WORDS);
    this.#windows = TextWindow.all(machine.buffer);
    const { module, memory } = machine;
    const descriptor = source.file?.descriptor ?? null;
    const workerData: ThreadOrder = { module, memory, maxLineBytes, descriptor };
    try {
      this.#worker = new Worker(THREAD, { eval: true, workerData, execArgv: [], resourceLimits: LIMITS })
        .on("message", () => this.#news())
        .on("error", (error) => this.#gone(error))
        .on("exit", () => this.#gone(new Error("it has ended")));
    } catch (error) {
      this.trouble = (error as Error).message;
    }
  }

  /** Whether the thread has ever run. */
  get begun(): boolean {
    return Atomics.load(this.#control, CONTROL_RUNS) === 1;
  }

  /** Whether windows are to be had. */
  get runs(): boolean {
    return this.#given > 0 || (this.#worker !== null && this.begun);
  }

  /** Waits until the thread has begun, or cannot. */
  async begin(): Promise<void> {
    await this.#until(() => this.runs || this.#worker === null);
  }

  /**
   * The next window; the one before is the thread's again.
   * @returns null where no more come: the source is to be read for what is behind, unless it has `ended`
   * @throws what reading the source throws, after all that came before it
   */
  async next(): Promise<TextWindow | null> {
    const { file } = this.#source;
    if (this.#given === 0) this.#start();
    else if (file !== undefined) this.#give();
    this.#free = this.#taken;
    this.#room?.();
    if (this.#taken % WINDOWS_PER_TURN === 0) await setImmediate();
    await this.#until(() => this.#isThere || this.#isOver);
    if (!this.#isThere) {
      if (this.#failure !== undefined) throw this.#failure;
      return null;
    }
    const window = this.#windows[this.#taken % WINDOWS]!;
    this.#taken++;
    file?.skip(window.length);
    return window.length === 0 ? null : window;
  }

  /** The next window can be taken. What a thread that is no more was given with its text is there, whatever it found. */
  get #isThere(): boolean {
    const scanned = Atomics.load(this.#control, CONTROL_FINISHED) > this.#taken;
    return scanned || (this.#source.file === undefined && this.#worker === null && this.#given > this.#taken);
  }

  /** No more come. */
  get #isOver(): boolean {
    return this.#source.file === undefined
      ? this.ended && this.#given === this.#taken
      : this.#worker === null;
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = null;
    Atomics.store(this.#control, CONTROL_END, 1);
    // Another number, so that it does not begin to wait.
    Atomics.add(this.#control, CONTROL_GIVEN, 1);
    Atomics.notify(this.#control, CONTROL_GIVEN);
    await worker?.terminate();
  }

  /** Has the thread begin to read, or begins to read for it. */
  #start(): void {
    if (this.#source.file === undefined) {
      void this.#read();
      return;
    }
    new Float64Array(this.#machine.buffer, POSITION_AT, 1)[0] = this.#source.consumed;
    for (let i = 0; i < WINDOWS; i++) this.#give();
  }

  #give(): void {
    Atomics.store(this.#control, CONTROL_GIVEN, ++this.#given);
    Atomics.notify(this.#control, CONTROL_GIVEN);
  }

  /** Reads the source into windows, as they become free. */
  async #read(): Promise<void> {
    try {
      for (;;) {
        while (this.#given - this.#free === WINDOWS)
          await new Promise<void>((resolve) => {
            this.#room = resolve;
          });
        const window = this.#windows[this.#given % WINDOWS]!;
        const length = await this.#source.read(window.text, 0, window.room);
        if (length === 0) break;
        window.length = length;
        this.#give();
        this.#news();
      }
    } catch (error) {
      this.#failure = error;
    }
    this.ended = true;
    this.#news();
  }

  async #until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      Atomics.store(this.#control, CONTROL_WAITED_FOR, 1);
      if (holds()) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #news(): void {
    this.#wake?.();
    this.#wake = null;
  }

  #gone(error: unknown): void {
    if (this.#worker === null) return;
    this.#worker = null;
    this.trouble = (error as Error).message;
    this.#news();
  }
}
