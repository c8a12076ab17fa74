/**
 * Names that mean nothing here: fields of records that the contract does not have, registers and properties that no
 * specification has. They are ignored, as the contract says; but one that is close to a known name is most likely
 * misspelt, and then what was meant is missing.
 */
import type { Check, Field, Fields } from "./field.ts";
import { nearest } from "./nearest.ts";
import { show } from "./show.ts";

/** Longer names are nobody's mistake. */
const LONGEST = 64;
/** Up to this length, one letter is as much as a slip changes. */
const SHORT = 4;

/** What short names are short for, or what somebody may call them who does not know them. */
const WHOLE_WORDS: ReadonlyMap<string, readonly string[]> = new Map([
  ["addr", ["address"]],
  ["dev", ["device"]],
  ["len", ["length"]],
  ["seq", ["sequence"]],
  ["ts", ["timestamp"]],
  ["priv", ["privileged"]],
  ["at", ["translated"]],
  ["regs", ["registers"]],
  ["props", ["properties"]],
]);

/** The known name that a name was most likely meant to be. */
export function meant<T extends string>(name: string, known: Iterable<T>): T | undefined {
  if (name.length > LONGEST) return undefined;
  const plain = bare(name);
  const candidates = [...known];
  const same = candidates.find((candidate) => bare(candidate) === plain || isLonger(name, candidate));
  if (same !== undefined) return same;
  const words = candidates.flatMap((candidate) => {
    const whole = WHOLE_WORDS.get(candidate) ?? [];
    return [candidate, ...whole];
  });
  const near = nearest(name, words, (word, candidate) => {
    const shorter = Math.min(word.length, candidate.length);
    return shorter <= 2 ? 0 : shorter <= SHORT ? 1 : 2;
  });
  if (near === undefined) return undefined;
  return candidates.find((candidate) => candidate === near || WHOLE_WORDS.get(candidate)?.includes(near));
}

/** Without what differs between ways of writing: "basePtr", "base-ptr", "BASE_PTR". */
function bare(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, "");
}

/** "address" for "addr", "cap_reg" for "cap". */
function isLonger(name: string, known: string): boolean {
  if (known.length < 3 || !name.toLowerCase().startsWith(known)) return false;
  return /^([a-z]+|[_-]reg(ister)?)$/i.test(name.slice(known.length));
}

/** Told of each field of a record that is not declared: where it stands ("dma.observed"), and what else could. */
export type OnUnknown = (path: string, name: string, known: Fields) => void;

/** Looks for fields that are not declared, as deep as objects are. */
export function unknownFields(
  fields: Fields,
  value: Readonly<Record<string, unknown>>,
  path: string,
  found: OnUnknown,
): void {
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(fields, name)) {
      found(path, name, fields);
      continue;
    }
    const { fields: inner } = fields[name]!;
    const item = value[name];
    if (inner !== undefined && typeof item === "object" && item !== null && !Array.isArray(item))
      unknownFields(inner, item as Record<string, unknown>, path === "" ? name : `${path}.${name}`, found);
  }
}

/**
 * Whether an object has no field that is not declared; the first one that it has is reported.
 * @param what the object is called
 */
export function knowsFields(
  object: Field<unknown>,
  value: Readonly<Record<string, unknown>>,
  what: string,
  check: Check,
): boolean {
  unknownFields(object.fields!, value, what, (path, name, fields) => {
    const known = Object.keys(fields);
    const near = didYouMean(meant(name, known));
    check.fail("schema", path, `the fields ${known.join(", ")}`, `${show(name)}${near}`);
  });
  return check.ok;
}

/** How a message goes on after a name that is close to a known one. */
export function didYouMean(near: string | undefined): string {
  return near === undefined ? "" : `; did you mean ${near}?`;
}

/** How often a name was found, and where first. */
export interface UnknownName {
  /** Where it stands, and what it is: "dma.adress", "iommu.regs.rtadr". */
  readonly name: string;
  /** The known name that it is close to, if any. */
  readonly near: string | undefined;
  readonly line: number;
  /** What becomes of it: "it is ignored". */
  readonly fate: string;
  count: number;
}

const IGNORED = "it is ignored";

/** Different names that are counted; a trace that has more is another format. */
const MOST_NAMES = 1000;

/** Counts the unknown names of a trace that are close to known ones. */
export class UnknownNames {
  readonly #near = new Map<string, UnknownName | null>();

  /** Those that were found, in the order of their first sight. */
  get found(): UnknownName[] {
    return [...this.#near.values()].filter((one) => one !== null);
  }

  /**
   * Counts one, where it is close to a known name, or is to be counted all the same.
   * @param known what it could have been meant to be
   * @returns whether it was counted
   */
  count(
    line: number,
    path: string,
    name: string,
    known: Iterable<string>,
    always = false,
    fate = IGNORED,
  ): boolean {
    if (name.length > LONGEST) return false;
    const whole = `${path}.${name}`;
    let one = this.#near.get(whole);
    if (one === undefined) {
      if (this.#near.size === MOST_NAMES) return false;
      const near = meant(name, known);
      one = near === undefined && !always ? null : { name: whole, near, line, fate, count: 0 };
      this.#near.set(whole, one);
    }
    if (one !== null) one.count++;
    return one !== null;
  }
}
