import type { DmaRecord } from "../../parsers/trace/records.ts";
import { printable } from "../../parsers/trace/show.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import { ByteWriter } from "./byte-writer.ts";
import { OutcomeWriter } from "./outcome-writer.ts";
import { type Selection, selects, selectsRecord } from "./selection.ts";
import { labelled, type OtherRecord, type ReplaySink } from "./sink.ts";

/** A line that may become another one. */
interface OpenLine {
  readonly unit: IommuUnit;
  start: number;
  end: number;
  /** The line as it is where the IOMMU turns out to wait for its invalidations; empty where it is not selected. */
  readonly bytes: Uint8Array;
}

/** Writes selected records as NDJSON. From a verdict on that is not decided yet, the text is held back in the writer. */
export class NdjsonSink implements ReplaySink {
  readonly #out: ByteWriter;
  readonly #outcomes: OutcomeWriter;
  readonly #only: Selection;
  readonly #scratch = new ByteWriter(1 << 12);
  readonly #alternatives = new OutcomeWriter(this.#scratch);
  readonly #trace: string | undefined;
  #open: OpenLine[] = [];
  /** How many of these, from the first on, are decided. */
  #decided = 0;
  /** Whether the IOMMUs that are decided wait for their invalidations: of those that may have open lines. */
  readonly #waits = new Map<IommuUnit, boolean>();

  /** @param trace stands in every record that is no outcome: those have it from their names; undefined: in none */
  constructor(out: ByteWriter, only: Selection, trace?: string) {
    this.#out = out;
    this.#trace = trace;
    this.#outcomes = new OutcomeWriter(out);
    this.#only = only;
  }

  outcome(line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    if (selects(this.#only, outcome)) this.#outcomes.write(line, names, request, outcome);
  }

  undecided(unit: IommuUnit, line: number, names: RequestNames, request: DmaRecord, outcome: Outcome): void {
    const out = this.#out;
    out.hold();
    const start = out.total;
    this.outcome(line, names, request, outcome);
    const end = out.total;
    outcome.verdict = "stale";
    if (selects(this.#only, outcome)) this.#alternatives.write(line, names, request, outcome);
    outcome.verdict = "stale-after-invalidation";
    this.#open.push({ unit, start, end, bytes: new Uint8Array(this.#scratch.take()) });
  }

  /** There may be very many lines, and IOMMUs: lines are moved once there are as many that can be released as are left. */
  decided(unit: IommuUnit, waits: boolean): void {
    const open = this.#open;
    if (open.length === 0) return;
    this.#waits.set(unit, waits);
    while (this.#decided < open.length && this.#waits.has(open[this.#decided]!.unit)) this.#decided++;
    if (2 * this.#decided >= open.length) this.#settle();
  }

  /** Lets go of all lines before the first one that is not decided. */
  #settle(): void {
    const open = this.#open;
    const edits = open.slice(0, this.#decided).filter(({ unit }) => this.#waits.get(unit) === true);
    const left = open.slice(this.#decided);
    const moved = edits.reduce((sum, { start, end, bytes }) => sum + bytes.length - (end - start), 0);
    for (const line of left) {
      line.start += moved;
      line.end += moved;
    }
    if (edits.length > 0) this.#out.rewrite(edits);
    this.#out.release(left[0]?.start);
    this.#open = left;
    this.#decided = 0;
    if (left.length === 0) this.#waits.clear();
  }

  record(record: OtherRecord): void {
    if (selectsRecord(this.#only, record))
      this.#out.text(`${printable(JSON.stringify(labelled(record, this.#trace)))}\n`);
  }
}
