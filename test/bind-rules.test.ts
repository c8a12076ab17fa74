import { describe, expect, it } from "vitest";
import { RULES } from "../pipeline/findings/registry.ts";
import { BIND_RULES } from "../walkers/pasid-tables/bind-rules.ts";
import { findingsOf, ruleIds } from "./support/bind-question.ts";
import { BIND_RULE_CASES, type BindRuleId, type RuleCase } from "./support/bind-rule-cases.ts";

const CASES = Object.entries(BIND_RULE_CASES).flatMap(([rule, cases]) =>
  cases.map((one): [BindRuleId, ...RuleCase] => [rule as BindRuleId, ...one]),
);

describe("rules on bindings", () => {
  it.each(CASES)("%s: %s", (rule, _what, hit, _miss, { hitToo = [] } = {}) => {
    expect(ruleIds(hit).sort()).toEqual([rule, ...hitToo].sort());
  });

  it.each(CASES)("not %s: next to %s", (_rule, _what, _hit, miss, { missToo = [] } = {}) => {
    expect(ruleIds(miss)).toEqual(missToo);
  });

  it("each has an input that breaks it", () => {
    const covered = new Set<string>(CASES.map(([rule]) => rule));
    expect(Object.keys(BIND_RULES).filter((id) => !covered.has(id))).toEqual([]);
  });

  it("each is registered, with a sentence and a source", () => {
    const registered = new Set(RULES.map(({ id }) => id));
    for (const { id, text, source } of Object.values(BIND_RULES)) {
      expect(registered).toContain(id);
      expect(text).toMatch(/^[A-Z].*\.$/);
      expect(source).not.toBe("");
    }
  });

  it("messages say the field, what was expected and what was found", () => {
    for (const [, , hit] of CASES) {
      for (const { message } of findingsOf(hit)) {
        expect(message).toMatch(/: expected .+/);
        expect(message.length).toBeLessThan(240);
      }
    }
  });
});
