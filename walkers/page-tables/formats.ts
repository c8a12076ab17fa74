/** Page-table formats by the names that findings and `pgtable_format` use. */
export const PAGE_TABLE_FORMATS = {
  "vmsav8-64": "VMSAv8-64",
  "vmsav8-32": "VMSAv8-32 LPAE",
  v7s: "VMSAv7 short descriptors",
  "x86-64": "4-level first stage",
  "x86-64-5lvl": "5-level first stage",
  "vtd-ss": "VT-d second stage",
  sv32: "Sv32",
  sv39: "Sv39",
  sv48: "Sv48",
  sv57: "Sv57",
} as const;

export type PageTableFormat = keyof typeof PAGE_TABLE_FORMATS;

/** Names of the kernel list's thread and of Linux's io-pgtable. */
const OTHER_NAMES: Readonly<Record<string, PageTableFormat>> = {
  "lpae-64": "vmsav8-64",
  "arm-64-lpae-s1": "vmsav8-64",
  "lpae-32": "vmsav8-32",
  "arm-32-lpae-s1": "vmsav8-32",
  "arm-v7s": "v7s",
};

/** The format of a name, in any case, with "-" or "_"; undefined for one that nobody knows. */
export function pageTableFormat(name: string): PageTableFormat | undefined {
  const lower = name.toLowerCase().replaceAll("_", "-");
  if (Object.hasOwn(PAGE_TABLE_FORMATS, lower)) return lower as PageTableFormat;
  return Object.hasOwn(OTHER_NAMES, lower) ? OTHER_NAMES[lower] : undefined;
}
