import { MACHINE } from "./built.ts";
import {
  type FoundRecords,
  type MachineCalls,
  machineCalls,
  type SharedMemory,
  type WebAssemblyApi,
  wasm,
} from "./calls.ts";
import {
  BATCH_END,
  FAULTED_AT,
  FIXED_AT,
  FIXED_BYTES,
  FIXED_LENGTH,
  MAX_RECORDS,
  OUT_AT,
  OUT_BYTES,
  RECORD_BYTES,
  RECORDS_AT,
  TEXT_AT,
  TEXT_BYTES,
  WASM_PAGE,
} from "./layout.ts";

let compiled: object | null | undefined;

/** The compiled module; null where WebAssembly, or its SIMD instructions, are missing. */
function compile(): object | null {
  const bytes = Buffer.from(MACHINE, "base64");
  return wasm?.validate(bytes) ? new wasm.Module(bytes) : null;
}

/**
 * Works on batches of a trace's lines in a memory of its own (layout.ts): finds the requests in a text, and writes what those
 * come to that a memo knows.
 */
export class BatchMachine {
  readonly module: object;
  readonly memory: SharedMemory;
  readonly buffer: SharedArrayBuffer;
  /** Where the text of the trace goes. */
  readonly text: Uint8Array;
  /** Where output goes. */
  readonly outputs: readonly Buffer[];
  /** MAX_RECORDS at most. */
  readonly found: FoundRecords;
  /** Which records `answer` has answered with faults. */
  readonly faulted: Int32Array;
  readonly calls: MachineCalls;

  /** @returns null where this platform has no such machine */
  static make(): BatchMachine | null {
    compiled ??= compile();
    return compiled === null ? null : new BatchMachine(compiled, wasm!);
  }

  private constructor(module: object, { Memory }: WebAssemblyApi) {
    const pages = BATCH_END / WASM_PAGE;
    this.module = module;
    this.memory = new Memory({ initial: pages, maximum: pages, shared: true });
    this.calls = machineCalls(module, this.memory);
    this.buffer = this.memory.buffer;
    this.text = new Uint8Array(this.buffer, TEXT_AT, TEXT_BYTES);
    this.outputs = [0, 1].map((n) => Buffer.from(this.buffer, OUT_AT + n * OUT_BYTES, OUT_BYTES));
    this.found = this.records(RECORDS_AT, MAX_RECORDS);
    this.faulted = new Int32Array(this.buffer, FAULTED_AT, MAX_RECORDS);
    this.calls.makeDigits();
  }

  /** A place for so many records. */
  records(at: number, most: number): FoundRecords {
    return { at, words: new Int32Array(this.buffer, at, (most * RECORD_BYTES) / 4) };
  }

  /** Sets the texts that every outcome has: FIXED_LINE and its like are their places here. */
  setTexts(texts: readonly string[]): void {
    texts.forEach((text, which) => {
      const at = FIXED_AT + which * FIXED_BYTES;
      new Uint32Array(this.buffer, at + FIXED_LENGTH, 1)[0] = Buffer.from(this.buffer, at).write(text);
    });
  }
}
