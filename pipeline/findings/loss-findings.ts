import type { RecordOf } from "../../parsers/trace/schema.ts";
import { type Rule, rules } from "../../walkers/tables/rule.ts";
import type { Analysis } from "./analysis.ts";
import type { Findings } from "./findings.ts";

/** What a trace says that is not in it: one rule a severity, because whoever made the trace knows how much it matters. */
export const LOSS_RULES = rules({
  "events-lost": {
    severity: "error",
    text: "The recorded system or its log has lost something that verdicts depend on.",
    source: "trace contract, `loss`",
  },
  "trace-incomplete": {
    severity: "warning",
    text: "Something that happened could not be recorded, and is not in the trace.",
    source: "trace contract, `loss`",
  },
  "trace-imprecise": {
    severity: "info",
    text: "What the trace is made of says less than a record holds: the rest was derived.",
    source: "trace contract, `loss`",
  },
});

const RULE_OF: Readonly<Record<RecordOf<"loss">["severity"], Rule>> = {
  error: LOSS_RULES["events-lost"],
  warning: LOSS_RULES["trace-incomplete"],
  info: LOSS_RULES["trace-imprecise"],
};

/** Findings of what is not in the trace. */
export class LossFindings implements Analysis {
  readonly #findings: Findings;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  lost(line: number, { what, severity, count, first_line, message }: RecordOf<"loss">): void {
    this.#findings.report(line, RULE_OF[severity], "", {
      message: `${what}: ${count}: ${message}`,
      what,
      count,
      ...(first_line === undefined || first_line === 0 ? {} : { first_line }),
    });
  }
}
