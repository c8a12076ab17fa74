import type { DmaRecord, TraceNames } from "../../parsers/trace/records.ts";
import { FRAME_SHIFT, frameOf } from "../../walkers/memory.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import { addressText } from "../../walkers/word64.ts";
import type { StaleSource } from "../caches/history/stale-source.ts";
import type { VersionedMemory } from "../caches/history/versioned-memory.ts";
import type { FindingPlace } from "../filter/replay-filter.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Route } from "../iommus/iommus.ts";
import type { Analysis, Showing } from "./analysis.ts";
import { CACHE_RULES } from "./cache-rules.ts";
import type { Findings } from "./findings.ts";
import { spelledDevice } from "./spelled-device.ts";
import { type StaleChange, staleChange } from "./stale-change.ts";

/** Problems that are followed at a time; past it the oldest are reported as they stand. */
const MAX_OPEN = 1 << 10;

/** What becomes of a problem. */
const RULES = ["missing-invalidation", "late-invalidation"] as const;
/** Entries that are followed of one problem: a change may be one of several caches, tags and pages. */
const MAX_SOURCES = 8;

interface Source {
  readonly staleSource: StaleSource;
  readonly change: StaleChange;
}

/** An entry that was changed, and that requests have used since without an invalidation in between. */
interface Problem {
  readonly unit: IommuUnit;
  readonly key: string;
  readonly sources: Source[];
  readonly dev: string;
  readonly pasid: number;
  /** Where the page is that the first of them used. */
  readonly place: FindingPlace;
  /** Line of the first request that could see the old entry, or that its page was reused in; how many requests there were. */
  firstLine: number;
  /** Line of the last of them. */
  lastLine: number;
  requests: number;
  /** Of these, how many the old entry has answered, and how many have no recorded answer. */
  answered: number;
  unobserved: number;
  /** Line of the record that mapped its memory elsewhere, and what it did; 0: none. */
  reusedLine: number;
  reused: string;
  /** Line of the record that gave the entry a new value too early, and why that is; 0: none. */
  remadeLine: number;
  remade: string;
  /** Line of the first logged fault that the old entry explains; 0: none. */
  faultLine: number;
}

/**
 * Follows every changed entry that is used without an invalidation, to what becomes of it: one finding, at the latest
 * at the end of the trace, says whether the invalidation came after the use or never, and what of it was to be seen.
 */
export class OwedInvalidations implements Analysis {
  readonly #names: TraceNames;
  readonly #findings: Findings;
  readonly #memory: VersionedMemory;
  readonly #open = new Map<string, Problem>();

  constructor(names: TraceNames, findings: Findings, memory: VersionedMemory) {
    this.#names = names;
    this.#findings = findings;
    this.#memory = memory;
  }

  /** A request was, or could have been, answered from an entry that nothing has invalidated. */
  stale(
    line: number,
    { unit, names }: Route,
    record: DmaRecord,
    request: WalkRequest,
    staleSource: StaleSource,
    showing: Showing,
  ): void {
    if (staleSource.change === null && staleSource.root === null) return;
    const { addrHi, addrLo, len, at } = record;
    const place = { addrHi, addrLo, len, at };
    const problem = this.#follow(line, unit, names.device, request, staleSource, place);
    if (problem === null || problem.lastLine === line) return;
    if (problem.requests === 0) problem.firstLine = line;
    problem.lastLine = line;
    problem.requests++;
    if (showing === "answered") problem.answered++;
    else if (showing === "hazard") problem.unobserved++;
  }

