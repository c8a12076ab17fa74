import { makeVectors, type Vector } from "../../pipeline/fuzz/vectors.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { EXIT_OK, type ExitStatus } from "../exit-status.ts";
import type { Output } from "../output.ts";
import { traceText } from "./findings-text.ts";
import { keep } from "./fuzz-device.ts";

const MOST_NAME = 64;
/** Of what has no section of its own. */
const OTHERS = "pages";

/** Writes vectors into a folder: one for each section of the specification, a file for each vector, and a manifest. */
export async function emitVectors(
  folder: string,
  model: IommuModel,
  seed: number,
  worlds: number,
  out: Output,
): Promise<ExitStatus> {
  const vectors = await makeVectors(model, seed, worlds);
  const names = new Set<string>();
  const entries = vectors.map((vector) => {
    const file = fileOf(vector, names);
    const [section, name] = file.split("/") as [string, string];
    keep(`${folder}/${section}`, name, traceText(vector.records, `${vector.kind}: ${vector.shows}`));
    const { kind, shows, source, records } = vector;
    const expected = records.flatMap(({ type, observed }) => (type === "dma" ? [observed] : []));
    return { file, kind, shows, source, expected };
  });
  const manifest = { format: "pasid-vectors", version: 1, model, seed, worlds, vectors: entries };
  keep(folder, "manifest.json", `${JSON.stringify(manifest, null, 1)}\n`);
  await out.write(`${vectors.length} vectors of ${worlds} worlds, seed ${seed}: ${folder}/manifest.json\n`);
  await out.finish();
  return EXIT_OK;
}

function fileOf({ source, kind, shows }: Vector, names: Set<string>): string {
  const section = source === "" ? OTHERS : slug(source);
  const base = `${section}/${kind}-${slug(shows)}`;
  let name = base;
  for (let i = 2; names.has(name); i++) name = `${base}-${i}`;
  names.add(name);
  return `${name}.ndjson`;
}

function slug(text: string): string {
  const words = text.toLowerCase().replaceAll(/[^a-z0-9.]+/g, "-");
  return words.slice(0, MOST_NAME).replaceAll(/^[-.]+|[-.]+$/g, "");
}
