/**
 * Known deviations: rules that say which differences are expected, why, and until when. What a rule takes is counted
 * under its name; a rule that takes nothing, or has expired, is reported, so that a list does not outlive its reasons.
 */
import { ACCESSES, ADDRESS_TYPES } from "../../parsers/trace/accesses.ts";
import { isObject } from "../../parsers/trace/field.ts";
import { show } from "../../parsers/trace/show.ts";
import { globMatches } from "../filter/glob.ts";
import { ABSENT_VALUE, addressRange, deviceMatcher, PatternError, pasidRange } from "../filter/patterns.ts";
import type { Answer } from "./answer.ts";
import { DIFF_CLASSES, type DiffClass, type Place } from "./difference.ts";

/** Fields that a rule can match, with the sentence that `--help` prints. All that are given must match. */
export const RULE_FIELDS = {
  class: "one of, or a list of, the classes of difference",
  dev: 'device; "*" and "?" stand for any text and any character',
  pasid: 'PASID, range "1-31", or "none"',
  addr: 'input address, or range "0x1000-0x1fff", both ends included',
  access: "kind of access",
  at: "address type",
  results: 'result in A and in B: ["ok","fault"]',
  codes: 'fault code in A and in B: ["0x58","0x5*"]; "none" for no code',
  reasons: 'fault reason in A and in B: ["PASID_INVALID","*"]',
} as const;
type RuleField = keyof typeof RULE_FIELDS;
const ALL_FIELDS: readonly string[] = [...Object.keys(RULE_FIELDS), "name", "reason", "expires"];

const DATE = /^\d{4}-\d{2}-\d{2}$/;

/** A rule cannot be understood. The message says field, what was expected and what was found. */
export class IgnoreRuleError extends Error {}

/** What a rule is asked about. */
export interface Candidate {
  readonly class: DiffClass;
  readonly place: Place;
  readonly a: Answer | null;
  readonly b: Answer | null;
}

type Matcher = (difference: Candidate) => boolean;

export class IgnoreRule {
  readonly name: string;
  /** Why the difference is expected; "" where nobody said. */
  readonly reason: string;
  /** Last day (UTC) on which it applies: "2027-01-31"; "" for ever. */
  readonly expires: string;
  /** Differences that it took. */
  count = 0;
  readonly #matchers: readonly Matcher[];

  constructor(name: string, reason: string, expires: string, matchers: readonly Matcher[]) {
    this.name = name;
    this.reason = reason;
    this.expires = expires;
    this.#matchers = matchers;
  }

  matches(difference: Candidate): boolean {
    return this.#matchers.every((matcher) => matcher(difference));
  }
}

/** The rules of one comparison, in order: the first that matches takes a difference. */
export class IgnoreRules {
  readonly rules: readonly IgnoreRule[];
  readonly expired: readonly IgnoreRule[];
  readonly #active: readonly IgnoreRule[];

  /**
   * @param today "2026-01-31": rules that end before it are not applied
   * @throws IgnoreRuleError where two rules have one name
   */
  constructor(rules: readonly IgnoreRule[], today: string) {
    const names = new Set<string>();
    for (const { name } of rules) {
      if (names.has(name))
        throw new IgnoreRuleError(`name: expected another for every rule, found ${show(name)} twice`);
      names.add(name);
    }
    this.rules = rules;
    this.expired = rules.filter((rule) => rule.expires !== "" && rule.expires < today);
    this.#active = rules.filter((rule) => !this.expired.includes(rule));
  }

  /** Rules that applied and took nothing. */
  get stale(): readonly IgnoreRule[] {
    return this.#active.filter((rule) => rule.count === 0);
  }

  /** Whether a difference is expected; it is counted then. */
  take(difference: Candidate): boolean {
    for (const rule of this.#active)
      if (rule.matches(difference)) {
        rule.count++;
        return true;
      }
    return false;
  }
}

/**
 * Makes a rule from its JSON form.
 * @param name what to call it where it has no `name` of its own
 * @param needsReason a rule of a file must say why
 * @throws IgnoreRuleError
 */
export function ignoreRule(value: unknown, name: string, needsReason: boolean): IgnoreRule {
  if (!isObject(value)) throw new IgnoreRuleError(`expected an object, found ${show(value)}`);
  for (const field of Object.keys(value))
    if (!ALL_FIELDS.includes(field))
      throw new IgnoreRuleError(`expected ${ALL_FIELDS.join(", ")}, found a field ${show(field)}`);
  const matchers = (Object.keys(RULE_FIELDS) as RuleField[])
    .filter((field) => value[field] !== undefined)
    .map((field) => MATCHERS[field](value[field], field));
  if (matchers.length === 0)
    throw new IgnoreRuleError(`expected one of ${Object.keys(RULE_FIELDS).join(", ")}, found none`);
  const reason = optionalText(value, "reason");
  if (needsReason && reason === "") fail("reason", "why the difference is expected", value.reason);
  const expires = optionalText(value, "expires");
  if (expires !== "" && !isDate(expires)) fail("expires", 'a date such as "2027-01-31"', expires);
  return new IgnoreRule(optionalText(value, "name") || name, reason, expires, matchers);
}

/**
 * Makes a rule from its form on a command line: "class=code,codes=0x58:0x50"; "|" separates alternatives.
 * @throws IgnoreRuleError
 */
export function ignoreRuleFromText(text: string): IgnoreRule {
  const value: Record<string, unknown> = {};
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    if (equals < 0) throw new IgnoreRuleError(`expected field=value, found ${show(part)}`);
    const field = part.slice(0, equals).trim();
    const words = part.slice(equals + 1).trim();
    value[field] = words.includes("|") ? words.split("|").map((word) => word.trim()) : words;
  }
  return ignoreRule(value, text, false);
}

