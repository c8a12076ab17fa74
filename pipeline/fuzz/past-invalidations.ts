/** Which invalidation an answer is stale after, and how it meets what is cached: as a driver would say it, or otherwise. */
import { GLOBAL_SPACE, SECOND, type TranslationTag } from "../../walkers/caching.ts";
import { type Invalidation, SECOND_STAGE } from "../../walkers/invalidation.ts";
import { frameOf } from "../../walkers/memory.ts";
import { coversTags, pagesOf } from "../caches/invalidations/coverage.ts";

/** Where a translation is looked up: its tags, and its input address in two halves. */
export interface LookUp {
  readonly tag: TranslationTag;
  readonly addrHi: number;
  readonly addrLo: number;
}

interface Past {
  readonly name: string;
  readonly invalidation: Invalidation;
}

/** An answer is stale after one of the last few: others have come since. */
const MOST_KEPT = 32;
/** Frames of the largest page that is common: 1 GiB. */
const LARGE_PAGE = 2 ** 18;
/** The top byte of an address is that of its bit 55 where it says nothing, in its high half. */
const SIGN_SHIFT = 8;

export class PastInvalidations {
  readonly #kept: Past[] = [];

  add(name: string, invalidation: Invalidation): void {
    this.#kept.push({ name, invalidation: invalidation.clone() });
    if (this.#kept.length > MOST_KEPT) this.#kept.shift();
  }

  /**
   * The last that covers a translation, else the last.
   * @param lookUp null: it is not known how it is tagged
   * @returns "CMD_TLBI_NH_VA", and in `how` what is not as usual about it: "global" where it names another address space,
   *   "tagged address" where the top byte of the request's address is to be ignored, "another address" where it names one
   *   that only another part of a page can have; "" for both where there was none
   */
  after(lookUp: LookUp | null): { readonly name: string; readonly how: string } {
    const last = this.#kept.at(-1)?.name ?? "";
    if (lookUp === null) return { name: last, how: "" };
    const { tag, addrHi, addrLo } = lookUp;
    const top = tag.withoutTopByte ? (addrHi << SIGN_SHIFT) >> SIGN_SHIFT : addrHi;
    const global = { ...tag, space: GLOBAL_SPACE };
    const covering = this.#kept.filter(
      ({ invalidation }) => coversTags(invalidation, tag) || coversTags(invalidation, global),
    );
    const frame = frameOf(top, addrLo);
    const found = covering.findLast(
      ({ invalidation }) => names(invalidation, frame, tag) || isNear(invalidation, frame),
    );
    if (found === undefined) return { name: last, how: "" };
    if (!names(found.invalidation, frame, tag)) return { name: found.name, how: "another address" };
    if (!coversTags(found.invalidation, tag)) return { name: found.name, how: "global" };
    const tagged = found.invalidation.hasAddress && isTagged(lookUp);
    return { name: found.name, how: tagged ? "tagged address" : "" };
  }
}

/** Whether an address has a top byte that says nothing, or that would were it let pass. */
export function isTagged({ tag, addrHi }: LookUp): boolean {
  return tag.withoutTopByte && (addrHi << SIGN_SHIFT) >> SIGN_SHIFT !== addrHi;
}

/** Whether a page is among those that an invalidation names, as far as it names input addresses. */
function names(invalidation: Invalidation, frame: number, { stages }: TranslationTag): boolean {
  const intermediate = invalidation.stage === SECOND_STAGE && stages !== SECOND;
  if (!invalidation.hasAddress || intermediate) return true;
  const { first, last } = pagesOf(invalidation);
  return frame >= first && frame <= last;
}

/** Whether a page that it names may be of a larger one with the frame. */
function isNear(invalidation: Invalidation, frame: number): boolean {
  const { first } = pagesOf(invalidation);
  return Math.floor(first / LARGE_PAGE) === Math.floor(frame / LARGE_PAGE);
}
