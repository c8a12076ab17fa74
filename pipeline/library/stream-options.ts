import { problemOf } from "../caches/iotlb-simulation.ts";
import { FILTER_WORDS, type FilterWords } from "../filter/filter-words.ts";
import { DIFFERENCES } from "../iommus/outcome.ts";
import { SELECTIONS, type SelectionName } from "../output/selection.ts";
import { DEFAULT_OPTIONS, type ReplayOptions } from "../replay/options.ts";
import { PA_GRANULARITIES } from "../verdicts/pa-granularity.ts";
import { LibraryError, unknownName } from "./library-error.ts";

/**
 * As `ReplayOptions`, all optional; `only` takes the names of `--only`, and [] writes no outcome at all; `filter` takes
 * the words of `--dev`, `--pasid` and so on.
 */
export type StreamOptions = Partial<Omit<ReplayOptions, "only" | "filter">> & {
  readonly only?: readonly SelectionName[];
  readonly filter?: FilterWords;
};

/** Says what is wrong with an option's value: expected and found. */
type OptionCheck = (name: string, value: unknown) => void;

const CHECKS: Readonly<Record<keyof ReplayOptions, OptionCheck>> = {
  directory: text,
  allowPaths: (name, value) => {
    for (const path of array(name, value, "an array of paths")) text(name, path);
  },
  maxLineBytes: checkBytes,
  snapshotCacheBytes: checkBytes,
  memoryLimit: checkBytes,
  strict: flag,
  caches: flag,
  findings: flag,
  fast: flag,
  restartsRecorded: flag,
  stats: flag,
  threads: (name, value) => {
    if (value !== 1 && value !== 2 && value !== "auto") throw refused(name, '1, 2 or "auto"', value);
  },
  iotlb: (name, value) => {
    for (const geometry of array(name, value, "an array of { entries, ways }")) {
      const problem = isObject(geometry) ? problemOf(geometry as never) : `expected { entries, ways }`;
      if (problem !== undefined) throw new LibraryError("argument", `${name}: ${problem}`);
    }
  },
  only: (name, value) => {
    for (const selection of array(name, value, "an array of names"))
      if (typeof selection !== "string" || !Object.hasOwn(SELECTIONS, selection))
        throw unknownName(name, Object.keys(SELECTIONS), selection);
  },
  compare: oneOf(DIFFERENCES),
  paGranularity: oneOf(PA_GRANULARITIES),
  codeAliases: (name, value) => {
    const aliases = value instanceof Map ? [...value] : undefined;
    if (!aliases?.every(([code, others]) => typeof code === "number" && others instanceof Set))
      throw refused(name, "a Map from a code to a Set of those that stand for it", value);
  },
  filter: (name, value) => {
    if (!isObject(value)) throw refused(name, "an object of words", value);
    for (const [word, given] of Object.entries(value as object)) {
      if (!Object.hasOwn(FILTER_WORDS, word)) throw unknownName(name, Object.keys(FILTER_WORDS), word);
      for (const item of [given].flat()) if (item !== undefined) text(`${name}.${word}`, item);
    }
  },
  trace: text,
};

/**
 * Options that would otherwise be as if nothing had been said, or mean something else: callers without a compiler make
 * mistakes, too.
 * @throws LibraryError
 */
export function checkOptions(options: StreamOptions): void {
  if (!isObject(options)) throw refused("options", "an object", options);
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(CHECKS, name)) throw unknownName("options", Object.keys(DEFAULT_OPTIONS), name);
    if (value !== undefined) CHECKS[name as keyof ReplayOptions](name, value);
  }
}

function refused(name: string, expected: string, found: unknown): LibraryError {
  const shown = typeof found === "number" ? `${found}` : (JSON.stringify(found) ?? typeof found);
  return new LibraryError("argument", `${name}: expected ${expected}, found ${shown}`);
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

function text(name: string, value: unknown): void {
  if (typeof value !== "string") throw refused(name, "a string", value);
}

function flag(name: string, value: unknown): void {
  if (typeof value !== "boolean") throw refused(name, "true or false", value);
}

/** A number of bytes that arithmetic on it keeps exact. */
export function checkBytes(name: string, value: unknown, least = 1): void {
  if (!(typeof value === "number" && value >= least && value <= Number.MAX_SAFE_INTEGER))
    throw refused(name, "a number of bytes", value);
}

function array(name: string, value: unknown, expected: string): readonly unknown[] {
  if (!Array.isArray(value)) throw refused(name, expected, value);
  return value;
}

function oneOf(names: readonly string[]): OptionCheck {
  return (name, value) => {
    if (!(names as readonly unknown[]).includes(value)) throw unknownName(name, names, value);
  };
}
