import { type Advise, aligned, type OwedCommand, order, type StaleEntry, sizedAddress } from "../advice.ts";
import type { IommuState } from "../registers.ts";
import { CapabilityRegister, RootTableAddressRegister, TTM_LEGACY, TTM_SCALABLE } from "./registers.ts";

/** VT-d 5.10, 6.5.2.11, Table 26: scalable mode takes 256 bits only; undefined: whatever the descriptor has. */
function wordCount(state: IommuState): number | undefined {
  const mode = state.field("rtaddr", RootTableAddressRegister, "TTM", TTM_LEGACY);
  return mode === TTM_SCALABLE ? 4 : undefined;
}

export const VTD_ADVICE: Advise = (entry, state) => ({ ...choose(entry, state), words: wordCount(state) });

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
  if (e.stage !== 2) {
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
