/**
 * What was reached so far, of what can be: fault codes, rules of structures, values of fields, commands, and what else
 * there is to tell one world from another. A function of the worlds alone, whatever the device answers.
 */
import type { VendorFuzzing } from "../../walkers/fuzz/vendor-fuzzing.ts";
import type { Layout } from "../../walkers/layout.ts";
import type { EntryRules } from "../../walkers/tables/entry-rule.ts";
import type { Vendor } from "../../walkers/vendor.ts";
import { classOf, fieldClasses, hasReserved } from "./field-classes.ts";

/** Values of one structure that are remembered as seen. */
const MOST_SEEN = 4096;

/** Kinds of things that can be reached, each with how it is called. */
export const COVERAGE_KINDS = {
  fault: "fault conditions",
  rule: "rules of structures",
  field: "kinds of field values",
  command: "commands",
  page: "stages, levels and page sizes",
  request: "kinds of requests that fault",
  cache: "cache situations",
} as const;
export type CoverageKind = keyof typeof COVERAGE_KINDS;

export interface Reached {
  readonly kind: CoverageKind;
  readonly reached: number;
  /** How many there are; undefined: nobody knows. */
  readonly of: number | undefined;
}

export class FuzzCoverage {
  readonly #names = new Set<string>();
  readonly #reachable: Readonly<Record<CoverageKind, ReadonlySet<string> | undefined>>;
  /** Entries that were looked at before. */
  readonly #seen = new Map<Layout, Set<string>>();
  /** Features that were new since the last `takeNews`. */
  #news: string[] = [];

  /** @param refused invalidations that the device does not take */
  constructor(vendor: Vendor, fuzzing: VendorFuzzing, refused: readonly string[]) {
    this.#reachable = {
      fault: new Set(fuzzing.faults.map(({ name }) => name)),
      rule: new Set(fuzzing.rules.flatMap(({ layout, rules }) => ruleNames(layout, rules))),
      field: new Set(fuzzing.structures.flatMap(fieldNames)),
      command: new Set(invalidationsOf(vendor).filter((name) => !refused.includes(name))),
      page: undefined,
      request: undefined,
      cache: undefined,
    };
  }

  add(kind: CoverageKind, name: string): void {
    if (!this.can(kind, name)) return;
    const key = `${kind}:${name}`;
    if (this.#names.has(key)) return;
    this.#names.add(key);
    this.#news.push(key);
  }

  /** A structure was read by a walk. */
  addEntry(layout: Layout, view: DataView, at: number, littleEndian: boolean): void {
    const words = layout.words(view, at, littleEndian).join();
    const seen = this.#seen.get(layout);
    if (seen === undefined) this.#seen.set(layout, new Set([words]));
    else if (seen.has(words)) return;
    else if (seen.size < MOST_SEEN) seen.add(words);
    for (const field of layout.names()) {
      const value = layout.extract(field, view, at, littleEndian);
      this.add("field", `${layout.name}.${field}=${classOf(layout, field, value)}`);
    }
    if (hasReserved(layout) && layout.reservedSet(view, at, littleEndian).length > 0)
      this.add("field", `${layout.name}.reserved`);
  }

  /** Whether it is among what can be reached. */
  can(kind: CoverageKind, name: string): boolean {
    return this.#reachable[kind]?.has(name) !== false;
  }

  has(kind: CoverageKind, name: string): boolean {
    return this.#names.has(`${kind}:${name}`);
  }

  /** @returns what was reached for the first time since this was last asked: "kind:name" */
  takeNews(): readonly string[] {
    const news = this.#news;
    this.#news = [];
    return news;
  }

  /** What was reached, kind by kind. */
  reached(): Reached[] {
    return (Object.keys(COVERAGE_KINDS) as CoverageKind[]).map((kind) => ({
      kind,
      reached: [...this.#names].filter((key) => key.startsWith(`${kind}:`)).length,
      of: this.#reachable[kind]?.size,
    }));
  }

  /** What was not reached, of a kind that is known as a whole. */
  missing(kind: CoverageKind): string[] {
    return [...(this.#reachable[kind] ?? [])].filter((name) => !this.has(kind, name));
  }
}

function invalidationsOf({ commands }: Vendor): string[] {
  return commands?.specs.filter(({ invalidate }) => invalidate).map(({ name }) => name) ?? [];
}

function ruleNames(layout: Layout, rules: EntryRules<never>): string[] {
  return Object.values(rules).map(({ field, kind }) => ruleName(layout.name, field, kind.id));
}

export function ruleName(structure: string, field: string | null, id: string): string {
  return `${structure}${field === null ? "" : `.${field}`}: ${id}`;
}

/** The field of a structure that a rule is about; undefined: the rule is of another structure, or of all bits. */
export function fieldOfRule(layout: Layout, name: string): string | undefined {
  if (!name.startsWith(`${layout.name}.`)) return undefined;
  return name.slice(layout.name.length + 1).split(":")[0];
}

function fieldNames(layout: Layout): string[] {
  const names = layout
    .names()
    .flatMap((field) => fieldClasses(layout, field).map((value) => `${layout.name}.${field}=${value}`));
  return hasReserved(layout) ? [...names, `${layout.name}.reserved`] : names;
}
