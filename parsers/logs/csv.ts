/**
 * Tables of requests: what PCIe analysers export, whose columns are the user's choice. A request says who asked for
 * which address; that nothing is known of the answer is the usual case.
 */

import { pciName } from "../../walkers/pci.ts";
import { hex } from "../../walkers/word64.ts";
import type { CsvColumn, CsvColumns, CsvField } from "./csv-columns.ts";
import type { LogFormat, LogLine, LogOutput, LogReader } from "./format.ts";
import { hexWord, pciDevice } from "./kernel-text.ts";
import type { LogIommu } from "./log-iommu.ts";
import { machineOf } from "./machine.ts";
import { recordText } from "./record-text.ts";

/** Takes all lines, once it is asked for. */
export const CSV: LogFormat = {
  name: "csv",
  title: "a table with the columns that --columns names (PCIe analysers)",
  needles: [],
  detect: () => false,
  open: () => {
    throw new RangeError("a table needs columns");
  },
};

const SEPARATORS = [",", ";", "\t", "|"];
const MAX_PASID = 0xf_ffff;
const MAX_LENGTH = 2 ** 32 - 1;

const READS = /^(?:r|rd|read|m(?:em)?_?rd(?:32|64|lk)?|memory ?read.*|mrd.*|dma ?read)$/i;
const WRITES = /^(?:w|wr|write|m(?:em)?_?wr(?:32|64)?|memory ?write.*|mwr.*|dma ?write)$/i;
const ATOMICS = /^(?:rw|fetch_?add.*|swap.*|cas.*|atomic.*|compare.*)$/i;
const UNTRANSLATED = /^(?:|0|0x0|00b?|untranslated|default.*)$/i;

export class CsvReader implements LogReader {
  readonly #output: LogOutput;
  readonly #columns: CsvColumns;
  /** The IOMMU that was given beside the table, where it is one. */
  readonly #unit: LogIommu | undefined;
  #separator = "";
  #names: readonly string[] | null = null;

  constructor(output: LogOutput, columns: CsvColumns) {
    this.#output = output;
    this.#columns = columns;
    const host = output.hosts.length === 1 ? output.hosts[0]! : undefined;
    this.#unit = host && machineOf(output).units.of(host.model, host.id || undefined, undefined).unit;
  }

  line(line: LogLine): boolean {
    if (line.text.trim() === "") this.#output.ignored("empty line");
    else {
      const problem = this.#row(line.text);
      if (problem !== undefined) this.#output.ignored(problem);
    }
    return true;
  }

  #row(text: string): string | undefined {
    if (this.#separator === "") this.#separator = separatorOf(text);
    const cells = cellsOf(text, this.#separator);
    if (this.#names === null) {
      this.#names = cells.map((cell) => cell.toLowerCase());
      const named = Object.values(this.#columns).some(({ column }) => typeof column === "string");
      if (named || addressOf(this.#cell(cells, "addr")) === undefined) return "heading";
    }
    const addr = addressOf(this.#cell(cells, "addr"));
    const dev = deviceOf(this.#cell(cells, "dev") ?? "");
    if (addr === undefined || dev === undefined)
      return addr === undefined ? "row without an address" : "row without a device";
    if (!UNTRANSLATED.test(this.#cell(cells, "at") ?? ""))
      return "request that is translated already, or asks for a translation";
    const access = this.#access(cells);
    if (access === undefined) return `row of another kind: ${this.#cell(cells, "access")!.slice(0, 20)}`;
    return this.#request(cells, dev, addr, access);
  }

  #request(cells: readonly string[], dev: string, addr: bigint, access: string): string | undefined {
    const pasid = numberOf(this.#cell(cells, "pasid"), 1);
    const len = numberOf(this.#cell(cells, "len"), this.#columns.len?.unit ?? 1);
    if (pasid === null || (pasid !== undefined && pasid > MAX_PASID)) return "row with an impossible PASID";
    if (len === null || (len !== undefined && (len < 1 || len > MAX_LENGTH)))
      return "row with an impossible length";
    const ts = this.#cell(cells, "ts");
    const observed = this.#observed(cells);
    const assumed = [
      ...(this.#columns.access === undefined ? ["access"] : []),
      ...(len === undefined ? ["len"] : []),
    ];
    this.#unit?.declare();
    this.#output.record(
      "dma",
      recordText("dma", {
        iommu: this.#unit?.id,
        dev,
        pasid,
        addr: hex(addr),
        len,
        access,
        ts: ts === undefined || ts === "" ? undefined : /^\d{1,15}(?:\.\d{1,9})?$/.test(ts) ? Number(ts) : ts,
        observed,
        ...(assumed.length > 0 ? { assumed } : {}),
      }),
    );
    return undefined;
  }

  #observed(cells: readonly string[]): object | undefined {
    const code = numberOf(this.#cell(cells, "fault"), 1);
    if (typeof code === "number") return { result: "fault", code: hex(code) };
    const pa = addressOf(this.#cell(cells, "pa"));
    return pa === undefined ? undefined : { result: "ok", pa: hex(pa) };
  }

  #access(cells: readonly string[]): "r" | "w" | "rw" | undefined {
    const cell = this.#cell(cells, "access");
    if (cell === undefined || READS.test(cell)) return "r";
    if (WRITES.test(cell)) return "w";
    return ATOMICS.test(cell) ? "rw" : undefined;
  }

  /** The text of a field's column: undefined where no column was named, or the row has none. */
  #cell(cells: readonly string[], field: CsvField): string | undefined {
    const where: CsvColumn | undefined = this.#columns[field];
    if (where === undefined) return undefined;
    const index =
      typeof where.column === "number" ? where.column : this.#names!.indexOf(where.column.toLowerCase());
    return cells[index];
  }
}

function separatorOf(text: string): string {
  const counts = SEPARATORS.map((separator) => text.split(separator).length);
  return SEPARATORS[counts.indexOf(Math.max(...counts))]!;
}

/** RFC 4180, but for cells of several lines. */
function cellsOf(text: string, separator: string): string[] {
  if (!text.includes('"')) return text.split(separator).map((cell) => cell.trim());
  const cells: string[] = [];
  let cell = "";
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === '"' && quoted && text[i + 1] === '"') {
      cell += c;
      i++;
    } else if (c === '"') quoted = !quoted;
    else if (c === separator && !quoted) {
      cells.push(cell.trim());
      cell = "";
    } else cell += c;
  }
  cells.push(cell.trim());
  return cells;
}

/** Hex, as analysers write it: with or without 0x, in groups. */
function addressOf(text: string | undefined): bigint | undefined {
  return text === undefined || text === "" ? undefined : hexWord(text.replace(/[_:\s]|h$/gi, ""));
}

function deviceOf(text: string): string | undefined {
  const pci = pciDevice(text.replace(/:([0-7])$/, ".$1"));
  if (pci !== undefined) return pci.name;
  const id = /^(?:0x)?([0-9a-f]{4})h?$/i.exec(text);
  return id === null ? undefined : pciName(Number.parseInt(id[1]!, 16));
}

/** undefined where there is none, null where it is no number. */
function numberOf(text: string | undefined, unit: number): number | undefined | null {
  if (text === undefined || text === "" || text === "-") return undefined;
  return /^(?:0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text) ? Number(text) * unit : null;
}
