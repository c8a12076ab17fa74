import type { CachedFailures } from "../../walkers/caching.ts";
import { DEVICE_TLB, FIRST_STAGE, Invalidation, SECOND_STAGE } from "../../walkers/invalidation.ts";
import { FRAME_SHIFT } from "../../walkers/memory.ts";
import { IommuState } from "../../walkers/registers.ts";
import { TRANSLATED, WalkRequest } from "../../walkers/request.ts";
import { OK, type WalkResult } from "../../walkers/result.ts";
import { Explanation, INVALIDATED, type Scope, UNEXPLAINED, VALID } from "./answers/explanation.ts";
import { UnflushedAnswers } from "./answers/unflushed-answers.ts";
import { DeviceTlbs, type DeviceUse } from "./filling/device-tlbs.ts";
import type { LeafTables } from "./filling/leaf-tables.ts";
import { LiveChanges } from "./filling/live-changes.ts";
import { PagingStructures } from "./filling/paging-structures.ts";
import { StaleContexts } from "./filling/stale-contexts.ts";
import { UsedTranslations } from "./filling/used-translations.ts";
import { areAlike, type ContextVersion, comesFromEntry, isValid } from "./held/context-history.ts";
import { sameValues } from "./held/context-kinds.ts";
import { contextTag } from "./held/context-tags.ts";
import { Contexts, type DeviceCaches, type Spares, type TranslationContext } from "./held/contexts.ts";
import { lastUse, leftPairs } from "./held/left-behind.ts";
import type { CacheBudgets } from "./held/memory-budget.ts";
import { StageDebts } from "./held/stage-debts.ts";
import type { TagSet } from "./held/tag-sets.ts";
import { Translations } from "./held/translations.ts";
import type { CachedIommu } from "./history/cached-iommu.ts";
import type { UnflushedWrite } from "./history/line-store.ts";
import { PastWalks, type Structure } from "./history/past-walks.ts";
import { RootChanges } from "./history/root-changes.ts";
import type { StaleSource } from "./history/stale-source.ts";
import type { UnflushedWrites } from "./history/unflushed-writes.ts";
import type { VersionedMemory } from "./history/versioned-memory.ts";
import { inTagsOf } from "./invalidations/neutral.ts";
import { PendingInvalidations } from "./invalidations/pending.ts";
import { type IotlbGeometry, type IotlbResult, IotlbSimulation } from "./iotlb-simulation.ts";

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

/** As many tags are always kept. */
const FEW_TAGS = 1024;
/**
 * Invalidations that wait for their completion: more than any queue holds. Past it the first of them are taken to have
 * happened, and the replay says that it does not know.
 */
const MOST_PENDING = 1 << 14;

/**
 * What the caches of one IOMMU may hold. It lets every walk enter, keeps what memory no longer says, and answers
 * which of it could explain what the recorded system did.
 */
export class UnitCaches {
  readonly translations: Translations;
  readonly contexts: Contexts;
  readonly live: LiveChanges;
  readonly #unit: CachedIommu;
  readonly #budgets: CacheBudgets;
  readonly #memory: VersionedMemory;
  readonly #past: PastWalks;
  readonly #used: UsedTranslations;
  readonly #structures: PagingStructures;
  readonly #pending = new PendingInvalidations();
  readonly #secondStages: StageDebts;
  /** Null where what the first stage says goes with what both have made. */
  readonly #firstStages: StageDebts | null;
  /** Some request was translated by both stages. */
  #nested = false;
  readonly #stale: StaleContexts;
  readonly #deviceTlbs: DeviceTlbs;
  readonly #explanation: Explanation;
  readonly #unflushed: UnflushedAnswers | null;
  readonly #roots: RootChanges;
  #failures: CachedFailures;
  readonly #iotlbs: readonly IotlbSimulation[];
  /** Invalidations by name. */
  readonly #invalidations = new Map<string, number>();
  /**
   * Tick of the latest invalidation or completion, of when entries in use had to be entered again, or of a change of which
   * contexts there are and what tags they share: what was noted before is to be noted again.
   */
  #lastEvent = 0;
  #rotations = 0;
  #contextChanges = 0;
  /** Tick of the latest invalidation that dropped a context. */
  #contextsDropped = 0;
  /** Invalidations that covered nothing. */
  #redundant = 0;
  /** Invalidations that were taken to have happened although nothing said so. */
  #presumed = 0;
  /** Registers and properties as of the last change. */
  #state = new IommuState();
  /** A neutral invalidation has come: it says what has happened, whether the system completes any or not. */
  #settled = false;

