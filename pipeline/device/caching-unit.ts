import { type Caching, GLOBAL_SPACE } from "../../walkers/caching.ts";
import type { Bug } from "../../walkers/fuzz/bug.ts";
import { PASSING_SHIFT } from "../../walkers/interrupt-range.ts";
import { ANY, CONTEXT_CACHE, Invalidation, PASID_CACHE } from "../../walkers/invalidation.ts";
import { FRAME_SHIFT, frameOf } from "../../walkers/memory.ts";
import { RADIX512 } from "../../walkers/page-tables/geometry.ts";
import type { IommuState } from "../../walkers/registers.ts";
import { NO_PASID, UNTRANSLATED, type WalkRequest } from "../../walkers/request.ts";
import { FAULT, OK, WalkResult } from "../../walkers/result.ts";
import { noteAts, translateAs } from "../../walkers/translation-request.ts";
import type { IommuWalker } from "../../walkers/walker.ts";
import { deviceTag, processTag } from "../caches/held/context-tags.ts";
import { TagSet } from "../caches/held/tag-sets.ts";
import { coversContext, coversPage, coversPasidEntry, coversTags } from "../caches/invalidations/coverage.ts";
import type { HabitName } from "./habits.ts";

interface CachedContext {
  readonly context: object;
  readonly tag: ReturnType<typeof deviceTag>;
}

interface CachedPage {
  /** The input address that it was made for, and the kind of access. */
  readonly hi: number;
  readonly lo: number;
  readonly kind: number;
  readonly walk: WalkResult;
}

/** Privilege, beside the bits of the access; and that no PASID says what it comes to. */
const PRIVILEGED = 8;
const WITHOUT_PASID = 16;
const AT_SHIFT = 5;

/**
 * An IOMMU that caches every context and translation that it uses, for ever, and drops what an invalidation covers. Plain
 * maps and lists, no bounds. What it answers is lawful, but for the habits that it is given.
 */
export class CachingUnit {
  readonly walker: IommuWalker;
  readonly #caching: Caching;
  readonly #habits: ReadonlySet<HabitName>;
  readonly #devices = new Map<number, CachedContext>();
  readonly #processes = new Map<string, CachedContext>();
  readonly #pages = new Map<TagSet, CachedPage[]>();
  readonly #sets = new Map<string, TagSet>();
  readonly #denied = new Map<string, WalkResult>();
  readonly #late: Invalidation[] = [];
  #contextDropped = false;
  /** What pages with one key are taken for, by that; dropped with whatever is invalidated. */
  readonly #mixed = new Map<bigint, WalkResult>();
  readonly #cacheKey: Bug["cacheKey"];

  constructor(
    walker: IommuWalker,
    caching: Caching,
    habits: ReadonlySet<HabitName>,
    cacheKey?: Bug["cacheKey"],
  ) {
    this.#cacheKey = cacheKey;
    this.walker = walker;
    this.#caching = caching;
    this.#habits = habits;
  }

  /** What a request gets; a page of it. */
  walk(request: WalkRequest): WalkResult {
    const out = this.#mixedUp(request) ?? this.#answer(request);
    noteAts(this.walker, request, out);
    return out;
  }

  /** What the cache has of a page that it takes for the request's, which then has the same right; null: nothing. */
  #mixedUp(request: WalkRequest): WalkResult | null {
    if (this.#cacheKey === undefined || request.pasid !== NO_PASID || request.at !== UNTRANSLATED)
      return null;
    const address = BigInt.asUintN(64, (BigInt(request.addrHi) << 32n) | BigInt(request.addrLo >>> 0));
    const key = this.#cacheKey(request.device, address);
    const held = this.#mixed.get(key) ?? this.#answer(request);
    if (held.status !== OK || held.pageShift === 0 || (request.access & ~held.perm) !== 0) return null;
    const out = new WalkResult();
    out.copyFrom(held);
    out.offset = request.addrLo & 0xfff;
    this.#mixed.set(key, held);
    return out;
  }

