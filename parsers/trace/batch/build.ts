/**
 * tsx parsers/trace/batch/build.ts: compiles the batch machine (assembly/) to WebAssembly, and the thread that works ahead
 * (thread.ts) to one text, both into parsers/trace/batch/built.ts. The words that the machine looks for, and the limits, come
 * from where the records are declared.
 */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { main } from "assemblyscript/asc";
import { build } from "esbuild";
import { READ } from "../../../walkers/request.ts";
import { type Fields, oneOf } from "../field.ts";
import {
  COMMAND_FIELDS,
  DMA_FIELDS,
  MEM_FIELDS,
  OBSERVED_FIELDS,
  type ScannedFields,
} from "../scanned-fields.ts";
import { MAX_COMMAND_WORDS, MIN_COMMAND_WORDS, OBSERVED, RECORDS } from "../schema.ts";
import { beginning, fieldReader } from "./field-code.ts";
import { BATCH_END, WASM_PAGE } from "./layout.ts";

const FOLDER = dirname(fileURLToPath(import.meta.url));
/** Code for a type of record: the type itself is a choice of one, that sets nothing. */
function ofRecord<R>(type: string, fields: Fields, scanned: ScannedFields<R>): string {
  const all = { type: oneOf([type], "Record type"), ...fields };
  const places: ScannedFields<R> = {
    ...scanned,
    type: { take() {}, batch: { bits: 0, choices: { [type]: 0 } } },
  };
  return `${fieldReader(type, all, places)}\n${beginning(type)}`;
}

write("dma", `export const READ: u32 = ${READ};\n${ofRecord("dma", RECORDS.dma.fields, DMA_FIELDS)}`);
write("mem", ofRecord("mem", RECORDS.mem.fields, MEM_FIELDS));
write(
  "cmd",
  [
    `export const MIN_WORDS: u32 = ${MIN_COMMAND_WORDS};`,
    `export const MAX_WORDS: u32 = ${MAX_COMMAND_WORDS};`,
    ofRecord("cmd", RECORDS.cmd.fields, COMMAND_FIELDS),
  ].join("\n"),
);
write("observed", fieldReader("observed", OBSERVED, OBSERVED_FIELDS));

function write(name: string, code: string): void {
  writeFileSync(join(FOLDER, `assembly/${name}-field.ts`), `${code}\n`);
}

const { error, stderr, binary } = await compiled();
if (error !== null || binary === null) throw new Error(`parsers/trace/batch/assembly: ${stderr}`);
const machine = Buffer.from(binary).toString("base64");
writeFileSync(
  join(FOLDER, "built.ts"),
  [
    "/** What parsers/trace/batch/build.ts has compiled: the batch machine, and the program of the thread that works ahead. */",
    `export const MACHINE = "${machine}";`,
    `export const THREAD = ${JSON.stringify(await threadProgram())};\n`,
  ].join("\n"),
);

/** A program by itself, as text: wherever it is started from, it needs no other file. */
async function threadProgram(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(FOLDER, "thread.ts")],
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node20.19",
    minify: true,
    write: false,
  });
  return outputFiles[0]!.text.trim();
}

async function compiled() {
  let binary: Uint8Array | null = null;
  const pages = String(BATCH_END / WASM_PAGE);
  const options = [
    ...[
      "--optimizeLevel",
      "3",
      "--shrinkLevel",
      "0",
      "--noAssert",
      "--runtime",
      "stub",
      "--disableWarning",
      "201",
    ],
    ...[
      "--enable",
      "simd",
      "--enable",
      "threads",
      "--importMemory",
      "--sharedMemory",
      "--memoryBase",
      "1024",
    ],
    ...["--initialMemory", pages, "--maximumMemory", pages],
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
