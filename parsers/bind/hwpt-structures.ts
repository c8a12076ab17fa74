import { IOMMU_MODELS, type IommuModel } from "../../walkers/models.ts";
import type { HwptStructure, StructureField } from "../../walkers/pasid-tables/hwpt.ts";
import type { Word64 } from "../../walkers/registers.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { type Check, type Field, integer, list, object, optional, size64 } from "../trace/field.ts";
import { knowsFields } from "../trace/unknown-names.ts";
import type { HwptRequest } from "./request.ts";

const U32 = 2 ** 32 - 1;

interface OwnedStructure {
  readonly owner: IommuModel;
  readonly structure: HwptStructure;
}

/** The structures of iommufd that there are. */
export const HWPT_STRUCTURES: readonly OwnedStructure[] = IOMMU_MODELS.flatMap((owner) => {
  const structure = VENDORS[owner].hwpt;
  return structure === null ? [] : [{ owner, structure }];
});

/** "iommu_hwpt_vtd_s1 (pgtbl_addr, …)": each with the field that tells it from the others. */
export function hwptNames(): string[] {
  return HWPT_STRUCTURES.map(({ structure: { name, fields } }) => {
    const more = fields.length > 1 ? ", …" : "";
    return `${name} (${fields[0].name}${more})`;
  });
}

/** "a, b or c" */
export function alternatives(names: readonly string[]): string {
  return `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
}

/** A structure by the names of its fields; null where the object is none. */
export function hwptOfFields(value: Record<string, unknown>, check: Check): HwptRequest | undefined | null {
  const known = HWPT_STRUCTURES.find(({ structure }) => structure.fields[0].name in value);
  if (known === undefined) return null;
  const { bytes, fields, name } = known.structure;
  const declared = Object.fromEntries(fields.map((field) => [field.name, readerOf(field)]));
  const structure = object(declared, name);
  if (!knowsFields(structure, value, name, check)) return undefined;
  const read = structure.read(value, "", check) as Record<string, unknown> | undefined;
  if (read === undefined || !check.ok) return undefined;
  const view = new DataView(new ArrayBuffer(bytes));
  for (const field of fields) write(view, field, read[field.name]);
  return { kind: "iommu_hwpt", owner: known.owner, view };
}

function readerOf({ name, bytes, count, optional: mayLack }: StructureField): Field<unknown> {
  const one: Field<unknown> = bytes === 8 ? size64(name) : integer(0, U32, name);
  const field = count === undefined ? one : list(one, count, count, name);
  return mayLack ? optional(field) : field;
}

function write(view: DataView, { at, bytes }: StructureField, value: unknown): void {
  const items = (Array.isArray(value) ? value : [value ?? 0]) as (number | Word64)[];
  items.forEach((item, i) => {
    const { hi, lo } = typeof item === "number" ? { hi: 0, lo: item } : item;
    view.setInt32(at + i * bytes, lo, true);
    if (bytes === 8) view.setInt32(at + i * bytes + 4, hi, true);
  });
}
