import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const PACKAGE = "pasid-replay/package.json";
const fromHere = createRequire(import.meta.url);

/** The version of this program. */
export function packageVersion(): string {
  return fromHere(PACKAGE).version;
}

/** The text of a file that the build has put into `dist/`. */
export function builtFile(path: string): string {
  return readFileSync(join(dirname(fromHere.resolve(PACKAGE)), "dist", path), "utf8");
}
