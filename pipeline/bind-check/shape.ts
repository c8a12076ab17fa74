import type { ParentStage, VendorFields } from "../../parsers/bind/request.ts";
import { gcr3TableLimit } from "../../walkers/amd-vi/gcr3-table.ts";
import { FRAME_BYTES } from "../../walkers/memory.ts";
import type { TableModel } from "../../walkers/models.ts";
import { PROCESS_ID_BITS } from "../../walkers/riscv/layouts.ts";
import { Cd, L1Cd } from "../../walkers/smmuv3/cd.ts";
import { S1FMT_4K_L2, S1FMT_64K_L2, S1FMT_LINEAR } from "../../walkers/smmuv3/ste.ts";
import { ExtendedPasidEntry } from "../../walkers/vtd/ecs-structures.ts";
import { PasidDirectoryEntry, PasidEntry } from "../../walkers/vtd/structures.ts";

/** PCIe's PASIDs, and every vendor's, have 20 bits at most. */
const WIDEST_PASID = 20;
/** PDTS of a scalable-mode context entry: 2^(X + 7) directory entries (VT-d 5.10, 9.4). */
const SMALLEST_DIRECTORY = 2 ** 7;
/** PTS of an extended context entry: 2^(X + 5) entries (VT-d 2.4, 9.4). */
const SMALLEST_EXTENDED_TABLE = 2 ** 5;

/** PASIDs that one page of entries holds. */
const VTD_TABLE_ENTRIES = FRAME_BYTES / PasidEntry.bytes;

/** A PASID table of a known format, as it would be put under a device. */
export interface TableUse extends VendorFields {
  readonly model: TableModel;
  readonly base: bigint;
  /** Undefined: as many as the format and the host have. */
  readonly pasidBits: number | undefined;
  /** Arm: 0 linear, 1 and 2 two levels. */
  readonly s1fmt: number;
  /** AMD: levels less one. */
  readonly glx: number;
  /** RISC-V: bits that the process directory indexes, where its mode is known. */
  readonly directoryBits: number | undefined;
  /** A second stage lies under it. */
  readonly nested: boolean;
  readonly parent: ParentStage | undefined;
  /** What its address and its size are called. */
  readonly baseName: string;
  readonly pasidBitsName: "pasid_bits" | "S1CDMax";
}

/** Where the table at the base pointer must lie, and how large it is. */
export interface TableShape {
  /** What the base pointer points to. */
  readonly what: string;
  readonly bytes: number;
  readonly alignment: number;
  /** Most PASID bits that the format indexes. */
  readonly reach: number;
}

/** Bytes of the leaf tables of a 2-level Arm table (IHI 0070, 5.2 STE.S1Fmt). */
export function leafBytes(s1fmt: number): number {
  return s1fmt === S1FMT_4K_L2 ? FRAME_BYTES : 16 * FRAME_BYTES;
}

export function isTwoLevel(s1fmt: number): boolean {
  return s1fmt === S1FMT_4K_L2 || s1fmt === S1FMT_64K_L2;
}

/** The shape of a table with this many PASID bits. */
export function shapeOf(use: TableUse, pasidBits: number): TableShape {
  switch (use.model) {
    case "intel": {
      const entries = Math.max(2 ** pasidBits / VTD_TABLE_ENTRIES, SMALLEST_DIRECTORY);
      const bytes = entries * PasidDirectoryEntry.bytes;
      return { what: "PASID directory", bytes, alignment: FRAME_BYTES, reach: WIDEST_PASID };
    }
    case "intel-ecs": {
      const bytes = Math.max(2 ** pasidBits, SMALLEST_EXTENDED_TABLE) * ExtendedPasidEntry.bytes;
      return { what: "PASID table", bytes, alignment: FRAME_BYTES, reach: WIDEST_PASID };
    }
    case "arm-1lvl":
    case "arm-2lvl":
      return armShape(use.s1fmt, pasidBits);
    case "amd": {
      const reach = Math.log2(gcr3TableLimit(use.glx));
      return { what: "guest CR3 table", bytes: FRAME_BYTES, alignment: FRAME_BYTES, reach };
    }
    case "riscv": {
      const reach = use.directoryBits ?? PROCESS_ID_BITS;
      return { what: "process directory", bytes: FRAME_BYTES, alignment: FRAME_BYTES, reach };
    }
  }
}

/** IHI 0070, 5.2 STE.S1Fmt: each table is aligned to its size, and to 64 bytes. */
function armShape(s1fmt: number, pasidBits: number): TableShape {
  const reach = WIDEST_PASID;
  if (pasidBits === 0 || !isTwoLevel(s1fmt)) {
    const bytes = 2 ** pasidBits * Cd.bytes;
    const what = pasidBits === 0 ? "context descriptor" : "context descriptor table";
    return { what, bytes, alignment: bytes, reach };
  }
  const leaves = Math.max((2 ** pasidBits * Cd.bytes) / leafBytes(s1fmt), 1);
  const bytes = leaves * L1Cd.bytes;
  return { what: "level 1 context descriptor table", bytes, alignment: Math.max(bytes, Cd.bytes), reach };
}

/** The value of STE.S1Fmt that a table has; 3 behaves as 0. */
export function effectiveS1fmt(model: TableModel, given: number | undefined): number {
  if (given === undefined) return model === "arm-2lvl" ? S1FMT_64K_L2 : S1FMT_LINEAR;
  return isTwoLevel(given) ? given : S1FMT_LINEAR;
}
