import type { VendorFuzzing } from "../../fuzz/vendor-fuzzing.ts";
import { SecondStageEntry } from "../../page-tables/vtd-second-stage.ts";
import { X86Entry } from "../../page-tables/x86-64.ts";
import { VTD_WALK_FAULTS } from "../faults.ts";
import {
  CapabilityRegister,
  ExtendedCapabilityRegister,
  GlobalStatusRegister,
  RootTableAddressRegister,
} from "../registers.ts";
import { CONTEXT_RULES, ROOT_RULES, SCALABLE_CONTEXT_RULES, SCALABLE_ROOT_RULES } from "../rules.ts";
import { PASID_DIRECTORY_RULES, PASID_RULES } from "../rules-pasid.ts";
import {
  ContextEntry,
  PasidDirectoryEntry,
  PasidEntry,
  RootEntry,
  ScalableContextEntry,
  ScalableRootEntry,
} from "../structures.ts";
import { VTD_BUGS } from "./bugs.ts";
import { qemuVtd } from "./qemu.ts";
import { buildVtdWorld } from "./worlds.ts";

export const VTD_FUZZING: VendorFuzzing = {
  registers: {
    cap: CapabilityRegister,
    ecap: ExtendedCapabilityRegister,
    rtaddr: RootTableAddressRegister,
    gsts: GlobalStatusRegister,
  },
  capabilities: ["cap", "ecap"],
  structures: [
    RootEntry,
    ContextEntry,
    ScalableRootEntry,
    ScalableContextEntry,
    PasidDirectoryEntry,
    PasidEntry,
    X86Entry,
    SecondStageEntry,
  ],
  rules: [
    { layout: RootEntry, rules: ROOT_RULES },
    { layout: ContextEntry, rules: CONTEXT_RULES },
    { layout: ScalableRootEntry, rules: SCALABLE_ROOT_RULES },
    { layout: ScalableContextEntry, rules: SCALABLE_CONTEXT_RULES },
    { layout: PasidDirectoryEntry, rules: PASID_DIRECTORY_RULES },
    { layout: PasidEntry, rules: PASID_RULES },
  ],
  /** The interrupt address range. */
  landmarks: [0xfee0_0000n],
  faults: VTD_WALK_FAULTS,
  build: buildVtdWorld,
  /** 6.5.2.9: it says that it is complete by writing zeros to where nothing else is, as the last word of memory. */
  completion({ limits: { memory } }) {
    const STADDR = Number((memory.base + memory.bytes) >> 12n) - 1;
    return { name: "invalidation wait", fields: { SW: 1, STADDR } };
  },
  emulator: qemuVtd,
  bugs: VTD_BUGS,
  immune: {
    "global-pages-kept": "scalable mode ignores G of first-stage entries: nothing is global (VT-d 5.10, 9.7)",
  },
};
