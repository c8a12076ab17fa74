/**
 * A slow and obvious VT-d page-table walk on whole 64-bit words, written from sections 3.6 to 3.8 alone: what the
 * walker is compared with. Nothing of the walker is used.
 */

export interface ReferenceEntry {
  readonly kind: "first" | "second" | "nested";
  readonly firstRoot: bigint;
  readonly firstLevels: number;
  readonly secondRoot: bigint;
  readonly secondLevels: number;
  readonly supervisor: boolean;
  readonly writeProtect: boolean;
}

export interface ReferenceUnit {
  /** 64-bit word at a host-physical address; undefined: a hole. */
  read(address: bigint): bigint | undefined;
  readonly hostWidth: number;
  readonly guestWidth: number;
}

export interface ReferenceAsk {
  readonly address: bigint;
  readonly read: boolean;
  readonly write: boolean;
  readonly privileged: boolean;
}

export type ReferenceAnswer =
  | { readonly fault: string; readonly stage?: number; readonly level?: number }
  | { readonly pa: bigint; readonly page: number; readonly perm: string };

class Refused extends Error {
  readonly answer: ReferenceAnswer;
  constructor(fault: string, stage?: number, level?: number) {
    super(fault);
    this.answer = {
      fault,
      ...(stage === undefined ? {} : { stage }),
      ...(level === undefined ? {} : { level }),
    };
  }
}

const bit = (word: bigint, n: number) => ((word >> BigInt(n)) & 1n) === 1n;
const field = (word: bigint, hi: number, lo: number) =>
  (word >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n);
const pageBits = (level: number) => 12 + 9 * (level - 1);

interface Step {
  readonly level: number;
  readonly word: bigint;
}

function second(unit: ReferenceUnit, entry: ReferenceEntry, gpa: bigint) {
  const width = Math.min(unit.guestWidth, 12 + 9 * entry.secondLevels);
  if (gpa >> BigInt(width) !== 0n) throw new Refused("range", 2);
  const steps: Step[] = [];
  let table = entry.secondRoot;
  for (let level = entry.secondLevels; ; level--) {
    const word = unit.read(table + 8n * field(gpa, pageBits(level) + 8, pageBits(level)));
    if (word === undefined) throw new Refused(level === entry.secondLevels ? "SSS.4" : "SSS.1", 2, level);
    if (!bit(word, 0) && !bit(word, 1)) throw new Refused("SSS.2", 2, level);
    const leaf = level === 1 || bit(word, 7);
    const reserved =
      field(word, 51, unit.hostWidth) !== 0n ||
      bit(word, 62) ||
      (!leaf && bit(word, 11)) ||
      (leaf && level > 3) ||
      (leaf && level > 1 && field(word, pageBits(level) - 1, 12) !== 0n);
    if (reserved) throw new Refused("SSS.3", 2, level);
    steps.push({ level, word });
    if (leaf) {
      const size = 1n << BigInt(pageBits(level));
      const base = field(word, 51, 12) << 12n;
      return { pa: base + (gpa % size), bits: pageBits(level), steps };
    }
    table = field(word, 51, 12) << 12n;
  }
}

/** The first entry of a walk without a right, from the top. */
const without = (steps: readonly Step[], n: number) => steps.find((s) => !bit(s.word, n));

function secondRights(
  steps: readonly Step[],
  read: boolean,
  write: boolean,
  names: { r: string; w: string },
) {
  const noRead = without(steps, 0);
  const noWrite = without(steps, 1);
  const missing = write && noWrite ? noWrite : read && noRead ? noRead : undefined;
  if (missing === undefined) return;
  if (noRead && noWrite) throw new Refused("SSS.2", 2, missing.level);
  throw new Refused(missing === noWrite && write ? names.w : names.r, 2, missing.level);
}

