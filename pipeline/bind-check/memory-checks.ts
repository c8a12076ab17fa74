import { FRAME_BYTES, type GuestMemory } from "../../walkers/memory.ts";
import { type BindFindings, sizeText } from "../../walkers/pasid-tables/bind-findings.ts";
import { BIND_RULES } from "../../walkers/pasid-tables/bind-rules.ts";
import type { BindHost, TableShape, TableUse } from "../../walkers/pasid-tables/format.ts";
import { hex } from "../../walkers/word64.ts";
import { fetchAt, TableScan } from "./table-scan.ts";

/** A table that is bound to a device. */
export interface BoundTable {
  /** The device, as messages name it. */
  readonly dev: string;
  readonly base: bigint;
  readonly bytes: number;
  readonly model: string;
  /** The addresses that it lies in: the root of the second stage under it, or "" for those of memory. */
  readonly space: string;
}

/** Entries that cost about as much as looking whether one page is there. */
const ENTRIES_PER_PAGE = 16;
/** Different formats that are reported of one table. */
const MAX_FORMATS = 8;

/** The addresses that a table lies in. */
function spaceOf({ parent }: TableUse): string {
  return parent?.root === undefined ? "" : hex(parent.root);
}

export function boundTableOf(use: TableUse, shape: TableShape, dev: string): BoundTable {
  return { dev, base: use.base, bytes: shape.bytes, model: use.model, space: spaceOf(use) };
}

/** Two devices may share one table; two tables may not share memory. */
export function checkOtherBindings(table: BoundTable, others: Iterable<BoundTable>, out: BindFindings): void {
  for (const other of others) {
    if (other.dev === table.dev || other.space !== table.space) continue;
    const same = other.base === table.base && other.model === table.model && other.bytes === table.bytes;
    if (same || !overlap(table.base, table.bytes, other.base, other.bytes)) continue;
    out.add(
      BIND_RULES["bind-overlap-binding"],
      `the table at ${range(table.base, table.bytes)} (${table.model}) overlaps that of ${other.dev} at ` +
        `${range(other.base, other.bytes)} (${other.model}): expected the same table or another place`,
    );
  }
}

/**
 * Checks a table by what is in memory: that it is there, where it points to, and which page tables it uses.
 * @param maxEntries entries that are read at most
 */
export function checkMemory(
  use: TableUse,
  pasidBits: number,
  shape: TableShape,
  host: BindHost,
  memory: GuestMemory,
  maxEntries: number,
  out: BindFindings,
): void {
  // Its addresses would have to go through a second stage first.
  if (spaceOf(use) !== "") return;
  checkExtent(use, shape, memory, Math.ceil(maxEntries / ENTRIES_PER_PAGE), out);
  checkEntries(use, pasidBits, shape, host, memory, maxEntries, out);
}

function checkExtent(
  use: TableUse,
  shape: TableShape,
  memory: GuestMemory,
  maxPages: number,
  out: BindFindings,
): void {
  const end = use.base + BigInt(shape.bytes);
  let at = use.base;
  for (let page = 0; page < maxPages && at < end; page++) {
    const inFrame = BigInt(FRAME_BYTES) - (at % BigInt(FRAME_BYTES));
    const bytes = inFrame < end - at ? inFrame : end - at;
    if (!fetchAt(memory, at, Number(bytes))) {
      out.add(
        BIND_RULES["bind-extent-hole"],
        `the ${shape.what} at ${range(use.base, shape.bytes)}: expected all of it in recorded memory, found a hole in the page of ${hex(at)}`,
      );
      return;
    }
    at += bytes;
  }
}

function checkEntries(
  use: TableUse,
  pasidBits: number,
  shape: TableShape,
  host: BindHost,
  memory: GuestMemory,
  maxEntries: number,
  out: BindFindings,
): void {
  const entries = use.layout.entries(host);
  const formats = new Map<string, { readonly pasid: number; count: number }>();
  let ownReported = false;
  const checkOwn = (start: bigint, bytes: number, what: string, where: string, pasid?: number) => {
    if (ownReported || !overlap(use.base, shape.bytes, start, bytes)) return;
    ownReported = true;
    out.add(
      BIND_RULES["bind-overlap-own"],
      `${where} points to a ${what} at ${hex(start)}: expected it outside of the ${shape.what} at ${range(use.base, shape.bytes)}`,
      pasid,
    );
  };
  const visitor = {
    table: (start: bigint, bytes: number, what: string, entry: bigint) =>
      checkOwn(start, bytes, what, `the entry at ${hex(entry)}`),
    entry(pasid: number, view: DataView, at: number) {
      const { unsupported, roots } = entries.read(view, at);
      for (const root of roots)
        checkOwn(root, entries.rootBytes, "page table", `the entry of PASID ${pasid}`, pasid);
      for (const format of unsupported) {
        const seen = formats.get(format);
        if (seen !== undefined) seen.count++;
        else if (formats.size < MAX_FORMATS) formats.set(format, { pasid, count: 1 });
      }
    },
  };
  new TableScan(
    use.layout.levels(pasidBits),
    pasidBits,
    memory,
    visitor,
    maxEntries,
    entries.littleEndian,
  ).run(use.base);
  for (const [format, { pasid, count }] of formats)
    out.add(
      BIND_RULES["bind-pgtable-format"],
      `the entry of PASID ${pasid}${count > 1 ? ` and ${count - 1} more` : ""}: expected page tables that this IOMMU can walk, found ${format}`,
      pasid,
    );
}

function overlap(a: bigint, aBytes: number, b: bigint, bBytes: number): boolean {
  return a < b + BigInt(bBytes) && b < a + BigInt(aBytes);
}

function range(base: bigint, bytes: number): string {
  return `${hex(base)} of ${sizeText(bytes)}`;
}
