import { RecordTeller } from "../../parsers/trace/record-teller.ts";
import { type DmaRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { Bug } from "../../walkers/fuzz/bug.ts";
import type { WorldRecord } from "../../walkers/fuzz/world.ts";
import { ACCEPTED } from "../../walkers/invalidation.ts";
import type { Layout } from "../../walkers/layout.ts";
import { FAULT, OK } from "../../walkers/result.ts";
import type { WalkObserver } from "../../walkers/table-reader.ts";
import { hexHalves } from "../../walkers/word64.ts";
import type { DeviceAnswer } from "../device/answer.ts";
import { Misdecoder } from "../device/misdecoder.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import { outcomeRecord } from "../output/outcome-record.ts";
import type { OutcomeRecord } from "../output/records.ts";
import type { OtherRecord, ReplaySink } from "../output/sink.ts";
import { DEFAULT_OPTIONS } from "../replay/options.ts";
import { Replay } from "../replay/replay.ts";
import { NO_ALIASES } from "../verdicts/comparison.ts";
import { type FuzzCoverage, ruleName } from "./coverage.ts";

/** A request that a correct IOMMU does not answer so. */
export interface Departure {
  /** Line of the request: its record's index, plus one. */
  readonly line: number;
  readonly outcome: OutcomeRecord;
  /** What the fault is for, where its code says too little of that; absent: it says enough. */
  readonly condition?: string;
  readonly answer: DeviceAnswer;
  /** What it is in the world as a device sees it that makes mistakes which are known; absent: nobody has looked, or the same. */
  readonly seen?: SeenDeparture;
}

/** A departure in another world than that in which it was found. */
export interface SeenDeparture {
  readonly records: readonly WorldRecord[];
  readonly departure: Departure;
  /** Mistakes that are made in it: what they make of contexts is not in the records. */
  readonly bugs: readonly Bug[];
}

/** A world with what was observed of its requests. */
export function observedRecords(
  records: readonly WorldRecord[],
  answers: readonly (DeviceAnswer | undefined)[],
): WorldRecord[] {
  let next = 0;
  return records.map((record) => {
    if (record.type !== "dma") return record;
    const observed = answers[next++];
    return observed === undefined ? record : { ...record, observed };
  });
}

/**
 * Replays a world with what was observed.
 * @param coverage told what the world reaches; null: nobody is
 * @param codeAliases codes that the device gives for others
 * @param bugs mistakes that the device makes: of each, what it makes of contexts counts
 */
export function judgeWorld(
  records: readonly WorldRecord[],
  coverage: FuzzCoverage | null = null,
  codeAliases = NO_ALIASES,
  bugs: readonly Bug[] = [],
): Departure[] {
  const names = new TraceNames();
  const sink = new DepartureSink(coverage);
  // Worlds say all that happens: what has stopped stays so, and an entry that is not there any more shows nothing. What
  // makes long traces fast takes longer to set up than a world takes to replay.
  const options = {
    ...DEFAULT_OPTIONS,
    fast: false,
    findings: coverage !== null,
    stats: false,
    restartsRecorded: true,
    codeAliases,
  };
  const replay = new Replay(names, sink, options);
  const observer = coverage && new FieldObserver(coverage);
  const teller = new RecordTeller(names, replay);
  const misdecoder = new Misdecoder(bugs);
  try {
    records.forEach((record, i) => {
      sink.current = record;
      teller.parsed(i + 1, record);
      if (record.type === "iommu") misdecoder.meet(replay.system.iommus.units);
      if (coverage === null) return;
      for (const { walker, commands } of replay.system.iommus.units) {
        if (record.type === "iommu") walker.tables.observer = observer;
        if (record.type === "cmd" && commands.status === ACCEPTED)
          coverage.add("command", commands.spec!.name);
      }
    });
    replay.finish(records.length);
    return sink.departures;
  } finally {
    replay.close();
  }
}

/** Notes the values of fields that walks read. */
class FieldObserver implements WalkObserver {
  readonly #coverage: FuzzCoverage;

  constructor(coverage: FuzzCoverage) {
    this.#coverage = coverage;
  }

  entry(
    layout: Layout,
    _frame: number,
    _offset: number,
    view: DataView | null,
    at: number,
    _stage: number,
    _level: number,
    littleEndian: boolean,
  ): void {
    if (view !== null) this.#coverage.addEntry(layout, view, at, littleEndian);
  }
}

/** Keeps the requests whose verdict is against the IOMMU, and notes what was reached. */
class DepartureSink implements ReplaySink {
  readonly departures: Departure[] = [];
  /** The record that is being replayed. */
  current: WorldRecord = { type: "" };
  readonly #coverage: FuzzCoverage | null;
  #undecided: { readonly unit: IommuUnit; readonly departure: Departure }[] = [];
  /** Rules that entries break, by their addresses: the first one counts. */
  readonly #rules = new Map<string, { readonly line: number; readonly name: string }>();

  constructor(coverage: FuzzCoverage | null) {
    this.#coverage = coverage;
  }

  outcome(line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    this.#cover(request, outcome);
    if (outcome.verdict === "mismatch" || outcome.verdict === "stale-after-invalidation")
      this.departures.push(this.#departure(line, names, request, outcome));
  }

  undecided(unit: IommuUnit, line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    this.#cover(request, outcome);
    this.#undecided.push({ unit, departure: this.#departure(line, names, request, outcome) });
  }

  decided(unit: IommuUnit, waits: boolean): void {
    const mine = this.#undecided.filter((one) => one.unit === unit);
    this.#undecided = this.#undecided.filter((one) => one.unit !== unit);
    if (!waits) this.departures.push(...mine.map(({ departure }) => departure));
  }

  record(record: OtherRecord): void {
    if (record.type === "error") throw new Error(`line ${record.line}: ${record.message}`);
    if (record.type !== "finding" || this.#coverage === null) return;
    const { structure, entry_addr, field, rule, cache } = record as unknown as Record<string, string>;
    if (structure !== undefined && entry_addr !== undefined) {
      const known = this.#rules.get(entry_addr);
      if (known?.line !== record.line)
        this.#rules.set(entry_addr, {
          line: record.line,
          name: ruleName(structure, field ?? null, rule!),
        });
    } else if (cache !== undefined) this.#coverage.add("cache", `${rule} ${cache}`);
  }

  #departure(line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): Departure {
    const answer = this.current.observed as DeviceAnswer;
    const condition = outcome.status === FAULT && outcome.fault!.coarse ? { condition: outcome.reason! } : {};
    return { line, outcome: outcomeRecord(line, names, request, outcome), ...condition, answer };
  }

  #cover(request: DmaRecord, outcome: Outcome): void {
    const coverage = this.#coverage;
    if (coverage === null) return;
    if (outcome.verdict !== "") coverage.add("cache", outcome.latent ? "latent" : outcome.verdict);
    if (outcome.status === OK)
      coverage.add("page", `${outcome.model} ${outcome.pageShift} ${outcome.perm} ${outcome.passthrough}`);
    if (outcome.status !== FAULT) return;
    coverage.add("fault", outcome.fault!.name);
    coverage.add("page", `${outcome.model} ${outcome.fault!.name} ${outcome.stage} ${outcome.level}`);
    coverage.add("request", `${outcome.fault!.name} ${request.access} ${request.priv} ${request.at}`);
    if (outcome.entryFrame < 0) return;
    const frame = outcome.entryFrame;
    const rule = this.#rules.get(hexHalves((frame / 0x10_0000) | 0, (frame << 12) | outcome.entryOffset));
    if (rule !== undefined) coverage.add("rule", rule.name);
  }
}
