import {
  type Advise,
  type AdviseRoot,
  aligned,
  type OwedCommand,
  order,
  type StaleEntry,
  sizedAddress,
} from "../advice.ts";
import type { IommuState } from "../registers.ts";
import {
  CapabilityRegister,
  ExtendedCapabilityRegister,
  GlobalStatusRegister,
  RootTableAddressRegister,
  TTM_LEGACY,
  TTM_SCALABLE,
} from "./registers.ts";

/** Commands of the queue that legacy mode has registers for (VT-d 5.10, 6.5.1); their fields have the same names. */
const BY_REGISTER: Readonly<Record<string, Pick<OwedCommand, "name" | "register">>> = {
  "context-cache invalidate": { name: "CCMD_REG", register: "ccmd" },
  "IOTLB invalidate": { name: "IOTLB_REG", register: "iotlb" },
};

function modeOf(state: IommuState): number {
  return state.field("rtaddr", RootTableAddressRegister, "TTM", TTM_LEGACY);
}

/** There is no queue, or it is off; what came through it says that it is on, whatever GSTS_REG has been recorded. */
function withoutQueue(state: IommuState): boolean {
  if (state.capability("ecap", ExtendedCapabilityRegister, "QI", 1) === 0) return true;
  return !state.queueUsed && state.field("gsts", GlobalStatusRegister, "QIES", 1) === 0;
}

/** As it is issued: through registers; or of 256 bits, all that scalable mode takes (VT-d 5.10, 6.5.2.11, Table 26). */
function issued(command: OwedCommand, state: IommuState): OwedCommand {
  const mode = modeOf(state);
  const register = mode === TTM_LEGACY && withoutQueue(state) ? BY_REGISTER[command.name] : undefined;
  if (register !== undefined) return { ...command, ...register };
  return { ...command, words: mode === TTM_SCALABLE ? 4 : undefined };
}

export const VTD_ADVICE: Advise = (entry, state) => issued(choose(entry, state), state);

/** VT-d 5.10, 6.5.3.3: after SRTP, without CAP_REG.ESRTPS. */
export const VTD_ROOT_ADVICE: AdviseRoot = (state) => {
  const contexts: OwedCommand = { name: "context-cache invalidate", fields: { G: 1 } };
  const pasids: OwedCommand = { name: "PASID-cache invalidate", fields: { G: 3 } };
  const translations: OwedCommand = { name: "IOTLB invalidate", fields: { G: 1 } };
  const all = modeOf(state) === TTM_SCALABLE ? [contexts, pasids, translations] : [contexts, translations];
  return all.map((command) => issued(command, state));
};

/** VT-d 5.10, 6.5.3.3, Table 28. The address mask is that of what the entry maps. */
function choose(e: StaleEntry, state: IommuState): OwedCommand {
  if (e.cache === "devtlb") {
    const fields = { SID: e.device, ...sizedAddress(e) };
    return e.pasid < 0
      ? { name: "device-TLB invalidate", fields }
      : { name: "PASID-based-device-TLB invalidate", fields: { ...fields, PASID: e.pasid } };
  }
  const DID = Math.max(e.domain, 0);
  if (e.cache === "context")
    return { name: "context-cache invalidate", fields: { G: 3, SID: e.device, DID } };
  if (e.cache === "pasid")
    return { name: "PASID-cache invalidate", fields: { G: 1, DID, PASID: Math.max(e.space, e.pasid, 0) } };
  const AM = order(e.level);
  const ADDR = aligned(e.frame, AM);
  // Where a second stage takes part, what came from a context or PASID entry goes by the domain.
  if (e.stage !== 2 && !(e.whole && e.nested)) {
    const PASID = Math.max(e.space, 0);
    const fields = e.whole ? { G: 2, DID, PASID } : { G: 3, DID, PASID, ADDR, AM };
    return { name: "PASID-based-IOTLB invalidate", fields };
  }
  const capable = (field: "PSI" | "MAMV", absent: number) =>
    state.capability("cap", CapabilityRegister, field, absent);
  // Under a first stage, which intermediate addresses led to the entry is known of the last one only.
  const byPage = !e.nested && !e.whole && capable("PSI", 1) !== 0 && AM <= capable("MAMV", 63);
  return { name: "IOTLB invalidate", fields: byPage ? { G: 3, DID, ADDR, AM } : { G: 2, DID } };
}
