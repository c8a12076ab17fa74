import type { InspectedPasid } from "./records.ts";

/** The same of all address spaces behind an IOMMU that have the same tables and tags: they map the same. */
export function tablesKey({
  iommu,
  domain,
  asid,
  translation,
  tables,
}: Pick<InspectedPasid, "iommu" | "domain" | "asid" | "translation" | "tables">): string {
  return JSON.stringify([iommu, domain, asid, translation, tables]);
}
