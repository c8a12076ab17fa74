import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** The layers, the lowest first: none imports one behind it. */
export const LAYERS = ["walkers", "parsers", "pipeline", "cli"] as const;

/** A source file of the project, by its path from the root, with forward slashes. */
export interface Module {
  readonly path: string;
  /** Its text without comments. */
  readonly code: string;
  /** Files of the project that it imports, for types too, at once or when it needs them. */
  readonly imports: readonly string[];
  /** Names that it declares and exports. */
  readonly exports: readonly string[];
}

/** Every file of the layers. */
export function projectModules(): Module[] {
  return LAYERS.flatMap((layer) => filesBelow(join(ROOT, layer))).map(readModule);
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name));
}

function readModule(file: string): Module {
  const path = relative(ROOT, file).replaceAll("\\", "/");
  return { path, ...parseModule(path, readFileSync(file, "utf8")) };
}

const IMPORT = /\bfrom "(\.[^"]+)"|\bimport\("(\.[^"]+)"\)|^import "(\.[^"]+)"/gm;
const EXPORT =
  /^export (?:default )?(?:declare )?(?:async )?(?:abstract )?(?:const|let|function\*?|class|type|interface) (\w+)/gm;

/** What the text of a module imports and exports. Text is formatted: a declaration begins its line. */
export function parseModule(path: string, text: string): Omit<Module, "path"> {
  const code = withoutComments(text);
  const imports = [...code.matchAll(IMPORT)].map(([, a, b, c]) =>
    posix.normalize(posix.join(posix.dirname(path), a ?? b ?? c!)),
  );
  return {
    code,
    imports: [...new Set(imports)],
    exports: [...code.matchAll(EXPORT)].map((match) => match[1]!),
  };
}

/** Comments go, but for what looks like one in a string, a template or a regular expression on one line. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$|\s\/\/ .*$/gm, "");
}

/** Groups of files that import each other, each in the order of its paths. */
export function circlesOf(modules: readonly Pick<Module, "path" | "imports">[]): string[][] {
  const imports = new Map(modules.map((m) => [m.path, m.imports]));
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const open: string[] = [];
  const circles: string[][] = [];
  // Tarjan's strongly connected components.
  const visit = (path: string): void => {
    order.set(path, order.size);
    low.set(path, order.get(path)!);
    open.push(path);
    for (const next of imports.get(path) ?? []) {
      if (!imports.has(next)) continue;
      if (!order.has(next)) visit(next);
      if (open.includes(next)) low.set(path, Math.min(low.get(path)!, low.get(next)!));
    }
    if (low.get(path) !== order.get(path)) return;
    const members = open.splice(open.indexOf(path));
    if (members.length > 1 || imports.get(path)?.includes(path)) circles.push(members.sort());
  };
  for (const path of imports.keys()) if (!order.has(path)) visit(path);
  return circles;
}

/** The same of folders: what imports of their files make of them. */
export function foldersOf(modules: readonly Module[]): Pick<Module, "path" | "imports">[] {
  const folders = new Map<string, Set<string>>();
  for (const { path, imports } of modules) {
    const folder = posix.dirname(path);
    const others = folders.get(folder) ?? new Set();
    for (const other of imports) if (posix.dirname(other) !== folder) others.add(posix.dirname(other));
    folders.set(folder, others);
  }
  return [...folders].map(([path, imports]) => ({ path, imports: [...imports] }));
}
