import { setImmediate } from "node:timers/promises";
import { ByteWriter } from "../../pipeline/output/byte-writer.ts";
import { printablePaintedLine } from "../../pipeline/words/paint.ts";
import type { Output } from "../output.ts";
import type { FitLine } from "../text-output.ts";

/** Bytes waiting from which on they are written. */
const ENOUGH = 1 << 18;
/** Room for the line that makes it enough. */
const SLACK = 1 << 14;

/** What both renderings of an inspection share: lines gather, and go out in larger pieces. */
export class InspectionOutput {
  protected readonly out = new ByteWriter(ENOUGH + SLACK);
  readonly #output: Output;
  readonly #fit: FitLine;

  /** @param fit makes lines fit a terminal */
  constructor(output: Output, fit: FitLine = (line) => line) {
    this.#output = output;
    this.#fit = fit;
  }

  /** Whether enough is waiting to be written. */
  protected get full(): boolean {
    return this.out.length >= ENOUGH;
  }

  protected line(text: string): void {
    this.out.text(`${this.#fit(printablePaintedLine(text))}\n`);
  }

  /** What a question is answered with: a line of it. */
  answer(line: string): void {
    this.out.text(`${this.#fit(printablePaintedLine(line))}\n`);
  }

  async pause(yielding = true): Promise<void> {
    // After a pause somebody waits for what is there; between two spaces nobody does.
    if (this.full || (yielding && this.out.length > 0)) await this.flush();
    if (yielding) await setImmediate();
  }

  async flush(): Promise<void> {
    if (this.out.length === 0) return;
    await this.#output.write(this.out.take());
    this.out.recycle();
  }
}
