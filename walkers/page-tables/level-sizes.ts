/** The sizes that table entries above the last level map, the smallest first: those of the stage that input addresses enter. */
export class LevelSizes {
  /** 1 or 2. */
  stage = 0;
  /** How many there are. */
  count = 0;
  #smallest = 0;
  #step = 0;
  /** Number of the level of the smallest, and whether numbers grow towards the root (Arm's do not). */
  #level = 0;
  #up = 1;

  /**
   * @param pageShift log2 of the smallest page
   * @param step address bits that one level resolves
   * @param levels all, the last one included; 0 where the stage does not translate
   * @param level number of the one above the last
   * @param up 1 where numbers grow towards the root, -1 where they fall
   */
  set(stage: number, pageShift: number, step: number, levels: number, level = 2, up = 1): this {
    this.stage = stage;
    this.count = Math.max(levels - 1, 0);
    this.#smallest = pageShift + step;
    this.#step = step;
    this.#level = level;
    this.#up = up;
    return this;
  }

  /** log2 of what an entry of a step maps. */
  shift(step: number): number {
    return this.#smallest + step * this.#step;
  }

  /** The level's number, as the specification counts. */
  level(step: number): number {
    return this.#level + step * this.#up;
  }

  /** The first step that maps more than a leaf of this size; `count` where there is none. */
  firstAbove(leafShift: number): number {
    let step = 0;
    while (step < this.count && this.shift(step) <= leafShift) step++;
    return step;
  }
}
