/**
 * Numbered rules of a structure: for each, literal words that break it alone, and what the walker and the linter are to
 * say of them.
 */
import { describe, expect, test } from "vitest";
import type { PropertyValue } from "../../walkers/registers.ts";
import { WalkRequest } from "../../walkers/request.ts";
import { FAULT } from "../../walkers/result.ts";
import { lintTables } from "./lint-tables.ts";
import { machineOf, type Setup } from "./table-lint.ts";

export const RESERVED = "reserved-entry-bits";
export const ILLEGAL = "illegal-encoding";
export const LACKS = "unsupported-encoding";
export const CONFLICT = "conflicting-fields";
export const WIDTH = "address-too-wide";
/** Refused here, as by an IOMMU that lacks it. */
export const UNWALKED = "not-modelled";

/** A structure with an entry that is sound; of device 0x18 (00:03.0) and a PASID. */
export interface Structure {
  readonly rules: Readonly<Record<number, unknown>>;
  /** Numbers of rules that nothing breaks here. */
  readonly never?: readonly number[];
  readonly at: bigint;
  readonly sound: readonly bigint[];
  readonly pasid: number;
  readonly setup: Setup;
}

/** A rule by its number, words that break it alone, and what walker and linter are to say. */
export interface Broken {
  readonly rule: number;
  readonly words: readonly bigint[];
  readonly regs?: Readonly<Record<string, bigint>>;
  readonly props?: Readonly<Record<string, PropertyValue>>;
  /** Of a binding: what its own second stage is. */
  readonly stage2?: NonNullable<Setup["bind"]>["stage2"];
  /** More memory. */
  readonly memory?: Setup["memory"];
  /** The fault's name. */
  readonly fault: string;
  /** The finding's rule and field (or bits). */
  readonly says: string;
}

type Circumstances = Pick<Broken, "regs" | "props" | "stage2" | "memory">;

/** What the walker and the linter make of an entry. */
export function askEntry(structure: Structure, words: readonly bigint[], more: Circumstances = {}) {
  const { setup, at } = structure;
  const { regs, props, stage2, memory: added } = more;
  const { unit, memory } = machineOf({
    ...setup,
    regs: { ...setup.regs, ...regs },
    props: { ...setup.props, ...props },
    ...(setup.bind && { bind: { ...setup.bind, ...(stage2 && { stage2 }) } }),
    memory: { ...setup.memory, ...added },
  });
  words.forEach((word, i) => void memory.write64(at + 8n * BigInt(i), word));
  const request = new WalkRequest();
  request.device = 0x18;
  request.pasid = structure.pasid;
  request.binding = unit.binding(0x18);
  const out = unit.engine.walk(request);
  const hex = `0x${at.toString(16)}`;
  return {
    fault: out.status === FAULT ? out.fault!.name : "",
    says: lintTables(unit, memory)
      .filter((f) => f.entry_addr === hex && (f.rule.severity === "error" || f.rule.id === UNWALKED))
      .map((f) => `${f.rule.id} ${f.field ?? f.bits}`),
  };
}

/** @param refused which faults say that an entry is refused, and not something behind it */
export function testRules<N extends string>(
  vendor: string,
  structures: Readonly<Record<N, Structure>>,
  broken: Readonly<Record<N, readonly Broken[]>>,
  refused: RegExp,
): void {
  const names = Object.keys(structures) as N[];
  const cases = names.flatMap((name) => broken[name].map((one, i) => ({ name, i, ...one })));
  describe(`${vendor}: the IOMMU refuses, and the linter reports, what breaks a rule`, () => {
    test.each(cases)("$name, rule $rule, case $i: $fault", ({ name, words, fault, says, ...more }) => {
      expect(askEntry(structures[name], words, more)).toEqual({ fault, says: [says] });
    });

    test.each(names)("%s: every rule has a case; a sound entry breaks none", (name) => {
      const { rules, sound, never = [] } = structures[name];
      const numbers = [...never, ...broken[name].map(({ rule }) => rule)];
      expect([...new Set(numbers)].sort((a, b) => a - b)).toEqual(Object.keys(rules).map(Number));
      const { fault, says } = askEntry(structures[name], sound);
      expect({ says, refused: refused.test(fault) }).toEqual({ says: [], refused: false });
    });
  });
}
