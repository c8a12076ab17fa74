/** A context as it was decoded at some time, and for how long a cache may have held it. */
export interface ContextVersion {
  readonly context: object;
  /** Last tick at which memory gave this context to a walk: a cache may hold it from then on. */
  filled: number;
  /** Tick of the latest invalidation that covered it and has completed; 0: none. It is live while filled later. */
  invalidated: number;
}

export function isLive(version: { readonly filled: number; readonly invalidated: number }): boolean {
  return version.filled > version.invalidated;
}

/** Versions of one context that are kept: the live ones, and the latest that are not. */
const MAX_DEAD = 4;

/** All that a cache may hold of one device's context, or of one PASID's entry. */
export class ContextHistory {
  readonly versions: ContextVersion[] = [];

  /** Notes that a walk at `time` went through this context. Equal contexts are one version. */
  use(context: object, time: number): ContextVersion {
    for (const version of this.versions) {
      if (sameValues(version.context, context)) {
        version.filled = time;
        return version;
      }
    }
    const version = { context, filled: time, invalidated: 0 };
    this.versions.push(version);
    this.#trim();
    return version;
  }

  /** An invalidation that was issued at `time` covers the versions that `covers` says. */
  invalidate(time: number, covers: (version: ContextVersion) => boolean): number {
    let dropped = 0;
    for (const version of this.versions) {
      if (version.filled > time || !covers(version)) continue;
      if (isLive(version)) dropped++;
      version.invalidated = Math.max(version.invalidated, time);
    }
    return dropped;
  }

  #trim(): void {
    let dead = this.versions.filter((version) => !isLive(version)).length;
    while (dead > MAX_DEAD) {
      this.versions.splice(
        this.versions.findIndex((version) => !isLive(version)),
        1,
      );
      dead--;
    }
  }
}

/** Whether two decoded contexts of one class say the same: they hold numbers, flags and objects of such. */
export function sameValues(a: object, b: object): boolean {
  if (a === b) return true;
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  for (const key of Object.keys(left)) {
    const x = left[key];
    const y = right[key];
    if (typeof x === "object" && x !== null) {
      if (typeof y !== "object" || y === null || !sameValues(x, y)) return false;
    } else if (!Object.is(x, y)) return false;
  }
  return true;
}
