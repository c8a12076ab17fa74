import { MAX_LINE_BYTES } from "../../parsers/trace/reader.ts";
import type { IotlbGeometry } from "../caches/iotlb-simulation.ts";
import type { ReplayFilter } from "../filter/replay-filter.ts";
import type { Difference } from "../iommus/outcome.ts";
import { type Selection, selectionOf } from "../output/selection.ts";
import { type CodeAliases, NO_ALIASES } from "../verdicts/comparison.ts";
import type { PaGranularity } from "../verdicts/pa-granularity.ts";

export interface ReplayOptions {
  /** Folder that `snapshot` paths are resolved in, and may not leave. */
  readonly directory: string;
  /** Further folders or files that a `snapshot` may be in. */
  readonly allowPaths: readonly string[];
  /** Longest line of the trace, in bytes; a longer one is an error record. */
  readonly maxLineBytes: number;
  /** A record with a name that the contract does not know is an error. */
  readonly strict: boolean;
  /** Bytes of a snapshot's file that are kept in memory. */
  readonly snapshotCacheBytes: number;
  /** Keep track of what the recorded caches may hold, for the verdicts `stale`, … and `hazard`. */
  readonly caches: boolean;
  /** Bytes that keeping track may take; past it the oldest entries go. */
  readonly memoryLimit: number;
  /** IOTLBs to simulate, for their hit rates; where caches are kept track of. */
  readonly iotlb: readonly IotlbGeometry[];
  /** Look for findings. */
  readonly findings: boolean;
  /** How deep to compare with `observed`. */
  readonly compare: Difference;
  readonly paGranularity: PaGranularity;
  /** Fault codes of the recorded system that stand for one of the specification, by the latter. */
  readonly codeAliases: CodeAliases;
  readonly only: Selection;
  /**
   * Take what a request like one before comes to from that one. Without it, every request is walked, noted and judged by
   * itself, and says the same.
   */
  readonly fast: boolean;
  /** How many threads work on it: a second one reads and scans ahead. "auto": two where it pays. What comes out is the same. */
  readonly threads: 1 | 2 | "auto";
  /** A queue that has stopped is restarted by registers of the trace alone; else a right answer shows it as well. */
  readonly restartsRecorded: boolean;
  /** Which requests and findings there are, for the output and all counts; null: all. Of one replay alone. */
  readonly filter: ReplayFilter | null;
  /** Write `stats` and `summary`. */
  readonly stats: boolean;
  /** Name of the trace in its records, where several are replayed one after another. */
  readonly trace: string | undefined;
}

const MEBIBYTE = 2 ** 20;

export const DEFAULT_OPTIONS: ReplayOptions = {
  directory: ".",
  allowPaths: [],
  maxLineBytes: MAX_LINE_BYTES,
  strict: false,
  snapshotCacheBytes: 48 * MEBIBYTE,
  caches: true,
  iotlb: [],
  findings: true,
  memoryLimit: 1024 * MEBIBYTE,
  compare: "record",
  paGranularity: "exact",
  codeAliases: NO_ALIASES,
  only: selectionOf(undefined),
  fast: process.env.PASID_REPLAY_FAST !== "0",
  threads: 1,
  restartsRecorded: false,
  filter: null,
  stats: true,
  trace: undefined,
};
