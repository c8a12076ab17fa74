import { COHERENT, type Coherence } from "../coherence.ts";
import type { IommuState } from "../registers.ts";
import {
  CapabilityRegister,
  ExtendedCapabilityRegister,
  RootTableAddressRegister,
  TTM_LEGACY,
  TTM_SCALABLE,
} from "./registers.ts";

/**
 * VT-d 5.10, 11.4.3: C is about root, context and PASID structures, and the page tables of legacy mode; those of scalable
 * mode go by SMPWCS. 6.8: with CAP_REG.RWBF, writes wait in a buffer for GCMD_REG.WBF or an invalidation.
 */
export function vtdCoherence(state: IommuState): Coherence {
  const extended = (field: "C" | "SMPWCS") =>
    state.capability("ecap", ExtendedCapabilityRegister, field, 1) !== 0;
  const scalable = state.field("rtaddr", RootTableAddressRegister, "TTM", TTM_LEGACY) === TTM_SCALABLE;
  const contexts = extended("C");
  const pageTables = scalable ? extended("SMPWCS") : contexts;
  const buffered = state.capability("cap", CapabilityRegister, "RWBF", 0) !== 0;
  const because = [
    contexts ? "" : "ECAP_REG.C=0",
    !scalable || pageTables ? "" : "ECAP_REG.SMPWCS=0",
    buffered ? "CAP_REG.RWBF=1" : "",
  ].filter((text) => text !== "");
  if (because.length === 0) return COHERENT;
  return {
    contexts: contexts && !buffered,
    pageTables: pageTables && !buffered,
    buffered: buffered && contexts && pageTables,
    because: because.join(", "),
  };
}
