/** What the script of the page is given of a timeline. */

export interface AxisData {
  /** Position of the first bucket, and the width of each, in the axis' own units. */
  readonly start: number;
  readonly width: number;
  /** Buckets, and the position where the last one ends. */
  readonly buckets: number;
  readonly end: number;
  /** Lines; dates, in milliseconds since 1970; numbers in whatever unit. */
  readonly unit: "line" | "date" | "number";
  readonly lanes: readonly LaneData[];
}

interface LaneData {
  readonly lane: string;
  readonly title: string;
  /** Pairs of a bucket, as the distance from the one before it, and its count: most buckets have none. */
  readonly counts: readonly number[];
}

/** A timeline along lines, and along time where there is any. */
export interface TimelineData {
  readonly axes: readonly AxisData[];
}

/** Counts as pairs. */
export function pairsOf(counts: readonly number[]): number[] {
  const pairs: number[] = [];
  let before = 0;
  counts.forEach((count, i) => {
    if (count === 0) return;
    pairs.push(i - before, count);
    before = i;
  });
  return pairs;
}

/** Counts of so many buckets from their pairs. */
export function countsOf(pairs: readonly number[], buckets: number): number[] {
  const counts: number[] = new Array(buckets).fill(0);
  let at = 0;
  for (let i = 0; i < pairs.length; i += 2) {
    at += pairs[i]!;
    counts[at] = pairs[i + 1]!;
  }
  return counts;
}

/** A position along an axis, for a person. */
export function positionText({ unit, width }: AxisData, position: number): string {
  if (unit === "line") return Math.floor(position).toLocaleString("en-US");
  if (unit === "date") return new Date(position).toISOString().replace("T", " ").replace("Z", "");
  // As many digits as tell two buckets apart.
  const digits = Math.min(Math.max(Math.ceil(-Math.log10(width)) + 1, 0), 9);
  return position.toFixed(digits);
}

/** The positions of some buckets of an axis: "lines 1 to 16", "12.500 to 13.000". */
export function spanText(axis: AxisData, from: number, to: number): string {
  const { start, width, end, unit } = axis;
  const first = start + from * width;
  const last = Math.min(start + to * width, end);
  if (unit !== "line") return `${positionText(axis, first)} to ${positionText(axis, last)}`;
  const lastLine = Math.max(last - 1, first);
  if (lastLine === first) return `line ${positionText(axis, first)}`;
  return `lines ${positionText(axis, first)} to ${positionText(axis, lastLine)}`;
}
