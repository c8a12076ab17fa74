/** Requests of which a log has shown a part: as many as may be under way at once, whatever thread they are of. */
export class Pending<T> {
  readonly #items: T[] = [];

  add(item: T): void {
    if (this.#items.length === MOST) this.#items.shift();
    this.#items.push(item);
  }

  /** Takes out the latest that fits; undefined where none does. */
  take(fits: (item: T) => boolean): T | undefined {
    for (let i = this.#items.length - 1; i >= 0; i--)
      if (fits(this.#items[i]!)) return this.#items.splice(i, 1)[0];
    return undefined;
  }
}

/** More than there are threads that do DMA at the same time. */
const MOST = 64;
