import { rmdirSync } from "node:fs";
import { join } from "node:path";
import { CliError, reasonOf } from "./errors.ts";
import { makeFolder } from "./make-folder.ts";
import { type Output, openOutput } from "./output.ts";

/** The file of what is not told which one it is for: what all traces come to. */
const REST = "total.ndjson";
/** Bytes that a name may have where files are kept, less what is put before and behind it while it is written. */
const LONGEST_NAME = 200;

/**
 * A folder whose files are written together: each is there as a whole, under its name, when all are finished, or not at
 * all. Other files in it stay what they are.
 */
export class FolderOutput implements Output {
  readonly name: string;
  readonly #files = new Map<string, Output>();
  readonly #names = new Set<string>();
  #child: FolderOutput | null = null;
  /** Of the folders on the way to it, the first that was not there before. */
  #made: string | undefined;

  constructor(path: string) {
    this.name = path;
  }

  async write(data: Uint8Array | string, file = REST): Promise<void> {
    await (this.#files.get(file) ?? this.#open(file)).write(data);
  }

  /** A folder in it for one trace, which is finished before the next one is begun. */
  begin(trace: string): FolderOutput {
    this.#child = new FolderOutput(join(this.name, this.#unused(folderNameOf(trace))));
    return this.#child;
  }

  async finish(): Promise<void> {
    for (const output of this.#files.values()) await output.finish();
  }

  abandon(): void {
    for (const output of this.#outputs()) output.abandon();
    if (this.#made === undefined) return;
    try {
      rmdirSync(this.name);
    } catch {
      // Somebody else has put something into it.
    }
  }

  async halt(): Promise<void> {
    await Promise.all([...this.#outputs()].map((output) => output.halt()));
  }

  *#outputs(): Generator<Output> {
    if (this.#child !== null) yield this.#child;
    yield* this.#files.values();
  }

  #open(file: string): Output {
    try {
      this.#made ??= makeFolder(this.name);
    } catch (error) {
      throw new CliError(`${this.name}: expected to make a folder, found ${reasonOf(error)}`);
    }
    const output = openOutput(join(this.name, file));
    this.#files.set(file, output);
    return output;
  }

  #unused(name: string): string {
    let unused = name;
    for (let i = 2; this.#names.has(unused); i++) unused = `${name}-${i}`;
    this.#names.add(unused);
    return unused;
  }
}

/** A trace's path as a name: all of it, so that it does not depend on what other traces there are. */
function folderNameOf(trace: string): string {
  const name = trace
    .replace(/^[./\\]+/, "")
    .replace(/[^\w.-]+/g, "_")
    .slice(-LONGEST_NAME);
  return name === "" || name.startsWith(".") ? `_${name}` : name;
}
