import { FIRST, SECOND } from "../../walkers/caching.ts";
import { FIRST_STAGE, Invalidation, SECOND_STAGE } from "../../walkers/invalidation.ts";
import { FRAME_SHIFT, frameOf } from "../../walkers/memory.ts";
import { IommuState } from "../../walkers/registers.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import type { WalkResult } from "../../walkers/result.ts";
import type { Scope } from "./answers/cache-question.ts";
import { Explanation, INVALIDATED, UNEXPLAINED, VALID } from "./answers/explanation.ts";
import { UnflushedAnswers } from "./answers/unflushed-answers.ts";
import { DeviceTlbs, type DeviceUse } from "./filling/device-tlbs.ts";
import type { LeafTables } from "./filling/leaf-tables.ts";
import { LiveChanges } from "./filling/live-changes.ts";
import { NotedRequests } from "./filling/noted-requests.ts";
import { PagingStructures } from "./filling/paging-structures.ts";
import { StaleContexts } from "./filling/stale-contexts.ts";
import { UsedTranslations } from "./filling/used-translations.ts";
import { Contexts } from "./held/contexts.ts";
import { leftPairs } from "./held/left-behind.ts";
import type { CacheBudgets } from "./held/memory-budget.ts";
import { StageDebts } from "./held/stage-debts.ts";
import type { TranslationContext } from "./held/translation-context.ts";
import { Translations } from "./held/translations.ts";
import type { CachedIommu } from "./history/cached-iommu.ts";
import type { UnflushedWrite } from "./history/line-store.ts";
import { PastWalks, type Structure } from "./history/past-walks.ts";
import { RootChanges } from "./history/root-changes.ts";
import { mayBeHeld, type StaleSource } from "./history/stale-source.ts";
import type { UnflushedWrites } from "./history/unflushed-writes.ts";
import type { Change, VersionedMemory } from "./history/versioned-memory.ts";
import { PendingInvalidations } from "./invalidations/pending.ts";
import { type IotlbGeometry, IotlbSimulation } from "./iotlb-simulation.ts";
import { OtherReadings } from "./other-readings.ts";
import { TakenInvalidations } from "./taken-invalidations.ts";

