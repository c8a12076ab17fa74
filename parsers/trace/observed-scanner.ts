import { OPEN_BRACE } from "./bytes.ts";
import { FieldScanner } from "./field-scanner.ts";
import { FieldTable } from "./field-table.ts";
import type { Names } from "./names.ts";
import type { ObservedRecord, TraceNames } from "./records.ts";
import { OBSERVED_FIELDS } from "./scanned-fields.ts";
import { OBSERVED } from "./schema.ts";

const TABLE = new FieldTable(OBSERVED, OBSERVED_FIELDS);

/** Reads `observed` of a request. */
export class ObservedScanner extends FieldScanner {
  readonly #observed: ObservedRecord;

  constructor(names: TraceNames, observed: ObservedRecord, harmless: Names | null = null) {
    super(names, harmless);
    this.#observed = observed;
  }

  /** Reads `observed`; returns the offset after it, or -1. */
  read(at: number): number {
    const observed = this.#observed;
    if (observed.present) observed.clear();
    if (this.bytes[at] !== OPEN_BRACE) return -1;
    const end = this.members(at, TABLE, observed);
    observed.start = at;
    observed.end = end + 1;
    return end < 0 ? -1 : end + 1;
  }
}
