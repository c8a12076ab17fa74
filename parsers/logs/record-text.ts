/**
 * Records of the pasid-trace contract as JSON text: what importers make. Numbers that a log has in hexadecimal stay text
 * from end to end; only their padding goes, as the contract wants it of writers.
 */

/** Any text as a JSON string. */
export function jsonText(text: string): string {
  return JSON.stringify(text);
}

/** What a log says of a request. */
export interface LoggedRequest {
  readonly iommu: string;
  /** As the contract names devices. */
  readonly dev: string;
  /** 0x and hex digits. */
  readonly addr: string;
  readonly access: "r" | "w" | "rw" | "x";
  readonly pasid?: number | undefined;
  readonly len?: number | undefined;
  readonly priv?: boolean | undefined;
  /** JSON, "" where there is none. */
  readonly ts: string;
  /** JSON of `observed`. */
  readonly observed: string;
  /** JSON of the list of fields that the log does not say, "" where it says all. */
  readonly assumed: string;
}

export function dmaText(f: LoggedRequest): string {
  const pasid = f.pasid === undefined ? "" : `,"pasid":${f.pasid}`;
  const len = f.len === undefined ? "" : `,"len":${f.len}`;
  const priv = f.priv === undefined ? "" : `,"priv":${f.priv}`;
  const ts = f.ts === "" ? "" : `,"ts":${f.ts}`;
  const assumed = f.assumed === "" ? "" : `,"assumed":${f.assumed}`;
  return `{"type":"dma","iommu":${jsonText(f.iommu)},"dev":${jsonText(f.dev)}${pasid},"addr":"${f.addr}"${len},"access":"${f.access}"${priv}${ts},"observed":${f.observed}${assumed}}`;
}

/** @param pa 0x and hex digits */
export function observedOk(pa: string): string {
  return `{"result":"ok","pa":"${pa}"}`;
}

/**
 * The answer of a log that gives it exactly or, from a cache, by its page: `exact` says which, and the offset in the page
 * is that of the request.
 * @param addr input address, 0x and hex digits
 * @param pa answer
 */
export function answerOf(addr: string, pa: string): { readonly pa: string; readonly exact: boolean } {
  const offset = BigInt(addr) & 0xfffn;
  const page = BigInt(pa);
  if (offset === 0n || (page & 0xfffn) !== 0n) return { pa, exact: true };
  return { pa: `0x${(page | offset).toString(16)}`, exact: false };
}

/** @param more further fields as JSON, each after a comma */
export function observedFault(code: number, more = ""): string {
  return `{"result":"fault","code":"0x${code.toString(16)}"${more}}`;
}

/** @param data hex digits of the bytes, lowest address first */
export function memText(addr: string, data: string, assumed = "", asRead = false): string {
  const by = asRead ? ',"by":"read"' : "";
  return `{"type":"mem","addr":"${addr}","data":"${data}"${by}${assumed === "" ? "" : `,"assumed":${assumed}`}}`;
}

/** @param words 0x and hex digits each */
export function cmdText(iommu: string, words: readonly string[], assumed = ""): string {
  const data = words.map((word) => `"${word}"`).join(",");
  return `{"type":"cmd","iommu":${jsonText(iommu)},"data":[${data}]${assumed === "" ? "" : `,"assumed":${assumed}`}}`;
}

/** A 64-bit word, given in hex digits with or without 0x, as the bytes of memory that hold it, in hex digits. */
export function littleEndian(word: string): string {
  const at = word.charCodeAt(1) === 0x78 ? 2 : 0;
  const digits = word.slice(at).padStart(16, "0");
  let out = "";
  for (let i = 14; i >= 0; i -= 2) out += digits.slice(i, i + 2);
  return out;
}

/** @param line where it was seen first */
export function lossText(
  what: string,
  severity: string,
  count: number,
  line: number,
  message: string,
): string {
  return JSON.stringify({ type: "loss", what, severity, count, first_line: line, message });
}

/** Any other record: fields that are undefined are left out. */
export function recordText(type: string, fields: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ type, ...fields });
}

/** Any other record with a time stamp. @param ts JSON, "" where there is none */
export function timed(type: string, fields: Readonly<Record<string, unknown>>, ts: string): string {
  const text = recordText(type, fields);
  return ts === "" ? text : `${text.slice(0, -1)},"ts":${ts}}`;
}
