import type { SpacesCounted } from "./space-counts.ts";

/** Requests of all devices by what became of them. */
export interface RequestResults {
  readonly requests: number;
  readonly ok: number;
  readonly faults: number;
  /** Interrupts. */
  readonly msi: number;
  /** Devices that are counted one by one. */
  readonly devices: number;
}

export function requestResults({ all, others }: SpacesCounted): RequestResults {
  const spaces = others === null ? all : [...all, others];
  const sum = (what: "requests" | "ok" | "faults" | "msi") => spaces.reduce((n, space) => n + space[what], 0);
  return {
    requests: sum("requests"),
    ok: sum("ok"),
    faults: sum("faults"),
    msi: sum("msi"),
    devices: new Set(all.map(({ iommu, device }) => `${iommu}\n${device}`)).size,
  };
}
