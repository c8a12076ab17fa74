/**
 * Loads the command's files with the code that V8 has made of them when they were built: to read them anew takes longer than
 * to replay a small trace. V8 itself tells code of its own from another's by its version alone, which builds of Node share
 * that cannot run each other's code: the code is taken by the Node only that made it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Script } from "node:vm";

const FOLDER = import.meta.dirname;
/** Bytes that V8's code is aligned to. */
const ALIGNED = 16;
const requireOther = createRequire(import.meta.url);

interface Loaded {
  readonly module: { exports: unknown };
  readonly path: string;
  readonly script: Script;
  /** There is code of it, good or not. */
  readonly kept: boolean;
}

const loaded = new Map<string, Loaded>();

/**
 * What a file of the command exports.
 * @param name as the files of the command name each other: "./run.js"
 */
export function load<T>(name: string): T {
  const known = loaded.get(name);
  // As old a Node as main.ts speaks to must be able to read this.
  const { module } = known === undefined ? loadAnew(name) : known;
  return module.exports as T;
}

function loadAnew(name: string): Loaded {
  const path = join(FOLDER, name);
  const code = keptCode(path);
  const text = `(function (exports, require, module, __filename, __dirname) {${readFileSync(path, "utf8")}\n})`;
  const script = new Script(text, { filename: path, ...(code && { cachedData: code }) });
  const file = { module: { exports: {} }, path, script, kept: code !== undefined };
  loaded.set(name, file);
  const requireFrom = (id: string) => (id.startsWith("./") ? load(id) : requireOther(id));
  script.runInThisContext()(file.module.exports, requireFrom, file.module, path, FOLDER);
  return file;
}

/** @returns undefined where there is none, or where another Node has made it */
function keptCode(path: string): Buffer | undefined {
  try {
    const bytes = readFileSync(codePath(path));
    const maker = makerOf();
    return bytes.subarray(0, maker.length).equals(maker) ? bytes.subarray(maker.length) : undefined;
  } catch {
    return undefined;
  }
}

/** Which Node this is: stands before the code that it makes. */
function makerOf(): Buffer {
  const { versions, arch, platform, execPath } = process;
  const text = JSON.stringify({ versions, arch, platform, execPath });
  const bytes = Buffer.from(text);
  return Buffer.concat([bytes, Buffer.alloc(ALIGNED - (bytes.length % ALIGNED), "\n")]);
}

/** For the build: keeps code of all files that are loaded and have none yet, with that of the functions that were called. */
export function keepCode(): void {
  for (const { path, script, kept } of loaded.values())
    if (!kept) writeFileSync(codePath(path), Buffer.concat([makerOf(), script.createCachedData()]));
}

function codePath(path: string): string {
  return `${path}.code`;
}
