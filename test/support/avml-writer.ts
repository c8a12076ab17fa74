import { type Step, snappyBlock } from "./lz-writers.ts";

/** CRC-32C bit by bit, masked (framing_format.txt, 3). */
function checksum(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ ((crc & 1) * 0x82f6_3b78);
  }
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282_ead8) >>> 0;
}

export function chunk(type: number, data: Uint8Array): Buffer {
  const head = Buffer.alloc(4);
  head.writeUIntLE(type, 0, 1);
  head.writeUIntLE(data.length, 1, 3);
  return Buffer.concat([head, data]);
}

/** A chunk of memory: runs of one byte are copies. */
export function dataChunk(bytes: Uint8Array, compressed = true): Buffer {
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(checksum(bytes));
  return chunk(
    compressed ? 0 : 1,
    Buffer.concat([sum, compressed ? snappyBlock(runs(bytes)).packed : bytes]),
  );
}

function runs(bytes: Uint8Array): Step[] {
  const steps: Step[] = [];
  for (let at = 0; at < bytes.length; ) {
    let end = at + 1;
    while (end < bytes.length && bytes[end] === bytes[at]) end++;
    steps.push({ literals: bytes.subarray(at, at + 1) });
    if (end > at + 1) steps.push({ distance: 1, length: end - at - 1 });
    at = end;
  }
  return steps;
}

export const IDENTIFIER = chunk(0xff, Buffer.from("sNaPpY"));

/** A range of an AVML dump, of chunks. */
export function avmlRange(first: bigint, bytes: bigint, chunks: readonly Buffer[], version = 2): Buffer {
  const header = Buffer.alloc(32);
  header.write("AVML", "latin1");
  header.writeUInt32LE(version, 4);
  header.writeBigUInt64LE(first, 8);
  header.writeBigUInt64LE(first + bytes - 1n, 16);
  const stream = Buffer.concat(chunks);
  const trailer = Buffer.alloc(8);
  trailer.writeBigUInt64LE(BigInt(stream.length));
  return Buffer.concat([header, stream, trailer]);
}
