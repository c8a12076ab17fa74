import type { VendorFuzzing } from "../../fuzz/vendor-fuzzing.ts";
import { Sv32Entry, SvEntry } from "../../page-tables/riscv-sv.ts";
import { RISCV_FAULTS } from "../faults.ts";
import {
  BaseDeviceContext,
  DdtEntry,
  DeviceContextLayout,
  MSIPTP_OFF,
  MsiMrifPte,
  MsiPte,
  PdtEntry,
  ProcessContextLayout,
} from "../layouts.ts";
import { Capabilities, DeviceDirectoryPointer, FeaturesControl } from "../registers.ts";
import { DDT_ENTRY_RULES, DEVICE_RULES, PDT_ENTRY_RULES, PROCESS_RULES } from "../rules.ts";
import { RISCV_BUGS } from "./bugs.ts";
import { qemuRiscv } from "./qemu.ts";
import { buildRiscvWorld } from "./worlds.ts";

/** Causes that a walk of an untranslated request can end in. */
const WALK_CAUSES = [1, 5, 7, 12, 13, 15, 20, 21, 23, 256, 257, 258, 259, 260, 261, 262, 263, 265, 266, 267];

export const RISCV_FUZZING: VendorFuzzing = {
  registers: { capabilities: Capabilities, fctl: FeaturesControl, ddtp: DeviceDirectoryPointer },
  capabilities: ["capabilities", "fctl"],
  structures: [
    DdtEntry,
    BaseDeviceContext,
    DeviceContextLayout,
    PdtEntry,
    ProcessContextLayout,
    MsiPte,
    MsiMrifPte,
    SvEntry,
    Sv32Entry,
  ],
  rules: [
    { layout: DdtEntry, rules: DDT_ENTRY_RULES },
    { layout: DeviceContextLayout, rules: DEVICE_RULES },
    { layout: PdtEntry, rules: PDT_ENTRY_RULES },
    { layout: ProcessContextLayout, rules: PROCESS_RULES },
  ],
  landmarks: [],
  faults: RISCV_FAULTS.filter(({ code }) => WALK_CAUSES.includes(code)),
  build: buildRiscvWorld,
  emulator: qemuRiscv,
  /** Svnapot: a page of 64 KiB has 16 entries, all alike. */
  ambiguous: (layout, view, littleEndian) =>
    layout === SvEntry && layout.extract("N", view, 0, littleEndian) === 1n,
  usual: (layout, view) => {
    const says = (field: string) => layout.extract(field, view, 0, true) !== 0n;
    if (layout === DeviceContextLayout) return says("msiptp_MODE") ? { msiptp_MODE: MSIPTP_OFF } : null;
    return layout === SvEntry && says("N") ? { N: 0 } : null;
  },
  bugs: RISCV_BUGS,
};
