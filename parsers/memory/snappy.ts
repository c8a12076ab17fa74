/**
 * Snappy: raw blocks, as in pages of a kdump, and chunks of the framing format, as in AVML's dumps.
 * Source: google/snappy, format_description.txt and framing_format.txt.
 */

/** The first bytes of a framed stream: a chunk of type 0xff whose data is "sNaPpY". */
export const STREAM_IDENTIFIER = "\xff\x06\x00\x00sNaPpY";
/** Bytes that one chunk of a framed stream may become. */
export const MAX_CHUNK = 65_536;
export const CHUNK_COMPRESSED = 0x00;
export const CHUNK_UNCOMPRESSED = 0x01;
/** Types from here on may be skipped by who does not know them; below, they may not. */
export const CHUNK_SKIPPABLE = 0x80;

/** How many bytes a block says that it becomes, and how many bytes say so. */
export interface BlockLength {
  readonly length: number;
  readonly bytes: number;
}

/** @returns null where the bytes begin with no length of up to 32 bits */
export function blockLength(block: Uint8Array): BlockLength | null {
  let length = 0;
  for (let i = 0; i < 5 && i < block.length; i++) {
    const byte = block[i]!;
    length += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return length < 2 ** 32 ? { length, bytes: i + 1 } : null;
  }
  return null;
}

/**
 * Decompresses a raw block of at most `maxBytes`.
 * @throws Error where it is none, or says that it becomes more
 */
export function decompressSnappy(block: Uint8Array, maxBytes: number): Uint8Array {
  const declared = blockLength(block);
  if (declared === null) throw new Error("no length");
  if (declared.length > maxBytes)
    throw new Error(`a length of ${declared.length}, larger than ${maxBytes} bytes`);
  const out = new Uint8Array(declared.length);
  const end = block.length;
  let from = declared.bytes;
  let to = 0;
  while (from < end) {
    const tag = block[from++]!;
    // The low bits: 0 a literal, else a copy whose offset has 11, 16 or 32 bits.
    const kind = tag & 3;
    const operands = kind === 0 ? Math.max(0, (tag >>> 2) - 59) : kind === 3 ? 4 : kind;
    if (from + operands > end) throw new Error("the end of the data within an element");
    let operand = 0;
    for (let i = operands - 1; i >= 0; i--) operand = operand * 256 + block[from + i]!;
    from += operands;
    if (kind === 0) {
      const length = (operands === 0 ? tag >>> 2 : operand) + 1;
      if (from + length > end) throw new Error("the end of the data within a literal");
      if (to + length > out.length) throw new Error(`more than the ${out.length} bytes that it says`);
      out.set(block.subarray(from, from + length), to);
      from += length;
      to += length;
      continue;
    }
    const length = kind === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1;
    const offset = kind === 1 ? ((tag >>> 5) << 8) | operand : operand;
    if (offset === 0 || offset > to) throw new Error(`a copy from ${offset} bytes before byte ${to}`);
    if (to + length > out.length) throw new Error(`more than the ${out.length} bytes that it says`);
    copyWithin(out, to, offset, length);
    to += length;
  }
  if (to !== out.length) throw new Error(`${to} of the ${out.length} bytes that it says`);
  return out;
}

/** Copies from `distance` bytes before `to`; where that is less than the length, what was copied is copied again. */
export function copyWithin(bytes: Uint8Array, to: number, distance: number, length: number): void {
  if (distance >= length) bytes.copyWithin(to, to - distance, to - distance + length);
  else for (let i = 0; i < length; i++) bytes[to + i] = bytes[to + i - distance]!;
}

/** CRC-32C (Castagnoli), reflected: RFC 3720, B.4. */
const CRC_POLYNOMIAL = 0x82f6_3b78;
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? CRC_POLYNOMIAL : 0);
  return crc;
});

/** The checksum of a chunk's uncompressed data, masked as framing_format.txt, 3, says. */
export function maskedChecksum(bytes: Uint8Array): number {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[i]!) & 0xff]!;
  crc = ~crc;
  return (((crc >>> 15) | (crc << 17)) + 0xa282_ead8) >>> 0;
}
