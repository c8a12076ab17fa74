/**
 * What the files of an IOMMU in sysfs say: those that Linux publishes, and those that the kernel list's thread proposes
 * (`/sys/class/iommu/<iommu-dev>/<model>/<property>`).
 */
import { type PublishedFile, quoted } from "../../walkers/host.ts";
import { IOMMU_MODELS, type IommuModel } from "../../walkers/models.ts";
import type { IommuState, PropertyValue } from "../../walkers/registers.ts";
import { VENDORS } from "../../walkers/registry.ts";

/** What the folder of a model means. */
interface ModelFolder {
  readonly model: IommuModel;
  /** Its number in the thread's `model` file; null: the folder has no such file. */
  readonly number: number | null;
}

export const MODEL_FOLDERS: Readonly<Record<string, ModelFolder>> = Object.fromEntries(
  IOMMU_MODELS.flatMap((model) =>
    Object.entries(VENDORS[model].host.folders).map(([name, number]) => [name, { model, number }]),
  ),
);

/** Files whose values name what SMMU_IDR0 numbers. */
const HTTU: Readonly<Record<string, number>> = { none: 0, access: 1, "access+dirty": 2 };
const STALL_MODEL: Readonly<Record<string, number>> = { enabled: 0, disabled: 1, force: 2 };
const SWITCH: Readonly<Record<string, number>> = { enabled: 1, disabled: 0 };

/** Widest address, and most PASID or ASID bits, that a file may say. */
const MAX_BITS = 64;

const bits =
  (property: string): PublishedFile =>
  (text, state) => {
    const value = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value <= MAX_BITS)) return `expected a number of bits, 0 to ${MAX_BITS}, found ${quoted(text)}`;
    state.props.set(property, value);
    return undefined;
  };

const named =
  (property: string, values: Readonly<Record<string, number>>): PublishedFile =>
  (text, state) => {
    if (!Object.hasOwn(values, text))
      return `expected one of ${Object.keys(values).join(", ")}, found ${quoted(text)}`;
    state.props.set(property, values[text]!);
    return undefined;
  };

/** Files that the thread proposes, whatever the model. */
const PROPOSED: Readonly<Record<string, PublishedFile>> = {
  asid_bits: bits("asid_bits"),
  input_bits: bits("input_bits"),
  output_bits: bits("output_bits"),
  btm: named("btm", SWITCH),
  httu: named("httu", HTTU),
  stall: named("stall_model", STALL_MODEL),
};
/** The substream bits of an SMMU are the PASID bits of the others. */
const PASID_BITS: readonly string[] = ["ssid_bits", "pasid_bits"];

function readerOf(name: string, model: IommuModel): PublishedFile | undefined {
  const { files, pasidBits } = VENDORS[model].host;
  if (Object.hasOwn(files, name)) return files[name];
  if (PASID_BITS.includes(name)) return bits(pasidBits);
  return Object.hasOwn(PROPOSED, name) ? PROPOSED[name] : undefined;
}

/**
 * Takes over the value of a file of a model's folder. A file that nobody knows becomes a property of its name: a
 * newer kernel may publish more.
 *
 * @param text its contents without the newline
 * @returns what is wrong with it, or undefined
 */
export function takeProperty(
  name: string,
  text: string,
  state: IommuState,
  model: IommuModel,
): string | undefined {
  const reader = readerOf(name, model);
  if (reader !== undefined) return reader(text, state);
  state.props.set(name, unknownValue(text));
  return undefined;
}

/** Whether this file belongs to the thread's proposal, whose absent files have defaults. */
export function isProposed(name: string): boolean {
  return [...PASID_BITS, "model", "pgtable_format"].includes(name) || Object.hasOwn(PROPOSED, name);
}

function unknownValue(text: string): PropertyValue {
  return /^\d{1,15}$/.test(text) ? Number(text) : text;
}
