import { nearest } from "../parsers/trace/nearest.ts";
import { codeText } from "../pipeline/filter/code-text.ts";
import type { RegisterCommand } from "../walkers/commands/register-command.ts";
import { type Fault, hasCode } from "../walkers/fault.ts";
import type { Layout } from "../walkers/layout.ts";
import { registerKey } from "../walkers/registers.ts";
import { hex } from "../walkers/word64.ts";
import { CliError } from "./errors.ts";

/** The faults of a code, or of a name: several conditions may share a code. */
export function faultsNamed(vendor: string, faults: readonly Fault[], given: string): Fault[] {
  const code = codeOf(given);
  const wanted = given.toLowerCase();
  const found = faults.filter((fault) =>
    code === undefined ? fault.name.toLowerCase() === wanted : hasCode(fault) && fault.code === code,
  );
  if (found.length > 0) return found;
  if (code !== undefined) {
    const codes = [...new Set(faults.filter(hasCode).map((fault) => fault.code))].sort((a, b) => a - b);
    throw new CliError(`expected a fault code of ${vendor} (${codes.map(hex).join(" ")}), found ${given}`);
  }
  const names = faults.map((fault) => fault.name);
  const near = nearest(given, names);
  const hint = near === undefined ? ` (${[...new Set(names)].join(", ")})` : `; did you mean ${near}?`;
  throw new CliError(`expected a fault of ${vendor}, found ${JSON.stringify(given)}${hint}`);
}

/** "0x71", "71h", as VT-d's specification writes it, or "113". */
function codeOf(given: string): number | undefined {
  const text = codeText(given);
  return text === null ? undefined : Number(text);
}

/** A register by its name in traces (`registerKey`). */
export function registerLayout(
  layouts: readonly Layout[],
  key: string,
  commands: Readonly<Record<string, RegisterCommand>> = {},
): Layout {
  const found = layouts.find((layout) => registerKey(layout.name) === key);
  if (found !== undefined) return found;
  for (const [name, { registers }] of Object.entries(commands))
    if (registers.includes(key))
      throw new CliError(
        `--register: ${key} says nothing by itself: expected ${name}, and what is written to ${registers.join(" and ")}`,
        true,
      );
  const plain = layouts.map((layout) => registerKey(layout.name)).filter((name) => /^[a-z0-9_]+$/.test(name));
  const names = [...new Set([...plain, ...Object.keys(commands)])];
  throw new CliError(
    `--register: expected the name of a register (${names.join("; ")}), found ${JSON.stringify(key)}`,
  );
}

/** A structure by its whole name, or by a part that only one has. */
export function layoutNamed(layouts: readonly Layout[], given: string): Layout {
  const wanted = given.toLowerCase();
  const exact = layouts.find((layout) => layout.name.toLowerCase() === wanted);
  if (exact !== undefined) return exact;
  const found = layouts.filter((layout) => layout.name.toLowerCase().includes(wanted));
  if (found.length === 1) return found[0]!;
  const candidates = found.length > 1 ? found : layouts;
  throw new CliError(
    `--entry: expected the name of one structure (${candidates.map((layout) => layout.name).join("; ")}), found ${JSON.stringify(given)}`,
  );
}

/**
 * The bytes of a structure, from 64-bit words, lowest address first (`0x` and at most 16 digits each), or from one
 * string of hex digits: without `0x` its bytes, lowest address first; with `0x` one number.
 */
export function bytesOf(option: string, given: readonly string[], bytes: number): DataView {
  return prefixOf(option, given, bytes, false).view;
}

/** The first bytes of a structure: those that are given, and how many they are; the others are zero. */
export interface Prefix {
  readonly view: DataView;
  readonly given: number;
}

/** As `bytesOf`; where `prefix` allows it, words at the end may be missing. */
export function prefixOf(option: string, given: readonly string[], bytes: number, prefix = true): Prefix {
  const words = given.flatMap((text) => text.split(/[\s,]+/)).filter((text) => text !== "");
  const view = new DataView(new ArrayBuffer(Math.max(bytes, 8)));
  const single = words.length === 1 ? words[0]! : undefined;
  if (single !== undefined && new RegExp(`^[0-9a-f]{${bytes * 2}}$`, "i").test(single)) {
    for (let i = 0; i < bytes; i++) view.setUint8(i, Number.parseInt(single.slice(2 * i, 2 * i + 2), 16));
    return { view, given: bytes };
  }
  if (
    single !== undefined &&
    bytes > 8 &&
    /^0x[0-9a-f]{17,}$/i.test(single) &&
    single.length <= 2 + bytes * 2
  ) {
    setWords(view, BigInt(single), bytes);
    return { view, given: bytes };
  }
  const count = Math.ceil(bytes / 8);
  const max = 1n << BigInt(Math.min(64, bytes * 8));
  const values = words.map((word) => (/^(0x)?[0-9a-f]{1,16}$/i.test(word) ? BigInt(prefixed(word)) : max));
  const enough = prefix ? values.length > 0 && values.length <= count : values.length === count;
  if (!enough || values.some((value) => value >= max))
    throw new CliError(
      `${option}: expected ${prefix && count > 1 ? `1 to ${count}` : count} ${bytes < 8 ? `${bytes * 8}-bit` : "64-bit"} word${count === 1 ? "" : "s"} or ${bytes * 2} hex digits, found ${JSON.stringify(words.join(" "))}`,
      true,
    );
  values.forEach((value, i) => {
    view.setBigUint64(i * 8, value, true);
  });
  return { view, given: Math.min(values.length * 8, bytes) };
}

/** Kernel logs print words with and without "0x"; all are hex. */
function prefixed(word: string): string {
  return /^0x/i.test(word) ? word : `0x${word}`;
}

function setWords(view: DataView, value: bigint, bytes: number): void {
  for (let at = 0; at < bytes; at += 8)
    view.setBigUint64(at, BigInt.asUintN(64, value >> BigInt(at * 8)), true);
}
