/** Time stamps of logs as numbers, to merge several logs. */

/** What a time stamp counts from: the machine's start, or 1970. Stamps of different clocks do not compare. */
type Clock = "boot" | "epoch";

export interface Instant {
  readonly clock: Clock;
  /** Seconds. */
  readonly seconds: number;
}

/** Later than any machine has been up, in seconds: 30 years. */
const LONGEST_UPTIME = 1e9;
/** A fraction of a second, with the zone behind it. */
const FRACTION = /[.,](\d+)/;

/**
 * @param ts a time stamp as LogLine has it
 * @returns null where there is none, or it says no year
 */
export function instantOf(ts: string): Instant | null {
  if (ts === "") return null;
  if (ts.charCodeAt(0) !== 0x22) {
    const seconds = Number(ts);
    return { clock: seconds < LONGEST_UPTIME ? "boot" : "epoch", seconds };
  }
  const text = ts.slice(1, -1);
  const fraction = FRACTION.exec(text);
  const whole = Date.parse(fraction === null ? text : text.replace(fraction[0], "")) / 1000;
  if (Number.isNaN(whole)) return null;
  return { clock: "epoch", seconds: whole + (fraction === null ? 0 : Number(`0.${fraction[1]}`)) };
}
