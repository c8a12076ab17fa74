/** What records can be filtered by, with the sentence that `--help` prints. Each takes a list; one of it must match. */
export const FILTER_WORDS = {
  dev: 'Only of this device; a list, "*" and "?" stand for any text and any character',
  pasid: 'Only with this PASID, or range 1-31, or "none"',
  iommu: 'Only behind this IOMMU; "*" and "?" as for --dev',
  addr: "Only at input addresses of this range: 0x1000-0x1fff, 0x1000+0x1000, 0x1000-",
  addressType: "Only requests of this address type: untranslated, translation-request, translated",
  line: "Only from lines of this range: 100-200, 100+50, 100-",
  time: "Only from this range of time: 12.5-13.7, 12.5+0.2, 2026-11-30T02:38..2026-11-30T02:39",
  rule: 'Only findings of this rule; "*" and "?" as for --dev',
  code: "Only faults with this code, 0x71 or 71h, or of this name",
  reason: 'Only faults for this reason, such as PTE_FETCH; "*" and "?" as for --dev',
} as const;
export type FilterWord = keyof typeof FILTER_WORDS;

/** As it stands on a command line. */
export function optionOf(word: FilterWord): string {
  return word === "addressType" ? "address-type" : word;
}

/** What is asked for, as on a command line, separated by commas. */
export type FilterWords = { readonly [W in FilterWord]?: string | readonly string[] | undefined };
