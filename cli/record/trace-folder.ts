import { existsSync, readdirSync, rmdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { limeFile } from "../../parsers/memory/lime-writer.ts";
import { CliError, reasonOf } from "../errors.ts";
import { makeFolder } from "../make-folder.ts";
import type { CapturedIommu } from "./capture.ts";

export const NO_ROOM = "no room is left where the recording is written: events may be missing";

/** The folder of a recording. All of it is in `trace.ndjson`, and the memory that this names. */
export class TraceFolder {
  readonly path: string;

  /** @throws CliError where it cannot be made, or is not empty */
  constructor(path: string) {
    this.path = resolve(path);
    try {
      makeFolder(path);
    } catch (error) {
      throw new CliError(`${path}: expected to make a folder, found ${reasonOf(error)}`);
    }
    const found = this.#contents(path);
    if (found.length > 0)
      throw new CliError(`${path}: expected an empty folder, or none, found ${found.slice(0, 3).join(", ")}`);
  }

  get trace(): string {
    return join(this.path, "trace.ndjson");
  }

  get log(): string {
    return join(this.path, "qemu.log");
  }

  get start(): string {
    return join(this.path, "start.lime");
  }

  get end(): string {
    return join(this.path, "end.lime");
  }

  get registers(): string {
    return join(this.path, "registers.ndjson");
  }

  /** Nothing has been recorded: takes back what was written. */
  discard(): void {
    for (const path of [this.trace, this.log, this.start, this.end, this.registers])
      rmSync(path, { force: true });
    if (readdirSync(this.path).length === 0) rmdirSync(this.path);
  }

  #contents(path: string): string[] {
    try {
      return readdirSync(path);
    } catch (error) {
      throw new CliError(`${path}: expected a folder to write into, found ${reasonOf(error)}`);
    }
  }

  /** Whether anything more can be written there. */
  hasRoom(): boolean {
    const { bavail } = statfsSync(this.path);
    return bavail > 0;
  }

  has(path: string): boolean {
    return existsSync(path);
  }

  /** Writes pages of memory; without any there is no file. */
  memory(path: string, pages: ReadonlyMap<number, Uint8Array>): void {
    if (pages.size > 0) this.#write(path, Buffer.concat(limeFile(pages)));
  }

  /** Registers as `iommu` records: what `import --iommu` takes. */
  iommus(iommus: readonly CapturedIommu[]): void {
    const lines = iommus.map(({ id, model, registers }) => {
      const regs = Object.fromEntries(
        [...registers].map(([name, value]) => [name, `0x${value.toString(16)}`]),
      );
      return `${JSON.stringify({ type: "iommu", id, model, regs })}\n`;
    });
    this.#write(this.registers, lines.join(""));
  }

  #write(path: string, data: string | Uint8Array): void {
    try {
      writeFileSync(path, data, { flag: "wx" });
    } catch (error) {
      throw new CliError(`${path}: expected to write, found ${reasonOf(error)}`);
    }
  }
}
