/**
 * A RISC-V IOMMU over hand-built tables: registers, a device directory, process directories, and a walk that answers in
 * plain values.
 */
import { WalkEngine } from "../../walkers/engine.ts";
import { IommuState, type PropertyValue } from "../../walkers/registers.ts";
import { type Binding, EXECUTE, NO_PASID, READ, WalkRequest, WRITE } from "../../walkers/request.ts";
import { NO_LEVEL, WalkResult } from "../../walkers/result.ts";
import type { RiscvDevice } from "../../walkers/riscv/context.ts";
import { RiscvWalker } from "../../walkers/riscv/index.ts";
import { type DeviceWords, deviceWords, putWord } from "./riscv-builder.ts";
import { TableMemory } from "./table-memory.ts";

/** capabilities with all features: version 1.0, every scheme, MSI_FLAT, MSI_MRIF, AMO, ATS, T2GPA, END, PAS 56, PD*, QOSID. */
export const ALL_CAPABILITIES = 0x0000_0ff8_0fef_cf10n;

export function capabilitiesWithout(...bits: bigint[]): bigint {
  return bits.reduce((capabilities, bit) => capabilities & ~(1n << bit), ALL_CAPABILITIES);
}
export const CAP_MSI_FLAT = 1n << 22n;
export const CAP_END = 1n << 27n;

export interface Seen {
  readonly result: "ok" | "fault" | "msi";
  readonly pa?: bigint;
  /** Bytes of one translation; 0 where nothing was translated. */
  readonly page?: bigint;
  readonly perm?: string;
  readonly domain?: number;
  readonly asid?: number;
  readonly passthrough?: boolean;
  readonly global?: boolean;
  readonly code?: number;
  readonly reason?: string;
  readonly stage?: number;
  readonly level?: number;
  readonly entry?: bigint;
  readonly value?: bigint;
  readonly hole?: boolean;
  readonly recorded?: boolean;
  readonly faultAddr?: bigint;
  readonly flags?: number;
  readonly reads: number;
}

export interface Ask {
  readonly pasid?: number;
  readonly access?: "r" | "w" | "rw" | "x";
  readonly priv?: boolean;
  readonly binding?: Binding;
}

export interface RiscvOptions {
  readonly capabilities?: bigint;
  readonly fctl?: bigint;
  /** ddtp.iommu_mode; 2, 3 and 4 are 1LVL to 3LVL. */
  readonly mode?: bigint;
  readonly props?: Readonly<Record<string, PropertyValue>>;
}

const ACCESS = { r: READ, w: WRITE, rw: READ | WRITE, x: EXECUTE };

export class RiscvIommu {
  readonly memory = new TableMemory();
  readonly walker = new RiscvWalker(this.memory);
  readonly engine = new WalkEngine(this.walker);
  readonly state = new IommuState();
  readonly ddt: bigint;
  readonly #mode: bigint;
  readonly #extended: boolean;
  readonly big: boolean;
  readonly #request = new WalkRequest();
  #free = 0x8000_0000n;

