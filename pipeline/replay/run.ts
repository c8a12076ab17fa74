import type { ByteSource } from "../../parsers/trace/byte-source.ts";
import { readTrace } from "../../parsers/trace/reader.ts";
import { TraceNames } from "../../parsers/trace/records.ts";
import { ByteWriter } from "../output/byte-writer.ts";
import type { Summary } from "../output/statistics.ts";
import { DEFAULT_OPTIONS, type ReplayOptions } from "./options.ts";
import { Replay } from "./replay.ts";

export interface RunHooks {
  /**
   * Takes output bytes, whole lines only. Reading goes on meanwhile, up to the next bytes: those it gives, and the
   * memory of these it uses again, when this has settled.
   */
  readonly write: (bytes: Buffer) => void | Promise<void>;
  /** Called after every chunk of input. */
  readonly progress?: (bytesRead: number, requests: number) => void;
}

/**
 * Replays one trace from beginning to end.
 *
 * @param source the trace (`openTrace` of parsers/trace/source.ts); closed at the end
 * @returns counts; the output records went to `hooks.write`
 * @throws what `hooks.write` throws, a closed pipe for example; nothing is half-written then
 */
export async function replayTrace(
  source: ByteSource,
  hooks: RunHooks,
  options: Partial<ReplayOptions> = {},
): Promise<Summary> {
  const names = new TraceNames();
  const out = new ByteWriter();
  const replay = new Replay(names, out, { ...DEFAULT_OPTIONS, ...options });
  let writing: Promise<void> = Promise.resolve();
  const flush = async () => {
    await writing;
    out.recycle();
    if (out.length === 0) return;
    writing = Promise.resolve(hooks.write(out.take()));
    // Whoever waits for it next is told; until then a failure is nobody's.
    writing.catch(() => {});
    // A live input may keep us waiting: that nobody reads the output any more must not wait with it.
    if (source.size === undefined) await writing;
  };
  try {
    const totals = await readTrace(source, replay, {
      names,
      maxLineBytes: options.maxLineBytes ?? DEFAULT_OPTIONS.maxLineBytes,
      onChunk: async (bytesRead) => {
        hooks.progress?.(bytesRead, replay.requests);
        // After every chunk, however small: a live input comes in small ones and is read as it happens.
        await flush();
      },
    });
    replay.finish(totals.lines);
    await flush();
    await writing;
    return replay.summary;
  } finally {
    // Whoever closes the output next must not find it still being written.
    await writing.catch(() => {});
    replay.memory.close();
  }
}
