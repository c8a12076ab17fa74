import type { SingleBar } from "cli-progress";
import { formatCount } from "../../pipeline/words/sizes.ts";
import type { Output } from "../output.ts";
import { takeInterrupt } from "../signals.ts";

/** Between two changes of what is shown, in milliseconds. */
const INTERVAL = 250;
const BAR_COLUMNS = 24;

/** When a campaign is to end. */
export interface Bounds {
  readonly worlds: number;
  /** In milliseconds from its beginning. */
  readonly time: number;
}

/**
 * How long a campaign goes on: until its bounds or Ctrl-C, after which it sums up what it has. Shows at a terminal how far
 * it is.
 */
export class Course {
  /** Ctrl-C was pressed. */
  readonly signal: AbortSignal;
  readonly #bounds: Bounds;
  readonly #began = performance.now();
  readonly #cancel: () => void;
  readonly #bar: SingleBar | null;
  #shown = false;

  private constructor(bounds: Bounds, bar: SingleBar | null) {
    const interrupted = new AbortController();
    this.signal = interrupted.signal;
    this.#cancel = takeInterrupt(() => interrupted.abort());
    this.#bounds = bounds;
    this.#bar = bar;
  }

  static async begin(bounds: Bounds): Promise<Course> {
    return new Course(bounds, process.stderr.isTTY === true ? await newBar() : null);
  }

  /** Tells whether to go on. @param worlds so far @param requests so far */
  readonly goesOn = (worlds: number, requests: number): boolean => {
    const { time } = this.#bounds;
    const passed = performance.now() - this.#began;
    if (this.signal.aborted || passed >= time) return false;
    this.#show(passed, worlds, requests);
    return true;
  };

  /** An output that what is shown makes room for. */
  over(out: Output): Pick<Output, "write"> {
    return {
      write: (data) => {
        this.hide();
        return out.write(data);
      },
    };
  }

  #show(passed: number, worlds: number, requests: number): void {
    const { time, worlds: most } = this.#bounds;
    const [done, total] = Number.isFinite(time) ? [passed, time] : [worlds, most];
    const rate = formatCount((requests * 1000) / Math.max(1, passed));
    const fields = { worlds: formatCount(worlds), requests: formatCount(requests), rate };
    if (this.#shown) this.#bar?.update(done, fields);
    else this.#bar?.start(total, done, fields);
    this.#shown = true;
  }

  hide(): void {
    if (this.#shown) this.#bar?.stop();
    this.#shown = false;
  }

  end(): void {
    this.hide();
    this.#cancel();
  }
}

async function newBar(): Promise<SingleBar> {
  const { default: cliProgress } = await import("cli-progress");
  return new cliProgress.SingleBar({
    stream: process.stderr,
    format: "{bar}  {percentage}%  {worlds} worlds  {requests} requests  {rate} requests/s",
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: BAR_COLUMNS,
    fps: 1000 / INTERVAL,
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
  });
}
