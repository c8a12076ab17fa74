import type { CacheName } from "../../../walkers/advice.ts";
import type { RootChange } from "./root-changes.ts";
import type { Change } from "./versioned-memory.ts";

/** What a stale answer came from, for the finding about it. */
export interface StaleSource {
  /** Which cache would hold it. */
  readonly cache: CacheName;
  /** Tick since when it is out of date. */
  readonly filled: number;
  /** The change of memory that the cache does not know of; null where it is not known any more. */
  readonly change: Change | null;
  /** Where memory has not changed: the register that says where the tables are, and has; else null. */
  readonly root: RootChange | null;
  /** The context that it was made through is gone, by an invalidation that did not cover what it translated. */
  readonly left: boolean;
  /** Tags of the entry, as in `TranslationTag`. */
  readonly domain: number;
  readonly space: number;
  readonly regime: number;
  readonly stages: number;
  /** Input address as the entry has it: high half. */
  readonly addrHi: number;
  /** Frame of the intermediate address that a stale second stage is about; -1 where both stages are not in use. */
  readonly ipaFrame: number;
  /** An invalidation that covers it has been issued, and has not completed; or may have been and is forgotten. */
  readonly invalidationPending: boolean;
  /** Whether nothing has invalidated it yet. */
  readonly valid: () => boolean;
}
