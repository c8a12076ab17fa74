import type { HostLimits } from "../../walkers/host.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { type PageTableFormat, pageTableFormat } from "../../walkers/page-tables/formats.ts";
import type { IommuState } from "../../walkers/registers.ts";
import { VENDORS } from "../../walkers/registry.ts";

/** What an IOMMU can do with a PASID table: by its registers, and by the page-table formats that its host publishes. */
export function limitsOf(model: IommuModel, state: IommuState): HostLimits {
  const limits = VENDORS[model].host.limits(state);
  return { ...limits, formats: published(limits.formats, state) };
}

/** A list that the host publishes leaves what it names; names that nobody knows say nothing. */
function published(formats: ReadonlySet<PageTableFormat>, state: IommuState): ReadonlySet<PageTableFormat> {
  const given = state.props.get("pgtable_format");
  const names = typeof given === "string" ? [given] : Array.isArray(given) ? (given as string[]) : [];
  const known = names.map(pageTableFormat);
  if (known.length === 0 || known.includes(undefined)) return formats;
  return new Set([...formats].filter((format) => known.includes(format)));
}
