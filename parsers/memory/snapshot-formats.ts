/** Formats that a snapshot of guest memory may have; "auto": what its first bytes say. */
export const SNAPSHOT_FORMATS = ["auto", "elf", "raw", "lime", "kdump"] as const;
/** A format of guest memory; "auto": what the first bytes say. */
export type SnapshotFormat = (typeof SNAPSHOT_FORMATS)[number];
