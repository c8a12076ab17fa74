/**
 * The input records of the pasid-trace contract, version 1. This is their one declaration: types, validation,
 * messages and JSON Schema (input-schema.ts) derive from it.
 */

import { CONFIG_MODELS, type ConfigModel, IOMMU_MODELS, IOMMUS } from "../../walkers/models.ts";
import { SNAPSHOT_FORMATS } from "../memory/snapshot-formats.ts";
import { ACCESSES, ADDRESS_TYPES } from "./accesses.ts";
import {
  anyText,
  boolean,
  type Check,
  device,
  type Field,
  type Fields,
  hex64,
  hexBytes,
  integer,
  list,
  mapOf,
  type ObjectOf,
  object,
  oneOf,
  opaque,
  optional,
  registerName,
  size64,
  type TypeOf,
  text,
} from "./field.ts";
import { show } from "./show.ts";
import { vendorGroups } from "./vendor-fields.ts";

export const MAX_PASID = 2 ** 20 - 1;
/** Bytes of a request. */
export const MAX_LENGTH = 2 ** 32 - 1;
/** 64-bit words of a command. */
export const MIN_COMMAND_WORDS = 2;
export const MAX_COMMAND_WORDS = 4;
const U8 = 255;
const U32 = 2 ** 32 - 1;

export const OBSERVED_RESULTS = ["ok", "fault", "msi"] as const;
export const FAULT_CLASSES = ["CD", "TT", "IN"] as const;
const CACHES = ["all", "context", "pasid", "iotlb", "devtlb"] as const;
const GRANULARITIES = ["global", "domain", "device", "pasid", "page"] as const;
const STAGE2_FORMATS = IOMMU_MODELS.map((model) => IOMMUS[model].secondStage);

const iommuName = text("Id of the IOMMU, as its `iommu` record declares it");
const deviceName = device('A PCI name "[ssss:]bb:dd.f", "sid:<n>", "did:<n>" or "devid:<n>"');
const pasid = integer(0, MAX_PASID, "PASID (SubstreamID, process_id)");
const seq = integer(
  -Number.MAX_SAFE_INTEGER,
  Number.MAX_SAFE_INTEGER,
  "Sequence number, carried to the output",
);
const ts = opaque("Time stamp in whatever unit, carried to the output as it is written");
/**
 * Names of fields whose values whoever made the record derived, because what it was made of does not say them. For whoever
 * reads the trace: nothing is made of it here, so that anything is taken.
 */
const assumed = optional<unknown>({
  doc: "Names of the fields, or parts of one, that were derived rather than recorded: an array of strings",
  plain: { kind: "any" },
  read: (value) => value,
  schema: () => ({
    description: "Names of the fields, or parts of one, that were derived rather than recorded",
  }),
});
const access = oneOf(ACCESSES, 'Kind of access: read, write, atomic ("rw"), read for execute');

/** A model by its enumerator (the short form in capitals, with a prefix) or its short form; read as the short form. */
function configModel(doc: string): Field<ConfigModel> {
  const enumerators = CONFIG_MODELS.map(
    (model) => `PASID_TABLE_FORMAT_${model.toUpperCase().replace("-", "_")}`,
  );
  const either = oneOf([...CONFIG_MODELS, ...enumerators], doc);
  return {
    doc,
    read(value, path, check) {
      const name = either.read(value, path, check);
      if (name === undefined) return undefined;
      const i = enumerators.indexOf(name);
      return i < 0 ? (name as ConfigModel) : CONFIG_MODELS[i];
    },
    schema: either.schema,
  };
}

/** A published capability. */
const property: Field<number | boolean | string | readonly string[]> = {
  doc: "A capability's value",
  read(value, path, check) {
    if (typeof value === "number" || typeof value === "boolean" || typeof value === "string") return value;
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
    check.fail("schema", path, "a number, true, false, a string or an array of strings", show(value));
    return undefined;
  },
  schema: () => ({ type: ["number", "boolean", "string", "array"], items: { type: "string" } }),
};

const stage2 = object(
  {
    format: oneOf(STAGE2_FORMATS, "Page-table format of the second stage"),
    root: hex64("Address of its root table"),
    levels: optional(integer(1, 6, "Number of levels")),
    t0sz: optional(integer(0, 63, "Arm: 64 less the input size in bits")),
    granule: optional(integer(4, 64, "Arm: granule in KiB: 4, 16 or 64")),
    domain: optional(integer(0, U32, "Domain id, VMID or GSCID")),
  },
  "Second stage of a bound device; without it, the identity",
);

