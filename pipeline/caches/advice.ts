import { decodeCommand, encodeCommand, formatCommand } from "../../walkers/commands/command.ts";
import { REGIME_EL2 } from "../../walkers/invalidation.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { BITS_PER_LEVEL } from "../../walkers/page-tables/nines.ts";
import type { IommuState, Word64 } from "../../walkers/registers.ts";
import {
  CapabilityRegister,
  RootTableAddressRegister,
  TTM_LEGACY,
  TTM_SCALABLE,
} from "../../walkers/vtd/registers.ts";
import type { CacheName } from "./answers/explanation.ts";

/** What a cache holds that memory no longer says, as far as a command that drops it needs to know. */
export interface StaleEntry {
  readonly cache: CacheName;
  readonly device: number;
  /** Of the request; -1 for none. */
  readonly pasid: number;
  /** VT-d DID, AMD DomainID, VMID or GSCID; -1 for none. */
  readonly domain: number;
  /** ASID, PSCID or PASID that tags it; -1 for none, -2 for all (global). */
  readonly space: number;
  /** REGIME_EL1 or REGIME_EL2. */
  readonly regime: number;
  /** The entry that changed: 1 or 2 for a page table of that stage, 0 for a context. */
  readonly stage: number;
  /** Both stages translate. */
  readonly nested: boolean;
  /** Level of the entry that changed, as the specification counts; 1 or Arm's 3 where it maps the smallest pages. */
  readonly level: number;
  /** Whether it pointed to another table: then everything below has changed. */
  readonly table: boolean;
  /** Whether it was a context: then everything has that was translated with it. */
  readonly whole: boolean;
  /** Frame number of the input address, or of the intermediate one where only the second stage is concerned. */
  readonly frame: number;
}

/** A command, as text in the vendor's own syntax and as words. */
export interface Advice {
  readonly text: string;
  readonly words: readonly Word64[];
}

type Fields = Readonly<Record<string, number>>;
type Choice = readonly [string, Fields];

/**
 * The command that would have dropped a stale entry, and whatever else was made from the table entry that changed.
 * @param state of the IOMMU: not every one has every command
 */
export function coveringCommand(model: IommuModel, entry: StaleEntry, state: IommuState): Advice {
  const [name, fields] = CHOICES[model](entry, state);
  const words = encodeCommand(model, name, fields, model === "intel" ? vtdWords(state) : undefined);
  return { text: formatCommand(decodeCommand(model, words, state)), words };
}

const CHOICES: Readonly<Record<IommuModel, (entry: StaleEntry, state: IommuState) => Choice>> = {
  intel: vtd,
  "arm-smmuv3": smmuv3,
  amd: amdVi,
  riscv,
};

/** VT-d 5.10, 6.5.2.11, Table 26: scalable mode takes 256 bits only; undefined: whatever the descriptor has. */
function vtdWords(state: IommuState): number | undefined {
  const mode = state.field("rtaddr", RootTableAddressRegister, "TTM", TTM_LEGACY);
  return mode === TTM_SCALABLE ? 4 : undefined;
}

/** Address bits from 12 up: with all but the topmost set, and S, everything is meant (AMD, PCIe ATS). */
const EVERYTHING = 2 ** 51 - 1;
/** CMD_ATC_INV: the size that is all addresses. */
const ATC_ALL = 52;

/** log2 of the 4 KiB pages that an x86 entry maps. */
function order(level: number): number {
  return BITS_PER_LEVEL * Math.max(level - 1, 0);
}

/** First frame of a naturally aligned range of 2^order of them. */
function aligned(frame: number, bits: number): number {
  return frame - (frame % 2 ** bits);
}

/** VT-d 5.10, 6.5.3.3, Table 28. The address mask is that of what the entry maps. */
function vtd(e: StaleEntry, state: IommuState): Choice {
  if (e.cache === "devtlb") {
    const target = { SID: e.device, ...sizedAddress(e) };
    return e.pasid < 0
      ? ["device-TLB invalidate", target]
      : ["PASID-based-device-TLB invalidate", { ...target, PASID: e.pasid }];
  }
  const DID = Math.max(e.domain, 0);
  if (e.cache === "context") return ["context-cache invalidate", { G: 3, SID: e.device, DID }];
  if (e.cache === "pasid")
    return ["PASID-cache invalidate", { G: 1, DID, PASID: Math.max(e.space, e.pasid, 0) }];
  const AM = order(e.level);
  const ADDR = aligned(e.frame, AM);
  if (e.whole && e.stage !== 2)
    return ["PASID-based-IOTLB invalidate", { G: 2, DID, PASID: Math.max(e.space, 0) }];
  if (e.stage !== 2)
    return ["PASID-based-IOTLB invalidate", { G: 3, DID, PASID: Math.max(e.space, 0), ADDR, AM }];
  const capable = (field: "PSI" | "MAMV", absent: number) =>
    state.capability("cap", CapabilityRegister, field, absent);
  // Under a first stage, which intermediate addresses led to the entry is known of the last one only.
  const byPage = !e.nested && !e.whole && capable("PSI", 1) !== 0 && AM <= capable("MAMV", 63);
  return ["IOTLB invalidate", byPage ? { G: 3, DID, ADDR, AM } : { G: 2, DID }];
}

