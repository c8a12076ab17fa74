import type { Loss } from "./format.ts";

/** What more than one format has to say. */
export const UNKNOWN_TABLES: Loss = {
  what: "tables-unknown",
  severity: "warning",
  message:
    "requests whose tables this log does not determine are left out: trace from before the driver starts, or give memory and registers beside the log (--memory, --iommu)",
};
