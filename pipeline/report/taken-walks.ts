import type { DmaRecord } from "../../parsers/trace/records.ts";
import { WalkEngine } from "../../walkers/engine.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { WalkRequest } from "../../walkers/request.ts";
import type { Change } from "../caches/history/versioned-memory.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import { aim, type Route } from "../iommus/iommus.ts";
import { Outcome } from "../iommus/outcome.ts";
import { walkRequest } from "../iommus/request-walk.ts";
import { outcomeRecord } from "../output/outcome-record.ts";
import type { OutcomeRecord } from "../output/records.ts";
import type { RecordedSystem } from "../replay/recorded-system.ts";
import { type PageWalk, RecordedWalks } from "../walk/page-walk.ts";

/** A request with its walk, in the state of its line. */
export interface TakenWalk {
  readonly line: number;
  readonly iommu: string | undefined;
  readonly model: IommuModel;
  /** The page that decides: the last one walked. */
  readonly page: PageWalk;
  /** Pages of the request before it. */
  readonly pagesBefore: number;
  /** As memory is; its verdict may not be decided yet. */
  readonly outcome: OutcomeRecord;
  /** What the recorded system did, as JSON text; "" where that is not known. */
  readonly observed: string;
  /** The latest changes of the word that the failing entry begins with, since a request has used it. */
  readonly changes: readonly Change[];
}

/** Earlier values of a failing entry that are told. */
const MOST_CHANGES = 3;
/** Characters of what was observed: it may hold fields of any length. */
const MOST_OBSERVED = 2000;

/** Walks requests of a replay once more and keeps what they read, by their lines: each line once, and so many in all. */
export class TakenWalks {
  readonly #byLine = new Map<number, TakenWalk>();
  readonly #most: number;
  readonly #request = new WalkRequest();
  /** Of our own: what the replay's remember stays as it is. */
  readonly #engines = new Map<IommuUnit, WalkEngine>();

  constructor(most: number) {
    this.#most = most;
  }

  at(line: number): TakenWalk | undefined {
    return this.#byLine.get(line);
  }

  get size(): number {
    return this.#byLine.size;
  }

  /** Walks a request as memory and registers are now. */
  take(line: number, route: Route, record: DmaRecord, outcome: Outcome, system: RecordedSystem): void {
    if (this.#byLine.size >= this.#most || this.#byLine.has(line)) return;
    const { unit, names } = route;
    const request = this.#request;
    aim(request, route, record);
    const walks = new RecordedWalks(this.#engineOf(unit));
    walkRequest(walks, request, record.len, new Outcome());
    const pages = walks.finish();
    const page = pages.at(-1)!;
    const { entryFrame, entryOffset } = page.result;
    this.#byLine.set(line, {
      line,
      iommu: unit.id,
      model: unit.model,
      page,
      pagesBefore: pages.reduce((sum, { skipped }) => sum + skipped + 1, -1),
      outcome: outcomeRecord(line, names, record, outcome),
      observed: record.observedText().slice(0, MOST_OBSERVED),
      changes: entryFrame < 0 ? [] : system.past.latestChanges(entryFrame, entryOffset, MOST_CHANGES),
    });
  }

  #engineOf(unit: IommuUnit): WalkEngine {
    const known = this.#engines.get(unit);
    if (known !== undefined) return known;
    const made = new WalkEngine(unit.walker);
    this.#engines.set(unit, made);
    return made;
  }
}
