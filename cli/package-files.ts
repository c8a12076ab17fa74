import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const PACKAGE = "pasid-replay/package.json";
const fromHere = createRequire(import.meta.url);

/** The version of this program. */
export function packageVersion(): string {
  return fromHere(PACKAGE).version;
}

/** Where a file of the package is. */
export function packagePath(path: string): string {
  return join(dirname(fromHere.resolve(PACKAGE)), path);
}

/** The text of a file that the build has put into `dist/`. */
export function builtFile(path: string): string {
  return readFileSync(packagePath(join("dist", path)), "utf8");
}
