import { type RegisterNames, words } from "../register-names.ts";

/** RISC-V IOMMU 1.0, 5.1. */
export const RISCV_REGISTER_NAMES: RegisterNames = {
  root: "ddtp",
  walked: words("capabilities fctl ddtp"),
  others: [
    ...words(`
    cqb cqh cqt fqb fqh fqt pqb pqh pqt cqcsr fqcsr pqcsr ipsr iocountovf iocountinh iohpmcycles tr_req_iova
    tr_req_ctl tr_response iommu_qosid icvec custom`),
    ...Array.from({ length: 31 }, (_, i) => [`iohpmctr${i + 1}`, `iohpmevt${i + 1}`]).flat(),
    ...Array.from({ length: 16 }, (_, i) => [`msi_addr_${i}`, `msi_data_${i}`, `msi_vec_ctl_${i}`]).flat(),
  ],
};
