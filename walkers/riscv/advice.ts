import { type Advise, type AdviseRoot, sizedAddress } from "../advice.ts";

/** RISC-V IOMMU 1.0, 3.1. */
export const RISCV_ADVICE: Advise = (e) => {
  if (e.cache === "devtlb") {
    const segment = Math.floor(e.device / 2 ** 16);
    const target = { RID: e.device % 2 ** 16, ...(segment === 0 ? {} : { DSV: 1, DSEG: segment }) };
    const process = e.pasid < 0 ? {} : { PV: 1, PID: e.pasid };
    return { name: "ATS.INVAL", fields: { ...target, ...process, ...sizedAddress(e) } };
  }
  // Guidelines for invalidations: of a directory, its entries above the last level go with what leads to it. So do guest
  // page numbers in a device context that the second stage has translated.
  if (e.cache === "context" && e.above) return { name: "IODIR.INVAL_DDT", fields: {} };
  if (e.cache === "context" || (e.cache === "pasid" && e.above))
    return { name: "IODIR.INVAL_DDT", fields: { DV: 1, DID: e.device } };
  if (e.cache === "pasid")
    return { name: "IODIR.INVAL_PDT", fields: { DV: 1, DID: e.device, PID: Math.max(e.pasid, 0) } };
  const guest = e.domain >= 0 ? { GV: 1, GSCID: e.domain } : {};
  // By address, only NL covers entries above the last level, which not every IOMMU has; without an address all do.
  const wide = e.cache === "paging-structures" || e.table || (e.nested && e.stage === 2);
  const address = wide ? {} : { AV: 1, ADDR: e.frame };
  if (e.stage === 2) return { name: "IOTINVAL.GVMA", fields: { ...guest, ...address } };
  const space = e.space >= 0 ? { PSCV: 1, PSCID: e.space } : {};
  return { name: "IOTINVAL.VMA", fields: { ...guest, ...space, ...address } };
};

/** RISC-V IOMMU 1.0, Guidelines for invalidations: as for a directory entry above the last level, and for every context. */
export const RISCV_ROOT_ADVICE: AdviseRoot = () => [
  { name: "IODIR.INVAL_DDT", fields: {} },
  { name: "IOTINVAL.VMA", fields: {} },
  { name: "IOTINVAL.GVMA", fields: {} },
];
