import type { DeviceContext, ProcessContext } from "../../walkers/amd-vi/context.ts";
import { REGIME_EL1, REGIME_EL2 } from "../../walkers/invalidation.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { IommuState } from "../../walkers/registers.ts";
import { NO_PASID } from "../../walkers/request.ts";
import type { RiscvDevice, RiscvProcess } from "../../walkers/riscv/context.ts";
import type { StreamContext } from "../../walkers/smmuv3/stream-context.ts";
import type { SubstreamContext } from "../../walkers/smmuv3/substream-context.ts";
import {
  EXTENDED_CONTEXT,
  FIRST_STAGE,
  NESTED,
  SCALABLE_CONTEXT,
  type VtdDevice,
  type VtdProcess,
} from "../../walkers/vtd/context.ts";
import { RootTableAddressRegister, TTM_LEGACY, TTM_SCALABLE } from "../../walkers/vtd/registers.ts";
import type { ContextTag } from "./answers/coverage.ts";
import { FIRST, NO_TAG, SECOND, type TranslationTag } from "./translations/tag-sets.ts";

/** How one vendor tags what it caches. */
interface Tagging<D, P> {
  /** Domain that tags a cached device context; -1: none. */
  deviceDomain(device: D): number;
  /** What a request, by its PASID (-1: none), finds in a table of PASID entries. */
  pasidEntry(device: D, pasid: number): number;
  /** Whether a cache of PASID entries holds what says how to translate; otherwise the device's context alone does. */
  ownEntry(device: D, process: P, pasid: number): boolean;
  translation(device: D, process: P, pasid: number): TranslationTag;
  /** Whether the device may keep translations by itself: its context allows ATS. */
  deviceTlb(device: D): boolean;
}

function tag(domain: number, space: number, first: boolean, second: boolean): TranslationTag {
  return {
    domain,
    space,
    stages: (first ? FIRST : 0) | (second ? SECOND : 0),
    regime: REGIME_EL1,
    withoutTopByte: false,
  };
}

/**
 * VT-d 5.10, 6.2.1, Table 17: DID always, in scalable mode the PASID too, which for a request without PASID is its
 * RID_PASID. Revisions differ on whether devices of one domain share translations: here they do.
 */
const VTD: Tagging<VtdDevice, VtdProcess> = {
  deviceDomain: (device) => (device.context === SCALABLE_CONTEXT ? NO_TAG : device.domain),
  pasidEntry: (device, pasid) => (pasid === NO_PASID ? device.ridPasid : pasid),
  ownEntry: (device, _process, pasid) =>
    device.context === SCALABLE_CONTEXT || (device.context === EXTENDED_CONTEXT && pasid !== NO_PASID),
  translation(device, process, pasid) {
    const first = process.kind === FIRST_STAGE || process.kind === NESTED;
    const tagged = first || device.context === SCALABLE_CONTEXT;
    const space = tagged ? this.pasidEntry(device, pasid) : NO_TAG;
    return tag(process.domain, space, first, process.kind !== FIRST_STAGE);
  },
  deviceTlb: (device) => device.deviceTlb !== 0,
};

/** IHI 0070, 3.17: VMID where stage 2 is implemented and the StreamWorld is EL1, ASID with stage 1. */
const SMMUV3: Tagging<StreamContext, SubstreamContext> = {
  deviceDomain: (device) => device.vmid,
  pasidEntry: (_device, pasid) => Math.max(pasid, 0),
  ownEntry: (_device, process) => !process.bypass,
  translation(device, process) {
    const first = !process.bypass;
    return {
      ...tag(device.vmid, first ? process.asid : NO_TAG, first, device.stage2Enabled),
      regime: device.hypervisor ? REGIME_EL2 : REGIME_EL1,
      // An address that TBI lets pass is the same page whatever its top byte, and without TBI none passes whose top
      // byte is not the sign of bit 55.
      withoutTopByte: first,
    };
  },
  deviceTlb: (device) => device.ats,
};

/** AMD 48882, 2.4: DomainID always, PASID where guest tables take part. */
const AMD_VI: Tagging<DeviceContext, ProcessContext> = {
  deviceDomain: (device) => device.domain,
  pasidEntry: (_device, pasid) => Math.max(pasid, 0),
  ownEntry: (_device, process) => process.guest !== 0,
  translation(device, process, pasid) {
    const first = process.guest !== 0;
    return tag(device.domain, first ? Math.max(pasid, 0) : NO_TAG, first, device.mode !== 0);
  },
  deviceTlb: (device) => device.iotlb !== 0,
};

/** RISC-V IOMMU 1.0, Caching in-memory data structures: GSCID with a second stage, PSCID with a first. */
const RISCV: Tagging<RiscvDevice, RiscvProcess> = {
  deviceDomain: (device) => device.gscid,
  pasidEntry: (_device, pasid) => Math.max(pasid, 0),
  ownEntry: (_device, process) => process.located !== 0,
  translation(device, process) {
    const first = process.firstLevels !== 0;
    const second = device.secondLevels !== 0;
    return tag(second ? device.gscid : NO_TAG, first ? process.pscid : NO_TAG, first, second);
  },
  deviceTlb: (device) => device.enAts !== 0,
};

const TAGGING: Readonly<Record<IommuModel, Tagging<never, never>>> = {
  intel: VTD,
  "arm-smmuv3": SMMUV3,
  amd: AMD_VI,
  riscv: RISCV,
};

/**
 * How an IOMMU tags the translations of a context.
 * @param pasid of the request, NO_PASID for none
 */
export function translationTag(
  model: IommuModel,
  device: object,
  process: object,
  pasid: number,
): TranslationTag {
  return TAGGING[model].translation(device as never, process as never, pasid);
}

/** VT-d with CAP_REG.CM: domain id of a cached context entry that is not valid (5.10, 6.2.2). */
const VTD_INVALID_DOMAIN = 0;

/** How it tags a device context that is cached although it is not valid. */
export function refusedTag(state: IommuState, model: IommuModel, id: number): ContextTag {
  const scalable = state.field("rtaddr", RootTableAddressRegister, "TTM", TTM_LEGACY) === TTM_SCALABLE;
  const domain = model === "intel" && !scalable ? VTD_INVALID_DOMAIN : NO_TAG;
  return { device: id, domain, pasid: NO_TAG, asid: NO_TAG };
}

/** Whether a device may keep translations by itself, by its context. */
export function hasDeviceTlb(model: IommuModel, device: object): boolean {
  return TAGGING[model].deviceTlb(device as never);
}

/** How it tags a cached device context. */
export function deviceTag(model: IommuModel, id: number, device: object): ContextTag {
  return { device: id, domain: TAGGING[model].deviceDomain(device as never), pasid: NO_TAG, asid: NO_TAG };
}

/** How it tags a cached PASID entry. */
export function processTag(
  model: IommuModel,
  id: number,
  device: object,
  process: object,
  pasid: number,
): ContextTag {
  const { domain, space } = translationTag(model, device, process, pasid);
  return { device: id, domain, pasid: pasidIndex(model, device, pasid), asid: space };
}

/** The PASID entry that a request uses, by its PASID (NO_PASID: none). */
export function pasidIndex(model: IommuModel, device: object, pasid: number): number {
  return TAGGING[model].pasidEntry(device as never, pasid);
}

/** Whether a cache of PASID entries holds what says how a request is translated. */
export function hasOwnEntry(model: IommuModel, device: object, process: object, pasid: number): boolean {
  return TAGGING[model].ownEntry(device as never, process as never, pasid);
}
