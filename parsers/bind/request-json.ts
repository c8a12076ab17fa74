import { CONFIG_MODELS, type ConfigModel } from "../../walkers/models.ts";
import type { Word64 } from "../../walkers/registers.ts";
import { Devices } from "../trace/devices.ts";
import {
  anyText,
  Check,
  type Field,
  integer,
  isObject,
  list,
  object,
  optional,
  size64,
  type TypeOf,
} from "../trace/field.ts";
import { show } from "../trace/show.ts";
import type { BindRequest, ParentStage, PasidTableRequest, VendorFields } from "./request.ts";
import { steRequest } from "./request-bytes.ts";

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
    base_ptr: optional(size64("Table")),
    pasid_bits: u8("PASID bits"),
    arm: optional(object({ s1fmt: u8("Format"), s1dss: u8("PASID 0") }, "Arm")),
    amd: optional(object({ glx: u8("Levels less one"), paging_levels: u8("Guest levels") }, "AMD")),
    intel: optional(object({ rid_pasid: u32("PASID of requests without one") }, "Intel")),
    riscv: optional(object({ mode: optional(anyText("Mode")) }, "RISC-V")),
    stage2: optional(stage2),
  },
  "Configuration",
);

const bindRecord = object({ config, stage2: optional(stage2) }, "Bind record");

const vtdStage1 = object(
  {
    flags: optional(size64("Flags")),
    pgtbl_addr: size64("Table"),
    addr_width: integer(0, U32, "Width"),
    __reserved: u32("Zero"),
  },
  "iommu_hwpt_vtd_s1",
);

const smmuSte = object({ ste: list(size64("Word"), 2, 2, "Words") }, "iommu_hwpt_arm_smmuv3");

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
  if ("ste" in value) {
    const read = smmuSte.read(value, "", check);
    return read && check.ok ? steRequest(bytesOfWords(read.ste)) : undefined;
  }
  if ("pgtbl_addr" in value) {
    const read = vtdStage1.read(value, "", check);
    if (read === undefined) return undefined;
    return {
      kind: "iommu_hwpt_vtd_s1",
      flags: read.flags === undefined ? 0n : big(read.flags),
      pgtblAddr: big(read.pgtbl_addr),
      addrWidth: read.addr_width,
      reserved: read.__reserved ?? 0,
    };
  }
  if ("config" in value) {
    const read = bindRecord.read(value, "", check);
    return read && configRequest(read.config, read.config.stage2 ?? read.stage2);
  }
  if (!("base_ptr" in value || "model" in value || "pasid_bits" in value)) {
    const names = Object.keys(value).slice(0, 8).join(", ");
    check.fail(
      "schema",
      "configuration",
      "the fields of pasid_table_config, of a bind record, of iommu_hwpt_vtd_s1 (pgtbl_addr, …) or of iommu_hwpt_arm_smmuv3 (ste)",
      names === "" ? "none" : names,
    );
    return undefined;
  }
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
    base: base === undefined ? 0n : big(base),
    ...vendorFields(read),
    ...(parent === undefined ? {} : { parent: parentStage(parent) }),
  };
}

/** The fields of the formats, without those that are not there. */
function vendorFields(config: Pick<Config, "arm" | "amd" | "intel" | "riscv">): VendorFields {
  const { arm, amd, intel, riscv } = config;
  return given({ arm, amd, intel, riscv });
}

function parentStage(stage: NonNullable<Config["stage2"]>): ParentStage {
  const { format, root, levels, t0sz } = stage;
  return given({ format, root: root && big(root), levels, t0sz });
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

function big(word: Word64): bigint {
  return (BigInt(word.hi >>> 0) << 32n) | BigInt(word.lo >>> 0);
}

function bytesOfWords(words: readonly Word64[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(8 * words.length));
  words.forEach((word, i) => {
    view.setBigUint64(8 * i, big(word), true);
  });
  return new Uint8Array(view.buffer);
}
