import type { CacheName } from "../../../walkers/advice.ts";
import type { Fault, FaultReason } from "../../../walkers/fault.ts";
import { FAULT, OK, type WalkResult } from "../../../walkers/result.ts";
import type { RootChange } from "./root-changes.ts";
import type { Change } from "./versioned-memory.ts";

/** What an entry answers to a request: a copy, since walk results are reused. */
export interface StaleAnswer {
  /** OK, FAULT or MSI. */
  readonly status: number;
  /** ok: where the request's first byte of the page goes. */
  readonly frame: number;
  /** ok: log2 of what it maps; 0 where nothing was translated. */
  readonly pageShift: number;
  /** As in WalkResult: of whom the translation is. */
  readonly domain: number;
  readonly asid: number;
  readonly fault: Fault | null;
  readonly reason: FaultReason;
  /** The specification says that the fault writes a record. */
  readonly recorded: boolean;
}

export function staleAnswer(walk: WalkResult): StaleAnswer {
  const { status, frame, pageShift, domain, asid, fault, reason, recorded } = walk;
  return {
    status,
    frame: status === OK ? frame : -1,
    pageShift,
    domain,
    asid,
    fault: status === FAULT ? fault : null,
    reason,
    recorded,
  };
}

/** What a stale answer came from, for the finding about it. */
export interface StaleSource {
  /** Which cache would hold it. */
  readonly cache: CacheName;
  /** What it answers. */
  readonly answer: StaleAnswer;
  /** Tick since when it is out of date. */
  readonly filled: number;
  /** The change of memory that the cache does not know of; null where it is not known any more. */
  readonly change: Change | null;
  /** Where memory has not changed: the register that says where the tables are, and has; else null. */
  readonly root: RootChange | null;
  /** The context that it was made through is gone, by an invalidation that did not cover what it translated. */
  readonly left: boolean;
  /** Device whose context or PASID entry has changed; absent: a page table has, or that of the request's device. */
  readonly from?: number | undefined;
  /** What was made of both stages has been dropped; what the second stage says, which has changed, may be held by itself. */
  readonly secondStage?: boolean;
  /** Tags of the entry, as in `TranslationTag`. */
  readonly domain: number;
  readonly space: number;
  readonly regime: number;
  readonly stages: number;
  /** Input address as the entry has it: high half. */
  readonly addrHi: number;
  /** Low half, of the request's first byte of the page. */
  readonly addrLo: number;
  /** Frame of the intermediate address that a stale second stage is about; -1 where both stages are not in use. */
  readonly ipaFrame: number;
  /** An invalidation that covers it has been issued, and has not completed; or may have been and is forgotten. */
  readonly invalidationPending: boolean;
  /** An invalidation that covers it stands behind a command at which the queue has stopped, and none took effect before. */
  readonly behindStop: boolean;
  /** Whether an invalidation that was issued from a tick on, and has taken effect, covers it, or may. */
  readonly coveredSince: (tick: number) => boolean;
  /** Whether nothing has invalidated it yet. */
  readonly valid: () => boolean;
}

/**
 * Whether what an invalidation has covered may be held all the same: it stands behind a command at which the queue has stopped, or
 * the change that is not shown came later.
 */
export function mayBeHeld({ behindStop, change, coveredSince }: StaleSource): boolean {
  return behindStop || (change !== null && !coveredSince(change.time));
}

/** Whether two entries are stale for the same change. */
export function sameProblem(a: StaleSource, b: StaleSource): boolean {
  if (a.change === null || b.change === null) return a.change === b.change && a.root === b.root;
  const { time, frame, offset } = a.change;
  return time === b.change.time && frame === b.change.frame && offset === b.change.offset;
}