  /**
   * The memory of a page that was taken away is mapped elsewhere, before the page is invalidated.
   * @param old a request for that page; changed
   * @param heir where it is now: "0x1000 of 00:03.0"
   */
  reused(line: number, unit: IommuUnit, old: WalkRequest, staleSource: StaleSource, heir: string): void {
    const dev = spelledDevice(this.#names, unit.model, old.device);
    const { addrHi, addrLo } = old;
    const problem = this.#follow(line, unit, dev, old, staleSource, { addrHi, addrLo, len: 1 });
    if (problem === null || problem.reusedLine !== 0) return;
    problem.reusedLine = line;
    const page = addressText(staleSource.answer.frame);
    problem.reused = `the page that it mapped, ${page}, was given to ${heir} in line ${line}`;
  }

  /** What a request is for: "0x1000 of 00:03.0, PASID 5". */
  placeOf(unit: IommuUnit, { device, pasid, addrHi, addrLo }: WalkRequest): string {
    const whose = `${spelledDevice(this.#names, unit.model, device)}${pasid < 0 ? "" : `, PASID ${pasid}`}`;
    return `${addressText(frameOf(addrHi, addrLo))} of ${whose}`;
  }

  /**
   * An entry takes a new value, before what it said has been invalidated.
   * @param request for the page; changed
   * @param why that is wrong
   */
  remade(line: number, unit: IommuUnit, request: WalkRequest, staleSource: StaleSource, why: string): void {
    const { addrHi, addrLo } = request;
    const dev = spelledDevice(this.#names, unit.model, request.device);
    const problem = this.#follow(line, unit, dev, request, staleSource, { addrHi, addrLo, len: 1 });
    if (problem === null || problem.remadeLine !== 0) return;
    problem.remadeLine = line;
    problem.remade = `the entry took a new value in line ${line}: ${why}`;
  }

  /** The problem that an entry is part of; null where it has been reported. */
  #follow(
    line: number,
    unit: IommuUnit,
    dev: string,
    request: WalkRequest,
    staleSource: StaleSource,
    place: FindingPlace,
  ): Problem | null {
    const key = keyOf(unit, staleSource);
    let problem = this.#open.get(key);
    if (problem === undefined) {
      if (RULES.some((rule) => this.#findings.has(CACHE_RULES[rule], key))) return null;
      problem = {
        unit,
        key,
        sources: [],
        dev,
        pasid: request.pasid,
        place,
        firstLine: line,
        lastLine: 0,
        requests: 0,
        answered: 0,
        unobserved: 0,
        faultLine: 0,
        reusedLine: 0,
        reused: "",
        remadeLine: 0,
        remade: "",
      };
      this.#open.set(key, problem);
      if (this.#open.size > MAX_OPEN) this.#leaveOldest(line);
    }
    const { sources } = problem;
    if (sources.length < MAX_SOURCES && !sources.some((known) => sameEntry(known.staleSource, staleSource)))
      sources.push({ staleSource, change: staleChange(unit, this.#memory, request, staleSource)! });
    return problem;
  }

  /** A logged fault is what the old entry of a problem gives. */
  explains(line: number, unit: IommuUnit, staleSource: StaleSource): void {
    const problem = this.#open.get(keyOf(unit, staleSource));
    if (problem !== undefined && problem.faultLine === 0) problem.faultLine = line;
  }

  #leaveOldest(line: number): void {
    for (const oldest of this.#open.values()) {
      this.#never(oldest, `by line ${line}`);
      return;
    }
  }

  /** An invalidation that comes now comes late. */
  invalidated(line: number, unit: IommuUnit): void {
    if (this.#open.size === 0) return;
    for (const problem of this.#open.values())
      if (problem.unit === unit && !problem.sources.some(isValid)) this.#late(line, problem);
  }

  /** A register may have dropped what was cached. */
  configured(line: number, unit: IommuUnit): void {
    this.invalidated(line, unit);
  }

  replaced(line: number): void {
    this.#close(`before the snapshot in line ${line}`);
  }

  finish(): void {
    this.#close("by the end of the trace");
  }

  #close(until: string): void {
    for (const problem of this.#open.values()) this.#never(problem, until);
  }

  #never(problem: Problem, until: string): void {
    const { change, staleSource } = problem.sources.find(isValid) ?? problem.sources[0]!;
    this.#report(problem.firstLine, problem, change, "missing-invalidation", {
      message: `${change.sentence} and ${change.uncovered}: it never came ${until}, and a cache may still hold the old one${staleSource.left ? "s" : ""}. ${seen(problem)}${change.expected}`,
    });
  }

  #late(line: number, problem: Problem): void {
    const { change } = problem.sources[0]!;
    this.#report(line, problem, change, "late-invalidation", {
      message: `${change.sentence}, and the invalidation that covers ${change.covered} came after the ${problem.requests > 0 ? "use" : problem.reusedLine > 0 ? "reuse" : "new value"}, in line ${line}. ${seen(problem)}${change.expected}${change.expected === "" ? "" : ` before line ${problem.firstLine}`}`,
      invalidated_line: line,
    });
  }

  #report(
    line: number,
    problem: Problem,
    change: StaleChange,
    rule: (typeof RULES)[number],
    details: { readonly message: string; readonly invalidated_line?: number },
  ): void {
    const { unit, key, dev, pasid, place, firstLine, requests, answered, faultLine, reusedLine, remadeLine } =
      problem;
    this.#open.delete(key);
    this.#findings.report(line, CACHE_RULES[rule], key, {
      iommu: unit.id,
      dev,
      pasid: pasid < 0 ? undefined : pasid,
      place,
      ...details,
      ...(isLatent(problem) ? { latent: true } : {}),
      ...(requests === 0 ? {} : { first_line: firstLine, requests }),
      ...(answered === 0 ? {} : { answered }),
      ...(faultLine === 0 ? {} : { fault_line: faultLine }),
      ...(reusedLine === 0 ? {} : { reused_line: reusedLine }),
      ...(remadeLine === 0 ? {} : { until_line: remadeLine }),
      ...change.fields,
    });
  }
}

function isValid({ staleSource }: Source): boolean {
  return staleSource.valid();
}

function sameEntry(a: StaleSource, b: StaleSource): boolean {
  return (
    a.cache === b.cache &&
    a.domain === b.domain &&
    a.space === b.space &&
    a.filled === b.filled &&
    a.addrHi === b.addrHi &&
    a.addrLo >>> FRAME_SHIFT === b.addrLo >>> FRAME_SHIFT
  );
}

/** All answers were recorded, and none of them shows it. */
function isLatent({ answered, unobserved, faultLine }: Problem): boolean {
  return answered === 0 && unobserved === 0 && faultLine === 0;
}

/** What could be seen of a problem, and what was. */
function seen(problem: Problem): string {
  const { requests, answered, firstLine, faultLine } = problem;
  const since = [problem.reused, problem.remade].filter((text) => text !== "").join("; ");
  if (requests === 0) return `No request has met it, but ${since}`;
  const one = requests === 1;
  const who = one ? `The request in line ${firstLine}` : `${requests} requests from line ${firstLine} on`;
  const count = one ? "was" : answered === 1 ? "1 was" : `${answered} were`;
  const shown =
    answered > 0
      ? `, and ${count} answered from it`
      : isLatent(problem)
        ? `, but ${one ? "its" : "no"} answer ${one ? "does not show" : "shows"} it`
        : "";
  const logged = faultLine === 0 ? "" : `; the fault logged in line ${faultLine} comes from it`;
  return `${who} could see the old one${shown}${logged}${since === "" ? "" : `; ${since}`}`;
}

/** The translations that outlive a context are a debt of their own: its invalidation, on time or late, does not pay it. */
function keyOf(unit: IommuUnit, { change, root, left }: StaleSource): string {
  const what = change === null ? root!.register : `${change.frame}:${change.offset}`;
  return `${unit.id}\n${what}:${(change ?? root!).line}${left ? ":left" : ""}`;
}
