import { integer, objectSchema, oneOf, optional } from "../../parsers/trace/field.ts";
import { TRANSLATION_KINDS } from "../../walkers/page-tables/address-space.ts";
import {
  bytes,
  count,
  type Description,
  type Descriptions,
  hexText,
  listOf,
  only,
  pasid,
  schemaField,
} from "../output/output-fields.ts";
import { dev, domain, faultFields, iommu, PERM, TABLE, U32 } from "./inspect-fields.ts";
import type { CoversRecord, DomainRecord, LookupRecord, SharedRecord } from "./lookup-records.ts";

const mapping = (doc: string) =>
  schemaField(
    objectSchema(
      {
        iova: hexText("First input address"),
        pa: hexText("Where it leads"),
        size: bytes("Bytes"),
        perm: PERM,
        page: optional(bytes("Bytes of each page")),
      },
      doc,
    ),
  );

const COVERS: Description<CoversRecord> = {
  iommu,
  dev,
  pasid: optional(pasid),
  addr: hexText("The input address that was asked about"),
  mapped: schemaField({ type: "boolean", description: "Whether it leads anywhere" }),
  pa: optional(hexText("Where it leads")),
  range: optional(mapping("The range that it is in")),
  before: optional(mapping("Not mapped: the range before it")),
  after: optional(mapping("Not mapped: the range behind it")),
  fault: optional(
    schemaField(objectSchema(faultFields, "Not mapped: the fault of a context, or of entries")),
  ),
};

const LOOKUP: Description<LookupRecord> = {
  pa: hexText("First physical address that was asked about"),
  size: bytes("Bytes"),
  mappings: count("Ranges that lead there"),
  devices: count("Devices that they are of"),
  writers: count("Of these, those that may write"),
  passthrough: count("Devices that reach all memory, since nothing is translated for them"),
  complete: schemaField({ type: "boolean", description: "Nothing was left out" }),
};

const DOMAIN: Description<DomainRecord> = {
  iommu,
  domain,
  asid: optional(integer(0, U32, "Arm ASID, RISC-V PSCID")),
  translation: oneOf([...TRANSLATION_KINDS, "blocked"], "What becomes of their requests"),
  tables: listOf(TABLE, "Their page tables"),
  users: listOf({ dev, pasid: optional(pasid) }, "Who has them: the first ones"),
  count: count("Devices and PASIDs in all"),
  devices: count("Devices among them"),
  bytes: bytes("Bytes mapped"),
  writable: bytes("Bytes of these that may be written"),
};

const SHARED: Description<SharedRecord> = {
  pa: hexText("First physical address"),
  size: bytes("Bytes"),
  mappings: listOf(
    { iommu, dev, pasid: optional(pasid), iova: hexText("Input address"), perm: PERM },
    "What leads there: the first ones",
  ),
  count: count("Ranges that lead there"),
  devices: count("Devices that reach it, those that share tables included"),
  aliased: optional(only(true, "Several of them are of one address space")),
  writers: count("Devices that may write it"),
};

/** The records of the questions to `inspect`. */
export const LOOKUP_RECORDS: Descriptions = {
  covers: [COVERS, "inspect --covers: whether an address space has an input address"],
  lookup: [LOOKUP, "inspect --pa: counters; the last record"],
  domain: [DOMAIN, "inspect --domains: who has one domain and its tables"],
  shared: [SHARED, "inspect --shared: memory that is mapped more than once"],
};
