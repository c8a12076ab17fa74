import type { Tag } from "../../../walkers/tables/tree.ts";

/** Tagged entries that are remembered; past it further ones are not compared. */
const MAX_TAGGED = 1 << 17;

/** Who uses a target under a tag. */
interface Use {
  count: number;
  /** The entry that used it first. */
  readonly by: string;
  readonly points: string;
}

/** Which tags translations are cached under, and what each stands for. */
export class TagIndex {
  readonly #uses = new Map<string, Map<string, Use>>();
  #tagged = 0;

  /**
   * An entry has a tag from now on.
   * @param by the entry, for messages
   * @returns another target under the same tag, and who has it; null: there is none
   */
  add(tag: Tag, by: string): { readonly by: string; readonly points: string } | null {
    let targets = this.#uses.get(tag.key);
    if (targets === undefined) {
      if (this.#tagged >= MAX_TAGGED) return null;
      targets = new Map();
      this.#uses.set(tag.key, targets);
    }
    this.#tagged++;
    const known = targets.get(tag.target);
    if (known !== undefined) known.count++;
    else targets.set(tag.target, { count: 1, by, points: tag.points });
    for (const [target, use] of targets) if (target !== tag.target) return use;
    return null;
  }

  /** An entry that `add` was called for does not have the tag any more. */
  remove(tag: Tag): void {
    const targets = this.#uses.get(tag.key);
    const use = targets?.get(tag.target);
    if (targets === undefined || use === undefined) return;
    this.#tagged--;
    if (--use.count > 0) return;
    targets.delete(tag.target);
    if (targets.size === 0) this.#uses.delete(tag.key);
  }

  clear(): void {
    this.#uses.clear();
    this.#tagged = 0;
  }
}