/** S and an address that says the size, as PCIe ATS, AMD and RISC-V have it. */
function sizedAddress(e: StaleEntry): Fields {
  if (e.whole) return { S: 1, ADDR: EVERYTHING };
  const bits = order(e.level);
  return bits === 0 ? { ADDR: e.frame } : { S: 1, ADDR: aligned(e.frame, bits) + 2 ** (bits - 1) - 1 };
}

/** IHI 0070, 4.3 and 4.4. A command by address covers the tables on the way to it, not all that is below one of them. */
function smmuv3(e: StaleEntry): Choice {
  if (e.cache === "devtlb") {
    const stream = e.pasid < 0 ? {} : { SSV: 1, SSID: e.pasid };
    // What a block or a table maps depends on the granule, which this command does not know.
    const small = e.level === 3 && !e.whole;
    return ["CMD_ATC_INV", { SID: e.device, ...stream, ...(small ? { ADDR: e.frame } : { SIZE: ATC_ALL }) }];
  }
  if (e.cache === "context") return ["CMD_CFGI_STE", { SID: e.device }];
  if (e.cache === "pasid") return ["CMD_CFGI_CD", { SID: e.device, SSID: Math.max(e.pasid, 0) }];
  const VMID = Math.max(e.domain, 0);
  const ADDR = e.frame;
  const ASID = Math.max(e.space, 0);
  if (e.stage === 2) {
    // CMD_TLBI_S2_IPA leaves what stage 1 and 2 have made together (4.4.3.1).
    return e.nested || e.table ? ["CMD_TLBI_S12_VMALL", { VMID }] : ["CMD_TLBI_S2_IPA", { VMID, ADDR }];
  }
  if (e.regime === REGIME_EL2) {
    if (e.table) return ["CMD_TLBI_EL2_ALL", {}];
    return e.space < 0 ? ["CMD_TLBI_EL2_VAA", { ADDR }] : ["CMD_TLBI_EL2_VA", { ASID, ADDR }];
  }
  if (e.table) return e.space < 0 ? ["CMD_TLBI_NH_ALL", { VMID }] : ["CMD_TLBI_NH_ASID", { VMID, ASID }];
  return e.space < 0 ? ["CMD_TLBI_NH_VAA", { VMID, ADDR }] : ["CMD_TLBI_NH_VA", { VMID, ASID, ADDR }];
}

/** AMD 48882, 2.4. With S, the lowest zero bit of the address says how much is meant. */
function amdVi(e: StaleEntry): Choice {
  if (e.cache === "devtlb") {
    const guest = e.pasid < 0 ? {} : { GN: 1, PASID: e.pasid };
    return ["INVALIDATE_IOTLB_PAGES", { DEVID: e.device, QUEUEID: e.device, ...guest, ...sizedAddress(e) }];
  }
  if (e.cache === "context") return ["INVALIDATE_DEVTAB_ENTRY", { DEVID: e.device }];
  const DOMID = Math.max(e.domain, 0);
  const guest = e.space >= 0 && e.stage !== 2 ? { GN: 1, PASID: e.space } : {};
  const everything = e.cache === "pasid" || e.whole || (e.nested && e.stage === 2);
  return [
    "INVALIDATE_IOMMU_PAGES",
    { DOMID, PDE: 1, ...guest, ...(everything ? { S: 1, ADDR: EVERYTHING } : sizedAddress(e)) },
  ];
}

/** RISC-V IOMMU 1.0, 3.1. */
function riscv(e: StaleEntry): Choice {
  if (e.cache === "devtlb") {
    const segment = Math.floor(e.device / 2 ** 16);
    const target = { RID: e.device % 2 ** 16, ...(segment === 0 ? {} : { DSV: 1, DSEG: segment }) };
    return ["ATS.INVAL", { ...target, ...(e.pasid < 0 ? {} : { PV: 1, PID: e.pasid }), ...sizedAddress(e) }];
  }
  if (e.cache === "context") return ["IODIR.INVAL_DDT", { DV: 1, DID: e.device }];
  if (e.cache === "pasid") return ["IODIR.INVAL_PDT", { DV: 1, DID: e.device, PID: Math.max(e.pasid, 0) }];
  const guest = e.domain >= 0 ? { GV: 1, GSCID: e.domain } : {};
  // By address, only NL covers entries above the last level, which not every IOMMU has; without an address all do.
  const wide = e.cache === "paging-structures" || e.table || (e.nested && e.stage === 2);
  const address = wide ? {} : { AV: 1, ADDR: e.frame };
  if (e.stage === 2) return ["IOTINVAL.GVMA", { ...guest, ...address }];
  const space = e.space >= 0 ? { PSCV: 1, PSCID: e.space } : {};
  return ["IOTINVAL.VMA", { ...guest, ...space, ...address }];
}
