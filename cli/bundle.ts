/**
 * Puts the command into two files, with all that it is made of: `dist/cli/main.js`, which starts it, and `run.js`. To find
 * some hundred files, of ours and of others, takes longer than to replay a small trace. What the packages' licences ask for
 * stands in `LICENSES`.
 */
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, type Metafile } from "esbuild";

const OUT = "dist/cli";
const RUN = "./run.ts";

const { metafile } = await build({
  entryPoints: ["cli/main.ts", "cli/run.ts"],
  outdir: OUT,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20.19",
  logLevel: "warning",
  minifySyntax: true,
  minifyWhitespace: true,
  metafile: true,
  // Of two ways to get at what is in it, zstddec takes the one that loads all of Node's `fetch`, unless there is none.
  define: { fetch: "undefined" },
  banner: {
    js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);',
  },
  plugins: [
    {
      name: "run beside main",
      setup({ onResolve }) {
        onResolve({ filter: /^\.\/run\.ts$/ }, ({ path, kind }) =>
          path === RUN && kind === "dynamic-import" ? { path: "./run.js", external: true } : undefined,
        );
      },
    },
  ],
});
chmodSync(join(OUT, "main.js"), 0o755);
writeFileSync(join(OUT, "LICENSES"), licences(metafile));

/** The licences of all packages that are in the files, each with its package's name and version. */
function licences({ inputs }: Metafile): string {
  const folders = new Set<string>();
  for (const path of Object.keys(inputs)) {
    const folder = /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(path)?.[0];
    if (folder !== undefined) folders.add(folder);
  }
  return [...folders]
    .sort()
    .map(licenceOf)
    .join(`\n${"-".repeat(80)}\n\n`);
}

function licenceOf(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file));
  if (files.length === 0) throw new Error(`${folder}: expected a file with its licence, found none`);
  const texts = files.map((file) => readFileSync(join(folder, file), "utf8"));
  return `${name} ${version} (${license})\n\n${texts.join("\n")}`;
}
