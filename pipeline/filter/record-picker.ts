import { ADDRESS_TYPE_OF, type AddressType } from "../../parsers/trace/accesses.ts";
import { codeText } from "./code-text.ts";
import type { RecordFilter } from "./record-filter.ts";

/** Records of requests, and of logged faults; everything else says what the machine was when they were made. */
const PICKED: ReadonlySet<string> = new Set(["dma", "fault"]);

/** Whether records of a trace, as JSON text, are wanted: requests and faults are picked, all others are. */
export class RecordPicker {
  /** Records that are not wanted. */
  leftOut = 0;
  readonly #filter: RecordFilter;

  constructor(filter: RecordFilter) {
    this.#filter = filter;
  }

  /** @param line line of the log that the record is of */
  wants(line: number, type: string, text: string): boolean {
    const { times } = this.#filter;
    const picked = PICKED.has(type);
    if (!picked && (times === null || type === "mem")) return true;
    const record = JSON.parse(text) as Readonly<Record<string, unknown>>;
    if (record.ts !== undefined) times?.at(line, JSON.stringify(record.ts));
    if (!picked || this.#picks(line, type, record)) return true;
    this.leftOut++;
    return false;
  }

  #picks(line: number, type: string, record: Readonly<Record<string, unknown>>): boolean {
    const filter = this.#filter;
    const { iommu, dev, pasid, addr, len, code, reason } = record;
    if (!filter.line(line) || !filter.iommu(textOf(iommu)) || !filter.device(textOf(dev))) return false;
    if (!filter.pasid(typeof pasid === "number" ? pasid : -1)) return false;
    if (!filter.addressType(addressType(type, record.at))) return false;
    if (filter.addresses !== null && !(typeof addr === "string" && this.#covers(addr, len))) return false;
    if (!filter.faultsOnly) return true;
    const native = typeof code === "string" ? (codeText(code) ?? code) : "";
    return type === "fault" && filter.fault(native, "", textOf(reason) ?? "");
  }

  #covers(addr: string, len: unknown): boolean {
    const first = BigInt(addr);
    const hi = Number(first >> 32n) | 0;
    const lo = Number(first & 0xffff_ffffn) | 0;
    return this.#filter.address(hi, lo, typeof len === "number" ? len : 1);
  }
}

/** A logged fault does not say how the address of its request was. */
function addressType(type: string, at: unknown): number | undefined {
  return type === "dma" ? ADDRESS_TYPE_OF[(at ?? "untranslated") as AddressType] : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
