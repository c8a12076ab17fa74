import { rules } from "./rule.ts";

const UPDATES =
  "VT-d 5.10, 6.5.3.3; IHI 0070, 3.21.3; AMD 48882, 2.2.2; RISC-V IOMMU 1.0, Updating in-memory data structure entries";

/** What is wrong with the entries of device, context and PASID tables. */
export const TABLE_RULES = rules({
  "reserved-entry-bits": {
    severity: "error",
    text: "A valid entry has bits set that are reserved, or that belong to a feature that the IOMMU lacks: every request that uses it faults.",
    source: "VT-d 5.10, 7.1.3 and 9; AMD 48882, 2.2.2; RISC-V IOMMU 1.0, 2.1.4 and 2.2.4",
  },
  "ignored-entry-bits": {
    severity: "warning",
    text: "A valid entry has reserved bits set that this IOMMU does not check: a later one may give them a meaning.",
    source: "IHI 0070, 5 (RES0); AMD 48882, 2.2.2",
  },
  "illegal-encoding": {
    severity: "error",
    text: "A field of a valid entry has a value that the specification does not define: every request that uses it faults.",
    source: "VT-d 5.10, 9; IHI 0070, 5.2.2 and 5.4.2; AMD 48882, 2.2.2; RISC-V IOMMU 1.0, 2.1.4 and 2.2.4",
  },
  "unsupported-encoding": {
    severity: "error",
    text: "A valid entry asks for something that the IOMMU's capabilities do not report: every request that uses it faults.",
    source:
      "VT-d 5.10, 7.1.3; IHI 0070, 5.2.2 and 5.4.2; AMD 48882, 2.2.2; RISC-V IOMMU 1.0, 2.1.4 and 2.2.4",
  },
  "conflicting-fields": {
    severity: "error",
    text: "Two fields of a valid entry, or of an entry and the one above it, contradict each other.",
    source: "VT-d 5.10, 7.1.3; IHI 0070, 5.2.2 and 5.4.2; RISC-V IOMMU 1.0, 2.1.4",
  },
  "address-too-wide": {
    severity: "error",
    text: "An address in a valid entry is beyond what the IOMMU, or the stage that it is translated by, can address.",
    source: "VT-d 5.10, 9; IHI 0070, 3.4.3; AMD 48882, 2.2.2; RISC-V IOMMU 1.0, 2.3",
  },
  "pointer-outside-memory": {
    severity: "warning",
    text: "A table that a valid entry, a register or a binding points to is not in recorded memory: fetching it fails, or the recording is incomplete.",
    source: "trace contract, `ram`",
  },
  "misaligned-table": {
    severity: "warning",
    text: "A table's address is not aligned to the table's size: the IOMMU ignores the low bits and reads another place.",
    source: "IHI 0070, 5.1, 5.2 and 5.4",
  },
  "ineffective-field": {
    severity: "warning",
    text: "A field of a valid entry asks for something that has no effect here: the IOMMU treats it as if it were another value.",
    source: "IHI 0070, 5.2 and 5.4; AMD 48882, 2.2.2",
  },
  "not-modelled": {
    severity: "warning",
    text: "A valid entry enables something that is not modelled: what is said of requests that use the entry may be wrong.",
    source: "IHI 0070, 5.2 and 5.4",
  },
  "reserved-domain-id": {
    severity: "error",
    text: "Domain id 0 is used although CAP.CM reserves it for not-present entries.",
    source: "VT-d 5.10, 9.3 and 9.6",
  },
  "tag-reused": {
    severity: "error",
    text: "Two entries have the same tag and different page tables: cached translations of one answer requests of the other.",
    source: "VT-d 5.10, 6.2.1 and 9.3; IHI 0070, 3.17; AMD 48882, 2.2.2; RISC-V IOMMU 1.0, 2.1.3 and 2.2.3",
  },
  "changed-while-valid": {
    severity: "warning",
    text: "A valid entry became another one by more than the IOMMU reads at once, without an invalidation of the old one that was complete in between: the IOMMU may have read half of it.",
    source: UPDATES,
  },
  "removed-while-valid": {
    severity: "warning",
    text: "A valid entry was emptied before it was made invalid, and an invalidation of it was complete: the IOMMU may have read a valid entry that is half empty.",
    source: UPDATES,
  },
  "valid-before-complete": {
    severity: "warning",
    text: "An entry was made valid before the rest of it was written: the IOMMU may have read a valid entry that is half empty.",
    source: UPDATES,
  },
  "half-written-entry-used": {
    severity: "error",
    text: "A request used an entry between two writes of one change, and met neither the entry that it was nor the one that it became.",
    source: UPDATES,
  },
  "avoidable-refusal": {
    severity: "warning",
    text: "An entry was made invalid in order to change it, and requests were refused meanwhile, although it could have been changed while it was valid.",
    source: UPDATES,
  },
  "refused-while-replaced": {
    severity: "info",
    text: "The recorded system refused requests while an entry that they use was invalid, which was valid before and is again.",
    source: UPDATES,
  },
  "passed-while-replaced": {
    severity: "warning",
    text: "Requests passed untranslated while an entry that they use was not valid, which was before and is again: they could reach all of memory.",
    source: "AMD 48882, 2.2.2",
  },
  "unreachable-entry": {
    severity: "warning",
    text: "A valid entry is beyond the PASIDs or device ids that can be looked up: no request ever uses it.",
    source:
      "VT-d 5.10, 9.4; IHI 0070, 5.2; AMD 48882, 2.2.6; RISC-V IOMMU 1.0, 2.1 and 2.2; trace contract, `bind`",
  },
});

export type TableRule = (typeof TABLE_RULES)[keyof typeof TABLE_RULES];

/** Rules of entries that the IOMMU refuses. */
export const SEVERE: ReadonlySet<TableRule> = new Set([
  TABLE_RULES["reserved-entry-bits"],
  TABLE_RULES["illegal-encoding"],
  TABLE_RULES["unsupported-encoding"],
  TABLE_RULES["conflicting-fields"],
  TABLE_RULES["address-too-wide"],
]);
