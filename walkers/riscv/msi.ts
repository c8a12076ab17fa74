/**
 * MSI page tables (RISC-V IOMMU 1.0, "Process to translate addresses of MSIs", and "MSI address mask and pattern";
 * entries: RISC-V Advanced Interrupt Architecture 1.0).
 */
import type { Layout } from "../layout.ts";
import { FRAME_MASK, FRAME_SHIFT } from "../memory.ts";
import { EXECUTE, READ, WRITE } from "../request.ts";
import { MSI, type WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import type { RiscvConfig } from "./config.ts";
import type { RiscvDevice } from "./context.ts";
import {
  INSTRUCTION_ACCESS_FAULT,
  MSI_PTE_LOAD_ACCESS_FAULT,
  MSI_PTE_MISCONFIGURED,
  MSI_PTE_NOT_VALID,
} from "./faults.ts";
import {
  MSI_M_BASIC,
  MSI_M_MRIF,
  MSIPTP_OFF,
  MsiMrifPte,
  MsiPte,
  readersOf,
  reservedBitsSet,
} from "./layouts.ts";

const LITTLE = readersOf(MsiPte, true);
const BIG = readersOf(MsiPte, false);
const RESERVED_BASIC = MsiPte.reserved();
const RESERVED_MRIF = MsiMrifPte.reserved();

const PTE_BYTES = MsiPte.bytes;
const PTES_PER_FRAME = (FRAME_MASK + 1) / PTE_BYTES;
const TWO_32 = 2 ** 32;
/** What an MSI PTE grants: a second-stage PTE with R = W = U = 1 and X = 0. */
const MSI_RIGHTS = READ | WRITE;

/**
 * Whether a guest physical address lies in a page of a virtual interrupt file: its page number matches the pattern in
 * all bits that the mask leaves.
 * @param shift log2 of the bytes around the address that are asked about: 12 for its own page, more for a superpage
 */
export function inInterruptFile(device: RiscvDevice, hi: number, lo: number, shift: number): boolean {
  if (device.msiMode === MSIPTP_OFF) return false;
  const pageHi = hi >>> FRAME_SHIFT;
  const pageLo = (hi << (32 - FRAME_SHIFT)) | (lo >>> FRAME_SHIFT);
  let differHi = (pageHi ^ device.patternHi) & ~device.maskHi;
  let differLo = (pageLo ^ device.patternLo) & ~device.maskLo;
  const below = shift - FRAME_SHIFT;
  if (below >= 32) {
    differLo = 0;
    differHi = (differHi >>> (below - 32)) << (below - 32);
  } else if (below > 0) {
    differLo = (differLo >>> below) << below;
  }
  return (differHi | differLo) === 0;
}

/** The mask's bits of a page number, packed at the low end: the interrupt file's number. */
function extract(pageHi: number, pageLo: number, maskHi: number, maskLo: number): number {
  let number = 0;
  let place = 1;
  for (let rest = maskLo; rest !== 0; rest &= rest - 1) {
    if ((pageLo & (rest & -rest)) !== 0) number += place;
    place *= 2;
  }
  for (let rest = maskHi; rest !== 0; rest &= rest - 1) {
    if ((pageHi & (rest & -rest)) !== 0) number += place;
    place *= 2;
  }
  return number;
}

/** Bitwise or of two frame numbers. */
function orFrames(a: number, b: number): number {
  const high = Math.floor(a / TWO_32) | Math.floor(b / TWO_32);
  return high * TWO_32 + ((a | b) >>> 0);
}

/** Which layout an observer is told: the modes differ in theirs. Without an observer both are just 16 bytes. */
function formatOf(tables: TableReader, frame: number, offset: number, field: typeof LITTLE): Layout {
  const memory = tables.memory;
  if (tables.observer === null || !memory.fetch(frame, offset, PTE_BYTES)) return MsiPte;
  return field.M(memory.view, memory.at) === MSI_M_MRIF ? MsiMrifPte : MsiPte;
}

/**
 * Translates the address of an interrupt file, steps 5 to 15.
 * @param rights what the first stage grants
 * @returns false after having filled `out` with a fault
 */
export function translateMsi(
  tables: TableReader,
  device: RiscvDevice,
  config: RiscvConfig,
  hi: number,
  lo: number,
  access: number,
  rights: number,
  out: WalkResult,
): boolean {
  // 5. The interrupt file number.
  const pageHi = hi >>> FRAME_SHIFT;
  const pageLo = (hi << (32 - FRAME_SHIFT)) | (lo >>> FRAME_SHIFT);
  const file = extract(pageHi, pageLo, device.maskHi, device.maskLo);
  // 6, 7. The MSI PTE at m | (I x 16).
  const littleEndian = config.be === 0;
  const frame = orFrames(device.msiFrame, Math.floor(file / PTES_PER_FRAME));
  const offset = (file % PTES_PER_FRAME) * PTE_BYTES;
  if (frame >= config.frameLimit) {
    out.entryFrame = frame;
    out.entryOffset = offset;
    return out.fail(MSI_PTE_LOAD_ACCESS_FAULT);
  }
  const field = littleEndian ? LITTLE : BIG;
  tables.littleEndian = littleEndian;
  const known = tables.read(formatOf(tables, frame, offset, field), frame, offset);
  if (!known) {
    tables.blame(out);
    return out.fail(MSI_PTE_LOAD_ACCESS_FAULT);
  }
  const view = tables.view;
  const at = tables.at;
  // 9. Validity.
  if (field.V(view, at) === 0) {
    tables.blame(out);
    return out.fail(MSI_PTE_NOT_VALID);
  }
  // 10 to 14. The format; a custom one (C = 1) is not known here.
  const mode = field.M(view, at);
  const usable =
    field.C(view, at) === 0 &&
    (mode === MSI_M_BASIC
      ? !reservedBitsSet(RESERVED_BASIC, view, at, littleEndian)
      : mode === MSI_M_MRIF &&
        config.msiMrif !== 0 &&
        !reservedBitsSet(RESERVED_MRIF, view, at, littleEndian));
  if (!usable) {
    tables.blame(out);
    return out.fail(MSI_PTE_MISCONFIGURED);
  }
  // 15. An interrupt file is no code.
  if ((access & EXECUTE) !== 0) {
    tables.blame(out);
    return out.fail(INSTRUCTION_ACCESS_FAULT, "PERMISSION");
  }
  if (mode === MSI_M_MRIF) {
    out.status = MSI;
    return true;
  }
  // 13. Basic translate mode.
  out.frame = field.PPN(view, at);
  out.offset = lo & FRAME_MASK;
  out.pageShift = FRAME_SHIFT;
  out.perm = rights & MSI_RIGHTS;
  return true;
}
