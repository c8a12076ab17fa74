import { RootTableAddressRegister, TTM_LEGACY, TTM_SCALABLE } from "../../walkers/vtd/registers.ts";
import {
  ContextEntry,
  PasidDirectoryEntry,
  PasidEntry,
  RootEntry,
  ScalableContextEntry,
} from "../../walkers/vtd/structures.ts";
import { hex } from "../../walkers/word64.ts";
import type { LogOutput } from "./format.ts";
import type { LoggedFault } from "./iommu-events.ts";
import { pciDevice } from "./kernel-text.ts";
import type { LogIommu } from "./log-iommu.ts";
import { recordText } from "./record-text.ts";
import type { TableBuilder } from "./table-builder.ts";
import { UPPER_HALF, type VtdDump } from "./vtd-dump.ts";

const FRAME = 0xf_ffff_ffff_f000n;
/** VT-d 5.10, 3.7: each level of a page table translates nine bits. */
const LEVEL_BITS = 9n;
const LEVEL_MASK = 0x1ffn;
const PAGE_BITS = 12n;
/** VT-d 5.10, 9.5 and 9.6: a PASID's low six bits index its table, those above the directory. */
const TABLE_BITS = 6;
const WORD = 8;

/** One 64-bit word of memory. */
interface Word {
  readonly addr: bigint;
  readonly value: bigint;
  readonly assumed: string;
}

/**
 * Writes the entries of a dump to where a walk reads them. The addresses follow from the pointers, the device, the PASID
 * and the address; that of the root table is in no log: it is placed, and assumed.
 * @returns why these entries do not determine what the walk finds; undefined where they do
 */
export function writeVtdDump(
  output: LogOutput,
  unit: LogIommu,
  tables: TableBuilder,
  { dev, pasid, code }: LoggedFault,
  dump: VtdDump,
): string | undefined {
  const requester = pciDevice(dev!)!.requester;
  const rtaddr = rootTable(unit, tables, dump.scalable);
  const words = wordsOf(dump, rtaddr & FRAME, requester, pasid);
  // What changed was unmapped or mapped anew, and the kernel does not print what it invalidated.
  const changed = words.some(({ addr, value }) => {
    const known = tables.known(hex(addr));
    return known !== undefined && known !== value;
  });
  if (changed) {
    unit.declare();
    const all = { iommu: unit.id, cache: "all", granularity: "global", assumed: ["cache", "granularity"] };
    output.record("inv", recordText("inv", all));
  }
  for (const { base, bytes } of tablesOf(dump)) tables.table(base, bytes);
  for (const { addr, value, assumed } of words) tables.word(hex(addr), hex(value), assumed);
  return dump.gap(requester & 0xff, pasid, code);
}

/** RTADDR_REG, placed where nothing gives it. */
function rootTable(unit: LogIommu, tables: TableBuilder, scalable: boolean): bigint {
  const known = unit.register("rtaddr");
  if (known !== undefined) return BigInt(known);
  const value = tables.place() | translationMode(scalable ? TTM_SCALABLE : TTM_LEGACY);
  unit.set("rtaddr", hex(value), true);
  return value;
}

/** RTADDR.TTM in its place. */
export function translationMode(ttm: number): bigint {
  return BigInt(ttm) << BigInt(RootTableAddressRegister.fields.TTM.parts[0]![1]);
}

function wordsOf(dump: VtdDump, root: bigint, requester: number, pasid = 0): Word[] {
  const words: Word[] = [];
  const put = (base: bigint, index: number, entryBytes: number, values: readonly bigint[], assumed = "") => {
    const at = base + BigInt(index * entryBytes);
    // What is not printed of an entry is zero.
    for (let i = 0; i * WORD < entryBytes; i++) {
      const value = values[i];
      words.push({
        addr: at + BigInt(i * WORD),
        value: value ?? 0n,
        assumed: value === undefined ? ASSUMED : assumed,
      });
    }
  };
  const devfn = requester & 0xff;
  if (dump.root === undefined) return words;
  put(root, requester >> 8, RootEntry.bytes, dump.scalable ? dump.root : [dump.root[0]]);
  if (dump.context === undefined) return words;
  const upper = dump.scalable && devfn >= UPPER_HALF;
  const contexts = (upper ? dump.root[1] : dump.root[0]) & FRAME;
  const contextBytes = dump.scalable ? ScalableContextEntry.bytes : ContextEntry.bytes;
  put(contexts, dump.scalable ? devfn & (UPPER_HALF - 1) : devfn, contextBytes, dump.context);
  if (dump.directory !== undefined)
    put(dump.context[0] & FRAME, pasid >> TABLE_BITS, PasidDirectoryEntry.bytes, [dump.directory]);
  if (dump.directory !== undefined && dump.pasidEntry.length > 0)
    put(dump.directory & FRAME, pasid & (2 ** TABLE_BITS - 1), PasidEntry.bytes, dump.pasidEntry);
  let table = pageTable(dump) & FRAME;
  const indexOf = (level: number) =>
    Number((dump.addr >> (PAGE_BITS + LEVEL_BITS * BigInt(level - 1))) & LEVEL_MASK);
  for (const { level, value } of dump.entries) {
    put(table, indexOf(level), WORD, [value]);
    table = value & FRAME;
  }
  // Not present, or a large page: which of them it is, the fault itself says.
  if (dump.hidden !== undefined && table !== 0n) put(table, indexOf(dump.hidden), WORD, [0n], ASSUMED);
  return words;
}

/** The tables that the printed entries lead to. Of their other entries nothing is known. */
function tablesOf(dump: VtdDump): { readonly base: bigint; readonly bytes: number }[] {
  const tables: { base: bigint; bytes: number }[] = [];
  const add = (pointer: bigint | undefined, bytes = PAGE) => {
    if (pointer !== undefined && (pointer & FRAME) !== 0n) tables.push({ base: pointer & FRAME, bytes });
  };
  for (const half of dump.root ?? []) add((half & PRESENT) !== 0n ? half : undefined);
  if (dump.scalable && dump.context !== undefined && (dump.context[0] & PRESENT) !== 0n)
    add(dump.context[0], directoryBytes(dump.context[0]));
  add(dump.directory);
  add(pageTable(dump));
  for (const { level, value } of dump.entries) if (level > 1 && !dump.isLeaf(level, value)) add(value);
  return tables;
}

const PRESENT = 1n;
const PAGE = 4096;
/** PDTS 0 is a directory of 2^7 entries (VT-d 5.10, 9.4): less than a page, which is what is allocated. */
const LEAST_DIRECTORY = 7;

export function directoryBytes(contextLow: bigint): number {
  const [high, low] = ScalableContextEntry.fields.PDTS.parts[0]!;
  const pdts = Number((contextLow >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n));
  return Math.max(PAGE, 2 ** (pdts + LEAST_DIRECTORY) * PasidDirectoryEntry.bytes);
}

const ASSUMED = '["data"]';
/** Word of a PASID table entry that holds FSPTPTR. */
const FIRST_STAGE_WORD = 2;

function pageTable(dump: VtdDump): bigint {
  if (!dump.scalable) return dump.context?.[0] ?? 0n;
  return dump.pasidEntry[dump.firstStage ? FIRST_STAGE_WORD : 0] ?? 0n;
}