/** As many tags are always kept. */
const FEW_TAGS = 1024;
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
  readonly #structures: PagingStructures;
  readonly #pending = new PendingInvalidations();
  readonly #secondStages: StageDebts;
  /** Null where what the first stage says goes with what both have made. */
  readonly #firstStages: StageDebts | null;
  readonly #deviceTlbs: DeviceTlbs;
  readonly #noted: NotedRequests;
  readonly invalidations: TakenInvalidations;
  readonly #explanation: Explanation;
  readonly #unflushed: UnflushedAnswers | null;
  readonly #roots: RootChanges;
  readonly #iotlbs: readonly IotlbSimulation[];
  /** Registers and properties as of the last change. */
  #state = new IommuState();
  readonly #otherReadings: OtherReadings<UnitCaches>;

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
    this.#otherReadings = new OtherReadings<UnitCaches>(unit, (last) => this.#newOtherwise(last));
    this.translations = new Translations(budgets);
    this.#secondStages = new StageDebts(this.translations, this.#pending, SECOND_STAGE);
    this.#firstStages = unit.vendor.caching.firstStageApart
      ? new StageDebts(this.translations, this.#pending, FIRST_STAGE)
      : null;
    this.contexts = new Contexts(unit.vendor.caching, this.translations, budgets.contexts);
    this.#roots = new RootChanges(unit.vendor.caching.rootRegisters);
    this.#past = new PastWalks(unit, memory, this.contexts);
    this.live = new LiveChanges(unit, memory, this.contexts, this.translations, this.#past);
    this.#structures = new PagingStructures(unit.vendor.caching, memory, this.contexts, this.#past, budgets);
    this.#deviceTlbs = new DeviceTlbs(unit.vendor.caching, memory, this.#past, this.#pending, budgets);
    this.#explanation = new Explanation({
      unit,
      memory,
      contexts: this.contexts,
      translations: this.translations,
      structures: this.#structures,
      past: this.#past,
      pending: this.#pending,
      roots: this.#roots,
    });
    this.#unflushed = unflushed === null ? null : new UnflushedAnswers(unit, memory, this.#past, unflushed);
    this.#iotlbs = iotlbs.map((geometry) => new IotlbSimulation(geometry));
    const { contexts, translations, live } = this;
    this.#noted = new NotedRequests(unit, memory, this.#past, {
      contexts,
      translations,
      used: new UsedTranslations(memory, contexts, translations, this.#past, live),
      structures: this.#structures,
      stale: new StaleContexts(unit.walker, memory, contexts, translations, this.#past, this.#pending),
      deviceTlbs: this.#deviceTlbs,
      iotlbs: this.#iotlbs,
    });
    this.invalidations = new TakenInvalidations(unit, memory, this.#past, this.#pending, this.#noted, {
      contexts,
      translations,
      structures: this.#structures,
      deviceTlbs: this.#deviceTlbs,
      secondStages: this.#secondStages,
      firstStages: this.#firstStages,
      iotlbs: this.#iotlbs,
    });
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
    this.#otherReadings.each((caches) => {
      caches.stoppedLine = line;
    });
    if (line === 0) this.#pending.behindStop = null;
    else this.#pending.stop();
  }

  /** What devices may keep by themselves although the last request has shown that it is another now; null mostly. */
  get staleInDevice(): DeviceUse | null {
    return this.#noted.staleInDevice;
  }

  set staleInDevice(use: DeviceUse | null) {
    this.#noted.staleInDevice = use;
  }

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
    if (!this.#noted.isAlone(pair) || this.#unit.vendor.caching.hasDeviceTlb(pair.device.context))
      return null;
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
    return this.#noted.lastEvent;
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

  /** Entries that were forgotten while a cache could still hold them: verdicts may be incomplete. */
  get forgotten(): number {
    return (
      this.translations.evicted +
      this.#structures.entries.evicted +
      this.#deviceTlbs.entries.evicted +
      this.contexts.forgotten +
      this.#past.lost +
      this.invalidations.presumed
    );
  }

  // ── what happens to the IOMMU ──

  /** Memory as a whole was replaced: what was cached before has nothing to do with what comes. */
  clear(): void {
    this.#otherReadings.clear();
    this.invalidations.follower = null;
    this.#noted.lastEvent = this.#memory.time;
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
    this.#otherReadings.each((caches) => caches.makeRoom());
    if (!this.isFull || this.translations.tags.all.length < FEW_TAGS) return;
    this.#noted.lastEvent = this.#memory.time;
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
    this.#otherReadings.each((caches) => caches.configured(written));
    const { vendor, state } = this.#unit;
    this.#noted.lastEvent = this.#memory.time;
    this.#noted.failures = vendor.caching.cachedFailures(state);
    // What a context decodes to depends on what its IOMMU can do: with other capabilities it is another IOMMU.
    if (this.#canDoOtherThings(state)) this.clear();
    const dropped = new Invalidation();
    if (vendor.caching.reconfigured(this.#state, state, written, dropped))
      this.invalidations.apply(dropped, this.#memory.time);
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
    this.#otherReadings.each((caches) => caches.rebound(device));
    this.#noted.lastEvent = this.#memory.time;
    this.contexts.drop(device);
  }

  // ── walks ──

  /** See `NotedRequests`. */
  use(request: WalkRequest, walk: WalkResult, time: number): boolean {
    return this.#noted.use(request, walk, time);
  }

  /**
   * An answer shows another reading of the specification: what the request has used by that may be held.
   * @param reading as the walker counts them
   * @param walks walks the request, and notes that in the caches that it is given
   */
  useOtherwise(reading: number, walks: (caches: UnitCaches) => void): void {
    this.#otherReadings.use(reading, walks);
  }

  /** @param last of those made before, which pass invalidations on; null: these do */
  #newOtherwise(last: UnitCaches | null): UnitCaches {
    const otherwise = new UnitCaches(this.#unit, this.#memory, this.#budgets);
    otherwise.configured("");
    otherwise.stoppedLine = this.#stoppedLine;
    (last ?? this).invalidations.follower = otherwise.invalidations;
    return otherwise;
  }

  holdNoPages(request: WalkRequest): boolean {
    return this.#noted.holdNoPages(request);
  }

  pieceShift(request: WalkRequest, walk: WalkResult, invalidated = false): number {
    return this.#noted.pieceShift(request, walk, invalidated);
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
    return this.#otherReadings.isEmpty && this.#explanation.need.isAsMemory(request);
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
    return this.#explanation.need.holdsNothing(request);
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
    const found = this.#explain(request, accept);
    if (this.#otherReadings.isEmpty || found === VALID) return found;
    const isLess = (answer: number) => answer === UNEXPLAINED || answer === found;
    const other = this.#otherReadings.ask((caches) => caches.explain(request, accept), isLess);
    if (other === null) return found;
    this.#explanation.staleSource = other.caches.staleSource;
    return other.answer;
  }

  #explain(request: WalkRequest, accept: (walk: WalkResult) => boolean): number {
    const find = (scope: Scope) => this.#explanation.find(request, scope, accept);
    if (find("uninvalidated") || find("valid")) return VALID;
    if (!find("invalidated")) return UNEXPLAINED;
    const first = this.#explanation.staleSource!;
    if (!mayBeHeld(first) && !find("spared")) this.#explanation.staleSource = first;
    const standing = this.#standingStage(request);
    if (standing === null) return INVALIDATED;
    this.#explanation.staleSource = standing;
    return VALID;
  }

  /** What a dropped translation of both stages has left: an entry of one that has changed, and that nothing covers. */
  #standingStage(request: WalkRequest): StaleSource | null {
    const source = this.#explanation.staleSource!;
    const { cache, change, ipaFrame } = source;
    if (change === null) return null;
    if (cache === "pasid") return this.#standingFetch(source, change, request);
    if (cache !== "iotlb" || ipaFrame < 0) return null;
    const structure = this.#past.structureAt(request, change.frame, change.offset);
    if (structure?.stage === 1) return this.#firstStages?.standing(source, request.device) ?? null;
    return structure?.stage === 2 ? this.#secondStages.standing(source, request.device) : null;
  }

  /**
   * What a dropped PASID entry has left where the second stage translates its address: that of this address, without which
   * memory has no such entry any more. What drops contexts drops no translations (IHI 0070, 4.3 and 16.2).
   */
  #standingFetch(source: StaleSource, { frame, offset }: Change, request: WalkRequest): StaleSource | null {
    if (this.#past.structureAt(request, frame, offset)?.stage !== 2) return null;
    const { stage, faultClass, faultHi, faultLo } = this.#past.walkAll(request);
    if (stage !== 2 || faultClass !== "CD") return null;
    const answer = { ...source.answer, pageShift: FRAME_SHIFT };
    const ipaFrame = frameOf(faultHi, faultLo);
    const held: StaleSource = { ...source, cache: "iotlb", stages: FIRST | SECOND, answer, ipaFrame };
    return this.#secondStages.standing(held, request.device);
  }
}
