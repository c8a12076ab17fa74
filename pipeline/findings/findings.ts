import { printableLine } from "../../parsers/trace/show.ts";
import type { Rule } from "../../walkers/tables/rule.ts";
import type { FindingPlace, ReplayFilter } from "../filter/replay-filter.ts";
import type { FindingRecord } from "../output/records.ts";
import { Summary } from "../output/statistics.ts";

/** What a finding says beside its rule: who is concerned, the sentence, and fields of the rule's own. */
export interface FindingDetails {
  readonly iommu?: string | undefined;
  readonly dev?: string | undefined;
  readonly pasid?: number | undefined;
  readonly message: string;
  /** Where it is, for a filter: not part of the record. */
  readonly place?: FindingPlace | undefined;
  readonly [field: string]: unknown;
}

/** Findings that are remembered at least in order not to repeat them; earlier ones may be repeated. */
const REMEMBERED = 1 << 15;

/**
 * Collects the findings of a replay: each is written where it was caused, once. What is found again is counted.
 */
export class Findings {
  readonly #write: (record: FindingRecord) => void;
  readonly #summary: Pick<Summary, "findings" | "severities" | "latent">;
  readonly #filter: ReplayFilter | null;
  /**
   * The latest, and those before them. Two sets that take turns: one whose oldest elements are deleted again and again
   * must step over all that it has deleted to find the next one.
   */
  #latest = new Set<string>();
  #earlier = new Set<string>();

  /**
   * @param summary counts them, by rule and by severity
   * @param write takes the records
   * @param filter which findings there are; null: all
   */
  constructor(
    summary: Pick<Summary, "findings" | "severities" | "latent">,
    write: (record: FindingRecord) => void,
    filter: ReplayFilter | null = null,
  ) {
    this.#summary = summary;
    this.#write = write;
    this.#filter = filter;
  }

  /**
   * Reports a finding.
   *
   * @param line line of the record that caused it
   * @param key what makes two findings of a rule the same: "" where they never are
   * @returns false where it has been reported before
   */
  report(line: number, rule: Rule, key: string, details: FindingDetails): boolean {
    if (key !== "" && this.has(rule, key)) return false;
    const record = recordOf(line, rule, details);
    // Before it is remembered: what is found again may be of somebody who is asked for.
    if (this.#filter !== null && !this.#filter.finding(record, details.place)) return false;
    if (key !== "") {
      if (this.#latest.size === REMEMBERED) {
        this.#earlier = this.#latest;
        this.#latest = new Set();
      }
      this.#latest.add(wholeKey(rule, key));
    }
    Summary.count(this.#summary.findings, rule.id);
    Summary.count(this.#summary.severities, rule.severity);
    if (details.latent === true) this.#summary.latent++;
    this.#write(record);
    return true;
  }

  /** Whether a finding has been reported, as far as it is remembered. */
  has(rule: Rule, key: string): boolean {
    const whole = wholeKey(rule, key);
    return this.#latest.has(whole) || this.#earlier.has(whole);
  }
}

function recordOf(line: number, rule: Rule, details: FindingDetails): FindingRecord {
  const { iommu, dev, pasid, message, place: _, ...rest } = details;
  return {
    type: "finding",
    line,
    severity: rule.severity,
    rule: rule.id,
    ...(iommu === undefined ? {} : { iommu }),
    ...(dev === undefined ? {} : { dev }),
    ...(pasid === undefined ? {} : { pasid }),
    message: printableLine(message),
    ...rest,
  };
}

function wholeKey(rule: Rule, key: string): string {
  return `${rule.id}\n${key}`;
}