  /**
   * @param iotlbs IOTLBs to simulate beside
   * @param unflushed what IOMMUs may not see yet; null where nobody keeps track
   */
  constructor(
    unit: CachedIommu,
    memory: VersionedMemory,
    budgets: CacheBudgets,
    iotlbs: readonly IotlbGeometry[] = [],
    unflushed: UnflushedWrites | null = null,
  ) {
    this.#unit = unit;
    this.#memory = memory;
    this.#budgets = budgets;
    this.translations = new Translations(budgets);
    this.#secondStages = new StageDebts(this.translations, this.#pending, SECOND_STAGE);
    this.#firstStages = unit.vendor.caching.firstStageApart
      ? new StageDebts(this.translations, this.#pending, FIRST_STAGE)
      : null;
    this.contexts = new Contexts(unit.vendor.caching, this.translations, budgets.contexts);
    this.#roots = new RootChanges(unit.vendor.caching.rootRegisters);
    this.#past = new PastWalks(unit, memory, this.contexts);
    this.live = new LiveChanges(unit, memory, this.contexts, this.translations, this.#past);
    this.#used = new UsedTranslations(memory, this.contexts, this.translations, this.#past, this.live);
    this.#structures = new PagingStructures(unit.vendor.caching, memory, this.contexts, this.#past, budgets);
    this.#stale = new StaleContexts(
      unit.walker,
      memory,
      this.contexts,
      this.translations,
      this.#past,
      this.#pending,
    );
    this.#deviceTlbs = new DeviceTlbs(unit.vendor.caching, memory, this.#past, this.#pending, budgets);
    this.#explanation = new Explanation(
      unit,
      memory,
      this.contexts,
      this.translations,
      this.#structures,
      this.#past,
      this.#pending,
      this.#roots,
    );
    this.#unflushed = unflushed === null ? null : new UnflushedAnswers(unit, memory, this.#past, unflushed);
    this.#failures = unit.vendor.caching.cachedFailures(unit.state);
    this.#iotlbs = iotlbs.map((geometry) => new IotlbSimulation(geometry));
  }

  /**
   * Line of the command at which the queue has stopped, since the IOMMU refuses it; 0: it has not, or was restarted. What
   * stands behind it is taken to take effect, as few traces show a restart; an old answer says that it has not.
   */
  #stoppedLine = 0;

  get stoppedLine(): number {
    return this.#stoppedLine;
  }

  set stoppedLine(line: number) {
    this.#stoppedLine = line;
    if (line === 0) this.#pending.behindStop = null;
    else this.#pending.stop();
  }

  /** What devices may keep by themselves although the last request has shown that it is another now; null mostly. */
  staleInDevice: DeviceUse | null = null;

  /** A device may keep translations by itself. */
  get anyDeviceTlb(): boolean {
    return this.#deviceTlbs.entries.tags.all.length > 0;
  }

  /** Which pages stand behind the last-level entries that walks went through. */
  get leafTables(): LeafTables {
    return this.#structures.leafTables;
  }

