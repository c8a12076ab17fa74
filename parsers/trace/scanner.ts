/**
 * Reads `dma` and `mem` records straight from the bytes of their line: no string, no object, no exception. It
 * takes any order of fields, any white space and any unknown fields; whatever else is unusual (escapes, other
 * record types, anything wrong) it declines, and LineReader reads the line. It accepts nothing that LineReader
 * would refuse, and gives the same values (test/trace-scanner.test.ts).
 */
import { COMMA, OPEN_BRACE, plainTextAt, QUOTE, space, wordOf } from "./bytes.ts";
import { type Fields, oneOf } from "./field.ts";
import { FieldScanner } from "./field-scanner.ts";
import { FieldTable } from "./field-table.ts";
import { NEWLINE } from "./json-syntax.ts";
import { ObservedScanner } from "./observed-scanner.ts";
import type { DmaRecord, HarmlessNames, MemRecord, TraceNames } from "./records.ts";
import { DMA_FIELDS, MEM_FIELDS, type ScannedFields } from "./scanned-fields.ts";
import { RECORDS } from "./schema.ts";

/** Record types that the scanner knows. */
export const DMA = 1;
const MEM = 2;

const TYPE = "type";
const TYPE_WORD = wordOf(TYPE);
const VALUE_DMA = wordOf('dma"');
const VALUE_MEM = wordOf('mem"');

const DMA_TABLE = recordTable("dma", RECORDS.dma.fields, DMA_FIELDS);
const MEM_TABLE = recordTable("mem", RECORDS.mem.fields, MEM_FIELDS);

function recordTable<R>(type: string, fields: Fields, scanned: ScannedFields<R>): FieldTable<R> {
  return new FieldTable({ [TYPE]: oneOf([type], "Record type"), ...fields }, scanned);
}

export class RecordScanner extends FieldScanner {
  readonly #dma: DmaRecord;
  readonly #observed: ObservedScanner;
  readonly #mem: MemRecord;
  /** After `scan`: DMA or MEM. */
  type = 0;

  /**
   * @param harmless names of fields that nobody needs to be told of; a record with another unknown one is declined.
   *   Null: all are stepped over
   */
  constructor(names: TraceNames, dma: DmaRecord, mem: MemRecord, harmless: HarmlessNames | null = null) {
    super(names, harmless?.record);
    this.#dma = dma;
    this.#observed = new ObservedScanner(names, dma.observed, harmless?.observed);
    this.#mem = mem;
  }

  override use(bytes: Uint8Array): void {
    super.use(bytes);
    this.#observed.use(bytes);
  }

  /**
   * Reads the record that starts at `start`, in a line that a newline ends, into the DmaRecord or the MemRecord.
   * @returns offset of that newline, or -1 where LineReader must read the line
   */
  scan(start: number): number {
    const { bytes } = this;
    const brace = space(bytes, start);
    if (bytes[brace] !== OPEN_BRACE) return -1;
    this.type = this.#typeAt(this.#typeOf(brace));
    const end = this.type === DMA ? this.#request(brace) : this.type === MEM ? this.#write(brace) : -1;
    if (end < 0) return -1;
    const p = space(bytes, end + 1);
    return bytes[p] === NEWLINE ? p : -1;
  }

  #request(brace: number): number {
    const dma = this.#dma;
    dma.clear();
    dma.bytes = this.bytes;
    return this.members(brace, DMA_TABLE, dma);
  }

  #write(brace: number): number {
    const mem = this.#mem;
    mem.clear();
    mem.bytes = this.bytes;
    return this.members(brace, MEM_TABLE, mem);
  }

  protected override object(at: number): number {
    return this.#observed.read(at);
  }

  #typeAt(at: number): number {
    const word = at > 0 && this.bytes[at] === QUOTE ? this.view.getInt32(at + 1, true) : 0;
    return word === VALUE_DMA ? DMA : word === VALUE_MEM ? MEM : 0;
  }

  /** Where the value of `type` is, most often the first field: of several ones the first, and all are looked at later. Or -1. */
  #typeOf(brace: number): number {
    const { bytes } = this;
    let p = brace;
    do {
      const name = space(bytes, p + 1);
      const quote = bytes[name] === QUOTE ? plainTextAt(bytes, name + 1) : -1;
      p = quote < 0 ? 0 : this.valueBehind(quote);
      if (p === 0) return -1;
      if (quote === name + 1 + TYPE.length && this.view.getInt32(name + 1, true) === TYPE_WORD) return p;
      p = this.syntax.value(bytes, p);
      if (p < 0) return -1;
      p = space(bytes, p);
    } while (bytes[p] === COMMA);
    return -1;
  }
}
