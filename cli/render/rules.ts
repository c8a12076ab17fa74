import { paint, paintAs } from "../../pipeline/words/paint.ts";
import { sentence } from "../../pipeline/words/sentence.ts";
import type { Rule } from "../../walkers/tables/rule.ts";

/** Every rule with its severity, sentence and source, for a person. */
export function rulesText(rules: readonly Rule[]): string {
  return rules
    .map(
      (rule) =>
        `${paint("strong", rule.id)} (${paintAs(rule.severity)})\n  ${sentence(rule.text)} [${rule.source}]\n`,
    )
    .join("\n");
}

export function rulesJson(rules: readonly Rule[]): string {
  return rules.map((rule) => `${JSON.stringify({ type: "rule", ...rule })}\n`).join("");
}
