/** Thrown to a producer whose consumer wants nothing more. */
class Abandoned extends Error {}

/**
 * Hands values from a producer that pushes to a consumer that pulls, one at a time: `put` settles when the
 * consumer comes back for the next one.
 */
export class Handoff<T> {
  #waiting:
    | { readonly value: T; readonly taken: () => void; readonly refused: (e: Error) => void }
    | undefined;
  #wanted: (() => void) | undefined;
  #ended = false;
  #error: unknown;
  #abandoned = false;

  /** @throws Abandoned where the consumer has gone */
  put(value: T): Promise<void> {
    if (this.#abandoned) return Promise.reject(new Abandoned());
    return new Promise((taken, refused) => {
      this.#waiting = { value, taken, refused };
      this.#wanted?.();
    });
  }

  /** Nothing more comes: because of `error`, where one is given. */
  end(error?: unknown): void {
    this.#ended = true;
    this.#error = error;
    this.#wanted?.();
  }

  /** The consumer wants nothing more. */
  abandon(): void {
    this.#abandoned = true;
    this.#waiting?.refused(new Abandoned());
  }

  /** Everything that is put, to the end. */
  async *values(): AsyncGenerator<T, void, undefined> {
    for (;;) {
      if (this.#waiting === undefined && !this.#ended)
        await new Promise<void>((resolve) => {
          this.#wanted = resolve;
        });
      const waiting = this.#waiting;
      if (waiting === undefined) {
        if (this.#error !== undefined) throw this.#error;
        return;
      }
      yield waiting.value;
      this.#waiting = undefined;
      waiting.taken();
    }
  }
}
