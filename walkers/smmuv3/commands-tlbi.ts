/** TLB invalidations of the SMMUv3 (Arm IHI 0070, 4.4). */

import type { CommandSpec, CoverageText, Problems } from "../commands/command-set.ts";
import { readers } from "../commands/command-set.ts";
import {
  ANY,
  FIRST_STAGE,
  IOTLB,
  PAGING_STRUCTURES,
  REGIME_EL1,
  REGIME_EL2,
  REGIME_SECURE,
  SECOND_STAGE,
} from "../invalidation.ts";
import type { Layout } from "../layout.ts";
import { hex } from "../word64.ts";
import { requires, type Smmuv3CommandCaps } from "./command-caps.ts";
import * as L from "./command-layouts.ts";
import { applyRange, checkRangeFields, rangeOperands } from "./command-range.ts";

type Caps = Smmuv3CommandCaps;
type Spec = CommandSpec<Caps>;

// VMID and ASID have the same place in every command that has them.
const tags = readers(L.TlbiVmidAsid, ["VMID", "ASID"]);

function checkTags(layout: Layout, view: DataView, caps: Caps, problems: Problems): void {
  const vmid = tags.VMID(view, 0);
  const asid = tags.ASID(view, 0);
  if ("VMID" in layout.fields && !caps.s2p && vmid !== 0)
    problems.unpredictable("VMID", `expected 0 without stage 2, found ${hex(vmid)}`, "IHI 0070, 4.4.2");
  else if ("VMID" in layout.fields && vmid >= 2 ** caps.vmidBits)
    problems.unpredictable(
      "VMID",
      `expected ${caps.vmidBits} bits, as IDR0.VMID16 says, found ${hex(vmid)}`,
      "IHI 0070, 4.4",
    );
  if ("ASID" in layout.fields && asid >= 2 ** caps.asidBits)
    problems.unpredictable(
      "ASID",
      `expected ${caps.asidBits} bits, as IDR0.ASID16 says, found ${hex(asid)}`,
      "IHI 0070, 4.4",
    );
}

interface Tlbi {
  readonly name: string;
  readonly op: number;
  readonly layout: Layout;
  readonly section: string;
  readonly regime?: number;
  /** FIRST_STAGE or SECOND_STAGE; left out: both. */
  readonly stage?: number;
  readonly needs?: "s1p" | "s2p" | "hyp";
  readonly coverage: CoverageText;
}

const FEATURES = { s1p: "IDR0.S1P", s2p: "IDR0.S2P", hyp: "IDR0.HYP" } as const;

/** A TLB invalidation: what its layout has, it selects by. */
function tlbi(t: Tlbi): Spec {
  const source = `IHI 0070, ${t.section}`;
  const has = (field: string) => field in t.layout.fields;
  const byVmid = has("VMID");
  const byAsid = has("ASID");
  const byAddress = has("ADDR");
  const regime = t.regime ?? REGIME_EL1;
  return {
    name: t.name,
    layout: t.layout,
    source,
    fixed: { OP: t.op },
    coverage: t.coverage,
    check(view, caps, problems) {
      if (regime === REGIME_SECURE)
        problems.illegal(
          "OP",
          "expected a command of the Non-secure Command queue, found a Secure one",
          source,
        );
      if (t.needs !== undefined) requires(caps[t.needs], FEATURES[t.needs], problems, source);
      checkTags(t.layout, view, caps, problems);
      if (byAddress) checkRangeFields(view, caps, problems);
    },
    invalidate(view, caps, out) {
      out.caches = IOTLB | PAGING_STRUCTURES;
      out.stage = t.stage ?? 0;
      out.regime = regime;
      if (byVmid) {
        out.onDomain(tags.VMID(view, 0));
        out.domainMask = caps.vmidMask;
        // Without stage 2 the field is reserved and entries have no VMID (4.4.2).
        if (!caps.s2p) out.domain = ANY;
      }
      // By VA, entries that are global are covered whatever their ASID; by ASID alone they are not. EL2 entries
      // have an ASID with CR2.E2H only; without, by VA the field is ignored (4.4.2.8), and by ASID none is covered (4.4.2.10).
      const ignored = byAddress && regime === REGIME_EL2 && caps.e2h === 0;
      if (byAsid && !ignored) out.onAsid(tags.ASID(view, 0), byAddress);
      if (byAddress) applyRange(view, caps, out);
      return true;
    },
    operands(view) {
      const parts: string[] = [];
      if (byVmid) parts.push(`VMID ${tags.VMID(view, 0)}`);
      if (byAsid) parts.push(`ASID ${tags.ASID(view, 0)}`);
      if (byAddress) parts.push(rangeOperands(view));
      return parts.join(" ");
    },
  };
}