export function isDate(text: string): boolean {
  const date = new Date(`${text}T00:00:00Z`);
  return DATE.test(text) && !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
}

const MATCHERS: Readonly<Record<RuleField, (value: unknown, field: RuleField) => Matcher>> = {
  class: (value, field) => {
    const classes = textList(value, field);
    for (const name of classes)
      if (name !== "*" && !(DIFF_CLASSES as readonly string[]).includes(name))
        fail(field, `"*" or one of ${DIFF_CLASSES.join(", ")}`, name);
    return (d) => classes.includes("*") || classes.includes(d.class);
  },
  dev: (value, field) => {
    const matchers = textList(value, field).map((text) => pattern(() => deviceMatcher(field, text)));
    return (d) => matchers.some((matches) => matches(d.place.device));
  },
  pasid: (value, field) => {
    const ranges = list(value).map((item) => pattern(() => pasidRange(field, item)));
    return (d) => {
      const pasid = d.place.queue.pasid[d.place.index]!;
      return ranges.some(([low, high]) => pasid >= low && pasid <= high);
    };
  },
  addr: (value, field) => {
    const ranges = textList(value, field).map((text) => pattern(() => addressRange(field, text)));
    return (d) => {
      const address = d.place.address;
      return ranges.some(([low, high]) => address >= low && address <= high);
    };
  },
  access: (value, field) => {
    const names = namesOf(ACCESSES, value, field);
    return (d) => names.includes(d.place.request().access);
  },
  at: (value, field) => {
    const names = namesOf(ADDRESS_TYPES, value, field);
    return (d) => names.includes(d.place.request().at ?? "untranslated");
  },
  results: (value, field) => pairMatcher(value, field, "result"),
  codes: (value, field) => pairMatcher(value, field, "code"),
  reasons: (value, field) => pairMatcher(value, field, "reason"),
};

function namesOf(known: readonly string[], value: unknown, field: RuleField): readonly string[] {
  const names = textList(value, field);
  for (const name of names) if (!known.includes(name)) fail(field, `one of ${known.join(", ")}`, name);
  return names;
}

/** A pair of patterns, for a member of A's and of B's answer. */
function pairMatcher(value: unknown, field: RuleField, member: string): Matcher {
  const pair = typeof value === "string" ? value.split(/:|→|->/) : value;
  if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((word) => typeof word === "string"))
    fail(field, "a pair, for A and for B", value);
  const [from, to] = (pair as [string, string]).map((word) => hexPattern(word.trim()));
  return (d) => globMatches(from!, memberText(d.a, member)) && globMatches(to!, memberText(d.b, member));
}

function memberText(answer: Answer | null, member: string): string {
  const value = answer?.[member];
  return value === undefined ? ABSENT_VALUE : String(value);
}

/** Patterns are those of filters. */
function pattern<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw error instanceof PatternError ? new IgnoreRuleError(error.message) : error;
  }
}

/** Hex as answers have it: 0x before it, and no padding. */
function hexPattern(text: string): string {
  return text.replace(/^([0-9a-f]+)h$/i, "0x$1").replace(/^0x0+(?=[0-9a-f])/i, "0x");
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value];
}

function textList(value: unknown, field: string): readonly string[] {
  const items = list(value);
  for (const item of items) if (typeof item !== "string" || item === "") fail(field, "a string", item);
  return items as readonly string[];
}

function optionalText(value: Record<string, unknown>, field: string): string {
  const text = value[field];
  if (text === undefined) return "";
  if (typeof text !== "string" || text.trim() === "") fail(field, "a string that is not empty", text);
  return text as string;
}

function fail(field: string, expected: string, found: unknown): never {
  throw new IgnoreRuleError(`${field}: expected ${expected}, found ${show(found)}`);
}
