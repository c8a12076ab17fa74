import { numbered, type RegisterNames, words } from "../register-names.ts";

/** IHI 0070, 6.2. */
export const SMMUV3_REGISTER_NAMES: RegisterNames = {
  root: "strtab_base",
  walked: words("idr0 idr1 idr3 idr5 aidr cr0 gbpa strtab_base strtab_base_cfg"),
  others: [
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
};
