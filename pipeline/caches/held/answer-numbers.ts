import { frameOf } from "../../../walkers/memory.ts";
import { NO_PASID, UNTRANSLATED, type WalkRequest } from "../../../walkers/request.ts";
import { OK, type WalkResult } from "../../../walkers/result.ts";

/** Pages are moved by less than this in either direction: beyond, there is no number. */
const MOST = 2 ** 46;
/** Rights in the lowest bits, and above them kinds of request that may have different ones. */
const RIGHTS = 8;
const PRIVILEGED = 8;
const WITH_PASID = 16;
const KINDS = 32;

/** Stands for no number. */
const NO_ANSWER = Number.NaN;

/**
 * What a page's translation says, as a number: by how much it moves what is in the page, and with which rights, to requests
 * of a kind.
 * @returns NO_ANSWER where it says more, as that of two stages does
 */
export function answerNumber({ addrHi, addrLo, priv, pasid, at }: WalkRequest, walk: WalkResult): number {
  if (at !== UNTRANSLATED) return NO_ANSWER;
  if (walk.status !== OK || walk.ipaFrame >= 0 || walk.firstShift !== 0 || walk.repeated) return NO_ANSWER;
  const moved = walk.frame - frameOf(addrHi, addrLo);
  if (moved >= MOST || moved <= -MOST || walk.perm >= RIGHTS) return NO_ANSWER;
  const kind = walk.perm | (priv ? PRIVILEGED : 0) | (pasid === NO_PASID ? 0 : WITH_PASID);
  return (moved + MOST) * KINDS + kind;
}

/** Whether two are numbers, and of the same kind of request: then they are equal where the translations are. */
export function areComparable(a: number, b: number): boolean {
  return Math.floor((a % KINDS) / RIGHTS) === Math.floor((b % KINDS) / RIGHTS);
}

/** Whether what an answer grants includes an access, and it leads to where another one does. */
export function grantsTheSame(answer: number, other: number, access: number): boolean {
  return Math.floor(answer / KINDS) === Math.floor(other / KINDS) && ((answer % RIGHTS) & access) === access;
}
