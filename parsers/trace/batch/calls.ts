/** What assembly/index.ts exports. Addresses are those of the memory. */
export interface MachineCalls {
  makeDigits(): void;
  enterName(table: number, text: number, length: number, number: number): void;
  scan(start: number, last: number, longest: number, records: number, most: number): number;
  answer(
    records: number,
    from: number,
    to: number,
    line: number,
    out: number,
    limit: number,
    select: number,
  ): number;
  written(): number;
  faulted(): number;
}

/** A memory of WebAssembly that threads share. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
}

/** What is used of WebAssembly: the language's own library does not declare it. */
export interface WebAssemblyApi {
  validate(bytes: Uint8Array): boolean;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Memory: new (size: { initial: number; maximum: number; shared: true }) => SharedMemory;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
}
export const wasm = (globalThis as { readonly WebAssembly?: WebAssemblyApi }).WebAssembly;

/** The module's functions, on a memory. Each thread has its own. */
export function machineCalls(module: object, memory: SharedMemory): MachineCalls {
  return new wasm!.Instance(module, { env: { memory } }).exports as MachineCalls;
}

/** A place for records that `scan` finds. */
export interface FoundRecords {
  readonly at: number;
  readonly words: Int32Array;
}
