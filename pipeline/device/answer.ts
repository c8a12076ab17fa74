import { FAULT, MSI, type WalkResult } from "../../walkers/result.ts";
import { addressText, hex } from "../../walkers/word64.ts";

/** What a device did with a request: `observed` of a `dma` record. */
export interface DeviceAnswer {
  readonly result: "ok" | "fault" | "msi";
  readonly pa?: string;
  readonly code?: string;
  readonly reason?: string;
  readonly stage?: 1 | 2;
  readonly class?: string;
  readonly recorded?: boolean;
}

/** The answer of an IOMMU whose walk of a request's first page, or of the page that faults, is this. */
export function deviceAnswer(walk: WalkResult): DeviceAnswer {
  if (walk.status === MSI) return { result: "msi" };
  if (walk.status !== FAULT) return { result: "ok", pa: addressText(walk.frame, walk.offset) };
  const { code } = walk.fault!;
  return {
    result: "fault",
    ...(code !== 0 ? { code: hex(code) } : { reason: walk.reason }),
    ...(walk.stage !== 0 ? { stage: walk.stage as 1 | 2 } : {}),
    ...(walk.faultClass !== "" ? { class: walk.faultClass } : {}),
    recorded: walk.recorded,
  };
}
