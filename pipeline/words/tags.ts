import type { IommuModel } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";

interface Tags {
  readonly domain?: number | undefined;
  readonly asid?: number | undefined;
}

/** "VMID 3", "ASID 2": those that there are. */
export function tagTexts(model: IommuModel, { domain, asid }: Tags): string[] {
  const names = VENDORS[model].tagNames;
  return [
    ...(domain === undefined ? [] : [`${names.domain} ${domain}`]),
    ...(asid === undefined ? [] : [`${names.asid} ${asid}`]),
  ];
}
