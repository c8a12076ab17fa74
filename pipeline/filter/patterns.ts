/** How lists and rules name devices, PASIDs, addresses, lines and codes: one syntax for filters and ignore rules. */
import { type Device, Devices } from "../../parsers/trace/devices.ts";
import { show } from "../../parsers/trace/show.ts";
import { globMatches } from "./glob.ts";

/** A pattern cannot be understood, or cannot be asked for here. The message says field, expected and found. */
export class PatternError extends Error {
  override readonly name = "PatternError";
}

export function patternError(field: string, expected: string, found: unknown): PatternError {
  return new PatternError(`${field}: expected ${expected}, found ${show(found)}`);
}

/** What stands for a missing PASID, code, result or reason. */
export const ABSENT_VALUE = "none";

const NUMBER = "0x[0-9a-f]+|[0-9]+";
/** "5", "1-31", "1..31", "1-", "-31", "0x1000+0x1000". */
const RANGE = new RegExp(`^(${NUMBER})?(?:(\\.\\.|-|\\+)(${NUMBER})?)?$`, "i");

/** A device by its name in any spelling, or by a pattern with "*" and "?". */
export function deviceMatcher(
  field: string,
  text: string,
): (device: Pick<Device, "text" | "segment" | "id">) => boolean {
  if (/[*?]/.test(text))
    return (device) => globMatches(text, device.text) || globMatches(text, fullName(device));
  const named = new Devices().parse(text);
  if (typeof named === "string") throw patternError(field, 'a device, or a pattern with "*"', text);
  const { segment, id } = named;
  return (device) => device.segment === segment && device.id === id;
}

/** As PCI names a device in full. */
function fullName({ segment, id }: Pick<Device, "segment" | "id">): string {
  const digits = (value: number, width: number) => value.toString(16).padStart(width, "0");
  return `${digits(segment, 4)}:${digits(id >>> 8, 2)}:${digits((id >>> 3) & 31, 2)}.${id & 7}`;
}

/** First and last number of a range, both included. */
export type NumberRange = readonly [first: number, last: number];

/** "5", "1-31", "1..31"; from or to one end: "1-", "-31"; so many: "100+20". */
export function numberRange(field: string, text: string, expected: string): NumberRange {
  const range = integerRange(text, BigInt(Number.MAX_SAFE_INTEGER));
  if (range === null) throw patternError(field, expected, text);
  return [Number(range[0]), Number(range[1])];
}

/** PASIDs; "none" is -1 to -1, and "*" all and none. */
export function pasidRange(field: string, value: unknown): NumberRange {
  const text = typeof value === "number" ? `${value}` : value;
  if (text === ABSENT_VALUE) return [-1, -1];
  if (text === "*") return [-1, Number.POSITIVE_INFINITY];
  const expected = 'a PASID, a range such as "1-31", or "none"';
  if (typeof text !== "string") throw patternError(field, expected, value);
  return numberRange(field, text, expected);
}

/** First and last address of a range, both included. */
export type AddressRange = readonly [first: bigint, last: bigint];
const LAST_ADDRESS = (1n << 64n) - 1n;

/** "0x1000", "0x1000-0x1fff", "0x1000..0x1fff", "0x1000+0x1000", "0x1000-". */
export function addressRange(field: string, text: string): AddressRange {
  const range = integerRange(text, LAST_ADDRESS);
  if (range === null)
    throw patternError(field, 'an address, or a range such as "0x1000-0x1fff" or "0x1000+0x1000"', text);
  return range;
}

/** @returns null for what is no range, or one that ends before it begins */
function integerRange(text: string, most: bigint): readonly [bigint, bigint] | null {
  const match = RANGE.exec(text.trim());
  if (match === null) return null;
  const [, from, between, to] = match;
  if (from === undefined && to === undefined) return null;
  const first = from === undefined ? 0n : BigInt(from);
  let last = first;
  if (between === "+") {
    if (from === undefined || to === undefined || BigInt(to) === 0n) return null;
    last = first + BigInt(to) - 1n;
  } else if (between !== undefined) last = to === undefined ? most : BigInt(to);
  if (last > most && first <= most) last = most;
  return first > last || first > most ? null : [first, last];
}
