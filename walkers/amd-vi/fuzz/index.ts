import type { VendorFuzzing } from "../../fuzz/vendor-fuzzing.ts";
import { AmdV1Directory, AmdV1Entry } from "../../page-tables/amd-v1.ts";
import { X86Entry } from "../../page-tables/x86-64.ts";
import { DeviceTableEntry, Gcr3Entry } from "../device-table-entry.ts";
import {
  DEV_TAB_HARDWARE_ERROR,
  ILLEGAL_DEV_TABLE_ENTRY,
  IO_PAGE_FAULT,
  PAGE_TAB_HARDWARE_ERROR,
} from "../faults.ts";
import {
  ControlRegister,
  DeviceTableBase,
  ExclusionBase,
  ExclusionLimit,
  ExtendedFeature2Register,
  ExtendedFeatureRegister,
} from "../registers.ts";
import { DTE_RULES } from "../rules.ts";
import { AMD_VI_BUGS } from "./bugs.ts";
import { qemuAmd } from "./qemu.ts";
import { buildAmdWorld } from "./worlds.ts";

export const AMD_VI_FUZZING: VendorFuzzing = {
  registers: {
    control: ControlRegister,
    efr: ExtendedFeatureRegister,
    efr2: ExtendedFeature2Register,
    dev_tab_base: DeviceTableBase,
    excl_base: ExclusionBase,
    excl_limit: ExclusionLimit,
  },
  capabilities: ["efr", "efr2"],
  structures: [DeviceTableEntry, Gcr3Entry, AmdV1Entry, AmdV1Directory, X86Entry],
  rules: [{ layout: DeviceTableEntry, rules: DTE_RULES }],
  /** The interrupt address range, and where the HyperTransport range begins. */
  landmarks: [0xfee0_0000n, 0xfd_0000_0000n, 0xfd_f800_0000n],
  faults: [ILLEGAL_DEV_TABLE_ENTRY, IO_PAGE_FAULT, DEV_TAB_HARDWARE_ERROR, PAGE_TAB_HARDWARE_ERROR],
  build: buildAmdWorld,
  emulator: qemuAmd,
  /** 2.2.3: a page whose size its address encodes has as many entries as it covers, all alike. */
  ambiguous: (layout, view) =>
    (layout === AmdV1Entry || layout === AmdV1Directory) && layout.extract("NEXT_LEVEL", view, 0) === 7n,
  /** 2.2.3: that levels are skipped. */
  usual: (layout, view, level) =>
    layout === AmdV1Directory && layout.extract("NEXT_LEVEL", view, 0) < level - 1
      ? { NEXT_LEVEL: level - 1 }
      : null,
  bugs: AMD_VI_BUGS,
};
