/**
 * A world: one IOMMU, the tables that it walks and what devices may ask of it, made by a vendor (`VendorFuzzing`), and
 * altered afterwards field by field. What is in it is known by its layouts, so that whoever alters it need not know the
 * vendor.
 */
import type { StaleEntry } from "../advice.ts";
import type { Layout } from "../layout.ts";
import type { IommuModel } from "../models.ts";
import { IommuState, type PropertyValue } from "../registers.ts";
import { hex } from "../word64.ts";
import type { Random } from "./random.ts";

/** A record of a pasid-trace, as JSON has it. */
export type WorldRecord = { readonly type: string } & Readonly<Record<string, unknown>>;

export interface MemoryRange {
  readonly base: bigint;
  readonly bytes: bigint;
}

/** Address types of requests: only devices with ATS have others than the first. */
export type FuzzedAddressType = "untranslated" | "translation-request" | "translated";

/** What the device under test can be asked: everything where it says nothing. */
export interface Limits {
  /** Registers that it has, and that cannot be changed. */
  readonly regs: Readonly<Record<string, bigint>>;
  readonly props: Readonly<Record<string, PropertyValue>>;
  /** Devices that requests may come from, as the IOMMU numbers them; empty: any. */
  readonly devices: readonly number[];
  /** Guest memory that tables may lie in, and that pages have to lie in where `pagesInMemory`. */
  readonly memory: MemoryRange;
  readonly pagesInMemory: boolean;
  /** All memory that there is, zeros in the beginning; absent: there is no other. */
  readonly ram?: readonly MemoryRange[];
  /** Whether faults are recorded cannot be told; absent: it can. */
  readonly unlogged?: boolean;
  /**
   * Where something else than memory answers, or memory that is not the world's: what comes of tables there is not known. Absent:
   * nowhere.
   */
  readonly foreign?: readonly MemoryRange[];
  /** Largest values of fields of commands, by the command's name: it refuses what is larger. Absent: it takes what it should. */
  readonly commands?: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly accesses: readonly ("r" | "w" | "rw" | "x")[];
  readonly addressTypes: readonly FuzzedAddressType[];
  readonly pasid: boolean;
  /** Smallest PASID of a request. */
  readonly leastPasid: number;
  readonly priv: boolean;
  /** What becomes of requests that nothing translates can be told. */
  readonly untranslated: boolean;
  /** Longest request, in bytes. */
  readonly len: number;
  /** What else cannot be told of its answers, in words. */
  readonly untold: readonly string[];
}

export const NO_LIMITS: Limits = {
  regs: {},
  props: {},
  devices: [],
  memory: { base: 0x10_0000n, bytes: 0x100_0000n },
  pagesInMemory: false,
  accesses: ["r", "w", "rw", "x"],
  addressTypes: ["untranslated", "translation-request", "translated"],
  pasid: true,
  leastPasid: 0,
  priv: true,
  untranslated: true,
  len: 2 ** 16,
  untold: [],
};

/** Addresses of one device that are worth asking for. */
export interface Target {
  readonly device: number;
  readonly pasid: number | undefined;
  /** First byte, and how many there are. */
  readonly address: bigint;
  readonly bytes: bigint;
  /** Bits of the address that make no difference; absent: all do. */
  readonly ignored?: bigint;
}

/** What caches may have of a structure, and how much one entry of it stands for. */
export interface EntryUse extends StaleEntry {
  /** log2 of the bytes that the entry maps; 64: whatever is translated through it. */
  readonly shift: number;
}

/** A structure in memory. */
export interface WorldEntry {
  readonly layout: Layout;
  readonly address: bigint;
  readonly littleEndian: boolean;
  /** What caches may have of it, by the tags that it is found under: it asks for these invalidations when it changes. */
  readonly uses: EntryUse[];
  /** Requests that meet it. */
  readonly targets: Target[];
}

/** How a vendor's registers are called and what is in them. */
export type RegisterLayouts = Readonly<Record<string, Layout>>;

/** Values of a structure's fields. */
export type FieldValues = Readonly<Record<string, number | bigint>>;

