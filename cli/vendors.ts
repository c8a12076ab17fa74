import { nearest } from "../parsers/trace/nearest.ts";
import { IOMMU_MODELS, IOMMUS, type IommuModel } from "../walkers/models.ts";
import { CliError } from "./errors.ts";

function namesOf(model: IommuModel): readonly string[] {
  return [model, ...IOMMUS[model].aliases];
}

/** All names that `vendorNamed` takes. */
export const VENDOR_NAMES: readonly string[] = IOMMU_MODELS.flatMap(namesOf);

/** Whether it is one of them, in any case. */
export function isVendor(name: string): boolean {
  return VENDOR_NAMES.includes(name.toLowerCase());
}

/** The model that a name stands for, in any case. */
export function vendorNamed(name: string): IommuModel {
  const lower = name.toLowerCase();
  const model = IOMMU_MODELS.find((m) => namesOf(m).includes(lower));
  if (model !== undefined) return model;
  const near = nearest(lower, VENDOR_NAMES);
  const hint = near === undefined ? "" : `; did you mean ${near}?`;
  throw new CliError(
    `expected a vendor (${VENDOR_NAMES.join(", ")}), found ${JSON.stringify(name)}${hint}`,
    true,
  );
}
