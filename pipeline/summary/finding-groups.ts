import { SEVERITIES, type Severity } from "../../walkers/tables/rule.ts";
import type { FindingRecord } from "../output/records.ts";

/** Findings of each rule that are kept unless the caller says otherwise. */
const MOST_EXAMPLES = 10;

/** The findings of one rule. */
export interface RuleFindings {
  readonly rule: string;
  readonly severity: Severity;
  count: number;
  /** Those that no recorded answer shows. */
  latent: number;
  /** The first of them. */
  readonly examples: FindingRecord[];
}

/** The findings of a replay by rule, with the first few of each. */
export class FindingGroups {
  readonly #byRule = new Map<string, RuleFindings>();
  readonly #mostExamples: number;

  constructor(mostExamples = MOST_EXAMPLES) {
    this.#mostExamples = mostExamples;
  }

  /** @returns whether it is one of those that are kept */
  add(finding: FindingRecord): boolean {
    const { rule, severity } = finding;
    // A rule's findings may be of several severities, as those of `loss` are.
    const key = `${severity} ${rule}`;
    let group = this.#byRule.get(key);
    if (group === undefined) {
      group = { rule, severity, count: 0, latent: 0, examples: [] };
      this.#byRule.set(key, group);
    }
    group.count++;
    if (finding.latent === true) group.latent++;
    if (group.examples.length === this.#mostExamples) return false;
    group.examples.push(finding);
    return true;
  }

  /** The worst first: by severity, those that show before those that do not, then the most. */
  worstFirst(): RuleFindings[] {
    return [...this.#byRule.values()].sort(
      (a, b) =>
        SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) ||
        Number(a.latent === a.count) - Number(b.latent === b.count) ||
        b.count - a.count ||
        (a.rule < b.rule ? -1 : 1),
    );
  }
}
