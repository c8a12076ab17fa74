import { MACHINE } from "./built.ts";
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

/** What assembly/index.ts exports. Addresses are those of the memory. */
interface Exports {
  makeDigits(): void;
  enterName(table: number, text: number, length: number, number: number): void;
  scan(start: number, last: number, longest: number): number;
  answer(from: number, to: number, line: number, out: number, limit: number, select: number): number;
  written(): number;
  faulted(): number;
}

/** What is used of WebAssembly: the language's own library does not declare it. */
interface WebAssemblyApi {
  validate(bytes: Uint8Array): boolean;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Memory: new (size: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
}
const wasm = (globalThis as { readonly WebAssembly?: WebAssemblyApi }).WebAssembly;

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
  readonly buffer: ArrayBuffer;
  /** Where the text of the trace goes. */
  readonly text: Uint8Array;
  /** Where output goes. */
  readonly outputs: readonly Buffer[];
  /** Records that `scan` has found. */
  readonly records: Int32Array;
  /** Which of them `answer` has answered with faults. */
  readonly faulted: Int32Array;
  readonly calls: Exports;

  /** @returns null where this platform has no such machine */
  static make(): BatchMachine | null {
    compiled ??= compile();
    return compiled === null ? null : new BatchMachine(compiled, wasm!);
  }

  private constructor(module: object, { Memory, Instance }: WebAssemblyApi) {
    const pages = BATCH_END / WASM_PAGE;
    const memory = new Memory({ initial: pages, maximum: pages });
    const { exports } = new Instance(module, { env: { memory } });
    this.calls = exports as Exports;
    this.buffer = memory.buffer;
    this.text = new Uint8Array(this.buffer, TEXT_AT, TEXT_BYTES);
    this.outputs = [0, 1].map((n) => Buffer.from(this.buffer, OUT_AT + n * OUT_BYTES, OUT_BYTES));
    this.records = new Int32Array(this.buffer, RECORDS_AT, (MAX_RECORDS * RECORD_BYTES) / 4);
    this.faulted = new Int32Array(this.buffer, FAULTED_AT, MAX_RECORDS);
    this.calls.makeDigits();
  }

  /** Sets the texts that every outcome has: FIXED_LINE and its like are their places here. */
  setTexts(texts: readonly string[]): void {
    texts.forEach((text, which) => {
      const at = FIXED_AT + which * FIXED_BYTES;
      new Uint32Array(this.buffer, at + FIXED_LENGTH, 1)[0] = Buffer.from(this.buffer, at).write(text);
    });
  }
}
