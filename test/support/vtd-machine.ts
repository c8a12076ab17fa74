/**
 * A VT-d remapping unit over tables that a test writes as raw 64-bit words: no layout of the walker's is used
 * here, so that a field that slid in a layout is noticed.
 */
import { WalkEngine } from "../../walkers/engine.ts";
import { IommuState, type PropertyValue } from "../../walkers/registers.ts";
import {
  type Binding,
  EXECUTE,
  NO_PASID,
  READ,
  UNTRANSLATED,
  WalkRequest,
  WRITE,
} from "../../walkers/request.ts";
import { NO_LEVEL } from "../../walkers/result.ts";
import { VtdWalker } from "../../walkers/vtd/index.ts";
import type { PasidTableConfig } from "../../walkers/walker.ts";
import { TableMemory } from "./table-memory.ts";

export const ROOT = 0x10_0000n;
export const CONTEXT = 0x10_1000n;
export const DIRECTORY = 0x10_2000n;
export const PASIDS = 0x10_3000n;
/** Top first-stage and second-stage tables. */
export const FS = 0x20_0000n;
export const SS = 0x30_0000n;
/** Device 00:03.0. */
const DEVICE = 0x18;

/** RTADDR_REG.TTM, in place. */
export const SCALABLE = 0x400n;
export const EXTENDED = 0x800n;
export const ABORT = 0xc00n;

export interface Seen {
  readonly result: "ok" | "fault" | "msi";
  readonly model: string;
  readonly pa?: bigint;
  /** Bytes of one translation; 0 where nothing was translated. */
  readonly page?: number;
  readonly perm?: string;
  readonly domain?: number;
  readonly passthrough?: true;
  readonly global?: true;
  readonly name?: string;
  readonly code?: number;
  readonly reason?: string;
  readonly stage?: number;
  readonly level?: number;
  readonly entry?: bigint;
  readonly value?: bigint;
  readonly hole?: true;
  readonly recorded?: false;
  readonly faultAddr?: bigint;
  readonly reads: number;
}

export interface Ask {
  readonly device?: number;
  readonly pasid?: number;
  readonly access?: "r" | "w" | "rw" | "x";
  readonly at?: number;
  readonly priv?: boolean;
  readonly binding?: Binding;
}

const ACCESS = { r: READ, w: WRITE, rw: READ | WRITE, x: EXECUTE };
const STATUS = ["ok", "fault", "msi"] as const;

export class VtdMachine {
  readonly memory: TableMemory;
  readonly walker: VtdWalker;
  readonly engine: WalkEngine;
  readonly state = new IommuState();

  /** @param registers 64-bit values; what is absent reads as "every feature present" */
  constructor(
    registers: Readonly<Record<string, bigint>> = {},
    props: Readonly<Record<string, PropertyValue>> = {},
    memory = new TableMemory(),
  ) {
    this.memory = memory;
    this.walker = new VtdWalker(memory);
    this.engine = new WalkEngine(this.walker);
    this.set(registers, props);
  }

  set(
    registers: Readonly<Record<string, bigint>>,
    props: Readonly<Record<string, PropertyValue>> = {},
  ): this {
    for (const [name, value] of Object.entries(registers)) {
      const word = { hi: Number(value >> 32n) | 0, lo: Number(value & 0xffff_ffffn) | 0 };
      this.state.registers.set(name, word);
    }
    for (const [name, value] of Object.entries(props)) this.state.props.set(name, value);
    this.walker.configure(this.state);
    this.engine.drop();
    return this;
  }

  /** Writes 64-bit words, the first at `address`. */
  put(address: bigint, ...words: bigint[]): this {
    words.forEach((word, i) => {
      this.memory.write64(address + 8n * BigInt(i), word);
    });
    return this;
  }

  bind(config: Partial<PasidTableConfig> & { readonly base?: bigint } = {}): Binding {
    const base = config.base ?? DIRECTORY;
    const bound = this.walker.bind({
      model: "intel",
      baseHi: Number(base >> 32n),
      baseLo: Number(base & 0xffff_ffffn) | 0,
      ...config,
    });
    if (typeof bound === "string") throw new Error(bound);
    return bound;
  }

