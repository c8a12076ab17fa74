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

/** What only other programs make or read, or we ourselves wrote. Raw memory may begin like some of them. */
const OTHER_MAGICS: readonly (readonly [magic: string, what: string])[] = [
  ["\x89PNG\r\n", "a PNG picture"],
  ["\xff\xd8\xff", "a JPEG picture"],
  ["GIF8", "a GIF picture"],
  ["%PDF-", "a PDF document"],
  ["\xd4\xc3\xb2\xa1", "a packet capture (pcap)"],
  ["\xa1\xb2\xc3\xd4", "a packet capture (pcap)"],
  ["\x4d\x3c\xb2\xa1", "a packet capture (pcap)"],
  ["\x0a\x0d\x0d\x0a", "a packet capture (pcapng)"],
  ["SQLite format 3\0", "an SQLite database"],
  ["PAR1", "a Parquet table"],
  ["\0asm", "a WebAssembly module"],
  ["\xca\xfe\xba\xbe", "a Java class, or a Mach-O file"],
  ["\xcf\xfa\xed\xfe", "a Mach-O file"],
  ["MZ\x90\0", "a Windows or EFI program"],
  ["\xd0\x0d\xfe\xed", "a device tree blob"],
  ["trace,line,", "a table that a replay wrote"],
  ["<?xml", "an XML document"],
];
/** A signature and a length below 64 KiB: a log has the signature alone. */
const ACPI = /^(DMAR|IORT|IVRS|RIMT)[\s\S]{2}\0\0/;
const HTML = /^\s*<(!doctype\s+html|html)\b/i;

/** Where a tar archive says what it is. */
const TAR_MAGIC = "ustar";
const TAR_MAGIC_AT = 257;
/** As much of a file's beginning as tells what it is. */
export const HEAD_BYTES = TAR_MAGIC_AT + TAR_MAGIC.length;

/** @param head the first bytes, as latin1 */
export function isTar(head: string): boolean {
  return head.startsWith(TAR_MAGIC, TAR_MAGIC_AT);
}

/** The first bytes of a file as latin1, as many as tell what it is. */
export function headOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, HEAD_BYTES)).toString("latin1");
}

/** @param head the first bytes, as latin1; @returns undefined where nothing is recognised */
export function contentOf(head: string): string | undefined {
  return MAGICS.find(([magic]) => head.startsWith(magic))?.[1];
}

/** As `contentOf`, and the formats of memory, of archives, of what is for people, and of ACPI tables. */
export function anyContentOf(head: string): string | undefined {
  const memory = MEMORY_MAGICS.find(([magic]) => head.startsWith(magic))?.[1];
  if (memory !== undefined)
    return `${memory}: guest memory is named by a snapshot record, or by import --memory`;
  if (isTar(head)) return "a tar archive: unpack it first (caps reads one of sysfs)";
  if (HTML.test(head)) return "an HTML page";
  const acpi = ACPI.exec(head)?.[1];
  if (acpi !== undefined) return `an ACPI ${acpi} table`;
  return contentOf(head) ?? OTHER_MAGICS.find(([magic]) => head.startsWith(magic))?.[1];
}
