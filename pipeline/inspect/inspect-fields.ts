/** Descriptions of fields that several records of `inspect` have. */
import { device, integer, optional, text } from "../../parsers/trace/field.ts";
import { type Description, hexText, reason, schemaField } from "../output/output-fields.ts";
import type { InspectedTable } from "./records.ts";

export const U32 = 2 ** 32 - 1;

export const iommu = optional(text("The IOMMU"));
export const dev = device("The device, as the trace spells it, or would");
export const domain = optional(integer(0, U32, "VT-d DID, AMD DomainID, Arm VMID, RISC-V GSCID"));
export const stage = integer(1, 2, "The stage");
export const kindName = text("What it is");
const code = optional(hexText("The native fault code"));
const name = optional(text("The specification's name for it"));
export const faultFields = { code, name, reason: optional(reason) };

export const TABLE: Description<InspectedTable> = {
  stage,
  format: text("Page-table format"),
  root: hexText("Address of its root table"),
  levels: integer(1, 6, "Levels"),
  granule: optional(integer(4, 64, "KiB, where it is not 4")),
  from: optional(hexText("Where a stage has several: the first input address of this one")),
};

/** Rights. */
export const PERM = schemaField({
  type: "string",
  pattern: "^[r-][w-][x-]$",
  description: "- for what the walk denies",
});
