/**
 * Bounds what long requests take: a line of a trace may be a request of 4 GiB, of which each page of 4 KiB is a walk. What a
 * request takes beyond its share is taken from what all have in common.
 */
export class RequestEffort {
  readonly #what: string;
  readonly #share: number;
  #more: number;
  /** What the request at hand may still take. */
  left = 0;

  /**
   * @param what is counted, in words
   * @param share of each request
   * @param more beside, of all
   */
  constructor(what: string, share: number, more: number) {
    this.#what = what;
    this.#share = share;
    this.#more = more;
  }

  begin(): void {
    this.left = this.#more + this.#share;
  }

  end(): void {
    this.#more = Math.min(this.#more, Math.max(this.left, 0));
  }

  get isUsedUp(): boolean {
    return this.left <= 0;
  }

  /** Why nothing, or not all, is said of the request at hand. */
  get sentence(): string {
    return `dma.len: expected requests of fewer pages, found another long one: ${this.#what}, and no more than ${this.#share} of each request beside`;
  }
}
