import { FRAME_BYTES, FRAME_SHIFT, type GuestMemory } from "../../walkers/memory.ts";
import { PAGE_TABLE_FORMATS } from "../../walkers/page-tables/formats.ts";
import { type BindFindings, sizeText } from "../../walkers/pasid-tables/bind-findings.ts";
import { BIND_RULES } from "../../walkers/pasid-tables/bind-rules.ts";
import type { BindHost, TableShape, TableUse } from "../../walkers/pasid-tables/format.ts";
import { VENDORS } from "../../walkers/registry.ts";
import type { Entry } from "../../walkers/tables/entry.ts";
import { brokenRules } from "../../walkers/tables/entry-rule.ts";
import type { Pointer, TableSpec } from "../../walkers/tables/tree.ts";
import { byteAddress, hex } from "../../walkers/word64.ts";
import { fetchAt, TableScan, type TableVisitor } from "./table-scan.ts";

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
/** The device is not one of a trace. */
const NO_DEVICE = -1;
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
  const visitor: TableVisitor = {
    table: ({ kind, frame, offset, entries }, at) =>
      checkOwn(
        byteAddress(frame, offset),
        entries * kind.layout.bytes,
        kind.title!,
        `the entry at ${hex(at)}`,
      ),
    entry(entry) {
      const pasid = entry.first;
      const pointers = entry.table.kind.points?.(entry) ?? [];
      for (const { frame, offset, tables } of ownReported ? [] : pointers) {
        const root = byteAddress(frame, offset);
        checkOwn(root, tables?.rootBytes ?? FRAME_BYTES, "page table", `the entry of PASID ${pasid}`, pasid);
      }
      for (const format of unsupported(entry, pointers, host)) {
        const seen = formats.get(format);
        if (seen !== undefined) seen.count++;
        else if (formats.size < MAX_FORMATS) formats.set(format, { pasid, count: 1 });
      }
    },
  };
  const table = tableOf(use, pasidBits, host, memory);
  if (table !== null) new TableScan(memory, visitor, maxEntries).run(table, 2 ** pasidBits);
  for (const [format, { pasid, count }] of formats)
    out.add(
      BIND_RULES["bind-pgtable-format"],
      `the entry of PASID ${pasid}${count > 1 ? ` and ${count - 1} more` : ""}: expected page tables that this IOMMU can walk, found ${format}`,
      pasid,
    );
}

/** The table as its IOMMU takes it; null where its address is none. */
function tableOf(use: TableUse, pasidBits: number, host: BindHost, memory: GuestMemory): TableSpec | null {
  if (use.base >> 64n !== 0n) return null;
  const tree = VENDORS[host.model].tables(memory);
  tree.configure(host.state);
  const root = tree.pasids(use.layout.context(pasidBits, host), NO_DEVICE);
  const offset = Number(use.base % BigInt(FRAME_BYTES));
  return root && { ...root.table, frame: Number(use.base >> BigInt(FRAME_SHIFT)), offset };
}

/** Page tables that the IOMMU cannot walk: "VMSAv8-32 LPAE (AA64 is 0)". */
function unsupported(entry: Entry, pointers: readonly Pointer[], { limits }: BindHost): Set<string> {
  const found = new Set<string>();
  for (const { tables } of pointers)
    if (tables !== undefined && !limits.formats.has(tables.format))
      found.add(`${PAGE_TABLE_FORMATS[tables.format]} (${tables.because})`);
  const { view, at } = entry;
  const { rules } = entry.table.kind;
  for (const broken of brokenRules(rules, view, at)) {
    const text = rules!.found(broken, view, at);
    if (text !== undefined) found.add(text);
  }
  return found;
}

function overlap(a: bigint, aBytes: number, b: bigint, bBytes: number): boolean {
  return a < b + BigInt(bBytes) && b < a + BigInt(aBytes);
}

function range(base: bigint, bytes: number): string {
  return `${hex(base)} of ${sizeText(bytes)}`;
}
