import { CONFIG_MODELS, type ConfigModel } from "../../walkers/models.ts";
import type { ParentStage } from "../../walkers/pasid-tables/format.ts";
import { vendorFieldsOf } from "../../walkers/pasid-tables/vendor-fields.ts";
import { joined } from "../../walkers/word64.ts";
import { Devices } from "../trace/devices.ts";
import {
  anyText,
  Check,
  type Field,
  integer,
  isObject,
  object,
  optional,
  size64,
  type TypeOf,
} from "../trace/field.ts";
import { show, showNames } from "../trace/show.ts";
import { knowsFields } from "../trace/unknown-names.ts";
import { vendorGroups } from "../trace/vendor-fields.ts";
import { alternatives, hwptNames, hwptOfFields } from "./hwpt-structures.ts";
import type { BindRequest, PasidTableRequest } from "./request.ts";

const U8 = 255;
const U32 = 2 ** 32 - 1;

const u8 = (doc: string) => optional(integer(0, U8, doc));
const u32 = (doc: string) => optional(integer(0, U32, doc));

/** An enumerator, its short form, or a number as in C; what is none of them stays as it is written. */
const model: Field<string> = {
  doc: "Table format",
  read(value, path, check) {
    if (typeof value === "string" || Number.isInteger(value)) return `${value}`;
    check.fail("schema", path, "an enumerator of enum pasid_table_model", show(value));
    return undefined;
  },
  schema: () => ({}),
};

const stage2 = object(
  {
    format: optional(anyText("Page-table format")),
    root: optional(size64("Root")),
    levels: u8("Levels"),
    t0sz: u8("64 less the input size"),
  },
  "Second stage",
);

/** As in a `bind` record, but with every value that the C structure could hold. */
const config = object(
  {
    version: u32("Version"),
    bytes: u32("Size"),
    model: optional(model),
    base_ptr: size64("Table"),
    pasid_bits: u8("PASID bits"),
    ...vendorGroups((values) =>
      "names" in values ? anyText(values.doc) : integer(0, values.bytes === 1 ? U8 : U32, values.doc),
    ),
    stage2: optional(stage2),
  },
  "Configuration",
);

const bindRecord = object(
  {
    type: optional(anyText("Type")),
    dev: optional(anyText("Device")),
    iommu: optional(anyText("IOMMU")),
    config,
    stage2: optional(stage2),
  },
  "Bind record",
);

/**
 * Reads a request from JSON: a `pasid_table_config` as in a `bind` record, the record itself, or one of iommufd's
 * structures by the names of its fields.
 * @returns the request, or a sentence that says what was expected and what was found
 */
export function requestOfJson(value: unknown): BindRequest | string {
  if (!isObject(value)) return `expected a JSON object, found ${show(value)}`;
  const check = new Check(new Devices());
  const request = read(value, check);
  return request === undefined ? check.message : request;
}

function read(value: Record<string, unknown>, check: Check): BindRequest | undefined {
  const hwpt = hwptOfFields(value, check);
  if (hwpt !== null) return hwpt;
  if ("config" in value) {
    if (!knowsFields(bindRecord, value, "bind record", check)) return undefined;
    const read = bindRecord.read(value, "", check);
    return read && configRequest(read.config, read.config.stage2 ?? read.stage2);
  }
  if (!("base_ptr" in value || "model" in value || "pasid_bits" in value)) {
    check.fail(
      "schema",
      "configuration",
      `the fields ${alternatives(["pasid_table_config", "a bind record", ...hwptNames()].map((name) => `of ${name}`))}`,
      showNames(Object.keys(value)),
    );
    return undefined;
  }
  if (!knowsFields(config, value, "pasid_table_config", check)) return undefined;
  const read = config.read(value, "", check);
  return read && configRequest(read, read.stage2);
}

/** The configuration of a `bind` record, whose fields have been read already. */
export function requestOfConfig(read: Config): PasidTableRequest {
  return configRequest(read, read.stage2);
}

type Config = TypeOf<typeof config>;

function configRequest(read: Config, parent: Config["stage2"]): PasidTableRequest {
  const { version, bytes, model: name, base_ptr: base, pasid_bits: pasidBits } = read;
  const known = name === undefined ? undefined : modelNamed(name);
  return {
    kind: "pasid_table_config",
    ...given({ version, bytes, model: known, pasidBits }),
    ...(name !== undefined && known === undefined ? { unknownModel: name } : {}),
    base: joined(base.hi, base.lo),
    ...vendorFieldsOf(read),
    ...(parent === undefined ? {} : { parent: parentStage(parent) }),
  };
}

function parentStage(stage: NonNullable<Config["stage2"]>): ParentStage {
  const { format, root, levels, t0sz } = stage;
  return given({ format, root: root && joined(root.hi, root.lo), levels, t0sz });
}

/** A model by its enumerator, its short form, or its number in `enum pasid_table_model`. */
function modelNamed(name: string): ConfigModel | undefined {
  const short = name
    .toLowerCase()
    .replace(/^pasid_table_format_/, "")
    .replace("_", "-");
  const named = CONFIG_MODELS.find((m) => m === short);
  return named ?? (/^[0-4]$/.test(name) ? CONFIG_MODELS[Number(name)] : undefined);
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** An object without its undefined fields. */
function given<T extends object>(fields: T): Given<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<T>;
}
