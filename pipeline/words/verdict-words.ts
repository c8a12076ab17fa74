import type { Verdict } from "../iommus/outcome.ts";

/** What each verdict says of an answer, in a few words: the README has them in full. */
export const VERDICT_WORDS: Readonly<Record<Verdict, string>> = {
  mismatch: "as no correct IOMMU answers",
  "stale-after-invalidation": "an earlier translation, though invalidated",
  stale: "an earlier translation, not invalidated",
  unflushed: "as before a write that nothing has flushed",
  hazard: "not observed: an earlier translation could have answered",
  unknown: "memory that could not be read decides",
  "not-modelled": "of interrupt remapping: not judged",
  match: "as memory says",
};
