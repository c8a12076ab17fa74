/**
 * Registers of each IOMMU by the names that traces use: the specification's in lower case. The first list of each is
 * what a walk depends on; a recorder may log any of the others.
 */
import type { IommuModel } from "../../walkers/models.ts";

const words = (text: string): readonly string[] => text.trim().split(/\s+/);
const numbered = (name: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `${name}${i}`);

/** Those that say what is walked, and how. */
export const WALKED_REGISTERS: Readonly<Record<IommuModel, readonly string[]>> = {
  intel: words("cap ecap rtaddr gsts"),
  "arm-smmuv3": words("idr0 idr1 idr3 idr5 aidr cr0 gbpa strtab_base strtab_base_cfg"),
  amd: words("efr efr2 control dev_tab_base"),
  riscv: words("capabilities fctl ddtp"),
};

/** VT-d 5.10, 11.4; IHI 0070, 6.2; AMD 48882, 3.4; RISC-V IOMMU 1.0, 5.1. */
const OTHER_REGISTERS: Readonly<Record<IommuModel, readonly string[]>> = {
  intel: words(`
    ver gcmd ccmd fsts fectl fedata feaddr feuaddr aflog pmen plmbase plmlimit phmbase phmlimit iqh iqt iqa ics iectl
    iedata ieaddr ieuaddr iqercd irta pqh pqt pqa prs pectl pedata peaddr peuaddr mtrrcap mtrrdef eccap ecmd ecrsp
    ecsts vccap vcmd vcrsp vcmdrsp iva iotlb frcd fr dmen perfcap perfcfgoff perffrzoff perfovfoff perfcntroff
    perfintrsts perfintrctl perfintrdata perfintraddr perfintruaddr perfevntcap rsvd lb_iva lb_iotlb`),
  "arm-smmuv3": [
    ...words(`
    idr2 idr4 idr6 iidr cr0ack cr1 cr2 statusr agbpa irq_ctrl irq_ctrlack gerror gerrorn gerror_irq_cfg0
    gerror_irq_cfg1 gerror_irq_cfg2 cmdq_base cmdq_prod cmdq_cons eventq_base eventq_prod eventq_cons
    eventq_irq_cfg0 eventq_irq_cfg1 eventq_irq_cfg2 priq_base priq_prod priq_cons priq_irq_cfg0 priq_irq_cfg1
    priq_irq_cfg2 gatos_ctrl gatos_sid gatos_addr gatos_par mpamidr gmpam gbpmpam vatos_sel dpt_base dpt_base_cfg
    dpt_cfg_far mecidr gmecid hdbssr vatos_ctrl vatos_sid vatos_addr vatos_par cmdq_control_page_base
    cmdq_control_page_cfg cmdq_control_page_status idr7 sysp_idr hacdbss_base`),
    ...numbered("pidr", 8),
    ...numbered("cidr", 4),
  ],
  amd: [
    ...words(`
    cmd_buf_base event_log_base exclusion_base excl_base excl_range_limit completion_store_base
    completion_store_limit ppr_log_base hw_event_upper hw_event_lower hw_event_status smi_filter ga_log_base
    ga_log_tail event_log_b_base ppr_log_b_base dev_specific_feature dev_specific_control dev_specific_status
    msi_vector0 msi_vector1 msi_cap_header msi_addr_low msi_addr_high msi_data msi_mapping perf_opt_control
    xt_gen_intr_control xt_ppr_intr_control xt_ga_log_intr_control mmio_reserved vf_mmio_base cmd_buf_head
    cmd_buf_tail event_log_head event_log_tail status ppr_log_head ppr_log_tail ga_log_head ga_log_ptr
    ppr_log_b_head ppr_log_b_tail event_log_b_head event_log_b_tail ppr_log_auto_response
    ppr_log_overflow_early ppr_log_b_overflow_early pci_cap misc_info0 misc_info1 dev_tab_seg_base cap_header
    cap_base_low cap_base_high cap_range`),
    ...Array.from({ length: 7 }, (_, i) => `dev_tab_seg${i + 1}_base`),
  ],
  riscv: [
    ...words(`
    cqb cqh cqt fqb fqh fqt pqb pqh pqt cqcsr fqcsr pqcsr ipsr iocountovf iocountinh iohpmcycles tr_req_iova
    tr_req_ctl tr_response iommu_qosid icvec custom`),
    ...Array.from({ length: 31 }, (_, i) => [`iohpmctr${i + 1}`, `iohpmevt${i + 1}`]).flat(),
    ...Array.from({ length: 16 }, (_, i) => [`msi_addr_${i}`, `msi_data_${i}`, `msi_vec_ctl_${i}`]).flat(),
  ],
};

/** All registers that a model has. */
export function registersOf(model: IommuModel): readonly string[] {
  return [...WALKED_REGISTERS[model], ...OTHER_REGISTERS[model]];
}

/** Whether a model has a register of this name; of those that no walk depends on, also as "ccmd_reg" or "smmu_cr1". */
export function isRegister(model: IommuModel, name: string): boolean {
  if (WALKED_REGISTERS[model].includes(name)) return true;
  const short = name.replace(/^smmu_/, "").replace(/_reg$/, "");
  return OTHER_REGISTERS[model].includes(short);
}
