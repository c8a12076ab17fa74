/** Formats that a snapshot of guest memory may have; "auto": what its first bytes say. */
export const SNAPSHOT_FORMATS = ["auto", "elf", "raw", "lime", "kdump"] as const;
export type SnapshotFormat = (typeof SNAPSHOT_FORMATS)[number];
