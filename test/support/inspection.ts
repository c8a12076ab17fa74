/**
 * Enumerates an address space with the range walk, and holds what it finds against walks of single addresses through an
 * engine of their own.
 */

import { Budget } from "../../pipeline/inspect/budget.ts";
import { END, FAULTY, PAGES, PAUSE, RangeWalk, SPENT } from "../../pipeline/inspect/range-walk.ts";
import { ReadTrail } from "../../pipeline/inspect/read-trail.ts";
import { WalkEngine } from "../../walkers/engine.ts";
import type { Fault } from "../../walkers/fault.ts";
import type { AddressSpace } from "../../walkers/page-tables/address-space.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { type Binding, EXECUTE, NO_PASID, READ, WalkRequest, WRITE } from "../../walkers/request.ts";
import { OK, WalkResult } from "../../walkers/result.ts";
import type { IommuWalker } from "../../walkers/walker.ts";

/** Whose requests to enumerate. */
export interface Requester {
  readonly walker: IommuWalker;
  readonly device: number;
  readonly pasid?: number;
  readonly binding?: Binding;
}

interface FoundRange {
  readonly faulty: boolean;
  readonly frame: number;
  readonly frames: number;
  readonly output: number;
  readonly perm: number;
  readonly pageShift: number;
  readonly pages: number;
  readonly privileged: boolean;
  readonly fault: Fault | null;
  readonly reason: string;
  readonly stage: number;
}

export interface Enumeration {
  readonly space: AddressSpace;
  readonly ranges: readonly FoundRange[];
  /** Whether it came to the end of the address space. */
  readonly complete: boolean;
  /** First frame of which nothing is known. */
  readonly position: number;
  readonly walks: number;
}

const KINDS = [READ, WRITE, EXECUTE];

function requestOf({ device, pasid, binding }: Requester): WalkRequest {
  const request = new WalkRequest();
  request.device = device;
  request.pasid = pasid ?? NO_PASID;
  request.binding = binding ?? null;
  return request;
}

/** @param walks at most this many */
export function enumerate(who: Requester, walks = 1_000_000, from = 0): Enumeration {
  const { walker } = who;
  const request = requestOf(who);
  const device = walker.newDevice();
  const process = walker.newPasidContext();
  const out = new WalkResult();
  const loaded =
    walker.loadDevice(request, device, out) &&
    walker.checkRequest(request, device, out) &&
    walker.loadPasidContext(request, device, process, out);
  if (!loaded) throw new Error(`no context: ${out.fault?.name}`);
  const space = VENDORS[walker.model].enumeration(walker).space(device, process, who.pasid !== undefined);
  const trail = new ReadTrail();
  const budget = new Budget(walks);
  walker.tables.observer = trail;
  const walk = new RangeWalk(walker, request, device, process, space, trail, budget, from);
  const ranges: FoundRange[] = [];
  let kind = walk.next();
  for (; kind !== END && kind !== SPENT; kind = walk.next())
    if (kind !== PAUSE) ranges.push(found(walk, kind));
  walker.tables.observer = null;
  return { space, ranges, complete: kind === END, position: walk.position, walks: budget.spent };
}

function found(walk: RangeWalk, kind: number): FoundRange {
  const { frame, frames, output, perm, pageShift, pages, privileged } = walk;
  const fault = kind === FAULTY ? walk.fault.fault : null;
  const reason = kind === FAULTY ? walk.fault.reason : "";
  const stage = kind === FAULTY ? walk.fault.stage : 0;
  return {
    faulty: kind !== PAGES,
    frame,
    frames,
    output,
    perm,
    pageShift,
    pages,
    privileged,
    fault,
    reason,
    stage,
  };
}

/** What the walker says of one frame: the first kind of request that it lets pass, or why it lets an ordinary read not. */
class Oracle {
  readonly #engine: WalkEngine;
  readonly #request: WalkRequest;
  readonly #denial = new WalkResult();

  constructor(who: Requester) {
    this.#engine = new WalkEngine(who.walker);
    this.#request = requestOf(who);
  }

