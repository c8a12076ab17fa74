import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** The layers, the lowest first: none imports one behind it. */
export const LAYERS: readonly string[] = ["walkers", "parsers", "pipeline", "cli"];

/** A source file of the project, by its path from the root, with forward slashes. */
export interface Module {
  readonly path: string;
  /** Its text without comments. */
  readonly code: string;
  /** Files that it imports, for types too, at once or when it needs them. */
  readonly imports: readonly string[];
  /** Names that it declares and exports. */
  readonly exports: readonly string[];
}

/** A file, or a folder, and what it imports. */
export type Node = Pick<Module, "path" | "imports">;

/** Every file of the layers. */
export function projectModules(): Module[] {
  return LAYERS.flatMap((layer) => filesBelow(join(ROOT, layer))).map((file) =>
    moduleOf(relative(ROOT, file).replaceAll("\\", "/"), readFileSync(file, "utf8")),
  );
}

function filesBelow(folder: string): string[] {
  return (
    readdirSync(folder, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
      // AssemblyScript, a program of its own.
      .filter((entry) => !entry.parentPath.endsWith("assembly"))
      .map((entry) => join(entry.parentPath, entry.name))
  );
}

const IMPORT = /\bfrom "(\.[^"]+)"|\bimport\("(\.[^"]+)"\)|^import "(\.[^"]+)"/gm;
const EXPORT = /^export (?:async )?(?:abstract )?(?:const|let|function\*?|class|type|interface) (\w+)/gm;

/** What the text of a module says. The text is formatted: a declaration that is exported begins its line. */
export function moduleOf(path: string, text: string): Module {
  const code = text.replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/ .*$/gm, "");
  const imports = [...code.matchAll(IMPORT)].map(([, a, b, c]) =>
    posix.join(posix.dirname(path), a ?? b ?? c!),
  );
  const exports = [...code.matchAll(EXPORT)].map((match) => match[1]!);
  return { path, code, imports: [...new Set(imports)], exports };
}

/** The folders right below the layers, as rooms that import each other; files outside of rooms are in none. */
export function roomsOf(modules: readonly Node[]): Node[] {
  const rooms = new Map<string, Set<string>>();
  for (const { path, imports } of modules) {
    const room = roomOf(path);
    if (room === null) continue;
    const others = rooms.get(room) ?? new Set();
    rooms.set(room, others);
    for (const other of imports.map(roomOf)) if (other !== null && other !== room) others.add(other);
  }
  return [...rooms].map(([path, imports]) => ({ path, imports: [...imports] }));
}

function roomOf(path: string): string | null {
  const folders = path.split("/").slice(0, -1);
  return folders.length < 2 ? null : folders.slice(0, 2).join("/");
}

/** Groups that import each other in a circle, each with its members sorted. */
export function circlesOf(nodes: readonly Node[]): string[][] {
  const imports = new Map(nodes.map((node) => [node.path, node.imports.filter((to) => to !== node.path)]));
  const reached = new Map([...imports.keys()].map((path) => [path, reachableFrom(path, imports)]));
  const circles = new Map<string, string[]>();
  for (const [path, others] of reached) {
    if (!others.has(path)) continue;
    const members = [...others].filter((other) => reached.get(other)?.has(path)).sort();
    circles.set(members.join(), members);
  }
  return [...circles.values()];
}

function reachableFrom(path: string, imports: ReadonlyMap<string, readonly string[]>): Set<string> {
  const reached = new Set<string>();
  const open = [path];
  for (let at = open.pop(); at !== undefined; at = open.pop())
    for (const next of imports.get(at) ?? [])
      if (!reached.has(next)) {
        reached.add(next);
        open.push(next);
      }
  return reached;
}
