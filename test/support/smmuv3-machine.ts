/**
 * An SMMUv3 with a linear stream table for tests: STEs and CDs are given by field name and written by the bit
 * numbers below, which repeat the specification (IHI 0070 5.2, 5.4) independently of the walkers' layouts.
 */
import { WalkEngine } from "../../walkers/engine.ts";
import { IommuState, type PropertyValue } from "../../walkers/registers.ts";
import { type Binding, NO_PASID, READ, WalkRequest } from "../../walkers/request.ts";
import { WalkResult } from "../../walkers/result.ts";
import { SmmuV3Walker } from "../../walkers/smmuv3/index.ts";
import { ArmTables, type Shape } from "./arm-tables.ts";
import { TableMemory } from "./table-memory.ts";

type Bits = readonly [hi: number, lo: number];

const STE_BITS = {
  V: [0, 0], Config: [3, 1], S1Fmt: [5, 4], S1ContextPtr: [55, 6], S1CDMax: [63, 59], S1DSS: [65, 64], CONT: [80, 77],
  S2FWB: [89, 89], S1STALLD: [91, 91], EATS: [93, 92], STRW: [95, 94], PRIVCFG: [113, 112], INSTCFG: [115, 114],
  S2VMID: [143, 128], S2T0SZ: [165, 160], S2SL0: [167, 166], S2TG: [175, 174], S2PS: [178, 176],
  S2AA64: [179, 179], S2ENDI: [180, 180], S2AFFD: [181, 181], S2PTW: [182, 182], S2HD: [183, 183],
  S2HA: [184, 184], S2S: [185, 185], S2R: [186, 186], S2HAFT: [187, 187], S2SL0_2: [194, 194], S2DS: [195, 195],
  S2TTB: [247, 196],
} as const satisfies Record<string, Bits>; // biome-ignore format: a table

const CD_BITS = {
  T0SZ: [5, 0], TG0: [7, 6], EPD0: [14, 14], ENDI: [15, 15], T1SZ: [21, 16], TG1: [23, 22], EPD1: [30, 30],
  V: [31, 31], IPS: [34, 32], AFFD: [35, 35], WXN: [36, 36], UWXN: [37, 37], TBI0: [38, 38], TBI1: [39, 39],
  PAN: [40, 40], AA64: [41, 41], HD: [42, 42], HA: [43, 43], S: [44, 44], R: [45, 45], A: [46, 46],
  ASET: [47, 47], ASID: [63, 48], NSCFG0: [64, 64], HAD0: [65, 65], E0PD0: [66, 66], HAFT: [67, 67],
  TTB0: [119, 68], EPAN: [123, 123], NSCFG1: [128, 128], HAD1: [129, 129], E0PD1: [130, 130], TTB1: [183, 132],
  DS: [186, 186],
} as const satisfies Record<string, Bits>; // biome-ignore format: a table

/** Fields that hold an address: given as the whole address. */
const ADDRESSES: Record<string, bigint> = { S1ContextPtr: 6n, S2TTB: 4n, TTB0: 4n, TTB1: 4n };

export type SteFields = Partial<Record<keyof typeof STE_BITS, number | bigint>>;
export type CdFields = Partial<Record<keyof typeof CD_BITS, number | bigint>>;

function words(table: Record<string, Bits>, fields: Record<string, number | bigint | undefined>): bigint[] {
  let whole = 0n;
  for (const [name, given] of Object.entries(fields)) {
    if (given === undefined) continue;
    const [hi, lo] = table[name]!;
    const value = BigInt(given) >> (ADDRESSES[name] ?? 0n);
    if (value >> BigInt(hi - lo + 1) !== 0n) throw new Error(`${name}: ${given} does not fit`);
    whole |= value << BigInt(lo);
  }
  return Array.from({ length: 8 }, (_, i) => (whole >> BigInt(64 * i)) & 0xffff_ffff_ffff_ffffn);
}

export function steWords(fields: SteFields): bigint[] {
  return words(STE_BITS, fields);
}

export function cdWords(fields: CdFields): bigint[] {
  return words(CD_BITS, fields);
}

export interface Access {
  pasid?: number;
  access?: number;
  priv?: boolean;
  sid?: number;
  binding?: Binding;
}

export const STREAM_TABLE = 0x1_0000n;
export const CONTEXT = 0x2_0000n;

/** Encodings of TG0/S2TG and TG1 by log2 of the granule. */
const TG0: Record<number, number> = { 12: 0, 14: 2, 16: 1 };
export const TG1: Record<number, number> = { 12: 2, 14: 1, 16: 3 };

/** CD fields that make a valid stage 1 with TTB1 disabled. */
export function cdOf(tables: ArmTables, more: CdFields = {}): CdFields {
  const { shape } = tables;
  return {
    V: 1, AA64: 1, A: 1, R: 1, IPS: 6, EPD1: 1,
    T0SZ: 64 - shape.inputBits, TG0: TG0[shape.granule]!, TTB0: tables.root,
    ENDI: shape.bigEndian ? 1 : 0, DS: shape.ds ? 1 : 0, ...more,
  }; // biome-ignore format: a table
}

