import { entryBytes, entryShift, type LevelGeometry, RADIX512 } from "./geometry.ts";

/** The sizes that table entries above the last level map, the smallest first: those of the stage that input addresses enter. */
export class LevelSizes {
  /** 1 or 2. */
  stage = 0;
  /** How many there are. */
  count = 0;
  #geometry: LevelGeometry = RADIX512;

  /** @param levels all, the last one included; 0 where the stage does not translate */
  set(stage: number, geometry: LevelGeometry, levels: number): this {
    this.stage = stage;
    this.count = Math.max(levels - 1, 0);
    this.#geometry = geometry;
    return this;
  }

  /** log2 of what an entry of a step maps. */
  shift(step: number): number {
    return entryShift(this.#geometry, this.level(step));
  }

  /** log2 of what an entry of the level below a step maps. */
  shiftBelow(step: number): number {
    return entryShift(this.#geometry, this.#geometry.last + this.#geometry.up * step);
  }

  get entryBytes(): number {
    return entryBytes(this.#geometry);
  }

  /** The level's number, as the specification counts. */
  level(step: number): number {
    return this.#geometry.last + this.#geometry.up * (step + 1);
  }

  /** The first step that maps more than a leaf of this size; `count` where there is none. */
  firstAbove(leafShift: number): number {
    let step = 0;
    while (step < this.count && this.shift(step) <= leafShift) step++;
    return step;
  }
}