  walk(frame: number): { result: WalkResult; privileged: boolean } {
    const request = this.#request;
    request.addrHi = Math.floor(frame / 2 ** 20) | 0;
    request.addrLo = Number((BigInt(frame) << 12n) & 0xffff_ffffn) | 0;
    for (const privileged of request.pasid === NO_PASID ? [false] : [false, true])
      for (const access of KINDS) {
        request.access = access;
        request.priv = privileged;
        const result = this.#engine.walk(request);
        if (result.status === OK) return { result, privileged };
        if (access === READ && !privileged) this.#denial.copyFrom(result);
      }
    return { result: this.#denial, privileged: false };
  }
}

/**
 * Every range, and every gap between ranges, against the oracle: at its ends and at some frames inside. Neighbours that
 * could have been merged are an error, too.
 * @param random integers from 0 to n - 1
 */
export function agree(who: Requester, found: Enumeration, random: (n: number) => number): void {
  const oracle = new Oracle(who);
  const { ranges, space } = found;
  let free = 0;
  ranges.forEach((range, i) => {
    checkRange(oracle, range, random);
    if (range.frame > free) checkGap(oracle, space, free, range.frame, random);
    free = range.frame + range.frames;
    const before = ranges[i - 1];
    if (before === undefined) return;
    const where = () => `range at ${hex(range.frame)}`;
    same(before.frame + before.frames <= range.frame, true, where);
    if (before.frame + before.frames === range.frame) same(mergeable(before, range), false, where);
  });
  const end = found.complete ? 2 ** 52 : found.position;
  if (end > free) checkGap(oracle, space, free, end, random);
}

function checkRange(oracle: Oracle, range: FoundRange, random: (n: number) => number): void {
  for (const at of samples(range.frames, random)) {
    const { result, privileged } = oracle.walk(range.frame + at);
    const where = () => `frame ${hex(range.frame + at)} of the range at ${hex(range.frame)}`;
    if (range.faulty) {
      const expected = `${range.fault?.name} ${range.reason} stage ${range.stage}`;
      same(`${result.fault?.name} ${result.reason} stage ${result.stage}`, expected, where);
      continue;
    }
    same(result.status === OK ? "ok" : result.fault?.name, "ok", where);
    same(result.frame, range.output + at, where);
    same(result.perm, range.perm, where);
    same(result.pageShift, range.pageShift, where);
    same(privileged, range.privileged, where);
  }
}

/** Throws where two values differ: `expect` would take most of the time of these tests. */
function same(found: unknown, expected: unknown, where: () => string): void {
  if (found !== expected) throw new Error(`${where()}: expected ${expected}, found ${found}`);
}

function hex(frame: number): string {
  return `0x${frame.toString(16)}`;
}

/** In a gap no request passes; inside the regions of the space because an entry is not present, or by decree. */
function checkGap(
  oracle: Oracle,
  space: AddressSpace,
  from: number,
  to: number,
  random: (n: number) => number,
): void {
  for (const at of samples(to - from, random)) {
    const frame = from + at;
    const { result } = oracle.walk(frame);
    const where = () => `frame ${hex(frame)} in the gap from ${hex(from)}`;
    same(result.status === OK, false, where);
    const inside = space.regions.some((region) => frame >= region.from && frame < region.to);
    if (inside && result.entryFrame >= 0) same(result.reason, "PTE_FETCH", where);
  }
}

function samples(frames: number, random: (n: number) => number): Set<number> {
  const inside = Array.from({ length: 3 }, () => Math.floor((frames * random(2 ** 20)) / 2 ** 20));
  // Faults often end at multiples of a table's span: look there as well.
  const near = [512, 2 ** 18].filter((n) => n < frames);
  return new Set([0, frames - 1, ...inside, ...near, ...near.map((n) => frames - 1 - n)]);
}

function mergeable(a: FoundRange, b: FoundRange): boolean {
  if (a.faulty || b.faulty)
    return a.faulty && b.faulty && a.fault === b.fault && a.reason === b.reason && a.stage === b.stage;
  return (
    a.output + a.frames === b.output &&
    a.perm === b.perm &&
    a.pageShift === b.pageShift &&
    a.privileged === b.privileged
  );
}
