/**
 * What the files of an IOMMU in sysfs say: those that Linux publishes (drivers/iommu/intel/iommu.c,
 * drivers/iommu/amd/init.c), and those that the kernel list's thread proposes
 * (`/sys/class/iommu/<iommu-dev>/<model>/<property>`).
 */
import type { IommuState, PropertyValue } from "../../walkers/registers.ts";
import type { IommuModel } from "../../walkers/walker.ts";
import { setRegister } from "./host.ts";

/** What the folder of a model means. */
export interface ModelFolder {
  readonly model: IommuModel;
  /** Its number in the thread's `model` file. */
  readonly number?: number;
}

export const MODEL_FOLDERS: Readonly<Record<string, ModelFolder>> = {
  "intel-iommu": { model: "intel" },
  "amd-iommu": { model: "amd" },
  "intel-vtd": { model: "intel", number: 1 },
  "arm-smmu-v3": { model: "arm-smmuv3", number: 2 },
};

/** Files whose values name what SMMU_IDR0 numbers. */
const HTTU: Readonly<Record<string, number>> = { none: 0, access: 1, "access+dirty": 2 };
const STALL_MODEL: Readonly<Record<string, number>> = { enabled: 0, disabled: 1, force: 2 };
const SWITCH: Readonly<Record<string, number>> = { enabled: 1, disabled: 0 };

/** Widest address, and most PASID or ASID bits, that a file may say. */
const MAX_BITS = 64;

/** Takes over the value of one file; a sentence says what is wrong with it. */
type Reader = (text: string, state: IommuState, model: IommuModel) => string | undefined;

const bits =
  (property: string): Reader =>
  (text, state) => {
    const value = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value <= MAX_BITS)) return `expected a number of bits, 0 to ${MAX_BITS}, found ${quote(text)}`;
    state.props.set(property, value);
    return undefined;
  };

const named =
  (property: string, values: Readonly<Record<string, number>>): Reader =>
  (text, state) => {
    if (!Object.hasOwn(values, text))
      return `expected one of ${Object.keys(values).join(", ")}, found ${quote(text)}`;
    state.props.set(property, values[text]!);
    return undefined;
  };

const hexRegister =
  (register: string): Reader =>
  (text, state) => {
    const value = hexOf(text);
    if (value === undefined) return `expected 1 to 16 hex digits, found ${quote(text)}`;
    setRegister(state, register, value);
    return undefined;
  };

/** The substream bits of an SMMU are the PASID bits of the others. */
const ssidBits: Reader = (text, state, model) =>
  bits(model === "arm-smmuv3" ? "ssid_bits" : "pasid_bits")(text, state, model);

/** Files that the thread proposes, whatever the model. */
const PROPOSED: Readonly<Record<string, Reader>> = {
  asid_bits: bits("asid_bits"),
  ssid_bits: ssidBits,
  pasid_bits: ssidBits,
  input_bits: bits("input_bits"),
  output_bits: bits("output_bits"),
  btm: named("btm", SWITCH),
  httu: named("httu", HTTU),
  stall: named("stall_model", STALL_MODEL),
};

const PUBLISHED: Readonly<Partial<Record<IommuModel, Readonly<Record<string, Reader>>>>> = {
  intel: {
    cap: hexRegister("cap"),
    ecap: hexRegister("ecap"),
    version: vtdVersion,
    address: () => undefined,
    domains_supported: count("domains_supported"),
    domains_used: count("domains_used"),
  },
  amd: { cap: hexRegister("pci_cap"), features: amdFeatures },
};

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
  const reader = readerIn(PUBLISHED[model], name) ?? readerIn(PROPOSED, name);
  if (reader !== undefined) return reader(text, state, model);
  state.props.set(name, unknownValue(text));
  return undefined;
}

function readerIn(readers: Readonly<Record<string, Reader>> | undefined, name: string): Reader | undefined {
  return readers !== undefined && Object.hasOwn(readers, name) ? readers[name] : undefined;
}

/** Whether this file belongs to the thread's proposal, whose absent files have defaults. */
export function isProposed(name: string): boolean {
  return name === "model" || name === "pgtable_format" || Object.hasOwn(PROPOSED, name);
}

function unknownValue(text: string): PropertyValue {
  return /^\d{1,15}$/.test(text) ? Number(text) : text;
}

function count(property: string): Reader {
  return (text, state) => {
    if (!/^\d{1,10}$/.test(text)) return `expected a number, found ${quote(text)}`;
    state.props.set(property, Number(text));
    return undefined;
  };
}

/** "major:minor" of VER_REG. */
function vtdVersion(text: string, state: IommuState): string | undefined {
  const match = /^(\d{1,2}):(\d{1,2})$/.exec(text);
  const [major, minor] = [Number(match?.[1]), Number(match?.[2])];
  if (!(major < 16 && minor < 16)) return `expected major:minor, each 0 to 15, found ${quote(text)}`;
  setRegister(state, "ver", BigInt(major * 16 + minor));
  return undefined;
}

/**
 * The Extended Feature Register; with a colon, that and the second one. Their order has changed (Linux printed EFR2
 * first when it began to print both): of the two only the first has fields above bit 31.
 */
function amdFeatures(text: string, state: IommuState): string | undefined {
  const parts = text.split(":").map(hexOf);
  if (parts.length > 2 || parts.includes(undefined))
    return `expected one or two numbers of 1 to 16 hex digits, with a colon between, found ${quote(text)}`;
  const [first, second] = parts as [bigint, bigint | undefined];
  const swapped = second !== undefined && first >> 32n === 0n && second >> 32n !== 0n;
  setRegister(state, "efr", swapped ? second : first);
  if (second !== undefined) setRegister(state, "efr2", swapped ? first : second);
  return undefined;
}

function hexOf(text: string): bigint | undefined {
  return /^(0x)?[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text.replace(/^0x/i, "")}`) : undefined;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