/** S2SL0 (and S2SL0_2) of a start level. */
export function slOf(granule: number, level: number): { S2SL0: number; S2SL0_2: number } {
  if (granule === 12) {
    const sl = { "-1": 4, 0: 2, 1: 1, 2: 0, 3: 3 }[level]!;
    return { S2SL0: sl & 3, S2SL0_2: sl >> 2 };
  }
  return { S2SL0: 3 - level, S2SL0_2: 0 };
}

/** STE fields that make a valid stage 2. */
export function stage2Of(tables: ArmTables, more: SteFields = {}): SteFields {
  const { shape } = tables;
  return {
    S2T0SZ: 64 - shape.inputBits, S2TG: TG0[shape.granule]!, ...slOf(shape.granule, shape.startLevel), S2PS: 6,
    S2AA64: 1, S2R: 1, S2TTB: tables.root, S2ENDI: shape.bigEndian ? 1 : 0, S2DS: shape.ds ? 1 : 0, ...more,
  }; // biome-ignore format: a table
}

export class Machine {
  readonly memory = new TableMemory();
  readonly walker = new SmmuV3Walker(this.memory);
  readonly engine = new WalkEngine(this.walker);
  readonly state = new IommuState();
  #next = 0x100_0000n;

  /** @param regs further registers, by name */
  constructor(regs: Record<string, bigint> = {}, props: Record<string, PropertyValue> = {}) {
    this.configure({ strtab_base: STREAM_TABLE, strtab_base_cfg: 8n, ...regs }, props);
    this.memory.ram(STREAM_TABLE, 256n * 64n);
    this.memory.ram(CONTEXT, 4096n);
  }

  configure(regs: Record<string, bigint>, props: Record<string, PropertyValue> = {}): void {
    for (const [name, value] of Object.entries(regs))
      this.state.registers.set(name, { hi: Number(value >> 32n) | 0, lo: Number(value & 0xffff_ffffn) | 0 });
    for (const [name, value] of Object.entries(props)) this.state.props.set(name, value);
    this.walker.configure(this.state);
    this.engine.drop();
  }

  /** Memory for a table, aligned to its size. */
  readonly allocate = (bytes: bigint): bigint => {
    const at = (this.#next + bytes - 1n) & ~(bytes - 1n);
    this.#next = at + bytes;
    return at;
  };

  write(address: bigint, data: readonly bigint[]): void {
    data.forEach((word, i) => {
      this.memory.write64(address + BigInt(8 * i), word);
    });
  }

  ste(fields: SteFields, sid = 0): void {
    this.write(STREAM_TABLE + BigInt(sid) * 64n, steWords({ V: 1, ...fields }));
  }

  cd(fields: CdFields, address = CONTEXT): void {
    this.write(address, cdWords(fields));
  }

  tables(shape: Shape, place?: (address: bigint) => bigint): ArmTables {
    return new ArmTables(this.memory, shape, this.allocate, place);
  }

  /** Stage 1 alone: an STE, a CD and empty tables through TTB0. */
  stage1(shape: Shape, cd: CdFields = {}, ste: SteFields = {}): ArmTables {
    const tables = this.tables(shape);
    this.ste({ Config: 5, S1ContextPtr: CONTEXT, ...ste });
    this.cd(cdOf(tables, cd));
    return tables;
  }

  /** Stage 2 alone. */
  stage2(shape: Shape, ste: SteFields = {}): ArmTables {
    const tables = this.tables(shape);
    this.ste({ Config: 6, ...stage2Of(tables, ste) });
    return tables;
  }

  walk(
    address: bigint,
    { pasid = NO_PASID, access = READ, priv = false, sid = 0, binding }: Access = {},
  ): WalkResult {
    const request = new WalkRequest();
    request.device = sid;
    request.pasid = pasid;
    request.addrHi = Number((address >> 32n) & 0xffff_ffffn) | 0;
    request.addrLo = Number(address & 0xffff_ffffn) | 0;
    request.access = access;
    request.priv = priv;
    request.binding = binding ?? null;
    const copy = new WalkResult();
    copy.copyFrom(this.engine.walk(request));
    return copy;
  }

  /** "ok 0x…", or "NAME stage class level" with what does not apply left out. */
  ask(address: bigint, access: Access = {}): string {
    return describeResult(this.walk(address, access));
  }
}

export function outputOf(r: WalkResult): bigint {
  return (BigInt(r.frame) << 12n) + BigInt(r.offset);
}

export function describeResult(r: WalkResult): string {
  if (r.status === 0) return `ok 0x${outputOf(r).toString(16)}`;
  const parts = [r.fault!.name];
  if (r.stage !== 0) parts.push(`S${r.stage}`);
  if (r.faultClass !== "") parts.push(r.faultClass);
  if (r.level !== 127) parts.push(`L${r.level}`);
  if (!r.recorded) parts.push("unrecorded");
  return parts.join(" ");
}
