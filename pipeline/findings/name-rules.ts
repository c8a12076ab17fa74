import { rules } from "../../walkers/tables/rule.ts";

/** What is wrong with how a trace is written, where it can be used all the same. */
export const NAME_RULES = rules({
  "unknown-name": {
    severity: "warning",
    text: "A field, register or property has a name that nothing here knows: it is ignored, and what was meant is missing.",
    source: "trace contract, input records; --strict",
  },
  "no-root-register": {
    severity: "warning",
    text: "Nothing says where the IOMMU's tables are: requests of devices without a binding go by what is at address 0.",
    source: "trace contract, `iommu`",
  },
});
