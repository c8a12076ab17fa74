/**
 * ELF64 cores as QEMU's dump-guest-memory, libvirt and crash utilities write them: PT_LOAD segments by physical
 * address. Layouts: System V ABI (gabi), chapter 4 "ELF Header" and chapter 5 "Program Header"; PN_XNUM: section
 * header 0, `sh_info`. The byte order that the file states is that of its headers; guest memory is bytes.
 */
import { FRAME_MASK, FRAMES, frameOf } from "../../walkers/memory.ts";
import { addressText } from "../../walkers/word64.ts";
import { RangeSet } from "./range-set.ts";
import { endOf, type Segment, SegmentImage } from "./segment-image.ts";
import type { SnapshotFile } from "./snapshot-file.ts";

/** e_ident: the first bytes of every ELF file. */
export const ELF_MAGIC = "\x7fELF";
const EI_CLASS = 4;
const EI_DATA = 5;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const ELFDATA2MSB = 2;

/** Byte offsets of Elf64_Ehdr's fields. */
const EHDR = {
  bytes: 64,
  e_type: 16,
  e_phoff: 32,
  e_shoff: 40,
  e_phentsize: 54,
  e_phnum: 56,
  e_shentsize: 58,
} as const;

/** Byte offsets of Elf64_Phdr's fields. */
const PHDR = { bytes: 56, p_type: 0, p_offset: 8, p_paddr: 24, p_filesz: 32, p_memsz: 40 } as const;

/** Byte offsets of Elf64_Shdr's fields. */
const SHDR = { bytes: 64, sh_info: 44 } as const;

const NOUN = "program header";
const ET_NAMES = ["ET_NONE", "ET_REL", "ET_EXEC", "ET_DYN", "ET_CORE"];
const ET_CORE = 4;
const PT_LOAD = 1;
/** e_phnum of a file with more program headers than it can say. */
const PN_XNUM = 0xffff;
/** Far more than any dump has; bounds the time that a nonsensical file takes. */
const MAX_PROGRAM_HEADERS = 1 << 20;
/** Program headers read at once. */
const BATCH = 1024;

/**
 * Reads the headers of an ELF core.
 * @returns the image, or a sentence that says what is wrong with the file
 */
export function openElfCore(file: SnapshotFile): SegmentImage | string {
  const header = Buffer.alloc(EHDR.bytes);
  const found = file.read(0, header);
  if (found < EHDR.bytes || header.toString("latin1", 0, 4) !== ELF_MAGIC)
    return problem(
      file,
      "ELF header",
      `${EHDR.bytes} bytes that begin with 7f 45 4c 46`,
      firstBytes(header, found),
    );
  const elfClass = header[EI_CLASS]!;
  if (elfClass !== ELFCLASS64)
    return problem(
      file,
      "ELF header EI_CLASS",
      `${ELFCLASS64} (64-bit)`,
      elfClass === 1 ? "1 (32-bit)" : `${elfClass}`,
    );
  const data = header[EI_DATA]!;
  if (data !== ELFDATA2LSB && data !== ELFDATA2MSB)
    return problem(file, "ELF header EI_DATA", "1 (little-endian) or 2 (big-endian)", `${data}`);
  const little = data === ELFDATA2LSB;
  const view = new DataView(header.buffer, header.byteOffset, EHDR.bytes);
  const type = view.getUint16(EHDR.e_type, little);
  if (type !== ET_CORE)
    return problem(
      file,
      "ELF header e_type",
      `${ET_CORE} (ET_CORE)`,
      ET_NAMES[type] === undefined ? `${type}` : `${type} (${ET_NAMES[type]})`,
    );
  const count = programHeaderCount(file, view, little);
  if (typeof count === "string") return count;
  return readProgramHeaders(file, view, little, count);
}

function programHeaderCount(file: SnapshotFile, header: DataView, little: boolean): number | string {
  const size = header.getUint16(EHDR.e_phentsize, little);
  if (size !== PHDR.bytes) return problem(file, "ELF header e_phentsize", `${PHDR.bytes}`, `${size}`);
  let count = header.getUint16(EHDR.e_phnum, little);
  let field = "ELF header e_phnum";
  if (count === PN_XNUM) {
    field = "section header 0 sh_info (e_phnum is PN_XNUM)";
    const at = u64(header, EHDR.e_shoff, little);
    const section = Buffer.alloc(SHDR.bytes);
    if (at === 0 || at + SHDR.bytes > file.size || file.read(at, section) < SHDR.bytes)
      return problem(
        file,
        "ELF header e_shoff (e_phnum is PN_XNUM)",
        `a section header within the file's ${file.size} bytes`,
        `0x${at.toString(16)}`,
      );
    count = new DataView(section.buffer, section.byteOffset).getUint32(SHDR.sh_info, little);
  }
  if (count === 0) return problem(file, field, "at least one program header", "0");
  if (count > MAX_PROGRAM_HEADERS) return problem(file, field, `at most ${MAX_PROGRAM_HEADERS}`, `${count}`);
  const start = u64(header, EHDR.e_phoff, little);
  if (start + count * PHDR.bytes > file.size)
    return problem(
      file,
      `ELF header e_phoff 0x${start.toString(16)} with ${count} program headers`,
      `a table within the file's ${file.size} bytes`,
      `its end at 0x${(start + count * PHDR.bytes).toString(16)}`,
    );
  return count;
}

