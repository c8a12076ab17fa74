/**
 * Makes a world small that a device departs from: fewer records, fewer bits, simpler requests, for as long as the device
 * still departs in the same way. It knows records alone, and no vendor.
 */
import type { WorldRecord } from "../../walkers/fuzz/world.ts";
import { hex } from "../../walkers/word64.ts";

/** A world that shows something at a request. */
export interface Shown {
  readonly records: readonly WorldRecord[];
  /** Line of the request: its record's index, plus one. */
  readonly line: number;
}

/** Runs a world, and says how it shows what is looked for; null: it does not. */
export type Shows<S extends Shown> = (records: readonly WorldRecord[]) => Promise<S | null>;

/** How long to go on. */
export interface ShrinkBounds {
  /** Runs of the device for one departure; absent: `MOST_RUNS`. */
  readonly most?: number | undefined;
  /** Ends it with what is the smallest by then. */
  readonly signal?: AbortSignal | undefined;
}

const MOST_RUNS = 600;
const WORD_DIGITS = 16;

/**
 * @param isFixed whether a register or a property has to stay as it is
 * @returns the smallest world that was found, and how often the device was asked
 */
export async function shrink<S extends Shown>(
  found: S,
  shows: Shows<S>,
  isFixed: (register: string) => boolean,
  bounds: ShrinkBounds = {},
): Promise<{ readonly shown: S; readonly runs: number }> {
  const shrinker = new Shrinker(found, shows, isFixed, bounds);
  await shrinker.run();
  return { shown: shrinker.best, runs: shrinker.runs };
}

class Shrinker<S extends Shown> {
  best: S;
  runs = 0;
  readonly #shows: Shows<S>;
  readonly #isFixed: (register: string) => boolean;
  readonly #most: number;
  readonly #signal: AbortSignal | undefined;

  constructor(found: S, shows: Shows<S>, isFixed: (register: string) => boolean, bounds: ShrinkBounds) {
    this.best = found;
    this.#shows = shows;
    this.#isFixed = isFixed;
    this.#most = bounds.most ?? MOST_RUNS;
    this.#signal = bounds.signal;
  }

  async run(): Promise<void> {
    const { records, line } = this.best;
    const failing = records[line - 1]!;
    await this.#try(records.slice(0, line));
    await this.#try(this.best.records.filter((record) => record.type !== "dma" || record === failing));
    let size = 0;
    // What becomes possible by one step may make another one possible.
    for (let round = 0; round < 3 && size !== this.#size(); round++) {
      size = this.#size();
      await this.#fewerRecords();
      await this.#simplerRequests();
      await this.#fewerBits();
      await this.#fewerSettings();
    }
    await this.#tidy();
  }

  #size(): number {
    return JSON.stringify(this.best.records).length;
  }

  /** Tries a world; keeps it where it shows the same. */
  async #try(records: readonly WorldRecord[]): Promise<boolean> {
    if (this.runs >= this.#most || this.#signal?.aborted === true) return false;
    this.runs++;
    const shown = await this.#shows(records);
    if (shown !== null) this.best = shown;
    return shown !== null;
  }

  /** Leaves out records, many at a time at first. */
  async #fewerRecords(): Promise<void> {
    for (let chunk = Math.ceil(this.best.records.length / 2); chunk >= 1; chunk = Math.floor(chunk / 2))
      for (let at = this.best.records.length - chunk; at > -chunk; at -= chunk) {
        const from = Math.max(at, 0);
        const gone = this.best.records.slice(from, at + chunk);
        if (gone.length === 0 || gone.every(isNeeded)) continue;
        await this.#try(
          this.best.records.filter((record, i) => i < from || i >= at + chunk || isNeeded(record)),
        );
      }
  }

  async #simplerRequests(): Promise<void> {
    for (let i = 0; i < this.best.records.length; i++) {
      if (this.best.records[i]!.type !== "dma") continue;
      for (const change of [
        ...[{ len: 1 }, { at: undefined }, { priv: undefined }, { pasid: undefined }, { access: "r" }],
      ])
        await this.#with(i, change);
      const address = BigInt(this.best.records[i]!.addr as string);
      await this.#with(i, { addr: hex(address & ~0xfffn) });
    }
  }

  async #with(index: number, change: Readonly<Record<string, unknown>>): Promise<boolean> {
    const record = this.best.records[index]!;
    const changed = JSON.parse(JSON.stringify({ ...record, ...change })) as WorldRecord;
    if (JSON.stringify(changed) === JSON.stringify(record)) return false;
    return this.#try(this.best.records.with(index, changed));
  }

  /** Clears bits of what is written, word by word: all of them, halves, single ones. */
  async #fewerBits(): Promise<void> {
    for (let i = this.best.records.length - 1; i >= 0; i--) {
      const record = this.best.records[i]!;
      if (record.type !== "mem") continue;
      const digits = record.data as string;
      for (let at = 0; at < digits.length; at += WORD_DIGITS)
        await this.#clear(i, at, Math.min(WORD_DIGITS, digits.length - at));
    }
  }

  async #clear(index: number, at: number, digits: number): Promise<void> {
    const data = this.best.records[index]!.data as string;
    const part = data.slice(at, at + digits);
    if (/^0*$/.test(part)) return;
    const zero = data.slice(0, at) + "0".repeat(digits) + data.slice(at + digits);
    if (await this.#with(index, { data: zero })) return;
    if (digits > 1) {
      const half = digits >> 1;
      await this.#clear(index, at, half);
      await this.#clear(index, at + half, digits - half);
      return;
    }
    for (const bit of [8, 4, 2, 1]) {
      const now = this.best.records[index]!.data as string;
      const digit = Number.parseInt(now[at]!, 16);
      if ((digit & bit) === 0 || digit === bit) continue;
      await this.#with(index, { data: now.slice(0, at) + (digit & ~bit).toString(16) + now.slice(at + 1) });
    }
  }

  /** Leaves out registers and properties: what is not given is there. */
  async #fewerSettings(): Promise<void> {
    const index = this.best.records.findIndex(({ type }) => type === "iommu");
    for (const group of ["regs", "props"])
      for (const name of Object.keys((this.best.records[index]?.[group] as object | undefined) ?? {})) {
        if (this.#isFixed(name)) continue;
        const { [name]: _gone, ...rest } = this.best.records[index]![group] as Record<string, unknown>;
        await this.#with(index, { [group]: Object.keys(rest).length > 0 ? rest : undefined });
      }
  }

  /** Requests are numbered anew. */
  async #tidy(): Promise<void> {
    let seq = 0;
    await this.#try(
      this.best.records.map((record) => (record.type === "dma" ? { ...record, seq: ++seq } : record)),
    );
  }
}

/** Without it, a world is none. */
function isNeeded({ type }: WorldRecord): boolean {
  return type === "iommu" || type === "ram";
}
