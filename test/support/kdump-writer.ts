import { deflateSync } from "node:zlib";

/** What a dump says of one page: its bytes, how they are stored; or that it exists and was left out. */
export interface DumpedPage {
  page: number;
  /** Absent: in the machine's bitmap alone. */
  data?: Uint8Array;
  /** As stored, with the descriptor's flags; by default zlib (1) where it is shorter, else raw (0). */
  stored?: { flags: number; bytes: Uint8Array; size?: number };
}

export interface KdumpOptions {
  blockBytes?: number;
  level?: number;
  split?: number;
  version?: number;
  pages?: number;
  bigEndian?: boolean;
}

/** A compressed dump by QEMU's packed structures, in byte offsets. */
export function kdump(content: readonly DumpedPage[], options: KdumpOptions = {}): Buffer {
  const block = options.blockBytes ?? 4096;
  const little = options.bigEndian !== true;
  const pages = options.pages ?? Math.max(...content.map((p) => p.page)) + 1;
  const bitmapBlocks = Math.ceil(pages / 8 / block);
  const descriptorsAt = (2 + 2 * bitmapBlocks) * block;
  const dumped = content.filter((p) => p.data ?? p.stored).sort((a, b) => a.page - b.page);
  const stored = dumped.map((p) => p.stored ?? store(p.data!));
  const dataAt = descriptorsAt + 24 * dumped.length;
  const file = Buffer.alloc(dataAt + stored.reduce((sum, s) => sum + s.bytes.length, 0));
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const version = options.version ?? 6;
  file.write("KDUMP   ", "latin1");
  view.setUint32(8, version, little);
  file.write("Linux", 12, "latin1");
  file.write("x86_64", 12 + 4 * 65, "latin1");
  view.setUint32(0x1ac, block, little);
  view.setUint32(0x1b0, 1, little);
  view.setUint32(0x1b4, 2 * bitmapBlocks, little);
  view.setUint32(0x1b8, pages, little);
  view.setUint32(block + 0x08, options.level ?? 1, little);
  view.setUint32(block + 0x0c, options.split ?? 0, little);
  if (version >= 6) view.setBigUint64(block + 0x60, BigInt(pages), little);
  for (const { page } of content) file[2 * block + (page >> 3)]! |= 1 << (page & 7);
  for (const { page } of dumped) file[(2 + bitmapBlocks) * block + (page >> 3)]! |= 1 << (page & 7);
  let at = dataAt;
  stored.forEach((s, i) => {
    const descriptor = descriptorsAt + 24 * i;
    view.setBigUint64(descriptor, BigInt(at), little);
    view.setUint32(descriptor + 8, s.size ?? s.bytes.length, little);
    view.setUint32(descriptor + 12, s.flags, little);
    file.set(s.bytes, at);
    at += s.bytes.length;
  });
  return file;
}

function store(data: Uint8Array): { flags: number; bytes: Uint8Array; size?: number } {
  const packed = deflateSync(data, { level: 1 });
  return packed.length < data.length ? { flags: 1, bytes: packed } : { flags: 0, bytes: data };
}

/** makedumpfile's flattened form of a file, in pieces of a size, written in the given order. */
export function flattened(
  file: Buffer,
  pieceBytes: number,
  order: "forward" | "backward" = "forward",
): Buffer {
  const header = Buffer.alloc(4096);
  header.write("makedumpfile", "latin1");
  header.writeBigInt64BE(1n, 16);
  header.writeBigInt64BE(1n, 24);
  const records: Buffer[] = [];
  for (let at = 0; at < file.length; at += pieceBytes) {
    const piece = file.subarray(at, at + pieceBytes);
    // Nothing is written where there is nothing but zeros, as a seek would leave it.
    if (piece.every((b) => b === 0) && at + pieceBytes < file.length) continue;
    const head = Buffer.alloc(16);
    head.writeBigInt64BE(BigInt(at), 0);
    head.writeBigInt64BE(BigInt(piece.length), 8);
    records.push(Buffer.concat([head, piece]));
  }
  if (order === "backward") records.reverse();
  return Buffer.concat([header, ...records, Buffer.alloc(16, 0xff)]);
}
