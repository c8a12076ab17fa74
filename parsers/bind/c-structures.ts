/**
 * `struct pasid_table_config` as a 64-bit little-endian VMM passes it: as the kernel list's thread has it, before and
 * after `model` came in.
 */

import { bits, type Layout, layout } from "../../walkers/layout.ts";
import { type ConfigModel, MODEL_OWNER } from "../../walkers/models.ts";
import { VENDOR_FIELDS } from "../../walkers/pasid-tables/vendor-fields.ts";

/** PASID_TABLE_CFG_VERSION_1. */
export const CONFIG_VERSION = 1;

const THREAD = "[PATCH v4 04/22] iommu/vt-d: add bind_pasid_table function";
/** With `model`; the two fields after `pasid_bits` are those that Arm asked for, and padding for the others. */
export const PasidTableConfigLayout = layout("struct pasid_table_config", THREAD, 32, {
  version: bits(31, 0, "For extensions; 1"),
  bytes: bits(63, 32, "Size of the structure"),
  model: bits(95, 64, "enum pasid_table_model", {
    0: "PASID_TABLE_FORMAT_HOST",
    1: "PASID_TABLE_FORMAT_ARM_1LVL",
    2: "PASID_TABLE_FORMAT_ARM_2LVL",
    3: "PASID_TABLE_FORMAT_AMD",
    4: "PASID_TABLE_FORMAT_INTEL",
  }),
  base_ptr: bits(191, 128, "PASID table pointer"),
  pasid_bits: bits(199, 192, "PASID bits of the guest's table"),
  s1fmt: bits(207, 200, "Arm: number of levels, as STE.S1Fmt"),
  s1dss: bits(215, 208, "Arm: behaviour of PASID 0, as STE.S1DSS"),
});

/** Without `model`: what earlier versions of the series passed. */
export const OlderConfigLayout = layout("struct pasid_table_config, without model", THREAD, 24, {
  version: bits(31, 0, "For extensions; 1"),
  bytes: bits(63, 32, "Size of the structure"),
  base_ptr: bits(127, 64, "PASID table pointer"),
  pasid_bits: bits(135, 128, "PASID bits of the guest's table"),
});

/** Bytes from the start of a structure to the end of a field: what `bytes` must cover for the field to be there. */
export function fieldEnd<F extends string>(structure: Layout<F>, field: F): number {
  return (structure.fields[field].parts[0]![0] + 1) / 8;
}

/** Where the fields end that every table has, in either layout, and those of an Arm table. */
export const OLDER_END = fieldEnd(OlderConfigLayout, "pasid_bits");
export const PASID_BITS_END = fieldEnd(PasidTableConfigLayout, "pasid_bits");
export const S1DSS_END = fieldEnd(PasidTableConfigLayout, "s1dss");

/** Whether a table of this model has the fields behind `pasid_bits`. */
export function hasArmFields(model: ConfigModel | undefined): boolean {
  return model !== undefined && model !== "host" && MODEL_OWNER[model] === VENDOR_FIELDS.arm.owner;
}

/** A view on bytes, lengthened with zeros to the structure's size. */
export function viewOf(bytes: Uint8Array, structure: { readonly bytes: number }): DataView {
  const padded = new Uint8Array(Math.max(bytes.length, structure.bytes));
  padded.set(bytes);
  return new DataView(padded.buffer);
}
