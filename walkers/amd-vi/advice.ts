import { type Advise, EVERY_ADDRESS, sizedAddress } from "../advice.ts";

/** AMD 48882, 2.4. With S, the lowest zero bit of the address says how much is meant. */
export const AMD_VI_ADVICE: Advise = (e) => {
  if (e.cache === "devtlb") {
    const guest = e.pasid < 0 ? {} : { GN: 1, PASID: e.pasid };
    return {
      name: "INVALIDATE_IOTLB_PAGES",
      fields: { DEVID: e.device, QUEUEID: e.device, ...guest, ...sizedAddress(e) },
    };
  }
  if (e.cache === "context") return { name: "INVALIDATE_DEVTAB_ENTRY", fields: { DEVID: e.device } };
  const DOMID = Math.max(e.domain, 0);
  const guest = e.space >= 0 && e.stage !== 2 ? { GN: 1, PASID: e.space } : {};
  const everything = e.cache === "pasid" || e.whole || (e.nested && e.stage === 2);
  const range = everything ? { S: 1, ADDR: EVERY_ADDRESS } : sizedAddress(e);
  return { name: "INVALIDATE_IOMMU_PAGES", fields: { DOMID, PDE: 1, ...guest, ...range } };
};
