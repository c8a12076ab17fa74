/**
 * Puts the command into few files in `dist/cli`, with all that it is made of: `main.js` starts it, `worker.js` is a thread of
 * `--jobs`; they load the command line, and that the command which is asked for. To find some hundred files, of ours and of
 * others, takes longer than to replay a small trace, and so does compiling what another command needs. Beside each file lies
 * the code that V8 makes of it (`load.ts`). What the packages' licences ask for stands in `LICENSES`.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { rolldown } from "rolldown";
import { globSync } from "tinyglobby";

const OUT = "dist/cli";

// V8 tells code of another text by its length alone.
for (const old of globSync(`${OUT}/*.{js,code}`)) rmSync(old);

const bundle = await rolldown({
  input: { main: "cli/main.ts", load: "cli/load.ts", run: "cli/run.ts", worker: "cli/jobs/worker.ts" },
  platform: "node",
  transform: {
    target: "node20.19",
    define: {
      // Of two ways to get at what is in it, zstddec takes the one that loads all of Node's `fetch`, unless there is none.
      fetch: "undefined",
      // Of yargs: where configuration files may be that we do not read.
      "import.meta.resolve": "undefined",
    },
    inject: { "Intl.Segmenter": [resolve("cli/segmenter.ts"), "LazySegmenter"] },
  },
  // What is loaded from two places, and is loaded anyway by one of them, is no mistake.
  checks: { ineffectiveDynamicImport: false },
  plugins: [
    {
      // Its own string-width has an expression that takes V8 longer to read than all of the command line.
      name: "yargs measures with our string-width",
      resolveId(source, importer) {
        const theirs = source === "string-width" && importer?.includes("/node_modules/yargs/");
        return theirs ? this.resolve(source, resolve("cli/run.ts")) : null;
      },
    },
  ],
});
const { output } = await bundle.write({
  dir: OUT,
  // Node finds such modules faster, and can be given code for them.
  format: "cjs",
  chunkFileNames: "[name].js",
  minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
  codeSplitting: {
    // Each with all that it imports, and that no one before has.
    groups: [
      { name: "command-line", test: /cli\/run\.ts$/, priority: 3 },
      { name: "replaying", test: /cli\/replay-files\.ts$/, priority: 2 },
      { name: "shared", test: (id) => !id.endsWith("/cli/load.ts"), minShareCount: 2, priority: 1 },
    ],
  },
});
writeFileSync(join(OUT, "package.json"), '{ "type": "commonjs" }\n');
chmodSync(join(OUT, "main.js"), 0o755);
writeFileSync(
  join(OUT, "LICENSES"),
  licences(output.flatMap((file) => (file.type === "chunk" ? file.moduleIds : []))),
);

/** Command lines that between them load what most do; a file has the code that the first takes which loads it. */
const USUAL: readonly (readonly string[])[] = [
  ["samples/bind/entry-update.ndjson"],
  ["samples/bind/entry-update.ndjson", "--summary"],
  ["inspect", "samples/bind/entry-update.ndjson"],
  ["explain", "vtd", "0x71"],
  ["decode", "vtd", "0x1", "0x0"],
];
for (const words of USUAL) keepCodeOf(words);

function keepCodeOf(words: readonly string[]): void {
  const script = `const { load, keepCode } = require("./${OUT}/load.js");
    process.on("exit", keepCode);
    load("./run.js").run();`;
  const { stderr } = spawnSync(process.execPath, ["-e", script, "--", "pasid-replay", ...words], {
    encoding: "utf8",
  });
  if (stderr !== "") throw new Error(`pasid-replay ${words.join(" ")} failed:\n${stderr}`);
}

/** The licences of all packages that are in the files, each with its package's name and version. */
function licences(modules: readonly string[]): string {
  const folders = new Set<string>();
  for (const path of modules) {
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
