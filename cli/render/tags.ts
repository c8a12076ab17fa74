import type { IommuModel } from "../../walkers/walker.ts";

/** What each specification calls the tags of a translation that outcomes have as `domain` and `asid`. */
const NAMES: Readonly<Record<IommuModel, { readonly domain: string; readonly asid: string }>> = {
  intel: { domain: "domain", asid: "ASID" },
  "arm-smmuv3": { domain: "VMID", asid: "ASID" },
  amd: { domain: "domain", asid: "ASID" },
  riscv: { domain: "GSCID", asid: "PSCID" },
};

interface Tags {
  readonly domain?: number | undefined;
  readonly asid?: number | undefined;
}

/** "VMID 3", "ASID 2": those that there are. */
export function tagTexts(model: IommuModel, { domain, asid }: Tags): string[] {
  const names = NAMES[model];
  return [
    ...(domain === undefined ? [] : [`${names.domain} ${domain}`]),
    ...(asid === undefined ? [] : [`${names.asid} ${asid}`]),
  ];
}