const config = object(
  {
    version: optional(integer(0, U32, "Version of the structure")),
    bytes: optional(integer(0, U32, "Size of the structure")),
    model: configModel("Format of the PASID table: enumerator of `enum pasid_table_model`, or short form"),
    base_ptr: hex64("Address of the PASID table"),
    pasid_bits: optional(integer(0, U8, "Number of PASID bits; a PASID beyond them is PASID_INVALID")),
    ...vendorGroups((values) =>
      "names" in values ? oneOf(values.names, values.doc) : integer(values.least, values.most, values.doc),
    ),
    stage2: optional(stage2),
  },
  "The guest PASID table: `pasid_table_config`",
);

/** Fields of `observed` in `dma`. */
export const OBSERVED = {
  result: oneOf(OBSERVED_RESULTS, "What became of the request"),
  pa: optional(hex64("ok: the address it was translated to")),
  code: optional(hex64("fault: the native fault code")),
  reason: optional(text("fault: the generic fault reason")),
  stage: optional(integer(1, 2, "fault: the stage whose page table faulted")),
  class: optional(oneOf(FAULT_CLASSES, "fault: Arm's class")),
  ipa: optional(hex64("fault: the intermediate address of a second-stage fault")),
  flags: optional(hex64("fault: the native record's flags")),
  recorded: optional(boolean("fault: false where no fault record was written")),
} as const;
const observed = object(OBSERVED, "What the recorded system did with the request");

/** What `map` and `unmap` are about. Without a device or a domain, the source does not say which. */
const mapping = {
  dev: optional(deviceName),
  iommu: optional(iommuName),
  domain: optional(integer(0, U32, "Domain")),
  addr: hex64("First input address"),
  size: size64("Bytes"),
};

