/**
 * tsx parsers/trace/batch/build.ts: compiles the batch machine (assembly/) to WebAssembly, into parsers/trace/batch/built.ts. The words
 * that it looks for, and the limits, come from where the records are declared.
 */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { main } from "assemblyscript/asc";
import { READ } from "../../../walkers/request.ts";
import { oneOf } from "../field.ts";
import { DMA_FIELDS, OBSERVED_FIELDS } from "../scanned-fields.ts";
import { OBSERVED, RECORDS } from "../schema.ts";
import { fieldReader } from "./field-code.ts";
import { BATCH_END, WASM_PAGE } from "./layout.ts";

const FOLDER = dirname(fileURLToPath(import.meta.url));
/** The record's type is a choice of one, that sets nothing. */
const TYPE = { type: oneOf(["dma"], "Record type") };
const dma = { ...TYPE, ...RECORDS.dma.fields };
write(
  "dma",
  `export const READ: u32 = ${READ};\n` +
    fieldReader("dma", dma, { ...DMA_FIELDS, type: { take() {}, batch: { bits: 0, choices: { dma: 0 } } } }),
);
write("observed", fieldReader("observed", OBSERVED, OBSERVED_FIELDS));

function write(name: string, code: string): void {
  writeFileSync(join(FOLDER, `assembly/${name}-field.ts`), `${code}\n`);
}

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
