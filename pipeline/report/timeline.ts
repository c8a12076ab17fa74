import type { DmaRecord } from "../../parsers/trace/records.ts";
import { FAULT, OK } from "../../walkers/result.ts";
import type { Verdict } from "../iommus/outcome.ts";
import { Buckets } from "./buckets.ts";
import { LANES, type Lane } from "./lanes.ts";
import { type TimeUnit, timeStamp } from "./time-stamps.ts";

/** Time that is told apart at first, of whatever unit: it doubles until all buckets are enough. */
const FINEST_TIME = 2 ** -20;

/** A label of the trace. */
export interface Mark {
  readonly line: number;
  readonly label: string;
}

const MOST_MARKS = 64;

/** What happens in a trace along its lines, and along time where its requests have time stamps; in bounded memory. */
export class Timeline {
  readonly byLine: Buckets;
  readonly byTime: Buckets;
  /** Undefined: no time stamp was understood. */
  unit: TimeUnit | undefined;
  readonly marks: Mark[] = [];
  /** Marks beyond those. */
  moreMarks = 0;
  /** Of the latest record that has one. */
  #time = Number.NaN;

  /** @param buckets along each axis; even */
  constructor(buckets: number) {
    this.byLine = new Buckets(buckets, 1);
    this.byTime = new Buckets(buckets, FINEST_TIME);
  }

  /** A record has, or may have, a time stamp. */
  stamp(ts: number | string | undefined): void {
    const stamp = ts === undefined ? null : timeStamp(ts);
    if (stamp === null || (this.unit !== undefined && stamp.unit !== this.unit)) return;
    this.unit = stamp.unit;
    this.#time = stamp.value;
  }

  /** A request comes. */
  request(record: DmaRecord): void {
    if (record.tsEnd > record.tsStart) this.stamp(record.ts());
  }

  get time(): number {
    return this.#time;
  }

  add(lane: Lane, line: number, time = this.#time): void {
    this.byLine.add(lane, line);
    // What comes before the first time stamp has no place in time.
    if (!Number.isNaN(time)) this.byTime.add(lane, time);
  }

  outcome(line: number, status: number, verdict: Verdict | "", time = this.#time): void {
    this.add(status === OK ? "ok" : status === FAULT ? "fault" : "msi", line, time);
    this.verdict(line, verdict, time);
  }

  verdict(line: number, verdict: Verdict | "", time = this.#time): void {
    if (Object.hasOwn(LANES, verdict)) this.add(verdict as Lane, line, time);
  }

  mark(mark: Mark): void {
    if (this.marks.length < MOST_MARKS) this.marks.push(mark);
    else this.moreMarks++;
  }
}