/** Fields of each record type beside `type`, with the sentence that the JSON Schema says about it. */
export const RECORDS = {
  header: declare("Opens a trace", {
    format: oneOf(["pasid-trace"], "Name of the format"),
    version: integer(1, 1, "Version of the contract"),
    producer: optional(anyText("What recorded the trace")),
    comment: optional(anyText("Anything")),
  }),
  iommu: declare("Declares an IOMMU", {
    id: text("Its id in the other records"),
    model: oneOf(IOMMU_MODELS, "Its architecture"),
    regs: optional(mapOf(hex64("Value"), "Registers by the specification's name in lower case")),
    props: optional(mapOf(property, "Capabilities that the host publishes; they override registers")),
    assumed,
  }),
  reg: declare("A register changes from here on", {
    iommu: iommuName,
    name: registerName("The specification's name in lower case"),
    value: hex64("Its new value"),
    assumed,
  }),
  ram: declare("Guest RAM exists here, zero until written", {
    addr: hex64("Physical address"),
    size: size64("Bytes"),
    assumed,
  }),
  snapshot: declare("Guest memory from a file beside the trace replaces all earlier memory", {
    path: text("The file, relative to the trace"),
    format: optional(oneOf(SNAPSHOT_FORMATS, "Its format; default auto")),
    base: optional(hex64("Physical address of a raw file's first byte")),
  }),
  mem: declare("Bytes written to guest memory", {
    addr: hex64("Physical address of the first byte"),
    data: hexBytes("The bytes"),
    by: optional(
      anyText(
        '"iommu" where the recorded IOMMU itself wrote them, "read" where somebody read them and when they were written is not known',
      ),
    ),
    assumed,
  }),
  flush: declare(
    "What processors have written is flushed: IOMMUs whose walks are not coherent see it from here on",
    {
      addr: optional(hex64("First byte of what is written back from processors' caches; absent: everything")),
      size: optional(size64("Bytes; default 1: the line that holds it")),
      iommu: optional(text("The IOMMU whose write buffer it is, as its `iommu` record declares it")),
    },
  ),
  bind: declare("Binds a guest PASID table to a device", {
    dev: deviceName,
    iommu: optional(iommuName),
    config,
    stage2: optional(stage2),
  }),
  unbind: declare("Undoes a bind", { dev: deviceName, iommu: optional(iommuName) }),
  dma: declare("A DMA request", {
    dev: deviceName,
    addr: hex64("Input address"),
    iommu: optional(iommuName),
    pasid: optional(pasid),
    len: optional(integer(1, MAX_LENGTH, "Bytes; default 1")),
    access: optional(access),
    priv: optional(boolean("Privileged access was requested; default false")),
    at: optional(oneOf(ADDRESS_TYPES, "PCIe address type; default untranslated")),
    seq: optional(seq),
    ts: optional(ts),
    observed: optional(observed),
    assumed,
  }),
  cmd: declare("A native descriptor of the invalidation or command queue", {
    iommu: iommuName,
    data: list(hex64("64-bit word"), MIN_COMMAND_WORDS, MAX_COMMAND_WORDS, "Its words, lowest address first"),
    assumed,
  }),
  inv: declare("An invalidation in neutral form", {
    iommu: optional(iommuName),
    cache: oneOf(CACHES, "Which cache"),
    granularity: oneOf(GRANULARITIES, "What it covers"),
    domain: optional(integer(0, U32, "Domain id, VMID or GSCID")),
    asid: optional(integer(0, U32, "ASID or PSCID")),
    pasid: optional(pasid),
    dev: optional(deviceName),
    addr: optional(hex64("First byte")),
    size: optional(size64("Bytes")),
    leaf: optional(boolean("Only leaf entries")),
  }),
  fault: declare("A fault that the recorded system logged on its own", {
    dev: deviceName,
    addr: optional(hex64("Input address")),
    iommu: optional(iommuName),
    pasid: optional(pasid),
    access: optional(access),
    code: optional(hex64("The native fault code")),
    reason: optional(text("The generic fault reason")),
    seq: optional(seq),
    ts: optional(ts),
    assumed,
  }),
  map: declare("Software maps memory for a device", {
    ...mapping,
    pa: optional(hex64("Physical address of the first byte")),
    access: optional(oneOf(["r", "w", "rw"], "What the device may do")),
    ts: optional(ts),
    assumed,
  }),
  unmap: declare("Software undoes a mapping", { ...mapping, ts: optional(ts), assumed }),
  loss: declare("Something that happened is not in the trace", {
    what: text("What is lost, in a word or two with dashes"),
    severity: oneOf(["error", "warning", "info"], "error: verdicts may be wrong for it"),
    count: integer(1, Number.MAX_SAFE_INTEGER, "How many of them"),
    first_line: optional(integer(0, Number.MAX_SAFE_INTEGER, "Line of the log where it was seen first")),
    message: anyText("A sentence: what is lost, and what to do about it"),
  }),
  mark: declare("A label that is carried to the output", { label: anyText("The label") }),
} as const;

export type RecordType = keyof typeof RECORDS;
/** A validated record of a type. */
export type RecordOf<T extends RecordType> = { readonly type: T } & TypeOf<(typeof RECORDS)[T]["field"]>;
export type AnyRecord = { [T in RecordType]: RecordOf<T> }[RecordType];
export type DmaInput = RecordOf<"dma">;
export type MemInput = RecordOf<"mem">;
/** Every record but the two that come as reused objects. */
export type PlainRecord = Exclude<AnyRecord, DmaInput | MemInput>;

export interface RecordDeclaration<S extends Fields> {
  readonly doc: string;
  readonly fields: S;
  readonly field: Field<ObjectOf<S>>;
}

function declare<const S extends Fields>(doc: string, fields: S): RecordDeclaration<S> {
  return { doc, fields, field: object(fields, doc) };
}

export const RECORD_TYPES = Object.keys(RECORDS) as RecordType[];

export function isRecordType(type: string): type is RecordType {
  return Object.hasOwn(RECORDS, type);
}

/**
 * Validates and decodes a record of a known type.
 * @param value the parsed JSON object
 * @returns null after having reported the problem to `check`
 */
export function readRecord(type: RecordType, value: Record<string, unknown>, check: Check): AnyRecord | null {
  const out = RECORDS[type].field.read(value, type, check);
  if (out === undefined || !check.ok) return null;
  const record = { type, ...out } as AnyRecord;
  // The second stage may stand beside the config; whoever binds finds it in there.
  if (record.type === "bind" && record.stage2 !== undefined)
    return { ...record, config: { stage2: record.stage2, ...record.config } };
  return record;
}
