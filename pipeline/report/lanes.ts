/** What a timeline counts, in the order in which it is drawn. */
export const LANES = {
  ok: "requests translated",
  fault: "requests that fault",
  msi: "interrupt requests",
  mismatch: "answers that no correct IOMMU gives",
  "stale-after-invalidation": "answers from entries that were invalidated",
  stale: "answers from entries that nothing has invalidated",
  unflushed: "answers from before a write that nothing has flushed",
  hazard: "requests that an old entry could answer differently",
  write: "writes to memory",
  invalidation: "invalidations",
  completion: "waits for invalidations",
  logged: "faults in the recorded log",
  finding: "findings",
} as const;

export type Lane = keyof typeof LANES;

export const LANE_NAMES = Object.keys(LANES) as Lane[];