export class World {
  readonly model: IommuModel;
  readonly random: Random;
  readonly limits: Limits;
  /** Registers as they are now, with the properties: what its vendor asks for capabilities. */
  readonly state = new IommuState();
  readonly registers = new Map<string, bigint>();
  readonly entries: WorldEntry[] = [];
  readonly targets: Target[] = [];
  /** Addresses of tables, and of pages. */
  readonly tables: bigint[] = [];
  /** Input addresses that something was to be mapped at, in whichever space. */
  readonly addresses: bigint[] = [];
  readonly landmarks: readonly bigint[];
  /** Capabilities that what was built may have need of: it was asked for them, and they were there. */
  readonly needed: { readonly register: string; readonly field: string }[] = [];
  readonly #layouts: RegisterLayouts;
  readonly #entryAt = new Map<bigint, WorldEntry>();
  readonly #bytes = new Map<bigint, Uint8Array>();
  readonly #named = new Map<Layout, Set<string>>();
  readonly #ids = new Map<string, Set<number>>();
  readonly #scratch = new DataView(new ArrayBuffer(8));
  #next: bigint;

  /** @param landmarks addresses that are not as others */
  constructor(
    model: IommuModel,
    layouts: RegisterLayouts,
    random: Random,
    limits: Limits,
    landmarks: readonly bigint[] = [],
  ) {
    this.model = model;
    this.landmarks = landmarks;
    this.random = random;
    this.limits = limits;
    this.#layouts = layouts;
    this.#next = limits.memory.base;
    for (const [name, value] of Object.entries(limits.regs)) this.setRegister(name, value);
    for (const [name, value] of Object.entries(limits.props)) this.state.props.set(name, value);
  }

  // ── registers ──

  setRegister(name: string, value: bigint): void {
    this.registers.set(name, value);
    this.state.setRegister(name, value);
  }

  /** Whether the device under test has the register as it is, for good. */
  isFixed(register: string): boolean {
    return this.limits.regs[register] !== undefined;
  }

  /** Requests of ATS are to be had: devices may be allowed to make them. */
  get withAts(): boolean {
    return this.limits.addressTypes.length > 1;
  }

  /** Sets fields of a register, unless it is fixed. @param ones those not named are all ones */
  register(name: string, values: Readonly<Record<string, number | bigint>>, ones = false): void {
    if (this.isFixed(name)) return;
    const layout = this.#layouts[name]!;
    this.#name(layout, values);
    const view = this.#view(this.registers.get(name) ?? 0n);
    if (ones) for (const field of layout.names()) this.#encode(layout, field, allOnes(layout, field), view);
    for (const [field, value] of Object.entries(values)) this.#encode(layout, field, BigInt(value), view);
    this.setRegister(name, layout.bytes > 4 ? view.getBigUint64(0, true) : BigInt(view.getUint32(0, true)));
  }

  /** A field of a register: of a capability, a property decides where there is one. */
  field(register: string, field: string): number {
    const value = this.state.capability(register, this.#layouts[register]!, field, 0);
    if (value !== 0 && !this.needed.some((one) => one.register === register && one.field === field))
      this.needed.push({ register, field });
    return value;
  }

  has(register: string, field: string): boolean {
    return this.field(register, field) !== 0;
  }

  #encode(layout: Layout, field: string, value: bigint, view: DataView): void {
    // Where a whole address field is meant, `encode` takes bigints as byte addresses.
    const { kind, parts } = layout.fields[field]!;
    const shift = kind === "address" ? BigInt(parts[0]![1] % 64) : 0n;
    layout.encode({ [field]: value << shift }, view, 0);
  }

