import type { Word64 } from "../../walkers/registers.ts";
import { Scalars } from "./bytes.ts";
import type { Device } from "./devices.ts";
import type { Fields, Plain } from "./field.ts";
import type { DmaRecord, MemRecord, TraceNames } from "./records.ts";
import {
  DMA_FIELDS,
  MEM_FIELDS,
  OBSERVED_FIELDS,
  type ScannedField,
  type ScannedFields,
} from "./scanned-fields.ts";
import { type DmaInput, type MemInput, OBSERVED, RECORDS } from "./schema.ts";

/** The value at hand. */
const value = new Scalars();
const encoder = new TextEncoder();

/** Fills in all but the texts of `ts` and `observed`. */
export function fillDma(dma: DmaRecord, input: DmaInput, names: TraceNames): void {
  dma.clear();
  fill(dma, input, RECORDS.dma.fields, DMA_FIELDS, names);
  if (input.observed !== undefined) fill(dma.observed, input.observed, OBSERVED, OBSERVED_FIELDS, names);
}

export function fillMem(mem: MemRecord, input: MemInput, names: TraceNames): void {
  mem.clear();
  mem.bytes = encoder.encode(input.data);
  fill(mem, input, RECORDS.mem.fields, MEM_FIELDS, names);
}

/** Fills a record from validated values, by the table that FieldScanner goes by, too. */
function fill<R>(
  record: R,
  input: Readonly<Record<string, unknown>>,
  fields: Fields,
  scanned: ScannedFields<R>,
  names: TraceNames,
): void {
  for (const name in scanned) {
    const given = input[name];
    const field = scanned[name]!;
    if (given === undefined || field === null) continue;
    if (read(given, fields[name]!.plain!, field, names)) field.take(record, value);
  }
}

/** @returns false for a value that is a range of a record's text: whoever has that sets it */
function read(given: unknown, plain: Plain, field: ScannedField<never>, names: TraceNames): boolean {
  switch (plain.kind) {
    case "hex64":
      value.hi = (given as Word64).hi;
      value.lo = (given as Word64).lo;
      return true;
    case "integer":
    case "boolean":
      value.number = Number(given);
      return true;
    case "choice":
      value.number = plain.names.indexOf(given as string);
      return true;
    case "device":
      value.number = (given as Device).index;
      return true;
    case "name":
      value.number = names[field.among!].internText(given as string);
      return true;
    case "text":
    case "hexBytes":
      value.bytes = encoder.encode(given as string);
      value.start = 0;
      value.end = value.bytes.length;
      return true;
    default:
      return false;
  }
}
