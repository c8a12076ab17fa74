import { WRITE } from "../../request.ts";
import { FAULT } from "../../result.ts";
import { F_ADDR_SIZE, F_PERMISSION } from "../faults.ts";
import { type SmmuV3Walker, selectHalf } from "../walker.ts";

/** APTable[1], no write, in the high half of a table descriptor (DDI 0487 D8.3.1). */
const NO_WRITE = 0x4000_0000;

/** IHI 0070 7.3.22 has the faults of all tables of a walk before permissions. */
export function tablePermissionsFirst(walker: object): void {
  const smmu = walker as SmmuV3Walker;
  const translate = smmu.translate.bind(smmu);
  smmu.translate = (request, device, process, out) => {
    smmu.stage1.tableHi = 0;
    translate(request, device, process, out);
    if (out.status !== FAULT || process.bypass || (request.access & WRITE) === 0) return;
    const { hierarchical } = selectHalf(process, request.addrHi);
    if (!hierarchical || (smmu.stage1.tableHi & NO_WRITE) === 0) return;
    out.fail(F_PERMISSION, F_PERMISSION.reason);
    out.stage = 1;
    out.faultClass = "IN";
    out.recorded = smmu.features.eventQueue && (process.r || process.s);
  };
}

/** Of an address that stage 1 leaves alone, and of that of a context descriptor (IHI 0070 3.4): its fault is one of stage 1. */
export function wideInputUnrecorded(walker: object): void {
  const smmu = walker as SmmuV3Walker;
  const translate = smmu.translate.bind(smmu);
  smmu.translate = (request, device, process, out) => {
    translate(request, device, process, out);
    if (out.fault === F_ADDR_SIZE && process.bypass && device.stage2Enabled && out.stage === 1)
      out.recorded = false;
  };
  const load = smmu.loadPasidContext.bind(smmu);
  smmu.loadPasidContext = (request, device, process, out) => {
    if (load(request, device, process, out)) return true;
    const wide = device.stage2Enabled && device.s1ContextFrame >= smmu.features.ipaLimit;
    if (!wide || out.stage !== 2 || out.faultClass !== "CD") return false;
    out.fail(F_ADDR_SIZE, F_ADDR_SIZE.reason);
    out.stage = 1;
    out.faultClass = "CD";
    out.recorded = false;
    return false;
  };
}
