import { ANY, BOTH_STAGES, DEVICE_TLB, type Invalidation, REGIME_ANY } from "../../walkers/invalidation.ts";
import { WalkRequest } from "../../walkers/request.ts";
import type { DeviceTlbs } from "./filling/device-tlbs.ts";
import type { NotedRequests } from "./filling/noted-requests.ts";
import type { PagingStructures } from "./filling/paging-structures.ts";
import type { Contexts, Spares } from "./held/contexts.ts";
import type { StageDebts } from "./held/stage-debts.ts";
import type { Translations } from "./held/translations.ts";
import type { CachedIommu } from "./history/cached-iommu.ts";
import type { PastWalks } from "./history/past-walks.ts";
import type { VersionedMemory } from "./history/versioned-memory.ts";
import { inTagsOf } from "./invalidations/neutral.ts";
import type { PendingInvalidations } from "./invalidations/pending.ts";
import type { IotlbResult, IotlbSimulation } from "./iotlb-simulation.ts";

/** Fields of a `stats` record that tell of the caches; those that are zero are left out. */
export interface CacheStatistics {
  /** Invalidations by the command's name, or "inv" with cache and granularity. */
  readonly invalidations?: Readonly<Record<string, number>>;
  /** Invalidations that covered nothing that a cache could hold. */
  readonly redundant_invalidations?: number;
  /** Cached pages that invalidations covered, as far as that is known without walking. */
  readonly covered_pages?: number;
  /** Of these, those at least that were still right: no entry behind them had changed. */
  readonly over_wide_pages?: number;
  /** Translations that a cache may hold in the end. */
  readonly cached_pages?: number;
  readonly iotlb?: readonly IotlbResult[];
}

/**
 * Invalidations that wait for their completion: more than any queue holds. Past it the first of them are taken to have
 * happened, and the replay says that it does not know.
 */
const MOST_PENDING = 1 << 14;

/** All caches of one IOMMU. */
interface Caches {
  readonly contexts: Contexts;
  readonly translations: Translations;
  readonly structures: PagingStructures;
  readonly deviceTlbs: DeviceTlbs;
  readonly secondStages: StageDebts;
  readonly firstStages: StageDebts | null;
  readonly iotlbs: readonly IotlbSimulation[];
}

/** Takes invalidations from their issue to their effect on all caches of an IOMMU, and counts them. */
export class TakenInvalidations {
  readonly #unit: CachedIommu;
  readonly #memory: VersionedMemory;
  readonly #past: PastWalks;
  readonly #pending: PendingInvalidations;
  readonly #noted: NotedRequests;
  readonly #contexts: Contexts;
  readonly #translations: Translations;
  readonly #structures: PagingStructures;
  readonly #deviceTlbs: DeviceTlbs;
  readonly #secondStages: StageDebts;
  readonly #firstStages: StageDebts | null;
  readonly #iotlbs: readonly IotlbSimulation[];
  /** Invalidations by name. */
  readonly #invalidations = new Map<string, number>();
  /** Tick of the latest invalidation that dropped a context. */
  #contextsDropped = 0;
  /** Invalidations that covered nothing. */
  #redundant = 0;
  /** When all that some caches hold was dropped last. */
  #emptied = { time: -1, caches: 0 };
  /** Invalidations that were taken to have happened although nothing said so. */
  presumed = 0;
  /** Takes all that comes here as well. */
  #follower: TakenInvalidations | null = null;
  /** A neutral invalidation has come: it says what has happened, whether the system completes any or not. */
  #settled = false;

  constructor(
    unit: CachedIommu,
    memory: VersionedMemory,
    past: PastWalks,
    pending: PendingInvalidations,
    noted: NotedRequests,
    caches: Caches,
  ) {
    this.#unit = unit;
    this.#memory = memory;
    this.#past = past;
    this.#pending = pending;
    this.#noted = noted;
    this.#contexts = caches.contexts;
    this.#translations = caches.translations;
    this.#structures = caches.structures;
    this.#deviceTlbs = caches.deviceTlbs;
    this.#secondStages = caches.secondStages;
    this.#firstStages = caches.firstStages;
    this.#iotlbs = caches.iotlbs;
  }

