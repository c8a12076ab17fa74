import { rules } from "../tables/rule.ts";

const THREAD = "kernel list, 2018-05-30, [PATCH v4 04/22] iommu/vt-d: add bind_pasid_table function";
const UAPI = "Linux, include/uapi/linux/iommufd.h";

/** What is found where a PASID table is put under a device: does it belong on this IOMMU? */
export const BIND_RULES = rules({
  "bind-version": {
    severity: "error",
    text: "The version of the structure is none that is defined: its fields may mean something else.",
    source: THREAD,
  },
  "bind-bytes-small": {
    severity: "error",
    text: "The structure says that it is smaller than the fields that every version has.",
    source: THREAD,
  },
  "bind-bytes-large": {
    severity: "error",
    text: "The structure says that it is larger than what is defined, or than what was passed: its further fields cannot be honoured.",
    source: THREAD,
  },
  "bind-bytes-fields": {
    severity: "warning",
    text: "The size that the structure says does not go with its model: a field that the model needs is not in it, or one is given that is not in it.",
    source: THREAD,
  },
  "bind-reserved": {
    severity: "error",
    text: "Bits are set that must be zero, or that user space may not set: the kernel refuses the structure.",
    source: UAPI,
  },
  "bind-model-unknown": {
    severity: "error",
    text: "The model is no enumerator of enum pasid_table_model: nobody can tell what the table looks like.",
    source: THREAD,
  },
  "bind-model-mismatch": {
    severity: "error",
    text: "The table has another vendor's format than this IOMMU walks: every request with a PASID would fault, or be translated by garbage.",
    source: THREAD,
  },
  "bind-foreign-fields": {
    severity: "warning",
    text: "The configuration has fields that belong to another model: they are ignored.",
    source: THREAD,
  },
  "bind-levels": {
    severity: "error",
    text: "The model and the format field of an Arm table contradict each other about its levels, or the format is a reserved value.",
    source: "IHI 0070, 5.2 STE.S1Fmt",
  },
  "bind-format-missing": {
    severity: "warning",
    text: "The configuration leaves open what the table looks like: the leaf size of a 2-level Arm table, or the mode of a RISC-V process directory.",
    source: "IHI 0070, 5.2 STE.S1Fmt; RISC-V IOMMU 1.0, pdtp.MODE",
  },
  "bind-format-unsupported": {
    severity: "error",
    text: "This IOMMU is of the right vendor but cannot walk such a table: a mode, a number of levels or a stage is missing.",
    source:
      "VT-d 5.10, 11.4.3 (SMTS; 2.x: ECS); IHI 0070, 6.3.1 (S1P, CD2L); AMD 48882, MMIO 0030h (GTSup, GLXSup, GATS); RISC-V IOMMU 1.0, capabilities (PD8, PD17, PD20)",
  },
  "bind-no-pasid": {
    severity: "error",
    text: "This IOMMU does not support PASIDs at all: every request with one is refused.",
    source: `VT-d 5.10, 11.4.3 (PASID); IHI 0070, 6.3.2 (SSIDSIZE); AMD 48882, MMIO 0030h (GTSup); ${THREAD} (ssid_bits)`,
  },
  "bind-pasid-bits-zero": {
    severity: "warning",
    text: "The table has room for PASID 0 alone: requests with any other PASID are refused.",
    source: THREAD,
  },
  "bind-pasid-bits-host": {
    severity: "error",
    text: "The table has more PASID bits than the host supports: PASIDs beyond them never reach it, or the configuration is illegal.",
    source:
      "VT-d 5.10, 11.4.3 (PSS); IHI 0070, 5.2 STE.S1CDMax; AMD 48882, MMIO 0030h (PASmax); RISC-V IOMMU 1.0, capabilities (PD8, PD17, PD20)",
  },
  "bind-pasid-bits-format": {
    severity: "error",
    text: "The table has more PASID bits than its format can index.",
    source:
      "PCIe 6.0, 6.20 (20 bits); AMD 48882, 2.2.6 (9 bits a level); RISC-V IOMMU 1.0, pdtp.MODE (8, 17 or 20 bits)",
  },
  "bind-rid-pasid": {
    severity: "error",
    text: "The PASID of requests without one is beyond the table, or the IOMMU has no such field and uses PASID 0.",
    source: "VT-d 5.10, 9.4 (RID_PASID) and 11.4.3 (RPS)",
  },
  "bind-base-alignment": {
    severity: "error",
    text: "The table's address is not aligned as its format requires: the IOMMU drops the low bits and walks another table.",
    source:
      "VT-d 5.10, 9.4 (4 KiB); IHI 0070, 5.2 STE.S1Fmt (64 bytes, or the table's size); AMD 48882, 2.2.2 (4 KiB); RISC-V IOMMU 1.0, pdtp (4 KiB)",
  },
  "bind-base-range": {
    severity: "error",
    text: "The table, or its end, is beyond the addresses that the IOMMU can put out, or that the second stage under it translates.",
    source:
      "VT-d 5.10, 9.4; IHI 0070, 3.4.3 and 5.2 STE.S1ContextPtr; AMD 48882, 2.2.2; RISC-V IOMMU 1.0, capabilities (PAS)",
  },
  "bind-s1dss-reserved": {
    severity: "error",
    text: "The behaviour of requests without PASID is a reserved value: it terminates them.",
    source: "IHI 0070, 5.2 STE.S1DSS",
  },
  "bind-s1dss-ignored": {
    severity: "warning",
    text: "The behaviour of requests without PASID is ignored where substreams are disabled or not supported: they use the only context descriptor.",
    source: "IHI 0070, 5.2 STE.S1DSS",
  },
  "bind-ste-config": {
    severity: "error",
    text: "The stream table entry asks for a configuration that a guest cannot have: the kernel refuses it.",
    source: `${UAPI}; Linux, drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-iommufd.c`,
  },
  "bind-flag-unsupported": {
    severity: "error",
    text: "The configuration turns a feature on that this IOMMU does not have.",
    source: "VT-d 5.10, 11.4.3 (SRS, EAFS); IHI 0070, 5.2 STE.S1STALLD and STE.EATS",
  },
  "bind-nested-unsupported": {
    severity: "error",
    text: "The table lies over a second stage, and this IOMMU cannot translate its addresses through one.",
    source:
      "VT-d 5.10, 11.4.3 (NEST); IHI 0070, 5.2 STE.Config; AMD 48882, MMIO 0030h (HATS) and 01A0h (GCR3TRPMode); RISC-V IOMMU 1.0, capabilities (Sv39x4, …)",
  },
  "bind-pgtable-format": {
    severity: "error",
    text: "The page tables have a format that this IOMMU cannot walk: each request through them faults.",
    source:
      "VT-d 5.10, 9.6 and 11.4.2 (FS5LP); IHI 0070, 5.4 (AA64, TG0, TG1); AMD 48882, MMIO 0030h (GATS); RISC-V IOMMU 1.0, process-context configuration checks",
  },
  "bind-extent-hole": {
    severity: "info",
    text: "Part of the table is not in recorded memory: a PASID whose entry lies there cannot be looked up.",
    source: "trace contract, `ram`",
  },
  "bind-overlap-binding": {
    severity: "error",
    text: "The table shares memory with another device's table without being the same: entries of one are read as entries of the other.",
    source: "derived: an entry belongs to one table",
  },
  "bind-overlap-own": {
    severity: "error",
    text: "The table points into itself: an entry of it is also read as part of a table below it.",
    source: "derived: an entry belongs to one table",
  },
});
