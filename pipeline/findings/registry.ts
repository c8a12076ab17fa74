import { BIND_RULES } from "../../walkers/pasid-tables/bind-rules.ts";
import type { Rule } from "../../walkers/tables/rule.ts";
import { TABLE_RULES } from "../../walkers/tables/table-rules.ts";
import { CACHE_RULES } from "./cache-rules.ts";
import { LOSS_RULES } from "./loss-findings.ts";
import { MAPPING_RULES } from "./mapping-findings.ts";
import { NAME_RULES } from "./name-rules.ts";
import { EFFORT_RULES } from "./tables/table-effort.ts";

/** Every rule that a finding can name, in the order in which `pasid-replay rules` lists them. */
export const RULES: readonly Rule[] = [
  ...Object.values(CACHE_RULES),
  ...Object.values(BIND_RULES),
  ...Object.values(TABLE_RULES),
  ...Object.values(EFFORT_RULES),
  ...Object.values(MAPPING_RULES),
  ...Object.values(LOSS_RULES),
  ...Object.values(NAME_RULES),
];