  #view(value: bigint): DataView {
    this.#scratch.setBigUint64(0, value, true);
    return this.#scratch;
  }

  // ── memory ──

  /** Room for a table. @param align power of two; default: its size, at least 4 KiB */
  alloc(bytes: number, align = Math.max(4096, bytes)): bigint {
    const a = BigInt(align);
    const at = (this.#next + a - 1n) & -a;
    this.#next = at + BigInt(bytes);
    this.tables.push(at);
    return at;
  }

  /** First address that nothing lies at or above. */
  get end(): bigint {
    return (this.#next + 0xfffn) & ~0xfffn;
  }

  /** An address for a page of 2^shift bytes, below 2^width: mostly in memory, where it need not be. */
  page(shift: number, width: number): bigint {
    const { memory, pagesInMemory } = this.limits;
    const size = 1n << BigInt(shift);
    const first = (memory.base + memory.bytes / 2n + size - 1n) & -size;
    const last = (memory.base + memory.bytes) & -size;
    if (last > first && (pagesInMemory || !this.random.oneIn(3)))
      return first + (this.random.bits(40) % ((last - first) / size)) * size;
    return (this.random.bits(width) >> BigInt(shift)) << BigInt(shift);
  }

  /**
   * A structure with the values of its fields; those not named keep what they have, or are zero.
   * @param values a number in an `address` field is a frame number, a bigint the whole address (`Layout.encode`)
   */
  put(layout: Layout, address: bigint, values: FieldValues, littleEndian = true): WorldEntry {
    this.#name(layout, values);
    const known = this.#entryAt.get(address);
    const bytes = known === undefined ? new Uint8Array(layout.bytes) : this.#bytes.get(address)!;
    layout.encode(values, new DataView(bytes.buffer, bytes.byteOffset), 0, littleEndian);
    if (known !== undefined) return known;
    const entry = { layout, address, littleEndian, uses: [], targets: [] };
    this.#entryAt.set(address, entry);
    this.entries.push(entry);
    this.#bytes.set(address, bytes);
    return entry;
  }

  #name(layout: Layout, values: FieldValues): void {
    const named = this.#named.get(layout) ?? new Set();
    this.#named.set(layout, named);
    for (const field of Object.keys(values)) named.add(field);
  }

  /** Fields of a structure or register that its vendor has given values: they matter. */
  named(layout: Layout): readonly string[] {
    return [...(this.#named.get(layout) ?? [])];
  }

  /** A field of the structure at an address, as its bits have it; 0 where there is none. */
  read(address: bigint, field: string): bigint {
    const entry = this.#entryAt.get(address);
    if (entry === undefined) return 0n;
    const bytes = this.#bytes.get(address)!;
    return entry.layout.extract(field, new DataView(bytes.buffer, bytes.byteOffset), 0, entry.littleEndian);
  }

  /** The table that a frame field of the structure at an address points to; a new one where it points to none. */
  tableOf(address: bigint, field: string, bytes = 4096): bigint {
    const frame = this.read(address, field);
    return frame === 0n ? this.alloc(bytes) : frame << 12n;
  }

  entryAt(address: bigint): WorldEntry | undefined {
    return this.#entryAt.get(address);
  }

  /** An entry's bytes as they are now. */
  bytes({ address }: WorldEntry): Uint8Array {
    return this.#bytes.get(address)!;
  }

  setBytes({ address }: WorldEntry, bytes: Uint8Array): void {
    this.#bytes.set(address, bytes);
  }

  /**
   * An id that nothing else of its kind has, 1 to limit - 1: often one that another kind has, since who looks at the one
   * tag alone takes it for the same. @param kind with what it is unique in
   */
  freshId(kind: string, limit: number): number {
    const { random } = this;
    const used = this.#ids.get(kind) ?? new Set<number>();
    const others = [...new Set([...this.#ids.values()].flatMap((ids) => [...ids]))].filter(
      (other) => other < limit && !used.has(other),
    );
    this.#ids.set(kind, used);
    let id = others.length > 0 && random.oneIn(2) ? random.pick(others) : 0;
    while (id === 0 || used.has(id))
      id = 1 + random.below(random.oneIn(2) ? Math.min(16, limit - 1) : limit - 1);
    used.add(id);
    return id;
  }

  // ── records ──

  /** What declares it all: registers, memory, tables. */
  setup(): WorldRecord[] {
    const { memory, ram = [memory] } = this.limits;
    const regs = Object.fromEntries([...this.registers].map(([name, value]) => [name, hex(value)]));
    const props = Object.fromEntries(this.state.props);
    return [
      ...ram.map(({ base, bytes }) => ({ type: "ram", addr: hex(base), size: hex(bytes) })),
      ...this.entries.map((entry) => this.mem(entry)),
      {
        type: "iommu",
        id: "iommu0",
        model: this.model,
        regs,
        ...(this.state.props.size > 0 ? { props } : {}),
      },
    ];
  }

  mem(entry: WorldEntry): WorldRecord {
    return { type: "mem", addr: hex(entry.address), data: Buffer.from(this.bytes(entry)).toString("hex") };
  }
}

/** The largest value of a field. */
export function allOnes(layout: Layout, field: string): bigint {
  return (1n << BigInt(widthOf(layout, field))) - 1n;
}

/** Bits of a field. */
export function widthOf(layout: Layout, field: string): number {
  return layout.fields[field]!.parts.reduce((sum, [hi, lo]) => sum + hi - lo + 1, 0);
}
