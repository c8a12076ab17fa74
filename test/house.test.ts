/** The order of the house, which no compiler keeps: CONTRIBUTING says why. */
import { describe, expect, it } from "vitest";
import { IOMMU_MODELS, TABLE_MODELS } from "../walkers/models.ts";
import { circlesOf, LAYERS, type Module, moduleOf, projectModules, roomsOf } from "./support/modules.ts";

const REGISTRY = "walkers/registry.ts";
/** Where models are declared: nowhere else, but by a vendor, is one named. */
const DECLARATIONS = [REGISTRY, "walkers/models.ts", "walkers/pasid-tables/vendor-fields.ts"];

/** Readers of logs are of one vendor each, whose structures they build: they stand together for what they share. */
const LOGS = "parsers/logs/";

const modules = projectModules();

/** Folders of vendors: what is in them nobody imports but they themselves, and the registry their index. */
const VENDOR_FOLDERS = modules
  .find(({ path }) => path === REGISTRY)!
  .imports.flatMap((path) => (path.endsWith("/index.ts") ? [path.slice(0, -"index.ts".length)] : []));

function layerOf(path: string): number {
  return LAYERS.indexOf(path.split("/")[0]!);
}

function vendorOf(path: string): string | undefined {
  return VENDOR_FOLDERS.find((folder) => path.startsWith(folder));
}

function importsWhere(wrong: (from: string, to: string) => boolean, all = modules): string[] {
  return all.flatMap(({ path, imports }) =>
    imports.filter((to) => wrong(path, to)).map((to) => `${path} -> ${to}`),
  );
}

const upwards = (from: string, to: string) => !LAYERS[layerOf(to)] || layerOf(to) > layerOf(from);

const intoVendor = (from: string, to: string) => {
  const vendor = vendorOf(to);
  if (vendor === undefined || vendorOf(from) === vendor || from.startsWith(LOGS)) return false;
  return from !== REGISTRY || to !== `${vendor}index.ts`;
};

/** Exported names that several files declare, with these files. */
function sharedNames(all: readonly Module[]): string[] {
  const files = new Map<string, string[]>();
  for (const { path, exports } of all)
    for (const name of exports) files.set(name, [...(files.get(name) ?? []), path]);
  return [...files].filter(([, of]) => of.length > 1).map(([name, of]) => `${name}: ${of.join(", ")}`);
}

const MODEL = new RegExp(`"(?:${[...new Set([...IOMMU_MODELS, ...TABLE_MODELS])].join("|")})"`, "g");

/** Lines that name a model. */
function modelsNamed({ path, code }: Module): string[] {
  if (vendorOf(path) !== undefined || DECLARATIONS.includes(path) || path.startsWith(LOGS)) return [];
  return code
    .split("\n")
    .filter((line) => line.match(MODEL))
    .map((line) => `${path}: ${line.trim()}`);
}

describe("the house", () => {
  it("has files in every layer, and a folder for every IOMMU", () => {
    expect(VENDOR_FOLDERS).toHaveLength(IOMMU_MODELS.length);
    for (const folder of [...LAYERS.map((layer) => `${layer}/`), ...VENDOR_FOLDERS])
      expect(modules.filter(({ path }) => path.startsWith(folder)).length).toBeGreaterThan(2);
  });

  it("a layer imports none above it", () => {
    expect(importsWhere(upwards)).toEqual([]);
  });

  it("no files import each other in a circle, for types neither", () => {
    expect(circlesOf(modules)).toEqual([]);
  });

  it("no rooms of a layer do", () => {
    expect(circlesOf(roomsOf(modules))).toEqual([]);
  });

  it("an exported name stands once", () => {
    expect(sharedNames(modules)).toEqual([]);
  });

  it("a vendor's files are the vendor's: the registry imports its index, and nobody anything else", () => {
    expect(importsWhere(intoVendor)).toEqual([]);
  });

  it("nothing outside of a vendor's folder names a model", () => {
    expect(modules.flatMap(modelsNamed)).toEqual([]);
  });
});

describe("what keeps it", () => {
  const parsed = moduleOf(
    "pipeline/a/one.ts",
    [
      'import { type A, b } from "../b/two.ts";',
      'export { c } from "./three.ts";',
      'const late = () => import("../../cli/four.ts");',
      '// import { d } from "./five.ts";',
      '/* export const gone = 1; "riscv" */',
      "export abstract class E {}",
      "export async function f() {}",
      'export const g = "riscv"; // "amd"',
      "  export const inner = 1;",
    ].join("\n"),
  );

  it("sees imports and exports, and no comments", () => {
    expect(parsed.imports).toEqual(["pipeline/b/two.ts", "pipeline/a/three.ts", "cli/four.ts"]);
    expect(parsed.exports).toEqual(["E", "f", "g"]);
    expect(modelsNamed(parsed)).toEqual(['pipeline/a/one.ts: export const g = "riscv";']);
  });

  it("finds what is wrong", () => {
    expect(importsWhere(upwards, [parsed])).toEqual(["pipeline/a/one.ts -> cli/four.ts"]);
    expect(sharedNames([parsed, { ...parsed, path: "cli/x.ts", exports: ["f"] }])).toEqual([
      "f: pipeline/a/one.ts, cli/x.ts",
    ]);
    const vendors = { "cli/x.ts": "walkers/vtd/index.ts", "walkers/vtd/a.ts": "walkers/riscv/b.ts" };
    for (const [from, to] of Object.entries(vendors)) expect(intoVendor(from, to)).toBe(true);
    expect(intoVendor(REGISTRY, "walkers/vtd/walker.ts")).toBe(true);
    expect(intoVendor(REGISTRY, "walkers/vtd/index.ts")).toBe(false);
  });

  it("finds circles of files, and of rooms whose files have none", () => {
    const nodes = [
      { path: "cli/a/1.ts", imports: ["cli/a/2.ts", "cli/b/4.ts"] },
      { path: "cli/a/2.ts", imports: ["cli/a/3.ts"] },
      { path: "cli/a/3.ts", imports: ["cli/a/2.ts"] },
      { path: "cli/b/4.ts", imports: [] },
      { path: "cli/b/5.ts", imports: ["cli/a/1.ts"] },
    ];
    expect(circlesOf(nodes)).toEqual([["cli/a/2.ts", "cli/a/3.ts"]]);
    expect(circlesOf(roomsOf(nodes))).toEqual([["cli/a", "cli/b"]]);
  });
});
