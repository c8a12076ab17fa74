/**
 * The table entries that a kernel with CONFIG_DMAR_DEBUG prints after each VT-d fault (Linux
 * drivers/iommu/intel/iommu.c, dmar_fault_dump_ptes, since 5.15), and Xen in verbose builds
 * (xen/drivers/passthrough/vtd/utils.c, print_vtd_entries). Linux prints no index: all follow from device, PASID and
 * address. Xen prints them, and the address as a frame number.
 *
 * Up to 6.11, Linux stops at the first entry that is not present or maps a large page, without showing it ("PTE not
 * present at level D"), and walks pass-through entries too. Later it shows the last entry as well, then "page table
 * not present at level D".
 */
import { hexWord, type PciDevice, pciDevice } from "./kernel-text.ts";

export type VtdDumpLine =
  /** A dump begins. */
  | { readonly kind: "dump-begin"; readonly iommu: string; readonly addr: bigint }
  | {
      readonly kind: "dump-begin-xen";
      readonly iommu: string;
      readonly device: PciDevice;
      readonly addr: bigint;
    }
  | {
      readonly kind: "dump-root";
      readonly scalable: boolean;
      readonly lo: bigint;
      readonly hi: bigint | undefined;
    }
  /** The low 128 bits. */
  | { readonly kind: "dump-context"; readonly lo: bigint; readonly hi: bigint }
  | { readonly kind: "dump-directory"; readonly value: bigint }
  /** 64-bit word `index` of the PASID table entry. */
  | { readonly kind: "dump-pasid"; readonly index: number; readonly value: bigint }
  | { readonly kind: "dump-entry"; readonly level: number; readonly value: bigint }
  /** The walk ended at an entry of this level, which is not shown: not present, or of a large page. */
  | { readonly kind: "dump-hidden"; readonly level: number }
  /** The walk ended; what was not there: "root table", "page table", … */
  | { readonly kind: "dump-end"; readonly absent: string };

const BEGIN = /Dump (\S+) table entries for IOVA (?:0x)?([0-9a-f]{1,16})(?![0-9a-fx])/i;
const ROOT = /(scalable mode )?root entry: (?:hi 0x([0-9a-f]{16}), low )?0x([0-9a-f]{16})(?![0-9a-fx])/i;
const CONTEXT = /context entry: hi 0x([0-9a-f]{16}), low 0x([0-9a-f]{16})(?![0-9a-fx])/i;
const DIRECTORY = /pasid dir entry: 0x([0-9a-f]{16})(?![0-9a-fx])/i;
const PASID = /pasid table entry\[([0-7])\]: 0x([0-9a-f]{16})(?![0-9a-fx])/i;
const ENTRY = /pte level: ([1-6]), pte value: 0x([0-9a-f]{16})(?![0-9a-fx])/i;
const HIDDEN = /PTE not present at level ([1-6])(?!\d)/;
const END =
  /((?:root|context|pasid directory|pasid|legacy mode page|scalable mode page)(?: table)?(?: entry)?|page table) (?:is )?not present(?: at level \d)?\s*$/i;

const XEN_BEGIN =
  /print_vtd_entries: iommu (?:#|= )?(\S+) (?:dev|bdf =) ([0-9a-f:.]+) gmfn (?:= )?([0-9a-f]{1,16})(?![0-9a-fx])/i;
const XEN_ROOT = /root_entry\[([0-9a-f]{1,2})\] = ([0-9a-f]{1,16})(?![0-9a-fx])/i;
const XEN_CONTEXT = /context\[([0-9a-f]{1,2})\] = ([0-9a-f]{1,16})_([0-9a-f]{1,16})(?![0-9a-fx])/i;
const XEN_ENTRY = /\bl([1-6])\[([0-9a-f]{1,3})\] = ([0-9a-f]{1,16})(?![0-9a-fx])/i;
const XEN_END = /\b(root_entry\[|ctxt_entry\[|context\[|l[1-6]\[)[0-9a-f]{1,3}\] not present/i;

const FRAME_BITS = 12n;

/** A line of a dump of Linux's. */
export function vtdDumpLine(text: string): VtdDumpLine | undefined {
  const entry = ENTRY.exec(text);
  if (entry !== null) return { kind: "dump-entry", level: Number(entry[1]), value: hexWord(entry[2])! };
  const pasid = PASID.exec(text);
  if (pasid !== null) return { kind: "dump-pasid", index: Number(pasid[1]), value: hexWord(pasid[2])! };
  const root = ROOT.exec(text);
  if (root !== null)
    return {
      kind: "dump-root",
      scalable: root[1] !== undefined,
      lo: hexWord(root[3])!,
      hi: hexWord(root[2]),
    };
  const context = CONTEXT.exec(text);
  if (context !== null) return { kind: "dump-context", lo: hexWord(context[2])!, hi: hexWord(context[1])! };
  const directory = DIRECTORY.exec(text);
  if (directory !== null) return { kind: "dump-directory", value: hexWord(directory[1])! };
  const begin = BEGIN.exec(text);
  if (begin !== null) return { kind: "dump-begin", iommu: begin[1]!, addr: hexWord(begin[2])! };
  const hidden = HIDDEN.exec(text);
  if (hidden !== null) return { kind: "dump-hidden", level: Number(hidden[1]) };
  const end = END.exec(text);
  return end === null ? undefined : { kind: "dump-end", absent: end[1]!.toLowerCase() };
}

/** A line of a dump of Xen's. */
export function xenDumpLine(text: string): VtdDumpLine | undefined {
  const entry = XEN_ENTRY.exec(text);
  if (entry !== null) return { kind: "dump-entry", level: Number(entry[1]), value: hexWord(entry[3])! };
  const root = XEN_ROOT.exec(text);
  if (root !== null) return { kind: "dump-root", scalable: false, lo: hexWord(root[2])!, hi: undefined };
  const context = XEN_CONTEXT.exec(text);
  if (context !== null) return { kind: "dump-context", lo: hexWord(context[3])!, hi: hexWord(context[2])! };
  const begin = XEN_BEGIN.exec(text);
  const device = begin === null ? undefined : pciDevice(begin[2]!.replace(/:([0-7])$/, ".$1"));
  const gmfn = hexWord(begin?.[3]);
  if (begin !== null && device !== undefined && gmfn !== undefined)
    return {
      kind: "dump-begin-xen",
      iommu: begin[1]!,
      device,
      addr: BigInt.asUintN(64, gmfn << FRAME_BITS),
    };
  const end = XEN_END.exec(text);
  return end === null ? undefined : { kind: "dump-end", absent: end[1]!.replace("[", "") };
}
