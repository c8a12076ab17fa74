/** Bad habits of a device under test that no vendor's tables have to do with: of its caches, and of how it takes requests. */
import type { VendorFuzzing } from "../../walkers/fuzz/vendor-fuzzing.ts";

interface Habit {
  /** What the device does, as a sentence without its subject. */
  readonly text: string;
}

export const HABITS = {
  // ── requests ──
  "privilege-ignored": { text: "takes every request for an unprivileged one" },
  "atomic-as-read": { text: "checks only the read permission of atomic requests" },
  "execute-as-read": { text: "checks only the read permission of requests for execution" },
  "pasid-8-bits": { text: "looks at the low 8 bits of a PASID alone" },
  "address-47-bits": { text: "looks at the low 47 bits of an input address alone" },
  "first-page-only": { text: "translates the first page of a request, and takes those after it to follow" },
  "frame-32-bits": { text: "puts out addresses of 44 bits: the frame number has 32" },
  "address-type-ignored": { text: "takes every request for an untranslated one" },
  "translation-request-checked": {
    text: "grants a translation request nothing but the access that it names",
  },
  "translated-trusted": { text: "lets translated requests pass, whatever the device is allowed" },
  "completion-recorded": { text: "records faults that the completion of a translation request tells of" },
  // ── caches ──
  "contexts-kept": { text: "keeps device contexts whatever invalidates them" },
  "pasid-entries-kept": { text: "keeps PASID entries whatever invalidates them" },
  "translations-kept": { text: "keeps translations whatever invalidates them" },
  "page-invalidation-ignored": { text: "ignores invalidations by address" },
  "page-invalidation-first": { text: "invalidates the first page of a range alone" },
  "large-page-by-start": { text: "invalidates a large page only where its first address is named" },
  "wide-invalidation-first": { text: "drops one translation of those that a wide invalidation covers" },
  "one-device-invalidated": {
    text: "invalidates translations only if the device's context was dropped before",
  },
  "global-pages-kept": { text: "keeps global translations but where everything goes" },
  "hit-without-permission": { text: "grants every access that finds a cached translation" },
  "hit-denied-unrecorded": { text: "records no fault where a cached translation denies the access" },
  "hit-in-other-domain": { text: "finds translations of other domains" },
  "hit-in-other-space": { text: "finds translations of other address spaces of the domain" },
  "large-page-as-small": { text: "takes a hit on a large page for one on its first 4 KiB" },
  "denials-kept": { text: "remembers for good that a page was not there" },
  "invalidation-late": { text: "invalidates what a command covers when the next command comes" },
} as const satisfies Readonly<Record<string, Habit>>;

export type HabitName = keyof typeof HABITS;
export const HABIT_NAMES = Object.keys(HABITS) as readonly HabitName[];

/** Those that an IOMMU of a vendor can have. */
export function habitsOf({ immune = {} }: Pick<VendorFuzzing, "immune">): readonly HabitName[] {
  return HABIT_NAMES.filter((name) => immune[name] === undefined);
}