  constructor(options: RiscvOptions = {}) {
    const capabilities = options.capabilities ?? ALL_CAPABILITIES;
    this.#mode = options.mode ?? 2n;
    this.#extended = (capabilities & CAP_MSI_FLAT) !== 0n;
    this.big = ((options.fctl ?? 0n) & 1n) !== 0n;
    this.ddt = this.allocate(4096);
    this.register("capabilities", capabilities);
    this.register("fctl", options.fctl ?? 0n);
    this.register("ddtp", ((this.ddt >> 12n) << 10n) | this.#mode);
    for (const [name, value] of Object.entries(options.props ?? {})) this.state.props.set(name, value);
    this.walker.configure(this.state);
  }

  /** Sets a register; takes effect with the next `walker.configure`. */
  register(name: string, value: bigint): void {
    this.state.registers.set(name, { hi: Number(value >> 32n) | 0, lo: Number(value & 0xffff_ffffn) | 0 });
  }

  reconfigure(): void {
    this.walker.configure(this.state);
    this.engine.drop();
  }

  /** A zeroed range of RAM, aligned to its size (a power of two). */
  readonly allocate = (bytes: number): bigint => {
    const size = BigInt(bytes);
    this.#free = (this.#free + size - 1n) & ~(size - 1n);
    const address = this.#free;
    this.#free += size;
    this.memory.ram(address, size);
    return address;
  };

  put(address: bigint, value: bigint, big = this.big): void {
    putWord(this.memory, address, 8, value, big);
  }

  /** Address of a device's context, making the directory tables above it. */
  deviceAddress(device: number): bigint {
    const low = this.#extended ? 6n : 7n;
    const id = BigInt(device);
    const levels = Number(this.#mode) - 1;
    let table = this.ddt;
    for (let i = levels - 1; i > 0; i--) {
      const index = i === 2 ? id >> (low + 9n) : (id >> low) & 511n;
      table = this.#next(table + index * 8n, this.big);
    }
    return table + (id & ((1n << low) - 1n)) * (this.#extended ? 64n : 32n);
  }

  device(device: number, words: DeviceWords): bigint {
    const address = this.deviceAddress(device);
    const all = deviceWords(words);
    const count = this.#extended ? 8 : 4;
    for (let i = 0; i < count; i++) this.put(address + BigInt(i * 8), all[i]!);
    return address;
  }

  /**
   * Writes a process context and the directory tables above it.
   * @param levels 1 (PD8), 2 (PD17) or 3 (PD20)
   * @returns its address
   */
  process(root: bigint, levels: number, pasid: number, ta: bigint, fsc: bigint, big = false): bigint {
    let table = root;
    for (let i = levels - 1; i > 0; i--) {
      const index = i === 2 ? pasid >> 17 : (pasid >> 8) & 511;
      table = this.#next(table + BigInt(index * 8), big);
    }
    const address = table + BigInt((pasid & 255) * 16);
    this.put(address, ta, big);
    this.put(address + 8n, fsc, big);
    return address;
  }

  walk(device: number, addr: bigint, ask: Ask = {}): Seen {
    const q = this.#request;
    q.device = device;
    q.pasid = ask.pasid ?? NO_PASID;
    q.addrHi = Number(BigInt.asUintN(32, addr >> 32n)) | 0;
    q.addrLo = Number(addr & 0xffff_ffffn) | 0;
    q.access = ACCESS[ask.access ?? "r"];
    q.priv = ask.priv ?? false;
    q.binding = ask.binding ?? null;
    return seen(this.engine.walk(q));
  }

  /** The device context that the last request's device has, decoded; whether it is legal or not. */
  lastDevice(): RiscvDevice {
    const device = this.walker.newDevice();
    this.walker.loadDevice(this.#request, device, new WalkResult());
    return device;
  }

  #next(entry: bigint, big: boolean): bigint {
    const bytes = this.memory.read64(entry, !big);
    if ((bytes & 1n) !== 0n) return ((bytes >> 10n) & ((1n << 44n) - 1n)) << 12n;
    const table = this.allocate(4096);
    this.put(entry, ((table >> 12n) << 10n) | 1n, big);
    return table;
  }
}

export function seen(out: WalkResult): Seen {
  if (out.status === 2) return { result: "msi", reads: out.reads };
  if (out.status === 0)
    return {
      result: "ok",
      pa: (BigInt(out.frame) << 12n) + BigInt(out.offset),
      page: out.pageShift === 0 ? 0n : 1n << BigInt(out.pageShift),
      perm: `${out.perm & READ ? "r" : "-"}${out.perm & WRITE ? "w" : "-"}${out.perm & EXECUTE ? "x" : "-"}`,
      domain: out.domain,
      asid: out.asid,
      passthrough: out.passthrough,
      global: out.global,
      reads: out.reads,
    };
  const word = (hi: number, lo: number) => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
  return {
    result: "fault",
    code: out.fault!.code,
    reason: out.reason,
    stage: out.stage,
    recorded: out.recorded,
    hole: out.hole,
    reads: out.reads,
    ...(out.level === NO_LEVEL ? {} : { level: out.level }),
    ...(out.entryFrame < 0 ? {} : { entry: (BigInt(out.entryFrame) << 12n) + BigInt(out.entryOffset) }),
    ...(out.entryKnown ? { value: word(out.entryHi, out.entryLo) } : {}),
    ...(out.hasFaultAddr ? { faultAddr: word(out.faultHi, out.faultLo) } : {}),
    ...(out.flags < 0 ? {} : { flags: out.flags }),
  };
}
