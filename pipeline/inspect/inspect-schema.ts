import { integer, objectSchema, oneOf, optional, text } from "../../parsers/trace/field.ts";
import { IOMMU_MODELS } from "../../walkers/models.ts";
import { TRANSLATION_KINDS } from "../../walkers/page-tables/address-space.ts";
import {
  bytes,
  count,
  type Description,
  type Descriptions,
  hexText,
  level,
  listOf,
  only,
  pageSizes,
  pasid,
  schemaField,
} from "../output/output-fields.ts";
import { dev, domain, faultFields, iommu, kindName, PERM, stage, TABLE, U32 } from "./inspect-fields.ts";
import { LOOKUP_RECORDS } from "./lookup-schema.ts";
import type {
  InspectedDevice,
  InspectedDevices,
  InspectedIommu,
  InspectedPasid,
  InspectedRange,
  InspectionNote,
  InspectionSummary,
} from "./records.ts";

const IOMMU: Description<InspectedIommu> = {
  iommu,
  model: oneOf(IOMMU_MODELS, "Its architecture"),
  translation: oneOf(
    ["enabled", "passthrough", "blocked"],
    "What becomes of requests of devices without a binding",
  ),
  table: optional(
    schemaField(
      objectSchema({ kind: kindName, addr: hexText("Its address") }, "What the base register points to"),
    ),
  ),
};

const DEVICE: Description<InspectedDevice> = {
  iommu,
  dev,
  id: integer(0, U32, "Requester id, StreamID, DeviceID or device_id"),
  bound: optional(only(true, "The PASID table comes from a bind record")),
  pasid_table: optional(
    schemaField(
      objectSchema(
        { kind: kindName, addr: hexText("Its address"), pasids: count("PASIDs that it has room for") },
        "Where the device's PASID structures begin",
      ),
    ),
  ),
  default_pasid: optional(pasid),
};

const DEVICES: Description<InspectedDevices> = {
  iommu,
  dev,
  last: dev,
  count: count("How many"),
  translation: oneOf(["passthrough", "blocked"], "What becomes of their requests"),
  domain,
};

const PASID: Description<InspectedPasid> = {
  iommu,
  dev,
  pasid: optional(pasid),
  translation: oneOf([...TRANSLATION_KINDS, "blocked"], "What becomes of its requests"),
  domain,
  asid: optional(integer(0, U32, "Arm ASID, RISC-V PSCID")),
  tables: listOf(TABLE, "Its page tables"),
  fault: optional(schemaField(objectSchema(faultFields, "blocked: the fault of every request"))),
  ranges: count("Merged ranges"),
  bytes: bytes("Bytes mapped"),
  pages: pageSizes("Pages by their size in bytes"),
  faulty: count("Ranges whose entries are there, and fault"),
  complete: optional(only(false, "A limit ended the enumeration early")),
};

const RANGE: Description<InspectedRange> = {
  iommu,
  dev,
  pasid: optional(pasid),
  iova: hexText("First input address"),
  pa: hexText("Where it leads"),
  size: bytes("Bytes"),
  perm: PERM,
  page: optional(bytes("Bytes of each page")),
  priv: optional(only(true, "Unprivileged requests are refused")),
  passthrough: optional(only(true, "Nothing is translated")),
};

const NOTE: Description<InspectionNote> = {
  note: oneOf(
    ["faulty", "limit", "effort", "table"],
    "Something at fault, an end before the end, or a table",
  ),
  iommu,
  dev: optional(dev),
  pasid: optional(pasid),
  last: optional(
    schemaField({
      type: ["string", "integer"],
      description: "The last device, or PASID, that this is said of",
    }),
  ),
  count: optional(count("How many it is said of")),
  iova: optional(hexText("First input address")),
  size: optional(bytes("Bytes")),
  ...faultFields,
  stage: optional(stage),
  level: optional(level),
  entry_addr: optional(hexText("Address of the failing entry")),
  entry: optional(hexText("Its first 64 bits")),
  hole: optional(only(true, "The fetch left all recorded memory")),
  next: optional(hexText("Where to go on")),
  message: text("What it is"),
};

const SUMMARY: Description<InspectionSummary> = {
  line: integer(0, Number.MAX_SAFE_INTEGER, "The state is that after this line"),
  iommus: count("IOMMUs"),
  devices: count("Devices with tables"),
  plain_devices: count("Devices without"),
  pasids: count("PASIDs"),
  ranges: count("Merged ranges"),
  bytes: bytes("Bytes mapped"),
  pages: pageSizes("Pages by their size in bytes"),
  faulty: count("Contexts and ranges at fault"),
  walks: count("Walks made"),
  complete: schemaField({ type: "boolean", description: "Nothing was left out" }),
};

/** The records of `inspect --json`. */
export const INSPECT_RECORDS: Descriptions = {
  iommu: [IOMMU, "inspect: an IOMMU"],
  device: [DEVICE, "inspect: a device with tables"],
  devices: [DEVICES, "inspect: devices one after another that have none"],
  pasid: [
    PASID,
    "inspect: requests of a device with one PASID, or without; after their map and note records",
  ],
  map: [RANGE, "inspect: a mapped range"],
  note: [NOTE, "inspect: something at fault, or that was left out"],
  "inspect-summary": [SUMMARY, "inspect: counters; the last record"],
  ...LOOKUP_RECORDS,
};