  /**
   * The contexts of the engine's last walk, of which nothing was in doubt, where they and all that decode alike leave the
   * same behind in the caches, for as long as nothing happens (`lastEvent`, a change of memory); else null.
   */
  settledPair(request: WalkRequest): TranslationContext | null {
    const pair = this.#unit.engine.process?.tracked;
    if (!pair || pair.gone || this.#iotlbs.length > 0 || this.#stoppedLine > 0 || this.isFull) return null;
    if (!this.#isAlone(pair) || this.#unit.vendor.caching.hasDeviceTlb(pair.device.context)) return null;
    return this.#unit.vendor.caching.owesTranslations &&
      leftPairs(this.contexts.of(request), request.pasid).length > 0
      ? null
      : pair;
  }

  /**
   * Whether one page of a pair is what another page in the same leaf is, whatever its size: memory has not changed since
   * the first translation with its tags was made, so that all that may be held fit together.
   */
  isUniform({ tags, globalTags }: TranslationContext): boolean {
    const alone = tags.groups.length === 0 && globalTags.nextShift(0) === 0;
    return alone && tags.first > this.#memory.lastChange;
  }

  /** Tags are too many: `makeRoom` may forget some. */
  get isFull(): boolean {
    return this.#budgets.tags.free < 0;
  }

  /** Tick at which something last happened that makes what was known of the caches worthless. */
  get lastEvent(): number {
    return this.#lastEvent;
  }

  /** What the last explanation found. */
  get staleSource(): StaleSource | null {
    return this.#explanation.staleSource;
  }

  /** Invalidations that have been issued and not completed. */
  get pending(): number {
    return this.#pending.list.length;
  }

  /** Line of the first of them. */
  get pendingLine(): number {
    return this.#pending.list[0]?.line ?? 0;
  }

  /** Whether the recorded system waits for its invalidations is not known: it has completed none yet. */
  get undecided(): boolean {
    return this.#pending.completions === 0 && this.#pending.unconfirmed > 0 && !this.#settled;
  }

  /** Entries that were forgotten while a cache could still hold them: verdicts may be incomplete. */
  get forgotten(): number {
    return (
      this.translations.evicted +
      this.#structures.entries.evicted +
      this.#deviceTlbs.entries.evicted +
      this.contexts.forgotten +
      this.#past.lost +
      this.#presumed
    );
  }

  // ── what happens to the IOMMU ──

  /** Memory as a whole was replaced: what was cached before has nothing to do with what comes. */
  clear(): void {
    this.#lastEvent = this.#memory.time;
    this.contexts.clear();
    this.translations.clear();
    this.#structures.clear();
    this.#deviceTlbs.clear();
    for (const iotlb of this.#iotlbs) iotlb.clear();
    this.#pending.clear();
    this.#secondStages.clear();
    this.#firstStages?.clear();
  }

  /**
   * Before a request: where tags have become too many, all that goes by them is forgotten. They are shared by what
   * cannot be told from each other, and none is old by itself.
   */
  makeRoom(): void {
    if (!this.isFull || this.translations.tags.all.length < FEW_TAGS) return;
    this.#lastEvent = this.#memory.time;
    this.contexts.clear();
    this.translations.forget();
    this.#structures.forget();
    this.#deviceTlbs.forget();
    for (const iotlb of this.#iotlbs) iotlb.clear();
    this.#unit.engine.drop();
  }

  /**
   * Registers or properties changed. Caches survive that: only what they may hold from now on is another question.
   * @param written the register that a `reg` record has just written; "" for an `iommu` record
   */
  configured(written: string): void {
    const { vendor, state } = this.#unit;
    this.#lastEvent = this.#memory.time;
    this.#failures = vendor.caching.cachedFailures(state);
    // What a context decodes to depends on what its IOMMU can do: with other capabilities it is another IOMMU.
    if (this.#canDoOtherThings(state)) this.clear();
    const dropped = new Invalidation();
    if (vendor.caching.reconfigured(this.#state, state, written, dropped))
      this.#apply(dropped, this.#memory.time);
    this.#roots.note(this.#state, state, this.#memory.time, this.#memory.line);
    this.#state = state.clone();
  }

  #canDoOtherThings(state: IommuState): boolean {
    const before = this.#state;
    const registers = Object.keys(this.#unit.vendor.host.registers);
    const otherWord = (name: string) =>
      before.hi(name) !== state.hi(name) ||
      before.lo(name) !== state.lo(name) ||
      before.has(name) !== state.has(name);
    if (registers.some(otherWord) || before.props.size !== state.props.size) return true;
    for (const [name, value] of state.props) if (before.props.get(name) !== value) return true;
    return false;
  }

  /** A table was bound to a device, or was unbound: the host makes sure that the device's caches hold nothing older. */
  rebound(device: number): void {
    this.#lastEvent = this.#memory.time;
    this.contexts.drop(device);
  }

  /**
   * A native invalidation was issued. It takes effect at the next completion, or at once where there never is one.
   * @param inv copied: it may be reused
   */
  invalidate(inv: Invalidation, time: number): void {
    this.#lastEvent = time;
    const pending = this.#pending;
    const copy = inv.clone();
    const { behindStop } = pending;
    if (behindStop !== null && behindStop.list.length < MOST_PENDING)
      behindStop.list.push({ inv: copy, issued: time, line: this.#memory.line });
    if (pending.completions === 0) {
      pending.unconfirmed++;
      this.#apply(copy, time);
    } else {
      pending.list.push({ inv: copy, issued: time, line: this.#memory.line });
      if (pending.list.length > MOST_PENDING) this.#overdue();
    }
  }

  /** Half of the pending invalidations, the first ones, take effect without a completion. */
  #overdue(): void {
    const first = this.#pending.takeFirst(MOST_PENDING / 2);
    for (const { inv, issued } of first) this.#apply(inv, issued);
    this.#presumed += first.length;
  }

  /**
   * An invalidation that a register asked for: whoever asks waits until it is done.
   * @param inv copied: it may be reused
   */
  invalidateAtOnce(inv: Invalidation, time: number): void {
    this.#lastEvent = time;
    this.#apply(inv.clone(), time);
  }

  /** An invalidation has happened, in whatever way. */
  invalidated(inv: Invalidation, time: number): void {
    this.#settled = true;
    this.settle();
    if (this.#isEmpty) {
      if (inv.caches !== DEVICE_TLB) this.#redundant++;
      return;
    }
    const parts = inTagsOf(this.#unit.vendor.caching.byAsid, inv.clone(), (of) => this.contexts.spacesOf(of));
    let dropped = false;
    for (const part of parts) if (this.#drop(part, time)) dropped = true;
    if (!dropped && inv.caches !== DEVICE_TLB) this.#redundant++;
  }

  /** Whether nothing has ever been entered: of a trace with very many IOMMUs, most are not used. */
  get #isEmpty(): boolean {
    return this.contexts.isEmpty && this.translations.tags.all.length === 0 && this.#iotlbs.length === 0;
  }

  /** It is known whether the system waits for its invalidations, or is taken to be. */
  decide(): void {
    this.#settled = true;
  }

  /** A completion: all invalidations before it have taken effect. */
  complete(): void {
    this.#pending.completions++;
    this.settle();
  }

  /** What has been issued takes effect. */
  settle(): void {
    this.#lastEvent = this.#memory.time;
    for (const { inv, issued } of this.#pending.list) this.#apply(inv, issued);
    this.#pending.clear();
  }

  #apply(inv: Invalidation, issued: number): void {
    if (!this.#drop(inv, issued) && inv.caches !== DEVICE_TLB) this.#redundant++;
  }

  /** @returns whether there was, or may have been, something of the IOMMU's own to drop */
  #drop(inv: Invalidation, issued: number): boolean {
    const { changes, lastStructural } = this.#memory;
    this.#pending.effective.add(inv, issued);
    const history = { changes, wideChange: Math.max(lastStructural, this.#contextsDropped) };
    if (this.#nested) {
      this.#secondStages.note(inv, issued);
      this.#firstStages?.note(inv, issued);
    }
    const pages = this.translations.invalidate(inv, issued, history);
    const tables = this.#structures.invalidate(inv, issued);
    const contexts = this.contexts.invalidate(inv, issued, this.#spares);
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
    const { coveredPages, overWidePages } = this.translations;
    const cached = this.translations.countValid();
    return {
      ...(byName.length === 0 ? {} : { invalidations: Object.fromEntries(byName) }),
      ...(this.#redundant === 0 ? {} : { redundant_invalidations: this.#redundant }),
      ...(coveredPages === 0 ? {} : { covered_pages: coveredPages }),
      ...(overWidePages === 0 ? {} : { over_wide_pages: overWidePages }),
      ...(cached === 0 ? {} : { cached_pages: cached }),
      ...(this.#iotlbs.length === 0 ? {} : { iotlb: this.#iotlbs.map((iotlb) => iotlb.result()) }),
    };
  }

  // ── walks ──

  /**
   * Notes what the caches may hold after a walk of one page (the engine's last one).
   * @returns whether something that they may still hold could give another answer
   */
  use(request: WalkRequest, walk: WalkResult, time: number): boolean {
    // The engine's own cache gave a result that was entered before, and neither memory nor the caches have changed.
    let mayDiffer = false;
    const { engine } = this.#unit;
    const noted = engine.noteOf(walk);
    if (noted <= this.#lastEvent || noted <= this.#memory.lastChange) {
      mayDiffer = this.#note(request, walk, time);
      this.#rotate(time);
      if (!mayDiffer && this.#isAlone(engine.process?.tracked)) engine.note(walk, time);
    }
    if (this.#iotlbs.length > 0) this.#simulate(request, walk);
    return mayDiffer;
  }

  /** Whether nothing is held of single pages of the contexts that the engine has walked a request through last. */
  holdNoPages(request: WalkRequest): boolean {
    const { device, process } = this.#unit.engine;
    // What the address alone decides, no cache has a part in.
    if (device === null || request.at === TRANSLATED) return true;
    const pair = process?.tracked;
    if (!pair || pair.gone) return false;
    const { tags, globalTags } = pair;
    if (!tags.isEmpty || !globalTags.isEmpty) return false;
    return leftPairs(this.contexts.of(request), request.pasid).length === 0;
  }

  /**
   * log2 of the pieces in which a page that the engine has walked last may be held, or may be found by way of old entries.
   * @param walk that was translated by a page larger than a frame
   * @param invalidated entries count, too, that an invalidation has covered
   */
  pieceShift(request: WalkRequest, walk: WalkResult, invalidated = false): number {
    const { device, process } = this.#unit.engine;
    const pair = process?.tracked;
    if (device === null || !pair || pair.gone) return walk.pageShift;
    // What other contexts or table entries lead to may be in pages of any size.
    if (this.#otherWays(request, device.context, pair, invalidated)) return FRAME_SHIFT;
    if (this.#structures.anyUnder(pair, request, walk, invalidated)) return FRAME_SHIFT;
    return this.#used.pieceShift(pair, walk);
  }

  /** Whether other contexts than those of the engine's last walk, or what was translated through such, may answer a request. */
  #otherWays(
    request: WalkRequest,
    device: object,
    { device: own, process }: TranslationContext,
    invalidated: boolean,
  ): boolean {
    const { contexts } = this;
    const caches = contexts.of(request);
    const counts = (version: ContextVersion) => invalidated || isValid(version);
    const isOther = (version: ContextVersion) => version !== own && version !== process && counts(version);
    return (
      caches.contexts.versions.some(isOther) ||
      (caches.processes.get(request.pasid)?.history.versions.some(isOther) ?? false) ||
      contexts.neighbours(caches).some((other) => counts(other) && !sameValues(other.context, device)) ||
      contexts
        .sharedPasidEntries(caches, device, request.pasid)
        .some((other) => counts(other) && !sameValues(other.context, process.context)) ||
      leftPairs(caches, request.pasid).some(({ tags, globalTags }) => mayHold(tags) || mayHold(globalTags))
    );
  }

  /** Where old entries are about to go, or others share their tags, those in use are to be entered again. */
  #rotate(time: number): void {
    const rotations =
      this.translations.rotations + this.#structures.entries.rotations + this.#deviceTlbs.entries.rotations;
    const changes = this.contexts.changes + this.translations.users;
    if (rotations === this.#rotations && changes === this.#contextChanges) return;
    this.#rotations = rotations;
    this.#contextChanges = changes;
    this.#lastEvent = time;
  }

  /** Whether all that is cached with the tags of a pair of contexts came by contexts that decode alike. */
  #isAlone(pair: TranslationContext | null | undefined): boolean {
    if (pair === null || pair === undefined) return false;
    const { kind, tags, globalTags } = pair;
    return !tags.usedByOthers(kind) && !globalTags.usedByOthers(kind);
  }

  #simulate(request: WalkRequest, walk: WalkResult): void {
    const pair = this.#unit.engine.process?.tracked;
    if (walk.status !== OK || walk.pageShift === 0 || !pair) return;
    const set = walk.global ? pair.globalTags : pair.tags;
    for (const iotlb of this.#iotlbs) iotlb.access(set, request.addrHi, request.addrLo, walk);
  }

  #note(request: WalkRequest, walk: WalkResult, time: number): boolean {
    const { contexts } = this;
    const { device, process } = this.#unit.engine;
    if (device === null) return this.#noteRefusal(request, walk, time);
    const caches = contexts.of(request);
    const deviceVersion = contexts.useDevice(caches, device, time);
    let mayDiffer = othersValid(caches.contexts.versions, deviceVersion);
    for (const other of contexts.neighbours(caches))
      if (isValid(other) && !areAlike(other, deviceVersion)) mayDiffer = true;
    // Nothing more has a part in requests that were translated, but for a second stage.
    if (request.at === TRANSLATED) {
      if (walk.status === OK && walk.passthrough)
        this.staleInDevice = this.#deviceTlbs.translated(request, walk.frame);
      else if (isOfTables(walk) && this.#noteTranslated(caches, request, deviceVersion, walk, time))
        mayDiffer = true;
      return mayDiffer;
    }
    const history = caches.processes.get(request.pasid)?.history;
    if (this.#anyLeft(caches, request)) mayDiffer = true;
    if (process === null) {
      if (comesFromEntry(walk) && this.#failures.contexts(walk.fault!)) {
        const admitted = this.#unit.walker.checkRequest(request, device.context, this.#past.reset());
        if (admitted) contexts.refusedPasidContext(caches, request.pasid, deviceVersion, walk, time);
      }
      const shared = contexts.sharedPasidEntries(caches, device.context, request.pasid);
      if ((history?.versions.some(isValid) ?? false) || shared.some(isValid)) mayDiffer = true;
      if (mayDiffer) this.#stale.enter(caches, request, deviceVersion, null, time);
      return mayDiffer;
    }
    const pair = contexts.usePair(caches, request, deviceVersion, process, time);
    if (walk.ipaFrame >= 0) this.#nested = true;
    if (othersValid(caches.processes.get(request.pasid)!.history.versions, pair.process)) mayDiffer = true;
    for (const shared of contexts.sharedPasidEntries(caches, device.context, request.pasid))
      if (isValid(shared) && !areAlike(shared, pair.process)) mayDiffer = true;
    if (this.#used.use(pair, request, walk, time, this.#failures, this.#lastEvent)) mayDiffer = true;
    if (isOfTables(walk) && this.#structures.use(pair, request, walk, time, this.#lastEvent))
      mayDiffer = true;
    const kept = this.#deviceTlbs.use(pair, request, walk, time);
    if (kept !== null) this.staleInDevice = kept;
    if (mayDiffer) this.#stale.enter(caches, request, pair.device, pair.process, time);
    return mayDiffer;
  }

  /** A second stage has translated what had been translated by the device. */
  #noteTranslated(
    caches: DeviceCaches,
    request: WalkRequest,
    device: ContextVersion,
    walk: WalkResult,
    time: number,
  ): boolean {
    const process = this.#unit.walker.newPasidContext();
    const pair = this.contexts.useTranslated(caches, device, process, time);
    if (pair === null) return false;
    const differs = this.#used.use(pair, request, walk, time, this.#failures, this.#lastEvent);
    return this.#structures.use(pair, request, walk, time, this.#lastEvent) || differs;
  }

  /** The walk ended before there was a device context, or in it. */
  #noteRefusal(request: WalkRequest, walk: WalkResult, time: number): boolean {
    if (this.#past.decidedByAddress(request)) return false;
    const caches = this.contexts.of(request);
    if (comesFromEntry(walk) && this.#failures.contexts(walk.fault!)) {
      const { vendor, state } = this.#unit;
      const tag = contextTag(caches.id, vendor.caching.refusedDomain(state));
      this.contexts.refusedDevice(caches, tag, walk, time);
    }
    const stale = caches.contexts.versions.some(isValid) || this.contexts.neighbours(caches).some(isValid);
    if (stale) this.#stale.enter(caches, request, null, null, time);
    return stale || (request.at !== TRANSLATED && this.#anyLeft(caches, request));
  }

  /** Whether translations of a page outlive the contexts that they were made through. */
  #anyLeft(caches: DeviceCaches, { pasid, addrHi, addrLo }: WalkRequest): boolean {
    if (!this.#unit.vendor.caching.owesTranslations) return false;
    return leftPairs(caches, pasid).some((pair) => {
      const until = lastUse(pair);
      return (
        this.translations.anyValid(pair.tags, addrHi, addrLo, until, pair.id) ||
        this.translations.anyValid(pair.globalTags, addrHi, addrLo, until, pair.id)
      );
    });
  }

  // ── answers ──

  /** Which structure a walk of memory as it is finds at an address: what a change of it is a change of. */
  structureAt(request: WalkRequest, frame: number, offset: number): Structure | null {
    return this.#past.structureAt(request, frame, offset);
  }

  /** The walk of memory as it is, once more: nothing is entered. */
  walkAgain(request: WalkRequest): WalkResult {
    return this.#unit.engine.walk(request);
  }

  /** Whether all that is cached of the page that was walked last says what memory says: then there is nothing to ask. */
  isAsMemory(request: WalkRequest): boolean {
    return this.#explanation.isAsMemory(request);
  }

  /**
   * All entries that give an answer, and for which an invalidation is owed.
   * @param request the engine's last one, as for `explain`
   * @param accept whether a walk's result is that answer, which memory does not give
   * @param asOf a tick: of the invalidations that have been issued and not completed, later ones do not count
   */
  uninvalidated(
    request: WalkRequest,
    accept: (walk: WalkResult) => boolean,
    asOf?: number,
  ): readonly StaleSource[] {
    return this.#explanation.findAll(request, "uninvalidated", accept, asOf);
  }

  /** All entries that give an answer and may still be held: their invalidation may have been issued, and not completed. */
  held(request: WalkRequest, accept: (walk: WalkResult) => boolean): readonly StaleSource[] {
    return this.#explanation.findAll(request, "valid", accept);
  }

  /** The contexts that the engine has walked a request through last; null: it was refused before. */
  get contextsInUse(): { readonly device: object; readonly process: object } | null {
    const { device, process } = this.#unit.engine;
    return device === null || process === null ? null : { device: device.context, process: process.context };
  }

  /** Whether it can be told without a walk that no invalidation is owed for a page. */
  owesNothing(request: WalkRequest): boolean {
    return this.#explanation.holdsNothing(request);
  }

  /** Whether an entry that an invalidation has covered gives an answer. */
  heldOnce(request: WalkRequest, accept: (walk: WalkResult) => boolean): boolean {
    return !this.isAsMemory(request) && this.#explanation.find(request, "invalidated", accept);
  }

  /** The trace records flushes. */
  get flushesRecorded(): boolean {
    return this.#unflushed?.recorded ?? false;
  }

  /**
   * The write without which memory would give an answer, where nothing has flushed it and the walks are not coherent.
   * @param owed it has to be known that nothing has
   * @param effort walks that it takes are taken off
   */
  unflushedAnswer(
    request: WalkRequest,
    accept: (walk: WalkResult) => boolean,
    owed: boolean,
    effort: { left: number },
  ): UnflushedWrite | null {
    return this.#unflushed?.find(request, accept, owed, effort) ?? null;
  }

  /**
   * Looks for a cached context, PASID entry or translation that gives an answer.
   *
   * @param request the engine's last one (`walkAgain`)
   * @param accept whether a walk's result is that answer, which memory does not give
   * @returns UNEXPLAINED, VALID or INVALIDATED; `staleSource` says what it was
   */
  explain(request: WalkRequest, accept: (walk: WalkResult) => boolean): number {
    const find = (scope: Scope) => this.#explanation.find(request, scope, accept);
    if (find("uninvalidated") || find("valid")) return VALID;
    if (!find("invalidated")) return UNEXPLAINED;
    const standing = this.#standingStage(request);
    if (standing === null) return INVALIDATED;
    this.#explanation.staleSource = standing;
    return VALID;
  }

  /** What a dropped translation of both stages has left: an entry of one that has changed, and that nothing covers. */
  #standingStage(request: WalkRequest): StaleSource | null {
    const source = this.#explanation.staleSource!;
    const { cache, change, ipaFrame } = source;
    if (cache !== "iotlb" || change === null || ipaFrame < 0) return null;
    const structure = this.#past.structureAt(request, change.frame, change.offset);
    if (structure?.stage === 1) return this.#firstStages?.standing(source, request.device) ?? null;
    return structure?.stage === 2 ? this.#secondStages.standing(source, request.device) : null;
  }
}

/** Whether page tables had a part in a walk. */
function isOfTables(walk: WalkResult): boolean {
  return walk.status === OK ? walk.pageShift !== 0 : walk.stage !== 0;
}

/** Whether translations with some tags may be valid. */
function mayHold({ valid, anySuperseded }: TagSet): boolean {
  return valid !== 0 || anySuperseded;
}

function othersValid(versions: readonly ContextVersion[], current: ContextVersion): boolean {
  if (versions.length === 1) return false;
  return versions.some((version) => version !== current && isValid(version));
}
