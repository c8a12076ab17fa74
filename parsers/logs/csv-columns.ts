/** Which column of a table holds what: `addr=3,len=5*4,dev=Requester`. */

/** What a column may hold. */
export const CSV_FIELDS = {
  addr: "input address, hex",
  dev: "device: bb:dd.f, with or without segment, or the requester id in four hex digits",
  access: "kind of access: Read, MRd, W, MemWr, FetchAdd, …; default: reads",
  len: "bytes, decimal or 0x; column*N for units of N bytes",
  pasid: "PASID, decimal or 0x; empty: none",
  at: "PCIe address type: 0 or untranslated, others are left out",
  ts: "time stamp",
  pa: "address that it was translated to, hex",
  fault: "fault code, decimal or 0x; empty: none",
} as const;

export type CsvField = keyof typeof CSV_FIELDS;

export interface CsvColumn {
  /** Number from 0, or the name that the first line gives it. */
  readonly column: number | string;
  /** What its number is multiplied by. */
  readonly unit: number;
}

export type CsvColumns = Partial<Record<CsvField, CsvColumn>>;

const ITEM = /^([a-z]+)=(?:(\d{1,4})|([^*=,]+?))(?:\*(\d{1,6}))?$/;

/**
 * Reads a list of columns.
 * @param text `addr=3,len=5*4,dev=Requester`: numbers count from 1
 * @returns a sentence where it is none
 */
export function csvColumns(text: string): CsvColumns | string {
  const columns: CsvColumns = {};
  for (const item of text.split(",")) {
    const found = ITEM.exec(item.trim());
    const field = found?.[1];
    if (found === null || field === undefined || !(field in CSV_FIELDS) || found[2] === "0")
      return `expected FIELD=COLUMN with a field of ${Object.keys(CSV_FIELDS).join(", ")} and a column's number from 1 or its name, found ${JSON.stringify(item)}`;
    const column = found[2] === undefined ? found[3]!.trim() : Number(found[2]) - 1;
    columns[field as CsvField] = { column, unit: Number(found[4] ?? 1) };
  }
  if (columns.addr === undefined || columns.dev === undefined)
    return "expected columns for addr and dev at least, found none";
  return columns;
}
