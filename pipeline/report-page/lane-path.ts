/** What the page and its script both draw. */

/** Units of a lane's drawing: it is stretched to whatever room there is. */
export const LANE_WIDTH = 1000;
export const LANE_HEIGHT = 30;
/** Of a column that has anything. */
const LEAST_HEIGHT = 3;

/** A part of a timeline, in buckets; fractions of a bucket count whole. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Counts of a span, put together into at most so many columns. */
export function columnsOf(counts: readonly number[], { from, to }: Span, most: number): number[] {
  const first = Math.floor(from);
  const last = Math.min(Math.ceil(to), counts.length);
  const buckets = Math.max(last - first, 1);
  const columns: number[] = new Array(Math.min(most, buckets)).fill(0);
  for (let i = first; i < last; i++)
    columns[Math.floor(((i - first) * columns.length) / buckets)]! += counts[i]!;
  return columns;
}

/** Columns as the path of an SVG of LANE_WIDTH x LANE_HEIGHT: the highest takes all of the height. */
export function lanePath(columns: readonly number[]): string {
  const most = Math.max(...columns, 1);
  const width = LANE_WIDTH / columns.length;
  let path = "";
  let open = -1;
  const close = (end: number) => {
    if (open >= 0) path += `H${short(end * width)}V${LANE_HEIGHT}Z`;
    open = -1;
  };
  let height = -1;
  columns.forEach((count, i) => {
    if (count === 0) {
      close(i);
      height = -1;
      return;
    }
    const now = Math.round(Math.max((count / most) * LANE_HEIGHT, LEAST_HEIGHT));
    if (open < 0) {
      path += `M${short(i * width)} ${LANE_HEIGHT}V${LANE_HEIGHT - now}`;
      open = i;
    } else if (now !== height) path += `H${short(i * width)}V${LANE_HEIGHT - now}`;
    height = now;
  });
  close(columns.length);
  return path;
}

function short(x: number): string {
  return `${Math.round(x * 10) / 10}`;
}
