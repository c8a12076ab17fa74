import { readUpTo } from "../parsers/bind/input-file.ts";
import type { ByteSource } from "../parsers/trace/byte-source.ts";
import { CliError } from "./errors.ts";

/** Much more than the paths of a million traces, or the rules of any list. */
const MOST_BYTES = 2 ** 27;

/**
 * The text of a small input, which is closed. It is waited for as a stream: whoever waits for the other end of a FIFO can
 * be interrupted.
 * @param expected what it should hold, for messages
 * @throws TraceError where it breaks off, CliError where it is too long
 */
export async function textOfInput(source: ByteSource, expected: string): Promise<string> {
  try {
    const bytes = await readUpTo(source, new Uint8Array(0), MOST_BYTES);
    if (bytes.length === MOST_BYTES)
      throw new CliError(`${source.path}: expected ${expected}, found ${MOST_BYTES} bytes or more`);
    return new TextDecoder().decode(bytes);
  } finally {
    await source.close();
  }
}
