import { S2_START_LEVEL } from "../rules-ste.ts";
import type { StreamContext } from "../stream-context.ts";
import type { SmmuV3Walker } from "../walker.ts";

/** Takes entries whose stage 2 begins above the level that its input size reaches (IHI 0070 5.2 S2SL0). */
export function startUnchecked(walker: object): void {
  (walker as SmmuV3Walker).leniency = (rule, { s2granule, s2t0sz, s2startLevel }) =>
    rule === S2_START_LEVEL && 64 - s2t0sz <= s2granule + (s2granule - 3) * (3 - s2startLevel);
}

/** There the first table has one entry; where it comes to less than a byte, its alignment leaves nothing of its address. */
export function startAnywhere(context: object): void {
  const { stage2 } = context as StreamContext;
  const bits = stage2.inputBits - stage2.startShift;
  if (bits > 0) return;
  stage2.startMask = 0;
  if (bits >= -3) return;
  stage2.frame = 0;
  stage2.offset = 0;
}
