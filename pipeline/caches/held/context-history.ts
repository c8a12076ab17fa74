import type { ContextTag } from "../../../walkers/caching.ts";
import type { Invalidation } from "../../../walkers/invalidation.ts";
import { FAULT, WalkResult } from "../../../walkers/result.ts";
import { sameValues } from "./context-kinds.ts";

/** A context as it was decoded at some time, and for how long a cache may have held it. */
export interface ContextVersion {
  /** As the walker decoded it, or a CachedFailure. */
  readonly context: object;
  readonly tag: ContextTag;
  /** An entry of its own stands behind it; otherwise another context says it all. */
  readonly own: boolean;
  /** Last tick at which memory gave this context to a walk: a cache may hold it from then on. */
  filled: number;
  /** Tick of the latest invalidation that covered it and has completed; 0: none. It is valid while filled later. */
  invalidated: number;
  /** The stale device context that last led to this PASID entry; null: memory has always done. */
  through: ContextVersion | null;
  /** Another one that is known to say the same. */
  twin: ContextVersion | null;
}

/** An entry that refuses every request the same way, where the architecture lets a cache hold such an entry. */
export class CachedFailure {
  readonly result = new WalkResult();

  constructor(result: WalkResult) {
    this.result.copyFrom(result);
    this.result.reads = 0;
  }
}

/** Whether a refusal comes from an entry that was read: one that could not be is not remembered (IHI 0070, 3.21.3). */
export function comesFromEntry(walk: WalkResult): boolean {
  return walk.status === FAULT && walk.entryFrame >= 0 && walk.entryKnown && walk.stage === 0;
}

export function isValid(version: { readonly filled: number; readonly invalidated: number }): boolean {
  return version.filled > version.invalidated;
}

/** Whether two say the same; as versions do not change, that is looked at once. */
export function areAlike(a: ContextVersion, b: ContextVersion): boolean {
  if (a.twin === b) return true;
  if (!sameValues(a.context, b.context)) return false;
  a.twin = b;
  return true;
}

/** Versions of one context that are kept: the valid ones, and the latest that are not. */
const MAX_INVALIDATED = 4;
const MAX_VALID = 16;

/** All that a cache may hold of one device's context, or of one PASID's entry. */
export class ContextHistory {
  readonly versions: ContextVersion[] = [];
  /** The one that was used last. */
  used!: ContextVersion;

  /**
   * Notes that a walk at `time` went through this context; `used` is its version: equal contexts are one.
   * @returns whether there was no such version that was valid
   */
  use(context: object, tag: ContextTag, own: boolean, time: number): boolean {
    for (const version of this.versions) {
      if (version.own === own && sameValues(version.context, context) && sameValues(version.tag, tag)) {
        const revived = !isValid(version);
        version.filled = time;
        this.used = version;
        return revived;
      }
    }
    this.used = { context, tag, own, filled: time, invalidated: 0, through: null, twin: null };
    this.versions.push(this.used);
    return true;
  }

  /**
   * An invalidation that was issued at `time` takes effect.
   * @param spares whether it leaves a version that it covers: a table above the entry still leads there
   */
  invalidate(
    inv: Invalidation,
    time: number,
    covers: (inv: Invalidation, tag: ContextTag) => boolean,
    spares: ((version: ContextVersion) => boolean) | null = null,
  ): number {
    let dropped = 0;
    for (const version of this.versions) {
      if (version.filled > time || !covers(inv, version.tag)) continue;
      if (spares !== null && isValid(version) && spares(version)) continue;
      if (isValid(version)) dropped++;
      version.invalidated = Math.max(version.invalidated, time);
    }
    return dropped;
  }

  /** Bounds what is kept; returns how many valid versions went. */
  trim(): number {
    const { versions } = this;
    if (versions.length <= MAX_INVALIDATED) return 0;
    let invalidated = versions.filter((version) => !isValid(version)).length;
    for (; invalidated > MAX_INVALIDATED; invalidated--)
      versions.splice(
        versions.findIndex((version) => !isValid(version)),
        1,
      );
    let lost = 0;
    for (; versions.length - invalidated > MAX_VALID; lost++) versions.splice(versions.findIndex(isValid), 1);
    return lost;
  }
}