  ask(address: bigint, ask: Ask = {}): Seen {
    const request = new WalkRequest();
    request.device = ask.device ?? DEVICE;
    request.pasid = ask.pasid ?? NO_PASID;
    request.addrHi = Number((address >> 32n) & 0xffff_ffffn) | 0;
    request.addrLo = Number(address & 0xffff_ffffn) | 0;
    request.access = ACCESS[ask.access ?? "r"];
    request.priv = ask.priv ?? false;
    request.binding = ask.binding ?? null;
    request.at = ask.at ?? UNTRANSLATED;
    const out = this.engine.walk(request);
    const seen: { -readonly [K in keyof Seen]?: Seen[K] } = {
      result: STATUS[out.status]!,
      model: out.model,
      reads: out.reads,
    };
    if (seen.result === "ok") {
      seen.pa = (BigInt(out.frame) << 12n) | BigInt(out.offset);
      seen.page = out.pageShift === 0 ? 0 : 2 ** out.pageShift;
      seen.perm = [READ, WRITE, EXECUTE].map((p, i) => ((out.perm & p) !== 0 ? "rwx"[i] : "-")).join("");
      if (out.domain >= 0) seen.domain = out.domain;
      if (out.passthrough) seen.passthrough = true;
      if (out.global) seen.global = true;
    }
    if (seen.result === "fault") {
      seen.name = out.fault!.name;
      seen.code = out.fault!.code;
      seen.reason = out.reason;
      if (out.stage !== 0) seen.stage = out.stage;
      if (out.level !== NO_LEVEL) seen.level = out.level;
      if (out.entryFrame >= 0) seen.entry = (BigInt(out.entryFrame) << 12n) | BigInt(out.entryOffset);
      if (out.entryKnown) seen.value = (BigInt(out.entryHi >>> 0) << 32n) | BigInt(out.entryLo >>> 0);
      if (out.hole) seen.hole = true;
      if (!out.recorded) seen.recorded = false;
      if (out.hasFaultAddr) seen.faultAddr = (BigInt(out.faultHi >>> 0) << 32n) | BigInt(out.faultLo >>> 0);
    }
    return seen as Seen;
  }
}

/** A legacy-mode unit: device 00:03.0 behind a 4-level second stage at SS, domain 7. */
export function legacyMachine(
  registers: Readonly<Record<string, bigint>> = {},
  props: Readonly<Record<string, PropertyValue>> = {},
): VtdMachine {
  return new VtdMachine({ rtaddr: ROOT, ...registers }, props)
    .put(ROOT, CONTEXT | 1n, 0n)
    .put(CONTEXT + 0x180n, SS | 1n, 0x0702n);
}

/** An address whose index differs at every level. */
export const IOVA = 0x12_3456_7890n;
/** P, R/W, U/S, A: what a first-stage table entry needs. */
export const OPEN = 0x27n;
/** A first-stage page at 0x555000, dirty already. */
export const LEAF = 0x55_5067n;

/** Every capability of ECAP_REG but those of deferred invalidation (DIS) and of translated requests (PTRS). */
export const ECAP_ALL = 0x7eff_fffe_f7ff_ffffn;

export function ecapWithout(...bits: number[]): bigint {
  return bits.reduce((ecap, bit) => ecap & ~(1n << BigInt(bit)), ECAP_ALL);
}

/** PGTT, in place. */
export const FIRST = 0x40n;
export const SECOND = 0x80n;
export const NEST = 0xc0n;
export const PASS = 0x100n;
/** AW of 4 levels, in place. */
export const AW4 = 0x8n;

/** The words of a PASID table entry: domain 9, 4-level tables at FS and SS. */
export function pasidEntry(type: bigint, third = 0n, first = AW4, second = 9n): bigint[] {
  return [SS | first | type | 1n, second, FS | third, 0n, 0n, 0n, 0n, 0n];
}

/** A scalable-mode unit: device 00:03.0, RID_PASID 0, PASIDs enabled; PASID 0 and 1 have the entry given. */
export function scalableMachine(
  entry: bigint[],
  registers: Readonly<Record<string, bigint>> = {},
  props: Readonly<Record<string, PropertyValue>> = {},
): VtdMachine {
  return new VtdMachine({ rtaddr: ROOT | SCALABLE, ...registers }, props)
    .put(ROOT, CONTEXT | 1n, 0n)
    .put(CONTEXT + 0x300n, DIRECTORY | 0x9n, 0n, 0n, 0n)
    .put(DIRECTORY, PASIDS | 1n)
    .put(PASIDS, ...entry)
    .put(PASIDS + 64n, ...entry);
}

/** Byte offset of an address's entry in a table of a level (1 to 5). */
export function slot(level: number, address: bigint): bigint {
  return ((address >> BigInt(3 + 9 * level)) & 0x1ffn) << 3n;
}

/**
 * Writes the entries that lead an address from a top table to a leaf.
 * @param flags bits that every entry gets
 * @param leaf the last entry, whole; at `leafLevel`
 * @returns address of the leaf entry
 */
export function chain(
  machine: VtdMachine,
  top: bigint,
  levels: number,
  address: bigint,
  flags: bigint,
  leaf: bigint,
  leafLevel = 1,
): bigint {
  let table = top;
  for (let level = levels; level > leafLevel; level--) {
    const next = top + 0x1000n * BigInt(levels - level + 1);
    machine.put(table + slot(level, address), next | flags);
    table = next;
  }
  const at = table + slot(leafLevel, address);
  machine.put(at, leaf);
  return at;
}