const CONFIGURATION = "STEs and CDs";
const LEAF_NOTE = " With Leaf=1, entries above the last level stay.";
const RANGE_NOTE =
  " With a granule (TG), only entries of that granule, and with a level hint (TTL) only leaves of that level, are sure to go.";
const SECURE: CoverageText = {
  covers: "Entries of Secure regimes, where it comes from the Secure Command queue.",
  doesNotCover: "Everything that Non-secure streams use; on the Non-secure Command queue it is refused.",
};
const EL2_ADDRESS: CoverageText = {
  covers: "EL2 or EL2-E2H entries (as CR2.E2H says) that translate the address.",
  doesNotCover: `EL1 entries, ${CONFIGURATION}, ATCs.${LEAF_NOTE}${RANGE_NOTE}`,
};

export const TLBI_COMMANDS: readonly Spec[] = [
  tlbi({
    name: "CMD_TLBI_NH_ALL",
    op: 0x10,
    layout: L.TlbiVmid,
    section: "4.4.2.1",
    stage: FIRST_STAGE,
    needs: "s1p",
    coverage: {
      covers: "All stage 1 EL1 entries of the VMID, global ones too, nested ones included.",
      doesNotCover: `Entries that stage 2 alone made, EL2 entries, other VMIDs, ${CONFIGURATION}, ATCs.`,
    },
  }),
  tlbi({
    name: "CMD_TLBI_NH_ASID",
    op: 0x11,
    layout: L.TlbiVmidAsid,
    section: "4.4.2.2",
    stage: FIRST_STAGE,
    needs: "s1p",
    coverage: {
      covers: "Stage 1 EL1 entries of the VMID and the ASID that are not global.",
      doesNotCover: `Global entries, entries that stage 2 alone made, ${CONFIGURATION}, ATCs.`,
    },
  }),
  tlbi({
    name: "CMD_TLBI_NH_VA",
    op: 0x12,
    layout: L.TlbiVmidAsidVa,
    section: "4.4.2.4",
    stage: FIRST_STAGE,
    needs: "s1p",
    coverage: {
      covers:
        "Stage 1 EL1 entries of the VMID that translate the address: those of the ASID, and global ones of any ASID.",
      doesNotCover: `Entries that stage 2 alone made, ${CONFIGURATION}, ATCs.${LEAF_NOTE}${RANGE_NOTE}`,
    },
  }),
  tlbi({
    name: "CMD_TLBI_NH_VAA",
    op: 0x13,
    layout: L.TlbiVmidVa,
    section: "4.4.2.3",
    stage: FIRST_STAGE,
    needs: "s1p",
    coverage: {
      covers: "Stage 1 EL1 entries of the VMID that translate the address, of all ASIDs, global ones too.",
      doesNotCover: `Entries that stage 2 alone made, ${CONFIGURATION}, ATCs.${LEAF_NOTE}${RANGE_NOTE}`,
    },
  }),
  tlbi({
    name: "CMD_TLBI_EL3_ALL",
    op: 0x18,
    layout: L.TlbiAll,
    section: "4.4.2.5",
    regime: REGIME_SECURE,
    coverage: SECURE,
  }),
  tlbi({
    name: "CMD_TLBI_EL3_VA",
    op: 0x1a,
    layout: L.TlbiVa,
    section: "4.4.2.6",
    regime: REGIME_SECURE,
    coverage: SECURE,
  }),
  tlbi({
    name: "CMD_TLBI_EL2_ALL",
    op: 0x20,
    layout: L.TlbiAll,
    section: "4.4.2.7",
    regime: REGIME_EL2,
    needs: "hyp",
    coverage: {
      covers: "All EL2 and EL2-E2H entries.",
      doesNotCover: `EL1 entries, ${CONFIGURATION}, ATCs.`,
    },
  }),
  tlbi({
    name: "CMD_TLBI_EL2_ASID",
    op: 0x21,
    layout: L.TlbiAsid,
    section: "4.4.2.10",
    regime: REGIME_EL2,
    needs: "hyp",
    coverage: {
      covers: "EL2-E2H entries of the ASID that are not global.",
      doesNotCover: `Global entries, EL2 entries without ASID, EL1 entries, ${CONFIGURATION}, ATCs.`,
    },
  }),
  tlbi({
    name: "CMD_TLBI_EL2_VA",
    op: 0x22,
    layout: L.TlbiAsidVa,
    section: "4.4.2.8",
    regime: REGIME_EL2,
    needs: "hyp",
    coverage: EL2_ADDRESS,
  }),
  tlbi({
    name: "CMD_TLBI_EL2_VAA",
    op: 0x23,
    layout: L.TlbiVa,
    section: "4.4.2.9",
    regime: REGIME_EL2,
    needs: "hyp",
    coverage: EL2_ADDRESS,
  }),
  tlbi({
    name: "CMD_TLBI_S12_VMALL",
    op: 0x28,
    layout: L.TlbiVmid,
    section: "4.4.3.2",
    needs: "s2p",
    coverage: {
      covers: "All EL1 entries of the VMID, of all stages.",
      doesNotCover: `EL2 entries, other VMIDs, ${CONFIGURATION}, ATCs.`,
    },
  }),
  tlbi({
    name: "CMD_TLBI_S2_IPA",
    op: 0x2a,
    layout: L.TlbiVmidIpa,
    section: "4.4.3.1",
    stage: SECOND_STAGE,
    needs: "s2p",
    coverage: {
      covers: "Stage 2 entries of the VMID that translate the intermediate address.",
      doesNotCover: `Entries that stage 1 and 2 made together (CMD_TLBI_NH_ALL or _VAA must go with it), ${CONFIGURATION}, ATCs.${LEAF_NOTE}${RANGE_NOTE}`,
    },
  }),
  tlbi({
    name: "CMD_TLBI_NSNH_ALL",
    op: 0x30,
    layout: L.TlbiAll,
    section: "4.4.4.1",
    coverage: {
      covers: "All Non-secure entries but those of EL2, of all stages and VMIDs.",
      doesNotCover: `EL2 and EL2-E2H entries, ${CONFIGURATION}, ATCs.`,
    },
  }),
  ...(
    [
      ["CMD_TLBI_S_EL2_ALL", 0x50, L.TlbiAll, "4.4.2.11"],
      ["CMD_TLBI_S_EL2_ASID", 0x51, L.TlbiAsid, "4.4.2.14"],
      ["CMD_TLBI_S_EL2_VA", 0x52, L.TlbiAsidVa, "4.4.2.12"],
      ["CMD_TLBI_S_EL2_VAA", 0x53, L.TlbiVa, "4.4.2.13"],
      ["CMD_TLBI_S_S12_VMALL", 0x58, L.TlbiVmid, "4.4.3.4"],
      ["CMD_TLBI_S_S2_IPA", 0x5a, L.TlbiVmidIpa, "4.4.3.3"],
      ["CMD_TLBI_SNH_ALL", 0x60, L.TlbiAll, "4.4.4.2"],
    ] as const
  ).map(([name, op, layout, section]) =>
    tlbi({ name, op, layout, section, regime: REGIME_SECURE, coverage: SECURE }),
  ),
];
