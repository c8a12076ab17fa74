import type { TraceMemory as RecordedMemory } from "../../../parsers/memory/guest-memory.ts";
import type { GuestMemory } from "../../../walkers/memory.ts";

/** Guest memory for a look that leaves no trace in it: neither `generation` nor what is watched depends on it. */
export class PeekedMemory implements GuestMemory {
  readonly #memory: RecordedMemory;

  constructor(memory: RecordedMemory) {
    this.#memory = memory;
  }

  get view(): DataView {
    return this.#memory.view;
  }

  get at(): number {
    return this.#memory.at;
  }

  get generation(): number {
    return this.#memory.generation;
  }

  fetch(frame: number, offset: number, bytes: number): boolean {
    return this.#memory.peek(frame, offset, bytes);
  }
}