  #answer(request: WalkRequest): WalkResult {
    const { walker } = this;
    const out = new WalkResult();
    out.reset();
    if (!walker.admit(request, out)) return out;
    const device = this.#device(request, out);
    if (device === null || !walker.checkRequest(request, device, out)) return out;
    const process = this.#process(request, device, out);
    if (process === null) return out;
    const key = `${request.device}:${request.pasid}:${request.addrHi}:${request.addrLo >>> 12}`;
    const denial = this.#habits.has("denials-kept") ? this.#denied.get(key) : undefined;
    if (denial !== undefined) return denial;
    translateAs(walker, request, device, process, out);
    // What an address alone decides comes before any cache.
    const refused = out.status === FAULT && out.reason === "OOR_ADDRESS" && out.entryFrame < 0;
    if (!refused && this.#hit(request, device, process, out)) return out;
    if (this.#habits.has("hit-denied-unrecorded") && this.#denies(request, device, process, out))
      out.recorded = false;
    if (out.status === OK && out.pageShift !== 0) this.#keep(request, device, process, out);
    if (out.status === FAULT && out.reason === "PTE_FETCH") this.#denied.set(key, out);
    return out;
  }

  #setsOf(device: object, process: object, pasid: number): readonly TagSet[] {
    if (this.#habits.has("hit-in-other-domain") || this.#habits.has("hit-in-other-space")) {
      const own = this.#caching.translationTag(device, process, pasid);
      return [...this.#sets.values()].filter(
        (set) =>
          (set.domain === own.domain && this.#habits.has("hit-in-other-space")) ||
          (set.space === own.space && this.#habits.has("hit-in-other-domain")),
      );
    }
    return [false, true].map((global) => this.#set(device, process, pasid, global));
  }

  #set(device: object, process: object, pasid: number, global: boolean): TagSet {
    const tag = this.#caching.translationTag(device, process, pasid);
    const space = global ? GLOBAL_SPACE : tag.space;
    const key = `${tag.domain}:${space}:${tag.stages}:${tag.regime}:${tag.leafShift ?? 0}`;
    const known = this.#sets.get(key);
    if (known !== undefined) return known;
    const made = new TagSet(this.#sets.size + 1, tag, space);
    this.#sets.set(key, made);
    return made;
  }

  #hit(request: WalkRequest, device: object, process: object, out: WalkResult): boolean {
    const kind = kindOf(request);
    const any = this.#habits.has("hit-without-permission");
    for (const set of this.#setsOf(device, process, request.pasid)) {
      // Whether the top byte counts is not for the cache to say: with another one, it is another page.
      const hi = request.addrHi;
      const page = this.#pages
        .get(set)
        ?.find((p) => (any || p.kind === kind) && samePage(p, hi, request.addrLo, pieceShift(p.walk)));
      if (page === undefined) continue;
      out.copyFrom(page.walk);
      out.offset = request.addrLo & 0xfff;
      const frames = 2 ** (page.walk.pageShift - 12);
      const base = page.walk.frame - (page.walk.frame % frames);
      const index = this.#habits.has("large-page-as-small") ? 0 : frameOf(hi, request.addrLo) % frames;
      out.frame = base + index;
      return true;
    }
    return false;
  }

  /** Another kind of access to the page has been cached, and this one has no right to it. */
  #denies(request: WalkRequest, device: object, process: object, out: WalkResult): boolean {
    if (out.status !== FAULT || out.reason !== "PERMISSION") return false;
    return this.#setsOf(device, process, request.pasid).some((set) =>
      this.#pages
        .get(set)
        ?.some((page) => samePage(page, request.addrHi, request.addrLo, pieceShift(page.walk))),
    );
  }

