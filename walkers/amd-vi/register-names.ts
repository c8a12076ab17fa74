import { type RegisterNames, words } from "../register-names.ts";

/** AMD 48882, 3.4. */
export const AMD_VI_REGISTER_NAMES: RegisterNames = {
  root: "dev_tab_base",
  walked: words("efr efr2 control dev_tab_base"),
  others: [
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
};
