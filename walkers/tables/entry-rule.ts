import type { Fault } from "../fault.ts";
import type { Layout } from "../layout.ts";
import type { TableRule } from "./table-rules.ts";

/**
 * What a specification demands of a valid entry, and refuses to use it without.
 *
 * @typeParam C what the rule depends on besides the entry: capabilities, and what entries above it say
 * @typeParam X a vendor's faults
 */
export interface EntryRule<C = unknown, X extends Fault = Fault> {
  /** The field that is wrong; null: bits that are reserved, whichever these are. */
  readonly field: string | null;
  /** What kind of mistake it is to break it. */
  readonly kind: TableRule;
  /** What is expected, as a finding says it after the field and its value. */
  readonly expected: string | ((view: DataView, at: number, context: C) => string);
  /** What page tables an entry has that breaks it: "a reserved mode (fsc.MODE is 7)"; absent: not what it is about. */
  readonly found?: (view: DataView, at: number, context: C) => string;
  /** Document and section. */
  readonly source: string;
  /** What a request meets that uses the entry. */
  readonly fault: X;
}

/** Rules of one structure by their numbers, from 1 on, in the specification's order. */
export type EntryRules<C = unknown, X extends Fault = Fault> = Readonly<Record<number, EntryRule<C, X>>>;

/** Declares the rules of a structure. */
export function entryRules<F extends string, C = unknown, X extends Fault = Fault>(
  _of: Layout<F>,
  declared: Readonly<Record<number, EntryRule<C, X> & { readonly field: F | null }>>,
): EntryRules<C, X> {
  return declared;
}

/** The fault of a broken rule. */
export function faultOf<X extends Fault>(rules: EntryRules<never, X>, broken: number): X {
  return rules[broken]!.fault;
}

/** The rules of one kind of entries, with what they depend on. */
export interface RuleBook {
  /** Number of the first rule above `after` that an entry breaks; 0: none. */
  broken(view: DataView, at: number, after: number): number;
  rule(broken: number): Pick<EntryRule, "field" | "kind" | "source" | "fault">;
  expected(broken: number, view: DataView, at: number): string;
  found(broken: number, view: DataView, at: number): string | undefined;
}

/** Numbers of the rules that an entry breaks, in their order. */
export function brokenRules(rules: RuleBook | undefined, view: DataView, at: number): number[] {
  const broken: number[] = [];
  if (rules === undefined) return broken;
  let last = 0;
  for (let next = rules.broken(view, at, 0); next > last; next = rules.broken(view, at, last)) {
    broken.push(next);
    last = next;
  }
  return broken;
}

/** @param broken as `RuleBook` has it, in the same context */
export function ruleBook<C>(
  rules: EntryRules<C>,
  context: C,
  broken: (view: DataView, at: number, after: number) => number,
): RuleBook {
  return {
    broken,
    rule: (number) => rules[number]!,
    expected(number, view, at) {
      const { expected } = rules[number]!;
      return typeof expected === "string" ? expected : expected(view, at, context);
    },
    found: (number, view, at) => rules[number]!.found?.(view, at, context),
  };
}
