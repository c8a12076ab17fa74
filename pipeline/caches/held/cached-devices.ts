import type { Invalidation } from "../../../walkers/invalidation.ts";
import type { WalkRequest } from "../../../walkers/request.ts";
import { ContextHistory } from "./context-history.ts";
import type { MemoryBudget } from "./memory-budget.ts";
import type { TranslationContext } from "./translation-context.ts";

/** What one device costs beside its PASIDs: an estimate from the objects that are kept of it. */
const DEVICE_BYTES = 640;

/** Past this mask, an invalidation of several devices is taken for one of any. */
const MOST_NAMED = 256;

/** All that a cache may hold of one PASID of a device. */
export interface PasidCaches {
  /** The request's. */
  readonly pasid: number;
  readonly history: ContextHistory;
  readonly pairs: TranslationContext[];
}

/** All that a cache may hold of one device. */
export interface DeviceCaches {
  readonly id: number;
  /** What they are found by: the id, or a binding. */
  readonly key: unknown;
  readonly contexts: ContextHistory;
  /** By the request's PASID. */
  readonly processes: Map<number, PasidCaches>;
}

/** The devices that the caches of one IOMMU may hold something of. */
export class CachedDevices {
  /** By device id, or by binding: a bound device's context comes from nowhere else. */
  readonly #byKey = new Map<unknown, DeviceCaches>();
  /** What was asked for last. */
  #last: DeviceCaches | null = null;
  /** Those of bindings, by device id. */
  readonly #bound = new Map<number, DeviceCaches[]>();
  readonly #budget: MemoryBudget;

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
  }

  get size(): number {
    return this.#byKey.size;
  }

  all(): Iterable<DeviceCaches> {
    return this.#byKey.values();
  }

  /** The device of a request, or its binding; null: nothing was held of it so far. */
  find(request: WalkRequest): DeviceCaches | null {
    const key = request.binding ?? request.device;
    if (this.#last !== null && this.#last.key === key) return this.#last;
    const caches = this.#byKey.get(key);
    if (caches === undefined) return null;
    this.#last = caches;
    return caches;
  }

  /** That of a request which has none yet. */
  enter({ binding, device }: WalkRequest): DeviceCaches {
    const key = binding ?? device;
    const caches = { id: device, key, contexts: new ContextHistory(), processes: new Map() };
    this.#byKey.set(key, caches);
    if (binding !== null) this.#bound.set(device, [...this.#boundTo(device), caches]);
    this.#budget.take(DEVICE_BYTES);
    this.#last = caches;
    return caches;
  }

  leave(caches: DeviceCaches): void {
    this.#byKey.delete(caches.key);
    if (this.#last === caches) this.#last = null;
    this.#budget.give(DEVICE_BYTES);
    if (caches.key === caches.id) return;
    const others = this.#boundTo(caches.id).filter((other) => other !== caches);
    if (others.length > 0) this.#bound.set(caches.id, others);
    else this.#bound.delete(caches.id);
  }

  /** Those of one device: its own, and its bindings'. */
  named(device: number): DeviceCaches[] {
    const own = this.#byKey.get(device);
    return own === undefined ? this.#boundTo(device) : [own, ...this.#boundTo(device)];
  }

  /** The devices that an invalidation names, where they are one or a few; null: any, or many. */
  fewNamed({ anyDevice, device, deviceMask }: Invalidation): DeviceCaches[] | null {
    if (anyDevice) return null;
    if (deviceMask === 0) return this.named(device);
    if (deviceMask < 0 || deviceMask >= MOST_NAMED) return null;
    const named: DeviceCaches[] = [];
    for (let part = deviceMask; ; part = (part - 1) & deviceMask) {
      named.push(...this.named(((device & ~deviceMask) | part) >>> 0));
      if (part === 0) return named;
    }
  }

  /** Those that an invalidation may cover: very many may be cached, and very many invalidated one by one. */
  coveredBy(inv: Invalidation): Iterable<DeviceCaches> {
    return inv.anyDevice || inv.deviceMask !== 0 ? this.#byKey.values() : this.named(inv.device);
  }

  #boundTo(device: number): DeviceCaches[] {
    return this.#bound.get(device) ?? [];
  }
}
