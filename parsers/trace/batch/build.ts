/**
 * tsx parsers/trace/batch/build.ts: compiles the batch machine (assembly/) to WebAssembly, into parsers/trace/batch/built.ts. The words
 * that it looks for, and the limits, come from where the records are declared.
 */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { main } from "assemblyscript/asc";
import { ACCESSES } from "../accesses.ts";
import { MAX_LENGTH, MAX_PASID, OBSERVED_RESULTS, RECORDS } from "../schema.ts";
import { BATCH_END, WASM_PAGE } from "./layout.ts";

const FOLDER = dirname(fileURLToPath(import.meta.url));
const WORD_BYTES = 8;

/** The first bytes of a text as a little-endian word. */
function wordOf(text: string): string {
  const bytes = Buffer.alloc(WORD_BYTES);
  bytes.write(text, "latin1");
  return `0x${bytes.readBigUInt64LE().toString(16)}`;
}

/** Ones where a text has a byte. */
function maskOf(text: string): string {
  return `0x${(2n ** BigInt(8 * Math.min(text.length, WORD_BYTES)) - 1n).toString(16)}`;
}

/** A field's name with its closing quote, as far as a word goes, and which bytes of the word that is. */
function nameWords(prefix: string, names: readonly string[]): string[] {
  return names.flatMap((name) => {
    const text = `${name}"`;
    const constant = `${prefix}_${name.toUpperCase()}`;
    return [
      `export const ${constant}: u64 = ${wordOf(text)};`,
      `export const ${constant}_MASK: u64 = ${maskOf(text)};`,
    ];
  });
}

/** A text value with its closing quote: at most four bytes. */
function valueWords(prefix: string, values: readonly string[]): string[] {
  return values
    .filter((value) => value.length < 4)
    .map((value) => `export const ${prefix}_VALUE_${value.toUpperCase()}: u32 = ${wordOf(`${value}"`)};`);
}

const words = [
  ...nameWords("DMA", ["type", ...Object.keys(RECORDS.dma.fields)]),
  ...nameWords("OBSERVED", Object.keys(RECORDS.dma.fields.observed.fields ?? {})),
  ...nameWords("OBSERVED", ["fault"]),
  ...valueWords("TYPE", Object.keys(RECORDS)),
  ...valueWords("ACCESS", ACCESSES),
  ...valueWords("OBSERVED", OBSERVED_RESULTS),
  `export const MAX_PASID: u64 = ${MAX_PASID};`,
  `export const MAX_LENGTH: u64 = ${MAX_LENGTH};`,
];
writeFileSync(join(FOLDER, "assembly/words.ts"), `${words.join("\n")}\n`);

const { error, stderr, binary } = await compiled();
if (error !== null || binary === null) throw new Error(`parsers/trace/batch/assembly: ${stderr}`);
writeFileSync(
  join(FOLDER, "built.ts"),
  `/** The batch machine, as parsers/trace/batch/build.ts has compiled it. */\nexport const MACHINE = "${Buffer.from(binary).toString("base64")}";\n`,
);

async function compiled() {
  let binary: Uint8Array | null = null;
  const pages = String(BATCH_END / WASM_PAGE);
  const options = [
    ...["--optimizeLevel", "3", "--shrinkLevel", "0", "--noAssert", "--runtime", "stub", "--enable", "simd"],
    ...[
      "--importMemory",
      "--initialMemory",
      pages,
      "--maximumMemory",
      pages,
      "--memoryBase",
      "1024",
      "--disableWarning",
      "201",
    ],
  ];
  const { error, stderr } = await main(
    ["assembly/index.ts", "--baseDir", FOLDER, "--outFile", "built.wasm", ...options],
    {
      writeFile: (name, contents) => {
        if (name === "built.wasm") binary = contents as Uint8Array;
      },
    },
  );
  return { error, stderr: stderr.toString(), binary: binary as Uint8Array | null };
}
