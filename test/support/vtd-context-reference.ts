/**
 * What VT-d's root, context and PASID entries come to (5.10: 7.1.3, 9.1 to 9.6), said on whole 64-bit words and once more
 * than in the walker: of a unit whose capabilities are those of `CAP` and `ECAP` alone. Page tables: vtd-reference.ts.
 */
import type { ReferenceEntry } from "./vtd-reference.ts";

/** MGAW 52, SAGAW 3 to 5 levels, SSLPS both, FS1GP, FS5LP, PSI; MAMV 18; domain ids of 16 bits. */
export const CAP = "0x1112008c00330e06";
/** C, QI, DT, PT, SC, NEST, SRS, PASID and 20 bits of it, SMTS, SSTS, FSTS, SMPWCS, RPS, PTRS. */
export const ECAP = "0x103c998840000c7";
/** Bits of host-physical addresses. */
export const HOST_WIDTH = 46;

export interface ContextUnit {
  readonly rtaddr: bigint;
  /** 64-bit word at a host-physical address; undefined: a hole. */
  readonly read: (address: bigint) => bigint | undefined;
}

export interface ContextAsk {
  readonly device: number;
  readonly pasid: number | undefined;
  readonly privileged: boolean;
  readonly at: "untranslated" | "translation-request" | "translated";
}

/** How a request goes on: it passes, or by tables, whose faults legacy mode numbers otherwise. */
export type Context =
  | { readonly passes: true; readonly legacy: boolean; readonly fpd: boolean }
  | {
      readonly entry: ReferenceEntry;
      readonly legacy: boolean;
      readonly fpd: boolean;
      readonly snooped: boolean;
    };

/** A fault reason, and whether it is recorded. */
export interface Refusal {
  readonly code: number;
  readonly recorded: boolean;
}

const bit = (word: bigint, n: number) => ((word >> BigInt(n)) & 1n) === 1n;
const field = (word: bigint, hi: number, lo: number) =>
  (word >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n);
const pointer = (word: bigint) => field(word, HOST_WIDTH - 1, 12) << 12n;
const beyondHost = (word: bigint) => word >> BigInt(HOST_WIDTH) !== 0n;

class Refused extends Error {
  readonly refusal: Refusal;
  constructor(code: number, fpd = false) {
    super();
    this.refusal = { code, recorded: !fpd };
  }
}

export function contextOf(unit: ContextUnit, ask: ContextAsk): Context | Refusal {
  try {
    const mode = field(unit.rtaddr, 11, 10);
    // RTA.1: extended mode and abort mode are none of this unit's.
    if (mode > 1n) throw new Refused(0x30);
    if (mode === 1n) return scalable(unit, ask);
    // RTA.2.
    if (ask.pasid !== undefined) throw new Refused(0x31);
    return legacy(unit, ask);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return error.refusal;
  }
}

/** Words of a structure. @param code of the fault where it cannot be read */
function words({ read }: ContextUnit, address: bigint, count: number, code: number): bigint[] {
  return Array.from({ length: count }, (_, i) => {
    const word = read(address + BigInt(8 * i));
    if (word === undefined) throw new Refused(code);
    return word;
  });
}

function rootAt({ rtaddr }: ContextUnit, device: number): bigint {
  return (field(rtaddr, 63, 12) << 12n) + 16n * BigInt(device >> 8);
}

function legacy(unit: ContextUnit, { device, at }: ContextAsk): Context {
  const [root, above] = words(unit, rootAt(unit, device), 2, 0x8) as [bigint, bigint];
  if (!bit(root, 0)) throw new Refused(0x1);
  if (field(root, 11, 1) !== 0n || beyondHost(root) || above !== 0n) throw new Refused(0xa);
  const place = pointer(root) + 16n * BigInt(device & 0xff);
  const [low, high] = words(unit, place, 2, 0x9) as [bigint, bigint];
  const fpd = bit(low, 1);
  if (!bit(low, 0)) throw new Refused(0x2, fpd);
  if (field(low, 11, 4) !== 0n || beyondHost(low) || bit(high, 7) || field(high, 63, 24) !== 0n)
    throw new Refused(0xb, fpd);
  const type = field(low, 3, 2);
  const aw = Number(field(high, 2, 0));
  if (aw < 1 || aw > 3 || type === 3n) throw new Refused(0x3, fpd);
  // LCT.5.
  if (at !== "untranslated" && type !== 1n) throw new Refused(0xd, fpd);
  if (at === "translated" || type === 2n) return { passes: true, legacy: true, fpd };
  const entry = { ...NO_FIRST, kind: "second", secondRoot: pointer(low), secondLevels: aw + 2 } as const;
  return { entry, legacy: true, fpd, snooped: true };
}

const NO_FIRST = { firstRoot: 0n, firstLevels: 4, supervisor: false, writeProtect: false } as const;

