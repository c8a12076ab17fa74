import type { Caching } from "../../../walkers/caching.ts";
import type { DeviceCaches } from "./cached-devices.ts";
import { CachedFailure, type ContextVersion } from "./context-history.ts";

/** Devices of one span whose contexts are asked for those of the others: the latest, as they are to be alike. */
const MAX_NEIGHBOURS = 16;

const NONE: readonly ContextVersion[] = [];

/** Devices whose contexts may stand for those of others, since their entries say so (SMMUv3's STE.CONT). */
export class DeviceSpans {
  readonly #caching: Caching;
  /** By log2 of how many devices, and by what their ids have in common. */
  readonly #spans = new Map<number, Map<number, Set<DeviceCaches>>>();

  constructor(caching: Caching) {
    this.#caching = caching;
  }

  /** A device's context was used. */
  enter(caches: DeviceCaches, context: object): void {
    const span = this.#spanOf(context);
    if (span > 0 && caches.key === caches.id) enterLast(this.#members(caches.id, span), caches);
  }

  leave(caches: DeviceCaches): void {
    for (const span of this.#spans.keys()) this.#members(caches.id, span).delete(caches);
  }

  /** Contexts of other devices that may stand for that of a device. */
  neighbours(caches: DeviceCaches): readonly ContextVersion[] {
    if (this.#spans.size === 0 || caches.key !== caches.id) return NONE;
    const found: ContextVersion[] = [];
    for (const span of this.#spans.keys())
      for (const other of this.#members(caches.id, span))
        if (other !== caches)
          for (const version of other.contexts.versions)
            if (this.#spanOf(version.context) === span) found.push(version);
    return found;
  }

  #spanOf(context: object): number {
    return context instanceof CachedFailure ? 0 : (this.#caching.deviceSpan?.(context) ?? 0);
  }

  #members(device: number, span: number): Set<DeviceCaches> {
    let groups = this.#spans.get(span);
    if (groups === undefined) {
      groups = new Map();
      this.#spans.set(span, groups);
    }
    const group = Math.floor(device / 2 ** span);
    let members = groups.get(group);
    if (members === undefined) {
      members = new Set();
      groups.set(group, members);
    }
    return members;
  }
}

/** Adds a device, or moves it to the end, and drops the first of too many. */
function enterLast(members: Set<DeviceCaches>, caches: DeviceCaches): void {
  members.delete(caches);
  members.add(caches);
  if (members.size <= MAX_NEIGHBOURS) return;
  const [first] = members;
  members.delete(first!);
}
