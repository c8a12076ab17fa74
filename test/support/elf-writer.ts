/** A program header; what is not given follows from `data`, or is zero. */
export interface ElfSegment {
  paddr: bigint;
  data?: Uint8Array;
  type?: number;
  vaddr?: bigint;
  offset?: bigint;
  filesz?: bigint;
  memsz?: bigint;
}

export interface ElfOptions {
  bigEndian?: boolean;
  /** EI_CLASS: 2 is 64-bit. */
  elfClass?: number;
  /** e_type: 4 is ET_CORE. */
  type?: number;
  /** e_phnum, where it is to be another one than there are segments. */
  phnum?: number;
  /** Say 0xffff in e_phnum and this number in section header 0. */
  extended?: number;
  /** Bytes between the program headers and the first segment's: shifts all segments in the file. */
  gap?: number;
}

/**
 * An ELF core by the ABI's byte offsets. The layout is QEMU's: ELF header, program headers, section header (if
 * any), segments.
 */
export function elfCore(segments: readonly ElfSegment[], options: ElfOptions = {}): Buffer {
  const little = options.bigEndian !== true;
  const tables = 64 + 56 * segments.length;
  const sections = options.extended === undefined ? 0 : 64;
  let end = tables + sections + (options.gap ?? 0);
  const placed = segments.map((s) => {
    const at = end;
    end += s.data?.length ?? 0;
    return at;
  });
  const file = Buffer.alloc(end);
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  file.set([0x7f, 0x45, 0x4c, 0x46, options.elfClass ?? 2, little ? 1 : 2, 1]);
  view.setUint16(0x10, options.type ?? 4, little);
  view.setUint16(0x12, 62, little);
  view.setUint32(0x14, 1, little);
  view.setBigUint64(0x20, 64n, little);
  view.setBigUint64(0x28, BigInt(sections === 0 ? 0 : tables), little);
  view.setUint16(0x34, 64, little);
  view.setUint16(0x36, 56, little);
  view.setUint16(0x38, sections === 0 ? (options.phnum ?? segments.length) : 0xffff, little);
  if (options.extended !== undefined) {
    view.setUint16(0x3a, 64, little);
    view.setUint16(0x3c, 1, little);
    view.setUint32(tables + 0x2c, options.extended, little);
  }
  segments.forEach((s, i) => {
    const at = 64 + 56 * i;
    const size = BigInt(s.data?.length ?? 0);
    view.setUint32(at, s.type ?? 1, little);
    view.setBigUint64(at + 0x08, s.offset ?? BigInt(placed[i]!), little);
    view.setBigUint64(at + 0x10, s.vaddr ?? 0n, little);
    view.setBigUint64(at + 0x18, s.paddr, little);
    view.setBigUint64(at + 0x20, s.filesz ?? size, little);
    view.setBigUint64(at + 0x28, s.memsz ?? s.filesz ?? size, little);
    if (s.data !== undefined) file.set(s.data, placed[i]!);
  });
  return file;
}
