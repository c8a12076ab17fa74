import type { DeviceContext, ProcessContext } from "../../walkers/amd-vi/context.ts";
import type { RiscvDevice, RiscvProcess } from "../../walkers/riscv/context.ts";
import type { StreamContext } from "../../walkers/smmuv3/stream-context.ts";
import type { SubstreamContext } from "../../walkers/smmuv3/substream-context.ts";
import { FIRST_STAGE, NESTED, type VtdDevice, type VtdProcess } from "../../walkers/vtd/context.ts";
import type { IommuModel } from "../../walkers/walker.ts";
import type { TranslationTag } from "./tag-sets.ts";

const FIRST = 1;
const SECOND = 2;

/**
 * How each IOMMU tags the translations of a context.
 *
 * @param pasid of the request, -1 for none
 */
export function tagOf(model: IommuModel, device: object, process: object, pasid: number): TranslationTag {
  switch (model) {
    case "intel":
      return vtd(device as VtdDevice, process as VtdProcess, pasid);
    case "arm-smmuv3":
      return smmuv3(device as StreamContext, process as SubstreamContext);
    case "amd":
      return amdVi(device as DeviceContext, process as ProcessContext, pasid);
    case "riscv":
      return riscv(device as RiscvDevice, process as RiscvProcess);
  }
}

/** VT-d 6.2.2: DID always, PASID where a first stage takes part; a request without PASID has its RID_PASID's. */
function vtd(device: VtdDevice, process: VtdProcess, pasid: number): TranslationTag {
  const first = process.kind === FIRST_STAGE || process.kind === NESTED;
  return {
    domain: process.domain,
    space: first ? (pasid >= 0 ? pasid : device.ridPasid) : -1,
    stages: (first ? FIRST : 0) | (process.kind === FIRST_STAGE ? 0 : SECOND),
  };
}

/** IHI 0070, 3.17: VMID with stage 2 or in an EL1 StreamWorld, ASID with stage 1. */
function smmuv3(device: StreamContext, process: SubstreamContext): TranslationTag {
  const first = !process.bypass;
  return {
    domain: device.vmid,
    space: first ? process.asid : -1,
    stages: (first ? FIRST : 0) | (device.stage2Enabled ? SECOND : 0),
  };
}

/** AMD 48882, 2.4: DomainID always, PASID where guest tables take part. */
function amdVi(device: DeviceContext, process: ProcessContext, pasid: number): TranslationTag {
  const first = process.guest !== 0;
  return {
    domain: device.domain,
    space: first ? Math.max(pasid, 0) : -1,
    stages: (first ? FIRST : 0) | (device.mode !== 0 ? SECOND : 0),
  };
}

/** RISC-V IOMMU 1.0, 3.1 (IOTINVAL): GSCID where there is a second stage, PSCID where there is a first. */
function riscv(device: RiscvDevice, process: RiscvProcess): TranslationTag {
  const first = process.firstLevels !== 0;
  return {
    domain: device.secondLevels !== 0 ? device.gscid : -1,
    space: first ? process.pscid : -1,
    stages: (first ? FIRST : 0) | (device.secondLevels !== 0 ? SECOND : 0),
  };
}