function readProgramHeaders(
  file: SnapshotFile,
  header: DataView,
  little: boolean,
  count: number,
): SegmentImage | string {
  const start = u64(header, EHDR.e_phoff, little);
  const segments: Segment[] = [];
  const zero = new RangeSet();
  const batch = Buffer.alloc(Math.min(count, BATCH) * PHDR.bytes);
  const view = new DataView(batch.buffer, batch.byteOffset, batch.length);
  let loads = 0;
  for (let first = 0; first < count; first += BATCH) {
    const wanted = Math.min(count - first, BATCH) * PHDR.bytes;
    const found = file.read(start + first * PHDR.bytes, batch.subarray(0, wanted));
    if (found < wanted) return problem(file, `${NOUN} ${first}`, `${wanted} bytes of headers`, `${found}`);
    for (let at = 0; at < wanted; at += PHDR.bytes) {
      if (view.getUint32(at + PHDR.p_type, little) !== PT_LOAD) continue;
      loads++;
      const wrong = addLoad(file, view, at, little, first + at / PHDR.bytes, segments, zero);
      if (wrong !== null) return wrong;
    }
  }
  if (loads === 0) return problem(file, "program headers", "at least one PT_LOAD", `none among ${count}`);
  return SegmentImage.build(file, NOUN, segments, zero);
}

/** Checks one PT_LOAD and adds what it holds. */
function addLoad(
  file: SnapshotFile,
  view: DataView,
  at: number,
  little: boolean,
  index: number,
  segments: Segment[],
  zero: RangeSet,
): string | null {
  const label = `${NOUN} ${index}`;
  const [addrHi, addrLo] = halves(view, at + PHDR.p_paddr, little);
  const startFrame = frameOf(addrHi, addrLo);
  const startOffset = addrLo & FRAME_MASK;
  const fileBytes = u64(view, at + PHDR.p_filesz, little);
  const memoryBytes = u64(view, at + PHDR.p_memsz, little);
  if (fileBytes > memoryBytes)
    return problem(
      file,
      `${label} p_filesz`,
      `at most p_memsz, ${hex(view, at + PHDR.p_memsz, little)}`,
      hex(view, at + PHDR.p_filesz, little),
    );
  const [sizeHi, sizeLo] = halves(view, at + PHDR.p_memsz, little);
  const inFrame = startOffset + (sizeLo & FRAME_MASK);
  const endFrame = startFrame + frameOf(sizeHi, sizeLo) + (inFrame >>> 12);
  const endOffset = inFrame & FRAME_MASK;
  if (endFrame > FRAMES || (endFrame === FRAMES && endOffset !== 0))
    return problem(
      file,
      `${label} p_memsz`,
      `an end at 2^64 at most from p_paddr ${addressText(startFrame, startOffset)} on`,
      hex(view, at + PHDR.p_memsz, little),
    );
  // QEMU writes p_offset -1 for memory that it maps but does not dump (p_filesz is 0 then).
  if (fileBytes > 0) {
    const position = u64(view, at + PHDR.p_offset, little);
    if (position + fileBytes > file.size)
      return problem(
        file,
        `${label} p_offset + p_filesz`,
        `an end within the file's ${file.size} bytes`,
        `p_offset ${hex(view, at + PHDR.p_offset, little)}, p_filesz ${hex(view, at + PHDR.p_filesz, little)}`,
      );
    const end = endOf(startFrame, startOffset, fileBytes);
    segments.push({ startFrame, startOffset, endFrame: end.frame, endOffset: end.offset, position, index });
  }
  // Bytes of the file beat zeros, so the whole range may count as zero.
  if (memoryBytes > fileBytes) zero.add(startFrame, startOffset, endFrame, endOffset);
  return null;
}

function halves(view: DataView, at: number, little: boolean): [number, number] {
  const low = view.getUint32(little ? at : at + 4, little);
  const high = view.getUint32(little ? at + 4 : at, little);
  return [high, low];
}

/** A 64-bit number as a double: exact below 2^53, and only compared with the file's size above. */
function u64(view: DataView, at: number, little: boolean): number {
  const [high, low] = halves(view, at, little);
  return high * 2 ** 32 + low;
}

function hex(view: DataView, at: number, little: boolean): string {
  return `0x${view.getBigUint64(at, little).toString(16)}`;
}

function firstBytes(header: Buffer, count: number): string {
  return count === 0
    ? "an empty file"
    : `${count} bytes: ${header.subarray(0, Math.min(count, 16)).toString("hex")}`;
}

function problem(file: SnapshotFile, where: string, expected: string, found: string): string {
  return `${file.name}: ${where}: expected ${expected}, found ${found}`;
}
