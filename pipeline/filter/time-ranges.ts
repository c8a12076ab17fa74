import { instantOf } from "../../parsers/logs/log-clock.ts";
import { patternError } from "./patterns.ts";

/** Places where the time came into a range, or went out of it, that are remembered. */
const MOST_TURNS = 1 << 16;

type TimeRange = readonly [first: number, last: number];

/**
 * Follows the time of a trace, and knows which of its lines were within some ranges of time. A record without a time
 * stamp has the time of the one before it; before the first one there is none.
 */
export class TimeRanges {
  readonly #ranges: readonly TimeRange[];
  /** Lines where it came into a range, and went out of it, in turns. */
  readonly #turns: number[] = [];
  #within = false;

  constructor(field: string, texts: readonly string[]) {
    this.#ranges = texts.map((text) => timeRange(field, text));
  }

  /** A record has this time stamp. @param ts as JSON text; "" where it has none */
  at(line: number, ts: string): void {
    const instant = instantOf(ts);
    if (instant === null) return;
    const { seconds } = instant;
    const within = this.#ranges.some(([first, last]) => seconds >= first && seconds <= last);
    if (within === this.#within) return;
    this.#within = within;
    this.#turns.push(line);
    if (this.#turns.length > MOST_TURNS) this.#turns.splice(0, MOST_TURNS / 2);
  }

  /** Whether a line that has been reached was within. */
  has(line: number): boolean {
    const turns = this.#turns;
    const last = turns.length - 1;
    // Nearly always it is the line at hand.
    if (last < 0) return false;
    if (line >= turns[last]!) return this.#within;
    let low = 0;
    let high = last;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (turns[middle]! <= line) low = middle;
      else high = middle - 1;
    }
    if (turns[low]! > line) return false;
    // From the last turn back, it was within after every other one.
    return (last - low) % 2 === 0 ? this.#within : !this.#within;
  }
}

/** "12.5..13.7", "12.5-13.7", "12.5+0.2" (seconds), "2026-11-30T02:38..2026-11-30T02:39"; one end may be missing. */
function timeRange(field: string, text: string): TimeRange {
  const wrong = () =>
    patternError(
      field,
      'a range such as "12.5-13.7", "12.5+0.2" or "2026-11-30T02:38..2026-11-30T02:39"',
      text,
    );
  const numbers = /^(\d+(?:\.\d+)?)?(\.\.|-|\+)?(\d+(?:\.\d+)?)?$/.exec(text.trim());
  const parts = numbers === null ? text.split("..") : [numbers[1] ?? "", numbers[3] ?? ""];
  if (parts.length > 2 || parts.every((part) => part.trim() === "")) throw wrong();
  const [from = "", to = ""] = parts.map((part) => part.trim());
  const first = from === "" ? Number.NEGATIVE_INFINITY : secondsOf(from);
  if (numbers?.[2] === "+") {
    if (from === "" || to === "") throw wrong();
    return [first, first + Number(to)];
  }
  const single = numbers === null ? parts.length === 1 : numbers[2] === undefined;
  const last = single ? first : to === "" ? Number.POSITIVE_INFINITY : secondsOf(to);
  if (Number.isNaN(first) || Number.isNaN(last) || first > last) throw wrong();
  return [first, last];
}

function secondsOf(text: string): number {
  const json = /^\d+(\.\d+)?$/.test(text) ? text : JSON.stringify(text);
  return instantOf(json)?.seconds ?? Number.NaN;
}
