import { rules } from "../../walkers/tables/rule.ts";

/** What the model of the caches finds. */
export const CACHE_RULES = rules({
  "missing-invalidation": {
    severity: "error",
    text: "A table entry was changed and used again while a cache could still hold the old one, and the invalidation that the driver owes never came.",
    source: "VT-d 5.10, 6.5; IHI 0070, 3.21 and 4; AMD 48882, 2.4; RISC-V IOMMU 1.0, 3.1 and 7",
  },
  "missing-device-tlb-invalidation": {
    severity: "warning",
    text: "A table entry was changed that a device with ATS has used: the device may keep the old translation by itself, and the driver owes an invalidation of its TLB.",
    source: "VT-d 5.10, 6.5.3.3; IHI 0070, 3.9.1 and 4.5.1; AMD 48882, 2.4.4; RISC-V IOMMU 1.0, 3.1.4",
  },
  "invalidated-device-tlb-used": {
    severity: "warning",
    text: "A device with ATS has used a translation that was taken back, although the invalidation of its TLB is complete.",
    source: "PCIe 6.0, 10.3 (ATS Invalidation); VT-d 5.10, 6.5.3.3; AMD 48882, 2.4.4",
  },
  "device-tlb-invalidated-first": {
    severity: "warning",
    text: "A device's TLB was invalidated before what its IOMMU held of a changed entry, and not again after that: the device may have been told the old translation once more.",
    source: "PCIe 6.0, 10.3 (ATS Invalidation); VT-d 5.10, 6.5.2.5; IHI 0070, 3.9.1; AMD 48882, 2.4.4",
  },
  "late-invalidation": {
    severity: "error",
    text: "A table entry was changed and used again while a cache could still hold the old one, and the invalidation that the driver owes came after the use.",
    source: "VT-d 5.10, 6.5; IHI 0070, 3.21 and 4; AMD 48882, 2.4; RISC-V IOMMU 1.0, 3.1 and 7",
  },
  "break-before-make": {
    severity: "warning",
    text: "A page-table entry was changed from one valid value to another where the architecture asks for an invalid one, and its invalidation, in between: what becomes of caches that hold both is not defined, whatever is invalidated afterwards.",
    source:
      "IHI 0070, 3.21.1; DDI 0487, D8.17.1; RISC-V IOMMU 1.0, Accessed (A)/Dirty (D) bit updates and page promotions",
  },
  "inconsistent-group": {
    severity: "error",
    text: "Entries are marked as one group that a cache may hold as a single translation, and are not alike: what they translate to is any of what they say.",
    source: "DDI 0487, D8.7.1; RISC-V Privileged specification, Svnapot; AMD 48882, 2.2.3",
  },
  "missing-flush": {
    severity: "warning",
    text: "The IOMMU's walks are not coherent, and it answered as if a write to a table had not reached memory, or could have: the driver may owe a flush of that write.",
    source:
      "VT-d 5.10, 6.8 and 11.4.3 (ECAP_REG.C, SMPWCS); IHI 0070, 3.15; AMD 48882, MMIO 0018h (Coherent)",
  },
  "missing-completion": {
    severity: "warning",
    text: "Nothing waits for an invalidation: until it is complete, old and new translations are both in use.",
    source: "VT-d 5.10, 6.5.2.9; IHI 0070, 4.7.3; AMD 48882, 2.4.1; RISC-V IOMMU 1.0, 3.1.2",
  },
  "bad-command": {
    severity: "error",
    text: "The IOMMU refuses this command: what it should have invalidated may stay cached, and the queue stops.",
    source: "VT-d 5.10, 6.5.2.11; IHI 0070, 4.1.2; AMD 48882, 2.4; RISC-V IOMMU 1.0, 3.1",
  },
  "stopped-queue": {
    severity: "error",
    text: "An old answer was given whose invalidation stands behind a command that the IOMMU refuses: the queue has stopped there, and nothing shows that it was restarted.",
    source: "VT-d 5.10, 6.5.2.11; IHI 0070, 7.1; AMD 48882, 2.4; RISC-V IOMMU 1.0, 3 (cqcsr.cmd_ill)",
  },
  "reserved-command-bits": {
    severity: "warning",
    text: "The command sets bits that are reserved, or has an effect that is not defined: the IOMMU is free to refuse it.",
    source: "VT-d 5.10, 6.5.2; IHI 0070, 4.1.2; AMD 48882, 2.4; RISC-V IOMMU 1.0, 3.1",
  },
  "guarded-register": {
    severity: "warning",
    text: "A register is changed while the IOMMU is in a state in which it may not be: what becomes of the new value is not defined.",
    source: "IHI 0070, 6.3.12, 6.3.24 and 6.3.25; RISC-V IOMMU 1.0, fctl and ddtp",
  },
  "memory-limit": {
    severity: "warning",
    text: "The memory limit made the replay drop entries that a cache could still hold: verdicts may be incomplete.",
    source: "trace contract, verdicts; --memory-limit",
  },
  "unexplained-fault": {
    severity: "warning",
    text: "A fault was logged that no request before it explains.",
    source: "trace contract, `fault`",
  },
  "fault-record-differs": {
    severity: "warning",
    text: "A second-stage fault is the one that is expected, and its record gives another intermediate address, or other flags, than that fault has.",
    source: "IHI 0070, 7.3 (IPA); RISC-V IOMMU 1.0, Fault/Event-Queue (iotval2)",
  },
  "logged-fault": {
    severity: "info",
    text: "A fault was logged of a unit that the trace has no requests of: it can neither be explained nor doubted.",
    source: "trace contract, `fault`",
  },
  "unlogged-fault": {
    severity: "warning",
    text: "A request faults and should have logged it, but the recorded log, which holds others, has no such fault.",
    source: "trace contract, `fault`",
  },
});