function first(unit: ReferenceUnit, entry: ReferenceEntry, ask: ReferenceAsk) {
  const top = entry.firstLevels === 4 ? 47 : 56;
  const upper = ask.address >> BigInt(top);
  if (upper !== 0n && upper !== (1n << BigInt(64 - top)) - 1n) throw new Refused("SGN.1", 1);
  const steps: Step[] = [];
  let table = entry.firstRoot;
  for (let level = entry.firstLevels; ; level--) {
    let at = table + 8n * field(ask.address, pageBits(level) + 8, pageBits(level));
    let updatable = true;
    if (entry.kind === "nested") {
      const under = second(unit, entry, at);
      const atTop = level === entry.firstLevels;
      secondRights(under.steps, true, false, { r: atTop ? "SFS.6" : "SFS.7", w: "" });
      updatable = without(under.steps, 1) === undefined;
      at = under.pa;
    }
    const word = unit.read(at);
    if (word === undefined) throw new Refused(level === entry.firstLevels ? "SFS.4" : "SFS.1", 1, level);
    if (!bit(word, 0)) throw new Refused("SFS.2", 1, level);
    const leaf = level === 1 || bit(word, 7);
    const reserved =
      field(word, 51, unit.hostWidth) !== 0n ||
      (leaf && level > 3) ||
      (leaf && level > 1 && field(word, pageBits(level) - 1, 13) !== 0n);
    if (reserved) throw new Refused("SFS.3", 1, level);
    if (entry.kind === "nested") {
      const width = Math.min(unit.guestWidth, 12 + 9 * entry.secondLevels);
      if ((field(word, 51, 12) << 12n) >> BigInt(width) !== 0n) throw new Refused("SFS.5", 1, level);
    }
    if (!bit(word, 5) && !updatable) throw new Refused("SFS.8", 1, level);
    steps.push({ level, word });
    if (leaf) {
      const size = 1n << BigInt(pageBits(level));
      const base = ((field(word, 51, 12) << 12n) / size) * size;
      return { pa: base + (ask.address % size), bits: pageBits(level), steps, word, updatable };
    }
    table = field(word, 51, 12) << 12n;
  }
}

function walk(unit: ReferenceUnit, entry: ReferenceEntry, ask: ReferenceAsk): ReferenceAnswer {
  if (ask.privileged && !entry.supervisor) throw new Refused("SPT.6");
  let pa: bigint;
  let bits: number;
  let readable = true;
  let writable = true;
  if (entry.kind === "second") {
    const s = second(unit, entry, ask.address);
    secondRights(s.steps, ask.read, ask.write, { r: "SGN.7", w: "SGN.6" });
    readable = without(s.steps, 0) === undefined;
    writable = without(s.steps, 1) === undefined;
    ({ pa, bits } = s);
  } else {
    const f = first(unit, entry, ask);
    const user = without(f.steps, 2);
    const readOnly = without(f.steps, 1);
    if (!ask.privileged && user) throw new Refused("SGN.2", 1, user.level);
    writable = readOnly === undefined || (ask.privileged && !entry.writeProtect);
    if (ask.write && !writable) throw new Refused("SGN.6", 1, readOnly!.level);
    if (ask.write && !bit(f.word, 6) && !f.updatable) throw new Refused("SFS.8", 1, f.steps.at(-1)!.level);
    ({ pa, bits } = f);
    if (entry.kind === "nested") {
      const s = second(unit, entry, f.pa);
      secondRights(s.steps, ask.read, ask.write, { r: "SGN.7", w: "SGN.6" });
      readable = without(s.steps, 0) === undefined;
      writable &&= without(s.steps, 1) === undefined;
      pa = s.pa;
      bits = Math.min(bits, s.bits);
    }
  }
  if (pa >> 20n === 0xfeen) throw new Refused("SGN.8.1");
  return { pa, page: 2 ** bits, perm: `${readable ? "r" : "-"}${writable ? "w" : "-"}-` };
}

export function referenceWalk(
  unit: ReferenceUnit,
  entry: ReferenceEntry,
  ask: ReferenceAsk,
): ReferenceAnswer {
  try {
    return walk(unit, entry, ask);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const answer = error.answer;
    // An address beyond the second stage is named by what it was the address of; nested, SFS.5 comes first.
    if ("fault" in answer && answer.fault === "range") return { ...answer, fault: "SGN.5" };
    return answer;
  }
}
