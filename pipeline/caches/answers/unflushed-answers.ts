import type { WalkRequest } from "../../../walkers/request.ts";
import type { WalkResult } from "../../../walkers/result.ts";
import type { CachedIommu } from "../history/cached-iommu.ts";
import type { UnflushedWrite } from "../history/line-store.ts";
import type { PastWalks } from "../history/past-walks.ts";
import { lineAt, type UnflushedWrites } from "../history/unflushed-writes.ts";
import type { VersionedMemory } from "../history/versioned-memory.ts";

/** Walks that one question may take: each takes some lines for what they were. */
const MAX_WALKS = 256;

type Lines = ReadonlyMap<number, Uint8Array>;

/** Looks for an answer in what memory was before writes that an IOMMU may not see yet. */
export class UnflushedAnswers {
  readonly #unit: CachedIommu;
  readonly #memory: VersionedMemory;
  readonly #past: PastWalks;
  readonly #writes: UnflushedWrites;

  constructor(unit: CachedIommu, memory: VersionedMemory, past: PastWalks, writes: UnflushedWrites) {
    this.#unit = unit;
    this.#memory = memory;
    this.#past = past;
    this.#writes = writes;
  }

  /** The trace records flushes. */
  get recorded(): boolean {
    return this.#writes.recordedLine > 0;
  }

  /**
   * Looks for entries on the way of a walk that, as they were, give an answer.
   * @param owed of the writes those alone that are known not to have been flushed
   * @param effort walks that it takes are taken off
   * @returns the write that was not seen, the latest where several may be it; null where nothing gives the answer
   */
  find(
    request: WalkRequest,
    accept: (walk: WalkResult) => boolean,
    owed: boolean,
    effort: { left: number },
  ): UnflushedWrite | null {
    const since = owed ? this.#writes.recordedLine : 0;
    const { vendor, state } = this.#unit;
    const coherence = vendor.coherence(state);
    if (!this.#writes.any || coherence.because === "") return null;
    // Breadth first: as few lines as can be.
    const queue: Lines[] = [new Map()];
    let walks = 0;
    for (let lines = queue.shift(); lines !== undefined && walks < MAX_WALKS; lines = queue.shift()) {
      let latest: UnflushedWrite | null = null;
      for (const at of this.#linesOf(request, lines, coherence.contexts, coherence.pageTables)) {
        for (const write of this.#writes.of(at)) {
          if (write.line <= since) continue;
          const tried = new Map(lines).set(at, write.before);
          walks++;
          effort.left--;
          const gives = this.#memory.readWith(tried, () => accept(this.#past.walkAll(request)));
          if (gives && write.line > (latest?.line ?? 0)) latest = write;
          queue.push(tried);
        }
      }
      if (latest !== null) return latest;
    }
    return null;
  }

  /** Lines on the way of a walk that were written to and that it need not have seen, but for those taken already. */
  #linesOf(request: WalkRequest, lines: Lines, contexts: boolean, pageTables: boolean): ReadonlySet<number> {
    const { tables } = this.#unit.walker;
    const found = new Set<number>();
    tables.observer = {
      entry: (layout, frame, offset, _view, _at, stage) => {
        if (stage === 0 ? contexts : pageTables) return;
        const last = lineAt(frame, offset + layout.bytes - 1);
        for (let at = lineAt(frame, offset); at <= last; at++)
          if (!lines.has(at) && this.#writes.of(at).length > 0) found.add(at);
      },
    };
    this.#memory.readWith(lines, () => this.#past.walkAll(request));
    tables.observer = null;
    return found;
  }
}
