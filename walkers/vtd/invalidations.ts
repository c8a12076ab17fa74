/**
 * What VT-d's invalidations of contexts and translations cover, check and say: the same whether they come as descriptors of
 * the queue (5.10, 6.5.2) or through registers (6.5.1).
 */
import { alignedRange } from "../commands/address-range.ts";
import type { Problems } from "../commands/command-set.ts";
import {
  COMBINED_DROPPED,
  CONTEXT_CACHE,
  type Invalidation,
  IOTLB,
  PAGING_STRUCTURES,
} from "../invalidation.ts";
import type { LayoutField, Reader } from "../layout.ts";
import { addressText, hex } from "../word64.ts";
import type { VtdCommandCaps } from "./command-caps.ts";

type Readers<F extends string> = { readonly [K in F]: Reader };
type ContextFields = Readers<"G" | "DID" | "SID" | "FM">;
type TranslationFields = Readers<"G" | "DW" | "DR" | "DID" | "AM" | "IH" | "ADDR">;

// Granularities, as descriptors and registers have them.
export const GLOBAL = 1;
const DOMAIN = 2;
const DEVICE = 3;
export const PAGE = 3;

/** Bits of the function number that FM takes out of the comparison: 0; 2; 2:1; 2:0 (6.5.2.1). */
const FUNCTION_MASKS = [0, 0b100, 0b110, 0b111] as const;

/** Context-cache invalidation (6.5.2.1). @returns false where it has no granularity */
export function invalidateContexts(
  of: ContextFields,
  view: DataView,
  caps: VtdCommandCaps,
  out: Invalidation,
): boolean {
  out.caches = CONTEXT_CACHE;
  const g = of.G(view, 0);
  if (g >= DOMAIN) out.onDomain(of.DID(view, 0) & caps.domainMask);
  if (g === DEVICE) out.onDevice(of.SID(view, 0), FUNCTION_MASKS[of.FM(view, 0)]!);
  return g !== 0;
}

export function contextOperands(of: ContextFields, granularities: LayoutField, view: DataView): string {
  const g = of.G(view, 0);
  const did = g >= DOMAIN ? `, DID ${of.DID(view, 0)}` : "";
  const sid = g === DEVICE ? `, SID ${hex(of.SID(view, 0))}, FM ${of.FM(view, 0)}` : "";
  return granularity(granularities, g) + did + sid;
}

/** IOTLB invalidation (6.5.2.3). @returns false where it has no granularity */
export function invalidateTranslations(
  of: TranslationFields,
  view: DataView,
  caps: VtdCommandCaps,
  out: Invalidation,
): boolean {
  out.caches = IOTLB | PAGING_STRUCTURES;
  const g = of.G(view, 0);
  if (g > GLOBAL) out.onDomain(of.DID(view, 0) & caps.domainMask);
  if (g === PAGE) {
    out.combined = COMBINED_DROPPED;
    // Table 23: IH spares paging structures of the second stage alone.
    out.leafOnly = of.IH(view, 0) !== 0;
    pageRange(out, of.ADDR(view, 0), of.AM(view, 0));
  }
  return g !== 0;
}

export function checkTranslations(
  of: TranslationFields,
  view: DataView,
  caps: VtdCommandCaps,
  problems: Problems,
  source: string,
): void {
  const g = of.G(view, 0);
  if (g === 0) problems.illegal("G", "expected granularity 1 to 3, found 0", source);
  if (g !== PAGE) return;
  if (!caps.pageSelective)
    problems.illegal(
      "G",
      "expected CAP_REG.PSI for page-selective invalidations, found an IOMMU without",
      source,
    );
  const am = of.AM(view, 0);
  if (am > caps.mamv)
    problems.illegal(
      "AM",
      `expected at most CAP_REG.MAMV, ${caps.mamv}, found ${am}`,
      `${source} and CAP_REG`,
    );
}

export function translationOperands(
  of: TranslationFields,
  granularities: LayoutField,
  view: DataView,
): string {
  const g = of.G(view, 0);
  const did = g > GLOBAL ? `, DID ${of.DID(view, 0)}` : "";
  const page = g === PAGE ? pageOperands(of, view) : "";
  const drains = `${of.DR(view, 0) ? ", DR" : ""}${of.DW(view, 0) ? ", DW" : ""}`;
  return granularity(granularities, g) + did + page + drains;
}

/** 2^AM pages; 6.5.3.2: the address mask of a large page is not 0. */
export function pageRange(out: Invalidation, frame: number, am: number): void {
  alignedRange(out, frame, am);
  out.inPieces = true;
}

export function granularity(field: LayoutField, value: number): string {
  return field.values?.[value] ?? `granularity ${value}`;
}

export function pageOperands(of: Readers<"ADDR" | "AM" | "IH">, view: DataView): string {
  return `, addr ${addressText(of.ADDR(view, 0))}, AM ${of.AM(view, 0)}, IH ${of.IH(view, 0)}`;
}
