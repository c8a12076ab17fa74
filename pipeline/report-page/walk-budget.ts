import type { TakenWalk } from "../report/taken-walks.ts";
import { EMPTY, type Html } from "./html.ts";
import { type OldWord, walkHtml } from "./walk-html.ts";

/** Walks are what a report is largest by: so many bytes of them are shown, each walk once or not at all. */
export class WalkBudget {
  #left: number;
  readonly #characters: number;

  constructor(bytes: number, characters: number) {
    this.#left = bytes;
    this.#characters = characters;
  }

  /** The walk, or nothing where there is none or no room for it. */
  show(walk: TakenWalk | undefined, old?: OldWord): Html {
    if (walk === undefined || this.#left <= 0) return EMPTY;
    const shown = walkHtml(walk, old, this.#characters);
    if (shown.text.length > this.#left) return EMPTY;
    this.#left -= shown.text.length;
    return shown;
  }
}
