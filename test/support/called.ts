import { createRequire } from "node:module";
import { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Ran } from "./cli.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const requireBuilt = createRequire(new URL("../../dist/cli/", import.meta.url));

/** The calls before: process-wide are its streams, its arguments and whether text is coloured. */
let before: Promise<unknown> = Promise.resolve();

/** Carries out a command line of the built command in this process, one after the other, with nothing to read. */
export function called(args: readonly string[]): Promise<Ran> {
  const ran = before.then(() => call(args));
  before = ran.catch(() => {});
  return ran;
}

async function call(args: readonly string[]): Promise<Ran> {
  const { statusOf }: typeof import("../../cli/run.ts") = requireBuilt("./run.js");
  const stdout = new Collected();
  const stderr = new Collected();
  const own = Object.getOwnPropertyDescriptors(process);
  const { argv } = process;
  const folder = process.cwd();
  Object.defineProperties(process, {
    stdout: { ...own.stdout, get: () => stdout },
    stderr: { ...own.stderr, get: () => stderr },
  });
  process.argv = [argv[0]!, requireBuilt.resolve("./main.js"), ...args];
  process.chdir(ROOT);
  try {
    const status = await statusOf(args);
    return { status, signal: null, stdout: stdout.text, stderr: stderr.text };
  } finally {
    process.chdir(folder);
    process.argv = argv;
    Object.defineProperties(process, { stdout: own.stdout, stderr: own.stderr });
  }
}

/** A stream to nowhere that keeps what it is given. */
class Collected extends Writable {
  readonly #chunks: Buffer[] = [];

  get text(): string {
    return Buffer.concat(this.#chunks).toString();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    // Whoever wrote it may use its bytes again.
    this.#chunks.push(Buffer.from(chunk));
    done();
  }
}
