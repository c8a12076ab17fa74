import type { TABLE_RULES } from "../../../walkers/tables/table-rules.ts";
import type { Setup } from "../table-lint.ts";

/** An input that a rule on tables finds something in, and one next to it in which nothing is found. */
export interface Case {
  readonly rule: keyof typeof TABLE_RULES;
  readonly name: string;
  readonly bad: Setup;
  /** As `bad` but for one thing. */
  readonly good: Setup;
  /** What the finding says besides its rule. */
  readonly says: Readonly<Record<string, unknown>>;
}
