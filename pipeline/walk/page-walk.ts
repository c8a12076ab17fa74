import type { WalkEngine } from "../../walkers/engine.ts";
import type { DecodedField, Layout } from "../../walkers/layout.ts";
import { WalkRequest } from "../../walkers/request.ts";
import { NO_LEVEL, WalkResult } from "../../walkers/result.ts";
import type { WalkObserver } from "../../walkers/table-reader.ts";
import { byteAddress, joined } from "../../walkers/word64.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import { Outcome } from "../iommus/outcome.ts";
import { type Walks, walkRequest } from "../iommus/request-walk.ts";

/** One structure that a walk read. */
export interface WalkStep {
  /** Counts from 0 over the whole request, in the order of the reads. */
  readonly index: number;
  readonly layout: Layout;
  /** Physical address of the structure. */
  readonly address: bigint;
  /** Its 64-bit words (one 32-bit word where it has four bytes), lowest address first; null: not in recorded memory. */
  readonly words: readonly bigint[] | null;
  readonly fields: readonly DecodedField[];
  /** Bit numbers that the declaration leaves reserved and that are set nevertheless. */
  readonly reservedSet: readonly number[];
  /** 1 or 2 for a page-table entry, 0 for a context or PASID structure. */
  readonly stage: number;
  /** Page-table level by the specification's own count; undefined for other structures. */
  readonly level: number | undefined;
  readonly littleEndian: boolean;
  /** The second-stage walk that gave this structure's address. */
  readonly through: readonly WalkStep[];
}

/** The walk of one page of a request. */
export interface PageWalk {
  /** The input address walked: the request's own, or the first one of a later page. */
  readonly address: bigint;
  /** Contexts, PASID structures and page-table entries, each with the second-stage walk that led to it. */
  readonly steps: readonly WalkStep[];
  /**
   * The second-stage walk after the last of `steps`: of the first stage's output, or of a fetch that never came
   * about because this walk faulted.
   */
  readonly last: readonly WalkStep[];
  /** What this page came to; a copy. */
  readonly result: WalkResult;
  /** Pages of the request just before this one that are left out: a request may have a million. */
  readonly skipped: number;
}

/** Pages of one request that are taken down: the first ones, and the last one walked. */
const MAX_PAGES = 64;

/**
 * Walks a request with nothing cached and takes down every structure that it reads, page by page: of its first
 * 63 pages, and of the last one, where it ends or faults.
 *
 * @param request as for `walkRequest`
 * @param bytes length of the request
 */
export function inspectRequest(unit: IommuUnit, request: WalkRequest, bytes: number): PageWalk[] {
  const walks = new RecordedWalks(unit.engine);
  walkRequest(walks, request, bytes, new Outcome());
  return walks.finish();
}

/** The walks of a request's pages, by an engine that has forgotten all, with everything that they read. */
export class RecordedWalks implements Walks {
  readonly #engine: WalkEngine;
  readonly #recorder = new StepRecorder();
  readonly #pages: PageWalk[] = [];
  /** Pages since the last one that was taken down; the latest of them. */
  #skipped = 0;
  readonly #latest = new WalkRequest();

  constructor(engine: WalkEngine) {
    this.#engine = engine;
  }

  walk(page: WalkRequest): WalkResult {
    if (this.#pages.length < MAX_PAGES - 1) return this.#record(page);
    this.#skipped++;
    Object.assign(this.#latest, page);
    return this.#afresh(page);
  }

  /** The pages that were taken down, in order. */
  finish(): PageWalk[] {
    if (this.#skipped > 0) this.#record(this.#latest);
    return this.#pages;
  }

  #record(page: WalkRequest): WalkResult {
    const { tables } = this.#engine.walker;
    const address = joined(page.addrHi, page.addrLo);
    tables.observer = this.#recorder;
    try {
      const walked = this.#afresh(page);
      const result = new WalkResult();
      result.copyFrom(walked);
      const skipped = Math.max(this.#skipped - 1, 0);
      this.#pages.push({ address, ...this.#recorder.take(), result, skipped });
      return walked;
    } finally {
      tables.observer = null;
    }
  }

  #afresh(page: WalkRequest): WalkResult {
    this.#engine.drop();
    return this.#engine.walk(page);
  }
}

/**
 * Sorts the reads of nested walks: a second-stage walk comes before the fetch that it is for, so its entries wait
 * until a structure of another stage is read.
 */
class StepRecorder implements WalkObserver {
  #next = 0;
  #steps: WalkStep[] = [];
  #waiting: WalkStep[] = [];

  entry(
    layout: Layout,
    frame: number,
    offset: number,
    view: DataView | null,
    at: number,
    stage: number,
    level: number,
    littleEndian: boolean,
  ): void {
    const step: WalkStep = {
      index: this.#next++,
      layout,
      address: byteAddress(frame, offset),
      words: view === null ? null : layout.words(view, at, littleEndian),
      fields: view === null ? [] : layout.decode(view, at, littleEndian),
      reservedSet: view === null ? [] : layout.reservedSet(view, at, littleEndian),
      stage,
      level: level === NO_LEVEL ? undefined : level,
      littleEndian,
      through: stage === 2 ? [] : this.#waiting,
    };
    if (stage === 2) {
      this.#waiting.push(step);
      return;
    }
    this.#waiting = [];
    this.#steps.push(step);
  }

  /** What came since the last call. */
  take(): { steps: WalkStep[]; last: WalkStep[] } {
    const taken = { steps: this.#steps, last: this.#waiting };
    this.#steps = [];
    this.#waiting = [];
    return taken;
  }
}
