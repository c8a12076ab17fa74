/** What the second thread does (read-ahead.ts starts it): reads a file into windows, or is given them full, and scans them. */
import { readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { type MachineCalls, machineCalls, type SharedMemory } from "./calls.ts";
import {
  CONTROL_AT,
  CONTROL_END,
  CONTROL_FINISHED,
  CONTROL_GIVEN,
  CONTROL_NAMES,
  CONTROL_RUNS,
  CONTROL_WAITED_FOR,
  CONTROL_WORDS,
  POSITION_AT,
  WINDOW_RECORDS,
} from "./layout.ts";
import { TextWindow } from "./windows.ts";

/** What it is given. */
export interface ThreadOrder {
  readonly module: object;
  readonly memory: SharedMemory;
  readonly maxLineBytes: number;
  /** Of the file to read, from POSITION_AT on; null: windows come with their text. */
  readonly descriptor: number | null;
}

const { module, memory, maxLineBytes, descriptor } = workerData as ThreadOrder;
const control = new Int32Array(memory.buffer, CONTROL_AT, CONTROL_WORDS);
const windows = TextWindow.all(memory.buffer);
const calls: MachineCalls = machineCalls(module, memory);

/** Says that something is done. */
function tell(word: number, value: number): void {
  Atomics.store(control, word, value);
  if (Atomics.exchange(control, CONTROL_WAITED_FOR, 0) === 1) parentPort?.postMessage(null);
}

/** Waits for more windows than so many. @returns false where there will be none */
function given(finished: number): boolean {
  for (;;) {
    const number = Atomics.load(control, CONTROL_GIVEN);
    if (Atomics.load(control, CONTROL_END) === 1) return false;
    if (number > finished) return true;
    Atomics.wait(control, CONTROL_GIVEN, number);
  }
}

/** Fills a window as far as the file goes. Where it cannot be read, whoever reads on from there will see why. */
function read(window: TextWindow, file: number, position: number): number {
  let length = 0;
  try {
    while (length < window.room) {
      const n = readSync(file, window.text, length, window.room - length, position + length);
      if (n === 0) break;
      length += n;
    }
  } catch {
    // What was read before it stands.
  }
  return length;
}

function scan(window: TextWindow): void {
  const names = Atomics.load(control, CONTROL_NAMES);
  const { at, first, end, found } = window;
  const count =
    end === first ? 0 : calls.scan(at + first, at + end - 1, maxLineBytes, found.at, WINDOW_RECORDS);
  window.scanned(count, names);
}

let position = -1;
tell(CONTROL_RUNS, 1);
for (let finished = 0; given(finished); finished++) {
  const window = windows[finished % windows.length]!;
  if (descriptor !== null) {
    if (position < 0) position = new Float64Array(memory.buffer, POSITION_AT, 1)[0]!;
    window.length = read(window, descriptor, position);
    position += window.length;
  }
  scan(window);
  tell(CONTROL_FINISHED, finished + 1);
}
