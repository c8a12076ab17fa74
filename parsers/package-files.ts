import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The folder of the package: what is built is deeper in it than what it is made of. */
const ROOT = rootFrom(import.meta.dirname);

function rootFrom(folder: string): string {
  return manifest(folder).name === "pasid-replay" ? folder : rootFrom(dirname(folder));
}

function manifest(folder: string): { readonly name?: string; readonly version?: string } {
  try {
    return JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  } catch (error) {
    if (folder === dirname(folder)) throw error;
    return {};
  }
}

/** The version of this program. */
export function packageVersion(): string {
  return manifest(ROOT).version!;
}

/** Where a file of the package is. */
export function packagePath(path: string): string {
  return join(ROOT, path);
}

/** The text of a file that the build has put into `dist/`. */
export function builtFile(path: string): string {
  return readFileSync(packagePath(join("dist", path)), "utf8");
}
