/** A time stamp that is a date, with digits of a second beyond those that a Date keeps. */
const DATE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3}(\d*))?/;

/** What the time stamps of a trace are. */
export type TimeUnit = "date" | "number";

export interface TimeStamp {
  /** As it is written; of a date, milliseconds since 1970. */
  readonly value: number;
  readonly unit: TimeUnit;
}

/** A time stamp as a number that grows with time; null where it is none. */
export function timeStamp(ts: number | string): TimeStamp | null {
  if (typeof ts === "number") return { value: ts, unit: "number" };
  const value = ts === "" ? Number.NaN : Number(ts);
  if (Number.isFinite(value)) return { value, unit: "number" };
  const date = DATE.exec(ts);
  if (date === null) return null;
  const milliseconds = Date.parse(ts);
  if (Number.isNaN(milliseconds)) return null;
  return { value: milliseconds + (date[1] ? Number(`0.${date[1]}`) : 0), unit: "date" };
}