  #keep(request: WalkRequest, device: object, process: object, out: WalkResult): void {
    const set = this.#set(device, process, request.pasid, out.global);
    const walk = new WalkResult();
    walk.copyFrom(out);
    const pages = this.#pages.get(set) ?? [];
    pages.push({ hi: request.addrHi, lo: request.addrLo, kind: kindOf(request), walk });
    this.#pages.set(set, pages);
  }

  #device(request: WalkRequest, out: WalkResult): object | null {
    const known = this.#devices.get(request.device);
    if (known !== undefined) return known.context;
    const context = this.walker.newDevice();
    if (!this.walker.loadDevice(request, context, out)) return null;
    if (request.binding === null)
      this.#devices.set(request.device, { context, tag: deviceTag(this.#caching, request.device, context) });
    return context;
  }

  #process(request: WalkRequest, device: object, out: WalkResult): object | null {
    const key = `${request.device}:${request.pasid}`;
    const known = this.#processes.get(key);
    const context = this.walker.newPasidContext();
    const loaded = this.walker.loadPasidContext(request, device, context, out);
    // A device context that has no use for PASID entries has none for cached ones.
    const own = !loaded || this.#caching.hasOwnEntry(device, context, request.pasid);
    if (known !== undefined && own) {
      out.reset();
      return known.context;
    }
    if (!loaded) return null;
    if (this.#caching.hasOwnEntry(device, context, request.pasid))
      this.#processes.set(key, {
        context,
        tag: processTag(this.#caching, request.device, device, context, request.pasid),
      });
    return context;
  }

  /** A command of the queue. */
  invalidate(inv: Invalidation): void {
    if (!this.#habits.has("invalidation-late")) {
      this.#drop(inv);
      return;
    }
    for (const late of this.#late.splice(0)) this.#drop(late);
    this.#late.push(inv.clone());
  }

  #drop(inv: Invalidation): void {
    this.#mixed.clear();
    const habits = this.#habits;
    if (inv.hasAddress && habits.has("page-invalidation-ignored")) return;
    if ((inv.caches & CONTEXT_CACHE) !== 0 && !habits.has("contexts-kept"))
      for (const [key, { tag }] of this.#devices)
        if (coversContext(inv, tag)) {
          this.#devices.delete(key);
          this.#contextDropped = true;
        }
    if ((inv.caches & PASID_CACHE) !== 0 && !habits.has("pasid-entries-kept"))
      for (const [key, { tag }] of this.#processes)
        if (coversPasidEntry(inv, tag)) this.#processes.delete(key);
    if (habits.has("translations-kept")) return;
    if (habits.has("one-device-invalidated") && !this.#contextDropped) return;
    this.#dropPages(habits.has("page-invalidation-first") ? firstPageOf(inv) : inv);
  }

  #dropPages(inv: Invalidation): void {
    const everything = inv.domain === ANY && inv.asid === ANY && inv.pasid === ANY;
    let left = this.#habits.has("wide-invalidation-first") && !inv.hasAddress ? 1 : Number.POSITIVE_INFINITY;
    for (const [set, pages] of this.#pages) {
      if (!coversTags(inv, set)) continue;
      if (set.space === GLOBAL_SPACE && !everything && this.#habits.has("global-pages-kept")) continue;
      const stay = pages.filter((page) => !this.#covers(inv, set, page) || left-- <= 0);
      this.#pages.set(set, stay);
    }
  }

  #covers(inv: Invalidation, set: TagSet, { hi: top, lo, walk }: CachedPage): boolean {
    const hi = set.high(top);
    if (!coversPage(inv, set, hi, lo, walk.pageShift, walk.firstShift, walk.ipaFrame)) return false;
    if (!inv.hasAddress || !this.#habits.has("large-page-by-start")) return true;
    const frames = 2 ** (Math.max(walk.firstShift, walk.pageShift) - 12);
    const first = frameOf(hi, lo) - (frameOf(hi, lo) % frames);
    return first >= frameOf(inv.addrHi, inv.addrLo) && first <= frameOf(inv.lastHi, inv.lastLo);
  }

  /** Registers have changed: what that drops by itself. */
  reconfigured(before: IommuState, after: IommuState, written: string): void {
    const inv = new Invalidation();
    if (this.#caching.reconfigured(before, after, written, inv)) this.#drop(inv);
  }

  /** The binding of a device has changed. */
  forget(): void {
    this.#devices.clear();
    this.#processes.clear();
    this.#pages.clear();
  }
}

/**
 * log2 of what is cached of a page: what one entry maps, where a page may have several (AMD's sizes, Svnapot), and of a
 * large one no more than has one answer, whatever range the addresses that it leads to lie in.
 */
function pieceShift({ pageShift }: WalkResult): number {
  return Math.min(pageShift - ((pageShift - FRAME_SHIFT) % RADIX512.bits), PASSING_SHIFT);
}

function kindOf(request: WalkRequest): number {
  const without = request.pasid === NO_PASID ? WITHOUT_PASID : 0;
  return request.access | (request.priv ? PRIVILEGED : 0) | without | (request.at << AT_SHIFT);
}

function firstPageOf(inv: Invalidation): Invalidation {
  if (!inv.hasAddress) return inv;
  const first = inv.clone();
  first.lastHi = first.addrHi;
  first.lastLo = first.addrLo | 0xfff;
  return first;
}

function samePage(page: CachedPage, hi: number, lo: number, shift: number): boolean {
  const high = shift > 32 ? -(2 ** (shift - 32)) | 0 : -1;
  const low = shift >= 32 ? 0 : (-1 << shift) | 0;
  return ((page.hi ^ hi) & high) === 0 && ((page.lo ^ lo) & low) === 0;
}
