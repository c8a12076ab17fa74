import { decodeCommand, encodeCommand, formatCommand } from "../../parsers/commands/command.ts";
import type { IommuModel } from "../../walkers/walker.ts";

import type { CacheName } from "./explanation.ts";

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
  /** The entry that changed: 1 or 2 for a page table of that stage, 0 for a context. */
  readonly stage: number;
  /** Frame number of the input address, or of the intermediate one where only the second stage is concerned. */
  readonly frame: number;
}

type Fields = Readonly<Record<string, number>>;

/** The command that would have dropped a stale entry, in the vendor's own syntax. */
export function coveringCommand(model: IommuModel, entry: StaleEntry): string {
  const [name, fields] = CHOICES[model](entry);
  return formatCommand(decodeCommand(model, encodeCommand(model, name, fields)));
}

const CHOICES: Readonly<Record<IommuModel, (entry: StaleEntry) => readonly [string, Fields]>> = {
  intel: vtd,
  "arm-smmuv3": smmuv3,
  amd: amdVi,
  riscv,
};

/** VT-d 6.5.2. */
function vtd(e: StaleEntry): readonly [string, Fields] {
  const DID = Math.max(e.domain, 0);
  if (e.cache === "context") return ["context-cache invalidate", { G: 3, SID: e.device, DID }];
  if (e.cache === "pasid")
    return ["PASID-cache invalidate", { G: 1, DID, PASID: Math.max(e.space, e.pasid, 0) }];
  if (e.space >= 0 && e.stage !== 2)
    return ["PASID-based-IOTLB invalidate", { G: 3, DID, PASID: e.space, ADDR: e.frame }];
  // Under a first stage the second stage's own addresses are not those of the IOTLB's entries.
  if (e.space >= 0) return ["IOTLB invalidate", { G: 2, DID }];
  return ["IOTLB invalidate", { G: 3, DID, ADDR: e.frame }];
}

/** IHI 0070, 4.3 and 4.4. */
function smmuv3(e: StaleEntry): readonly [string, Fields] {
  if (e.cache === "context") return ["CMD_CFGI_STE", { SID: e.device }];
  if (e.cache === "pasid") return ["CMD_CFGI_CD", { SID: e.device, SSID: Math.max(e.pasid, 0) }];
  const VMID = Math.max(e.domain, 0);
  if (e.stage === 2) {
    // CMD_TLBI_S2_IPA leaves what stage 1 and 2 have made together (4.4.3.1).
    return e.space === -1 ? ["CMD_TLBI_S2_IPA", { VMID, ADDR: e.frame }] : ["CMD_TLBI_S12_VMALL", { VMID }];
  }
  if (e.space < 0) return ["CMD_TLBI_NH_VAA", { VMID, ADDR: e.frame }];
  return ["CMD_TLBI_NH_VA", { VMID, ASID: e.space, ADDR: e.frame }];
}

/** AMD 48882, 2.4. */
function amdVi(e: StaleEntry): readonly [string, Fields] {
  if (e.cache === "context") return ["INVALIDATE_DEVTAB_ENTRY", { DEVID: e.device }];
  const DOMID = Math.max(e.domain, 0);
  const guest = e.space >= 0 && e.stage !== 2;
  return [
    "INVALIDATE_IOMMU_PAGES",
    { DOMID, PDE: 1, ADDR: e.frame, ...(guest ? { GN: 1, PASID: e.space } : {}) },
  ];
}

/** RISC-V IOMMU 1.0, 3.1. */
function riscv(e: StaleEntry): readonly [string, Fields] {
  if (e.cache === "context") return ["IODIR.INVAL_DDT", { DV: 1, DID: e.device }];
  if (e.cache === "pasid") return ["IODIR.INVAL_PDT", { DV: 1, DID: e.device, PID: Math.max(e.pasid, 0) }];
  const guest = e.domain >= 0 ? { GV: 1, GSCID: e.domain } : {};
  // By address, only NL covers entries above the last level, which not every IOMMU has; without an address all do.
  const address = e.cache === "paging-structures" ? {} : { AV: 1, ADDR: e.frame };
  if (e.stage === 2) return ["IOTINVAL.GVMA", { ...guest, ...address }];
  const space = e.space >= 0 ? { PSCV: 1, PSCID: e.space } : {};
  return ["IOTINVAL.VMA", { ...guest, ...space, ...address }];
}
