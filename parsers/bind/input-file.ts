import { anyContentOf, HEAD_BYTES, isTar } from "../magic.ts";
import { OUR_OUTPUT, streamKind } from "../outcomes/stream-kind.ts";
import type { ByteSource } from "../trace/byte-source.ts";
import { PeekedSource } from "../trace/decompress.ts";
import { isTraceError, TraceError, type TraceErrorCode } from "../trace/errors.ts";
import { isRecordType } from "../trace/schema.ts";
import { openTrace } from "../trace/source.ts";

const CHUNK_BYTES = 64 * 2 ** 10;

/** What was found in place of a file, for the errors that a trace's reader puts in its own words. */
const FOUND: Partial<Record<TraceErrorCode, string>> = {
  missing: "no such file",
  directory: "a directory",
  permission: "a file that may not be read",
};

/**
 * Opens a file that is no trace, or standard input ("-"); gzip and zstd are unpacked.
 * @param expected what it should hold, for messages
 * @throws TraceError where it cannot be read
 */
export async function openInput(path: string, expected: string): Promise<ByteSource> {
  try {
    return await openTrace(path);
  } catch (error) {
    const found = isTraceError(error) ? FOUND[error.code] : undefined;
    if (found === undefined) throw error;
    throw new TraceError((error as TraceError).code, path, `expected ${expected}, found ${found}`);
  }
}

/** Opens a log, as `openInput`. @throws TraceError also for what is none */
export async function openLog(path: string): Promise<ByteSource> {
  return logOf(await openInput(path, "a log"));
}

/**
 * A source of text. An archive of files is none, even though text is in it; nor is a trace.
 * @throws TraceError for what is known to be none, which is closed
 */
export async function logOf(source: ByteSource): Promise<ByteSource> {
  const head = Buffer.alloc(HEAD_BYTES);
  let n = 0;
  try {
    // Two reads, what has been looked at already and more: of a log that is being written there may be nothing else yet.
    for (let reads = 0; reads < 2 && n < head.length; reads++)
      n += await source.read(head, n, head.length - n);
  } catch (error) {
    return new PeekedSource(source, head.subarray(0, n), error);
  }
  const found = contentOf(head.toString("latin1", 0, n));
  if (found === undefined) return new PeekedSource(source, head.subarray(0, n));
  await source.close();
  throw new TraceError("unreadable", source.path, `expected a log, found ${found}`);
}

/** What a file is that is no log, as its beginning says. */
function contentOf(head: string): string | undefined {
  if (isTar(head)) return "a tar archive: unpack it, and name the files in it";
  const type = /^(\xef\xbb\xbf)?\s*\{\s*"type"\s*:\s*"([a-z-]+)"/.exec(head)?.[2];
  if (type === undefined) return anyContentOf(head);
  if (streamKind(Buffer.from(head, "latin1")) === "outcomes") return OUR_OUTPUT;
  return isRecordType(type) ? "a trace: it can be replayed as it is" : undefined;
}

/**
 * Reads on until there are `limit` bytes, or no more.
 * @param start bytes that have been read already
 * @throws TraceError where the input breaks off
 */
export async function readUpTo(source: ByteSource, start: Uint8Array, limit: number): Promise<Uint8Array> {
  const chunks = [start];
  let length = start.length;
  while (length < limit) {
    const chunk = new Uint8Array(CHUNK_BYTES);
    const n = await source.read(chunk, 0, Math.min(chunk.length, limit - length));
    if (n === 0) break;
    chunks.push(chunk.subarray(0, n));
    length += n;
  }
  return Buffer.concat(chunks);
}
