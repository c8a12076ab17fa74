/** What a file holds, by its first bytes; as messages call it, with what to do about it. */
const MAGICS: readonly (readonly [magic: string, what: string])[] = [
  ["\x1f\x8b", "gzip data: decompress it first"],
  ["\x28\xb5\x2f\xfd", "zstd data: decompress it first"],
  ["\xfd7zXZ\0", "xz data: decompress it first"],
  ["BZh", "bzip2 data: decompress it first"],
  ["\x04\x22\x4d\x18", "lz4 data: decompress it first"],
  ["7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"],
  ["PK\x03\x04", "a zip archive: unpack it first"],
  ["QFI\xfb", "a qcow2 disk image"],
  ["QEVM", "a QEMU migration stream: use dump-guest-memory instead"],
  ["LibvirtQ", "a libvirt save image: use virsh dump --memory-only instead"],
];

/** Guest memory, which a trace names in a `snapshot` record. */
const MEMORY_MAGICS: readonly (readonly [magic: string, what: string])[] = [
  ["\x7fELF", "an ELF file"],
  ["KDUMP   ", "a kdump memory dump"],
  ["makedumpfile", "a flattened kdump memory dump"],
  ["EMiL", "a LiME memory dump"],
  ["LiME", "a LiME memory dump"],
  ["AVML", "an AVML memory dump"],
];

/** @param head the first bytes, as latin1; @returns undefined where nothing is recognised */
export function contentOf(head: string): string | undefined {
  return MAGICS.find(([magic]) => head.startsWith(magic))?.[1];
}

/** As `contentOf`, and the formats of memory. */
export function contentOrMemoryOf(head: string): string | undefined {
  return contentOf(head) ?? MEMORY_MAGICS.find(([magic]) => head.startsWith(magic))?.[1];
}