  /** Of other caches of the same IOMMU, from now on: whether the system waits for its invalidations is known of it. */
  set follower(follower: TakenInvalidations | null) {
    this.#follower = follower;
    if (follower === null) return;
    if (this.#pending.completions > 0) follower.complete();
    if (this.#settled) follower.decide();
  }

  /** Whether the recorded system waits for its invalidations is not known: it has completed none yet. */
  get undecided(): boolean {
    return this.#pending.completions === 0 && this.#pending.unconfirmed > 0 && !this.#settled;
  }

  /**
   * A native invalidation was issued. It takes effect at the next completion, or at once where there never is one.
   * @param inv copied: it may be reused
   */
  invalidate(inv: Invalidation, time: number): void {
    this.#follower?.invalidate(inv, time);
    this.#noted.lastEvent = time;
    const pending = this.#pending;
    const copy = inv.clone();
    const { behindStop } = pending;
    if (behindStop !== null && behindStop.list.length < MOST_PENDING)
      behindStop.list.push({ inv: copy, issued: time, line: this.#memory.line });
    if (pending.completions === 0) {
      pending.unconfirmed++;
      this.apply(copy, time);
    } else {
      pending.list.push({ inv: copy, issued: time, line: this.#memory.line });
      if (pending.list.length > MOST_PENDING) this.#overdue();
    }
  }

  /** Half of the pending invalidations, the first ones, take effect without a completion. */
  #overdue(): void {
    const first = this.#pending.takeFirst(MOST_PENDING / 2);
    for (const { inv, issued } of first) this.apply(inv, issued);
    this.presumed += first.length;
  }

  /**
   * An invalidation that a register asked for: whoever asks waits until it is done.
   * @param inv copied: it may be reused
   */
  invalidateAtOnce(inv: Invalidation, time: number): void {
    this.#follower?.invalidateAtOnce(inv, time);
    this.#noted.lastEvent = time;
    this.apply(inv.clone(), time);
  }

  /** An invalidation has happened, in whatever way. */
  invalidated(inv: Invalidation, time: number): void {
    this.#follower?.invalidated(inv, time);
    this.#settled = true;
    this.settle();
    if (this.#isEmpty || this.#isEmptied(inv)) {
      if (inv.caches !== DEVICE_TLB) this.#redundant++;
      this.#pending.effective.latestUnseen = time;
      return;
    }
    const parts = inTagsOf(this.#unit.vendor.caching.byAsid, inv.clone(), (of) =>
      this.#contexts.spacesOf(of),
    );
    let dropped = false;
    for (const part of parts) if (this.#drop(part, time)) dropped = true;
    if (!dropped && inv.caches !== DEVICE_TLB) this.#redundant++;
    if (isOfAll(inv)) this.#emptied = { time, caches: inv.caches };
  }

  /** All of its caches were dropped before, and no request has filled any since: of very many IOMMUs, most rest. */
  #isEmptied(inv: Invalidation): boolean {
    const { time, caches } = this.#emptied;
    return this.#noted.lastNoted <= time && (inv.caches & ~caches) === 0 && this.#iotlbs.length === 0;
  }

  /** Whether nothing has ever been entered: of a trace with very many IOMMUs, most are not used. */
  get #isEmpty(): boolean {
    return this.#contexts.isEmpty && this.#translations.tags.all.length === 0 && this.#iotlbs.length === 0;
  }

  /** It is known whether the system waits for its invalidations, or is taken to be. */
  decide(): void {
    this.#follower?.decide();
    this.#settled = true;
  }

  /** A completion: all invalidations before it have taken effect. */
  complete(): void {
    this.#follower?.complete();
    this.#pending.completions++;
    this.settle();
  }

  /** What has been issued takes effect. */
  settle(): void {
    this.#noted.lastEvent = this.#memory.time;
    for (const { inv, issued } of this.#pending.list) this.apply(inv, issued);
    this.#pending.clear();
  }

  /** One takes effect that was issued at a tick. */
  apply(inv: Invalidation, issued: number): void {
    if (!this.#drop(inv, issued) && inv.caches !== DEVICE_TLB) this.#redundant++;
  }

  /** @returns whether there was, or may have been, something of the IOMMU's own to drop */
  #drop(inv: Invalidation, issued: number): boolean {
    const { changes, lastStructural } = this.#memory;
    this.#pending.effective.add(inv, issued);
    const history = { changes, wideChange: Math.max(lastStructural, this.#contextsDropped) };
    if (this.#noted.nested) {
      this.#secondStages.note(inv, issued);
      this.#firstStages?.note(inv, issued);
    }
    const pages = this.#translations.invalidate(inv, issued, history);
    const tables = this.#structures.invalidate(inv, issued);
    const contexts = this.#contexts.invalidate(inv, issued, this.#spares);
    this.#deviceTlbs.invalidate(inv, issued);
    if (contexts > 0) this.#contextsDropped = this.#memory.time;
    for (const iotlb of this.#iotlbs) iotlb.invalidate(inv);
    return pages !== 0 || tables !== 0 || contexts > 0;
  }

  readonly #asked = new WalkRequest();

  readonly #spares: Spares = ({ id, key }, pasid, { filled }, ofPasid) => {
    const request = this.#asked;
    request.device = id;
    request.binding = key === id ? null : (key as WalkRequest["binding"]);
    request.pasid = pasid;
    return this.#past.changedAbove(request, filled, ofPasid);
  };

  /** Counts an invalidation for the statistics, whether it takes effect or not. */
  count(name: string): void {
    this.#invalidations.set(name, (this.#invalidations.get(name) ?? 0) + 1);
  }

  statistics(): CacheStatistics {
    const byName = [...this.#invalidations].sort(([a], [b]) => (a < b ? -1 : 1));
    const { coveredPages, overWidePages } = this.#translations;
    const cached = this.#translations.countValid();
    return {
      ...(byName.length === 0 ? {} : { invalidations: Object.fromEntries(byName) }),
      ...(this.#redundant === 0 ? {} : { redundant_invalidations: this.#redundant }),
      ...(coveredPages === 0 ? {} : { covered_pages: coveredPages }),
      ...(overWidePages === 0 ? {} : { over_wide_pages: overWidePages }),
      ...(cached === 0 ? {} : { cached_pages: cached }),
      ...(this.#iotlbs.length === 0 ? {} : { iotlb: this.#iotlbs.map((iotlb) => iotlb.result()) }),
    };
  }
}

/** Whether an invalidation covers all that its caches hold, whoever it is of. */
function isOfAll({
  anyDevice,
  domain,
  asid,
  pasid,
  hasAddress,
  stage,
  regime,
  leafOnly,
}: Invalidation): boolean {
  const ofAnybody = anyDevice && domain === ANY && asid === ANY && pasid === ANY;
  return ofAnybody && !hasAddress && stage === BOTH_STAGES && regime === REGIME_ANY && !leafOnly;
}
