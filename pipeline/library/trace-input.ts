import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { ByteSource } from "../../parsers/trace/byte-source.ts";
import { unpacked } from "../../parsers/trace/decompress.ts";
import { bytesSource, ChunkSource, openTrace } from "../../parsers/trace/source.ts";
import { PatternError } from "../filter/patterns.ts";
import { Handoff } from "../replay/handoff.ts";
import { LibraryError } from "./library-error.ts";

/**
 * A trace: a file by its path or file URL ("-" is standard input), its bytes, or a stream of them (a Readable, a
 * web ReadableStream, any async iterable). Each may be compressed with gzip or zstd.
 */
export type TraceInput = string | URL | Uint8Array | AsyncIterable<Uint8Array | string>;

/** @throws LibraryError ("argument") for what is none; TraceError where it cannot be opened */
export async function sourceOf(input: TraceInput): Promise<ByteSource> {
  if (typeof input === "string") return openTrace(input);
  if (input instanceof URL) return openTrace(fileURLToPath(input));
  if (input instanceof Uint8Array) return unpacked(bytesSource(input));
  if (typeof input?.[Symbol.asyncIterator] !== "function")
    throw new LibraryError(
      "argument",
      `input: expected a path, a URL, bytes or a stream of bytes, found ${input === null ? "null" : typeof input}`,
    );
  const stream = input as { destroy?: () => void };
  return unpacked(new ChunkSource("stream", input, () => stream.destroy?.()));
}

/** What an input is called: its path, "memory" for bytes, "stream". */
export function inputName(input: TraceInput): string {
  if (typeof input === "string") return input;
  if (input instanceof URL) return fileURLToPath(input);
  return input instanceof Uint8Array ? "memory" : "stream";
}

/** Where the `snapshot` records of a trace look for their files, unless the options say otherwise. */
export function traceFolder(input: TraceInput): string {
  if (input instanceof URL) return dirname(fileURLToPath(input));
  return typeof input === "string" && input !== "-" ? dirname(input) : ".";
}

/** A filter of words. @throws LibraryError ("argument") for words that cannot be understood */
export function filtered<F>(make: () => F): F {
  try {
    return make();
  } catch (error) {
    if (error instanceof PatternError) throw new LibraryError("argument", `filter: ${error.message}`);
    throw error;
  }
}

/** What `produce` puts, as it is taken. Leaving early closes the sources. */
export async function* handedOn<T>(
  sources: readonly Pick<ByteSource, "close">[],
  produce: (put: (value: T) => Promise<void>) => Promise<unknown>,
): AsyncGenerator<T, void, undefined> {
  const handoff = new Handoff<T>();
  produce((value) => handoff.put(value)).then(
    () => handoff.end(),
    (error) => handoff.end(error),
  );
  try {
    yield* handoff.values();
  } finally {
    handoff.abandon();
    for (const source of sources) await source.close();
  }
}
