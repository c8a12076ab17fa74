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
  readonly start: number;
  readonly end: number;
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

  decided(unit: IommuUnit, waits: boolean): void {
    if (this.#open.length === 0) return;
    const others: OpenLine[] = [];
    const edits: OpenLine[] = [];
    let moved = 0;
    for (const open of this.#open) {
      if (open.unit !== unit) others.push({ ...open, start: open.start + moved, end: open.end + moved });
      else if (waits) {
        edits.push(open);
        moved += open.bytes.length - (open.end - open.start);
      }
    }
    const out = this.#out;
    if (edits.length > 0) out.rewrite(edits);
    out.release(others[0]?.start);
    this.#open = others;
  }

  record(record: OtherRecord): void {
    if (selectsRecord(this.#only, record))
      this.#out.text(`${printable(JSON.stringify(labelled(record, this.#trace)))}\n`);
  }
}
