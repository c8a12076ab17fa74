import type { Layout } from "./layout.ts";
import type { TableReader, WalkObserver } from "./table-reader.ts";

/** Frames that are kept of one context: those of a two-stage walk for each of its structures. */
const MAX_FRAMES = 32;

/** Takes down from which frames a walker reads. Whoever observes it beside hears of everything as before. */
export class FrameTrail implements WalkObserver {
  #frames: number[] = [];
  #other: WalkObserver | null = null;

  begin(tables: TableReader): void {
    this.#frames = [];
    this.#other = tables.observer;
    tables.observer = this;
  }

  /** @returns the frames; null where there were too many */
  end(tables: TableReader): readonly number[] | null {
    tables.observer = this.#other;
    return this.#frames.length > MAX_FRAMES ? null : this.#frames;
  }

  entry(
    layout: Layout,
    frame: number,
    offset: number,
    view: DataView | null,
    at: number,
    stage: number,
    level: number,
    littleEndian: boolean,
  ): void {
    if (this.#frames.length <= MAX_FRAMES && !this.#frames.includes(frame)) this.#frames.push(frame);
    if (this.#other !== null) this.#other.entry(layout, frame, offset, view, at, stage, level, littleEndian);
  }
}
