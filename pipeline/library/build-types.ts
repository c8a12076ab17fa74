/**
 * Has the declarations in `dist` say typed arrays as TypeScript before 5.7 knows them, without what they are a view on:
 * `Uint8Array<ArrayBuffer>` means the same there as `Uint8Array`.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const VIEW =
  /\b((?:Big)?(?:Ui|I)nt(?:8|16|32|64)(?:Clamped)?Array|Float(?:32|64)Array|DataView|Buffer)<ArrayBuffer(?:Like)?>/g;

for (const { name, parentPath } of readdirSync("dist", { recursive: true, withFileTypes: true })) {
  if (!name.endsWith(".d.ts")) continue;
  const path = join(parentPath, name);
  const text = readFileSync(path, "utf8");
  const plain = text.replaceAll(VIEW, "$1");
  if (plain !== text) writeFileSync(path, plain);
}
