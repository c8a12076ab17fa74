import { type Advise, type AdviseRoot, EVERY_ADDRESS, sizedAddress } from "../advice.ts";
import { ExtendedFeatureRegister } from "./registers.ts";

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

/** AMD 48882, 2.4: INVALIDATE_IOMMU_ALL where EFR.IASup is; without, device by device and domain by domain. */
export const AMD_VI_ROOT_ADVICE: AdviseRoot = (state, device, domain) => {
  if (state.capability("efr", ExtendedFeatureRegister, "IASUP", 1) !== 0)
    return [{ name: "INVALIDATE_IOMMU_ALL", fields: {} }];
  const DOMID = Math.max(domain, 0);
  return [
    { name: "INVALIDATE_DEVTAB_ENTRY", fields: { DEVID: device } },
    { name: "INVALIDATE_IOMMU_PAGES", fields: { DOMID, PDE: 1, S: 1, ADDR: EVERY_ADDRESS } },
  ];
};
