import type { IommuState } from "../registers.ts";
import {
  CapabilityRegister,
  ExtendedCapabilityRegister,
  GlobalStatusRegister,
  RootTableAddressRegister,
  VersionRegister,
} from "./registers.ts";

/** What the rules ask of a remapping unit. Unknown: whatever refuses nothing. */
export class VtdCommandCaps {
  mamv = 63;
  pageSelective = true;
  /** Bits of a domain id that count: hardware ignores those beyond CAP_REG.ND. */
  domainMask = 0xffff;
  mhmv = 31;
  deviceTlb = true;
  hostPermissions = true;
  throttle = true;
  pageRequestDrain = true;
  /** -1: unknown. */
  scalableSupport = -1;
  translationTable = -1;
  /** GSTS_REG.QIES, and the major version of the architecture. */
  queued = -1;
  majorVersion = -1;
}

export function readVtdCaps(state: IommuState): VtdCommandCaps {
  const caps = new VtdCommandCaps();
  caps.mamv = state.capability("cap", CapabilityRegister, "MAMV", caps.mamv);
  caps.pageSelective = state.capability("cap", CapabilityRegister, "PSI", 1) !== 0;
  caps.domainMask = 2 ** (4 + 2 * state.capability("cap", CapabilityRegister, "ND", 6)) - 1;
  caps.mhmv = state.capability("ecap", ExtendedCapabilityRegister, "MHMV", caps.mhmv);
  caps.deviceTlb = state.capability("ecap", ExtendedCapabilityRegister, "DT", 1) !== 0;
  caps.hostPermissions = state.capability("ecap", ExtendedCapabilityRegister, "HPTS", 1) !== 0;
  caps.throttle = state.capability("ecap", ExtendedCapabilityRegister, "DIT", 1) !== 0;
  caps.pageRequestDrain = state.capability("ecap", ExtendedCapabilityRegister, "PDS", 1) !== 0;
  caps.scalableSupport = state.capability("ecap", ExtendedCapabilityRegister, "SMTS", -1);
  caps.translationTable = state.field("rtaddr", RootTableAddressRegister, "TTM", -1);
  caps.queued = state.field("gsts", GlobalStatusRegister, "QIES", -1);
  caps.majorVersion = state.field("ver", VersionRegister, "MAX", -1);
  return caps;
}
