/**
 * Lines of `grep -r . /sys/class/iommu/` and of loops over /sys/kernel/iommu_groups: "PATH: VALUE" or "PATH:VALUE".
 * (A folder, a tar of one, or a file `caps` reads by itself.)
 */
import { hexWord } from "./kernel-text.ts";

export type SysfsLine =
  | { readonly kind: "intel"; readonly iommu: string; readonly name: "cap" | "ecap"; readonly value: bigint }
  | { readonly kind: "amd-features"; readonly iommu: string; readonly efr: bigint; readonly efr2: bigint }
  | { readonly kind: "group"; readonly group: number; readonly devices: readonly string[] }
  /** A file of these folders that says nothing of translation. */
  | { readonly kind: "other" };

const CLASS =
  /\/sys\/(?:class\/iommu|devices\/\S*?\/iommu)\/([^/\s:]+)\/(intel-iommu|amd-iommu)\/([a-z_]+):\s*(\S+)\s*$/;
const FEATURES = /^([0-9a-f]{1,16}):([0-9a-f]{1,16})$/i;
const GROUP = /\/sys\/kernel\/iommu_groups\/(\d+)\s.*devices: (.*?)\s*$/;
const ANY = /\/sys\/(?:class\/iommu|kernel\/iommu_groups)\//;

export function sysfsLine(text: string): SysfsLine | undefined {
  if (!ANY.test(text) && !CLASS.test(text)) return undefined;
  const found = CLASS.exec(text);
  if (found !== null) {
    const [, iommu, driver, name, value] = found;
    const number = hexWord(value);
    if (driver === "intel-iommu" && (name === "cap" || name === "ecap") && number !== undefined)
      return { kind: "intel", iommu: iommu!, name, value: number };
    const features = FEATURES.exec(value!);
    if (driver === "amd-iommu" && name === "features" && features !== null)
      return {
        kind: "amd-features",
        iommu: iommu!,
        efr: hexWord(features[1])!,
        efr2: hexWord(features[2])!,
      };
  }
  const group = GROUP.exec(text);
  if (group !== null)
    return {
      kind: "group",
      group: Number(group[1]),
      devices: group[2]!.split(/\s+/).filter((d) => d !== ""),
    };
  return { kind: "other" };
}
