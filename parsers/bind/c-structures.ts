/**
 * The C structures of binding as a 64-bit little-endian VMM passes them: `struct pasid_table_config` as the kernel
 * list's thread has it, before and after `model` came in, and those of include/uapi/linux/iommufd.h.
 */
import { bit, bits, type Layout, layout } from "../../walkers/layout.ts";

/** PASID_TABLE_CFG_VERSION_1. */
export const CONFIG_VERSION = 1;

const THREAD = "[PATCH v4 04/22] iommu/vt-d: add bind_pasid_table function";
const IOMMUFD = "include/uapi/linux/iommufd.h";

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

export const VtdStage1Layout = layout("struct iommu_hwpt_vtd_s1", IOMMUFD, 24, {
  SRE: bit(0, "IOMMU_VTD_S1_SRE: supervisor requests"),
  EAFE: bit(1, "IOMMU_VTD_S1_EAFE: extended accessed flag"),
  WPE: bit(2, "IOMMU_VTD_S1_WPE: write protection"),
  pgtbl_addr: bits(127, 64, "First-stage page table"),
  addr_width: bits(159, 128, "Address width of the first-stage page table"),
});
/** The whole of `flags` and of `__reserved`, for messages. */
export const VTD_S1_FLAGS = { at: 0, bytes: 8 } as const;
export const VTD_S1_RESERVED = { at: 20, bytes: 4 } as const;

/** Bytes of an STE that `struct iommu_hwpt_arm_smmuv3` has. */
export const SMMU_STE_BYTES = 16;

/** Bytes from the start of a structure to the end of a field: what `bytes` must cover for the field to be there. */
export function endOf<F extends string>(structure: Layout<F>, field: F): number {
  return (structure.fields[field].parts[0]![0] + 1) / 8;
}

/** Where the fields end that every table has, in either layout, and those of an Arm table. */
export const OLDER_END = endOf(OlderConfigLayout, "pasid_bits");
export const PASID_BITS_END = endOf(PasidTableConfigLayout, "pasid_bits");
export const S1DSS_END = endOf(PasidTableConfigLayout, "s1dss");

/** A view on bytes, lengthened with zeros to the structure's size. */
export function viewOf(bytes: Uint8Array, structure: Layout): DataView {
  const padded = new Uint8Array(Math.max(bytes.length, structure.bytes));
  padded.set(bytes);
  return new DataView(padded.buffer);
}
