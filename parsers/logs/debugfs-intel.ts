/**
 * Lines of /sys/kernel/debug/iommu/intel (Linux drivers/iommu/intel/debugfs.c, with CONFIG_INTEL_IOMMU_DEBUGFS) of
 * `iommu_regset`, `dmar_translation_struct`, `domain_translation_struct` and `invalidation_queue`. A heading says whose
 * the rows below it are.
 */
import { hexWord, type PciDevice, pciDevice, smallHex } from "./kernel-text.ts";

export type IntelDebugfsLine =
  | { readonly kind: "regset"; readonly iommu: string; readonly base: bigint }
  | { readonly kind: "register"; readonly name: string; readonly offset: number; readonly value: bigint }
  | { readonly kind: "root-table"; readonly iommu: string; readonly addr: bigint }
  | {
      readonly kind: "device-entries";
      readonly device: PciDevice;
      /** Low and high 64 bits. */
      readonly root: readonly [lo: bigint, hi: bigint];
      readonly context: readonly [lo: bigint, hi: bigint];
      /** undefined in legacy mode. */
      readonly pasid: number | undefined;
      /** Three of its eight words, lowest first. */
      readonly pasidEntry: readonly [bigint, bigint, bigint];
    }
  | {
      readonly kind: "page-table";
      readonly device: PciDevice;
      readonly pasid: number | undefined;
      readonly root: bigint;
    }
  /** Entries on the way to a leaf, from level 5 down; a large page has fewer. */
  | { readonly kind: "page-table-row"; readonly frame: bigint; readonly entries: readonly bigint[] }
  | { readonly kind: "queue"; readonly iommu: string }
  | { readonly kind: "queue-place"; readonly base: bigint; readonly head: number; readonly tail: number }
  | {
      readonly kind: "queue-row";
      readonly index: number;
      /** 2 or 4 words. */
      readonly words: readonly bigint[];
    }
  /** Headings of columns and of files that say nothing of DMA. */
  | { readonly kind: "heading" };

const REGSET = /^\s*IOMMU: ([\w.-]+) Register Base Address: ([0-9a-f]{1,16})\s*$/i;
const REGISTER = /^\s*([A-Z][A-Z0-9_]*)\s+0x([0-9a-f]{1,4})\s+0x([0-9a-f]{16})\s*$/;
const ROOT_TABLE = /^\s*IOMMU ([\w.-]+): Root Table Address: 0x([0-9a-f]{1,16})\s*$/i;
const PAIR = "0x([0-9a-f]{16}):0x([0-9a-f]{16})";
const DEVICE_ROW = new RegExp(
  `^\\s*([0-9a-f]{2}:[0-9a-f]{2}\\.[0-7])\\s+${PAIR}\\s+${PAIR}\\s+(-1|\\d{1,7})\\s+${PAIR}:0x([0-9a-f]{16})\\s*$`,
  "i",
);
const PAGE_TABLE =
  /^\s*Device ([0-9a-f:.]+)(?: with pasid ([0-9a-f]{1,5}))? @\s*(?:0x)?([0-9a-f]{1,16})\s*$/i;
const PAGE_ROW = /^\s*0x([0-9a-f]{13,16}) \|((?:\s+0x[0-9a-f]{16}){1,5})\s*$/i;
const QUEUE = /^\s*Invalidation queue on IOMMU: ([\w.-]+)\s*$/;
const QUEUE_PLACE = /^\s*Base: 0x([0-9a-f]{1,16})\s+Head: (\d{1,6})\s+Tail: (\d{1,6})\s*$/i;
const QUEUE_ROW = /^\s*(\d{1,6})((?:\s+[0-9a-f]{16}){3}|(?:\s+[0-9a-f]{16}){5})\s*$/i;
const HEADING =
  /^\s*(?:Name\s+Offset\s+Contents|B\.D\.F\s+Root_entry|IOVA_PFN\s+PML5E|Index\s+qw0|Remapped Interrupt supported|Posted Interrupt supported|IR table address|Entry SrcID|IOMMU: \S+ Register Base Address|\*{4})/;

export function intelDebugfsLine(text: string): IntelDebugfsLine | undefined {
  const row = PAGE_ROW.exec(text);
  if (row !== null) return { kind: "page-table-row", frame: hexWord(row[1])!, entries: wordsOf(row[2]!) };
  const queued = QUEUE_ROW.exec(text);
  if (queued !== null)
    // The last word is the kernel's own status.
    return { kind: "queue-row", index: Number(queued[1]), words: wordsOf(queued[2]!).slice(0, -1) };
  const register = REGISTER.exec(text);
  if (register !== null)
    return {
      kind: "register",
      name: register[1]!,
      offset: smallHex(register[2])!,
      value: hexWord(register[3])!,
    };
  const device = DEVICE_ROW.exec(text);
  if (device !== null) return deviceEntries(device);
  return headingLine(text);
}

function deviceEntries(found: RegExpExecArray): IntelDebugfsLine | undefined {
  const device = pciDevice(found[1]!);
  if (device === undefined) return undefined;
  const word = (i: number) => hexWord(found[i])!;
  return {
    kind: "device-entries",
    device,
    root: [word(3), word(2)],
    context: [word(5), word(4)],
    pasid: found[6] === "-1" ? undefined : Number(found[6]),
    pasidEntry: [word(9), word(8), word(7)],
  };
}

function headingLine(text: string): IntelDebugfsLine | undefined {
  const regset = REGSET.exec(text);
  if (regset !== null) return { kind: "regset", iommu: regset[1]!, base: hexWord(regset[2])! };
  const root = ROOT_TABLE.exec(text);
  if (root !== null) return { kind: "root-table", iommu: root[1]!, addr: hexWord(root[2])! };
  const table = PAGE_TABLE.exec(text);
  const device = table === null ? undefined : pciDevice(table[1]!);
  if (table !== null && device !== undefined)
    return { kind: "page-table", device, pasid: smallHex(table[2]), root: hexWord(table[3])! };
  const queue = QUEUE.exec(text);
  if (queue !== null) return { kind: "queue", iommu: queue[1]! };
  const place = QUEUE_PLACE.exec(text);
  if (place !== null)
    return {
      kind: "queue-place",
      base: hexWord(place[1])!,
      head: Number(place[2]),
      tail: Number(place[3]),
    };
  return HEADING.test(text) ? { kind: "heading" } : undefined;
}

function wordsOf(text: string): bigint[] {
  return text
    .trim()
    .split(/\s+/)
    .map((word) => hexWord(word)!);
}
