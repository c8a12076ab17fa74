import { bytesSource } from "../../parsers/trace/source.ts";
import type { ReplayOptions } from "../../pipeline/replay/options.ts";
import { replayTrace } from "../../pipeline/replay/run.ts";

/** What a replay of a text writes. @param step bytes that are read at once */
export async function output(
  text: Uint8Array,
  options: Partial<ReplayOptions>,
  step = Number.POSITIVE_INFINITY,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  await replayTrace(
    bytesSource(text, step),
    { write: (bytes) => void pieces.push(Buffer.from(bytes)) },
    options,
  );
  return Buffer.concat(pieces);
}

/** The first lines of two outputs that differ, or null. */
export function difference(plain: Buffer, fast: Buffer): string | null {
  if (plain.equals(fast)) return null;
  const expected = plain.toString().split("\n");
  const found = fast.toString().split("\n");
  const at = expected.findIndex((line, i) => line !== found[i]);
  return `output line ${at + 1}:\n  plain ${expected[at]}\n  fast  ${found[at]}`;
}