function scalable(unit: ContextUnit, { device, pasid, privileged, at }: ContextAsk): Context {
  const halves = words(unit, rootAt(unit, device), 2, 0x38) as [bigint, bigint];
  const half = halves[(device & 0x80) === 0 ? 0 : 1]!;
  if (!bit(half, 0)) throw new Refused(0x39);
  // SRT.3: of each half that is present.
  if (halves.some((word) => bit(word, 0) && (field(word, 11, 1) !== 0n || beyondHost(word))))
    throw new Refused(0x3a);
  const place = pointer(half) + 32n * BigInt(device & 0x7f);
  const [context, rid, third, fourth] = words(unit, place, 4, 0x40) as [bigint, bigint, bigint, bigint];
  let fpd = bit(context, 1);
  if (!bit(context, 0)) throw new Refused(0x41, fpd);
  // PRE, HPTE and RID_PRIV are reserved, as the unit has none of them.
  const reserved = field(context, 5, 4) | field(context, 8, 7) | (rid >> 20n) | third | fourth;
  if (reserved !== 0n || beyondHost(context)) throw new Refused(0x42, fpd);
  const size = 1n << (field(context, 11, 9) + 13n);
  if (rid >= size) throw new Refused(0x43, fpd);
  const [dte, paside, eptr] = [2, 3, 6].map((n) => bit(context, n)) as [boolean, boolean, boolean];
  // SCT.4.3, SCT.5, SCT.10, SCT.6.
  if (pasid === undefined && eptr && !paside) throw new Refused(0x43, fpd);
  if (at !== "untranslated" && !dte) throw new Refused(0x44, fpd);
  if (pasid !== undefined && at === "translated" && !eptr) throw new Refused(0x49, fpd);
  if (pasid !== undefined && !paside) throw new Refused(0x45, fpd);
  if (at === "translated") return { passes: true, legacy: false, fpd };
  const number = BigInt(pasid ?? rid);
  if (number >= size) throw new Refused(0x46, fpd);
  if (pasid !== undefined && number === rid) throw new Refused(0x48, fpd);
  const [directory] = words(unit, pointer(context) + 8n * (number >> 6n), 1, 0x50) as [bigint];
  fpd ||= bit(directory, 1);
  if (!bit(directory, 0)) throw new Refused(0x51, fpd);
  if (field(directory, 11, 2) !== 0n || beyondHost(directory)) throw new Refused(0x52, fpd);
  return pasidEntry(
    words(unit, pointer(directory) + 64n * (number & 63n), 8, 0x58),
    fpd,
    privileged && pasid !== undefined,
  );
}

function pasidEntry([w0, w1, w2, ...rest]: readonly bigint[], above: boolean, privileged: boolean): Context {
  const [first, second, third] = [w0!, w1!, w2!];
  const fpd = above || bit(first, 1);
  if (!bit(first, 0)) throw new Refused(0x59, fpd);
  // SSEE, SSADE; what needs MTS; ERE, EAFE: reserved, as the unit has none of them.
  const reserved = [
    bit(first, 5) || field(first, 11, 9) !== 0n || beyondHost(first),
    field(second, 22, 16) !== 0n || field(second, 63, 25) !== 0n,
    bit(third, 1) || field(third, 11, 7) !== 0n || beyondHost(third),
    rest.some((word) => word !== 0n),
  ];
  if (reserved.some((set) => set)) throw new Refused(0x5a, fpd);
  const type = Number(field(first, 8, 6));
  const aw = Number(field(first, 4, 2));
  const levels = aw + 2;
  if (type < 1 || type > 4) throw new Refused(0x5b, fpd);
  const [withFirst, withSecond] = [type === 1 || type === 3, type === 2 || type === 3];
  if (withSecond && (aw < 1 || aw > 3)) throw new Refused(0x5b, fpd);
  if (withFirst && field(third, 3, 2) > 1n) throw new Refused(0x5b, fpd);
  // SPT.4.4: a first stage under a second one has an address of that.
  const width = Math.min(52, 12 + 9 * levels);
  if (type === 3 && pointer(third) >> BigInt(width) !== 0n) throw new Refused(0x5b, fpd);
  if (privileged && !bit(third, 0)) throw new Refused(0x5d, fpd);
  if (type === 4) return { passes: true, legacy: false, fpd };
  const kind = (["first", "second", "nested"] as const)[type - 1]!;
  return {
    entry: {
      ...{ kind, firstRoot: pointer(third), firstLevels: bit(third, 2) ? 5 : 4 },
      ...{ secondRoot: pointer(first), secondLevels: levels },
      ...{ supervisor: bit(third, 0), writeProtect: bit(third, 4) },
    },
    ...{ legacy: false, fpd, snooped: bit(second, 23) },
  };
}
