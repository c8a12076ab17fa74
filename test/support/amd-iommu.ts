/**
 * An AMD IOMMU over tables built bit by bit: raw words alone, no layout of the walker's is used here, so that a
 * field declared at the wrong place shows.
 */
import { AmdViWalker } from "../../walkers/amd-vi/index.ts";
import { WalkEngine } from "../../walkers/engine.ts";
import { IommuState, type PropertyValue } from "../../walkers/registers.ts";
import { type Binding, EXECUTE, NO_PASID, READ, WalkRequest, WRITE } from "../../walkers/request.ts";
import { NO_LEVEL, type WalkResult } from "../../walkers/result.ts";
import { TableMemory } from "./table-memory.ts";

export const PAGE = 4096n;
const DEVICE_TABLE = 0x100_0000n;
const FIRST_TABLE = 0x200_0000n;

// Device table entry, first and second doubleword.
export const DTE_V = 1n;
export const DTE_TV = 2n;
export const DTE_GIOV = 1n << 54n;
export const DTE_GV = 1n << 55n;
export const DTE_IR = 1n << 61n;
export const DTE_IW = 1n << 62n;
export const DTE_SE = 1n << (97n - 64n);
export const DTE_SA = 1n << (98n - 64n);
export const DTE_EX = 1n << (103n - 64n);

// v1 entries.
export const IR = 1n << 61n;
export const IW = 1n << 62n;
export const PR = 1n;
// x86-64 entries.
export const P = 1n;
export const RW = 2n;
export const US = 4n;
export const PS = 0x80n;
export const G = 0x100n;
export const NX = 1n << 63n;

// Control register.
export const IOMMU_EN = 1n;
export const EVENT_LOG_EN = 4n;
export const GT_EN = 1n << 16n;
export const EPH_EN = 1n << 45n;
export const GCR3_TRP_MODE = 1n << 58n;

/** EFR with every feature that the walker asks for: 6 host levels, 5 guest levels, 3 GCR3 levels, 20 PASID bits. */
export const EFR_ALL =
  (1n << 3n) |
  (1n << 4n) |
  (2n << 10n) |
  (1n << 12n) |
  (2n << 14n) |
  (19n << 32n) |
  (1n << 37n) |
  (1n << 48n) |
  (1n << 50n);

/** The GCR3 table root pointer's three pieces, as OR masks for the first two doublewords. */
export function gcr3Pieces(root: bigint): [bigint, bigint] {
  return [
    ((root >> 12n) & 7n) << 58n,
    (((root >> 15n) & 0xffffn) << 16n) | (((root >> 31n) & 0x1f_ffffn) << 43n),
  ];
}

export interface Seen {
  readonly result: "ok" | "fault" | "msi";
  readonly pa?: bigint;
  readonly page?: bigint;
  readonly perm?: string;
  readonly domain?: number;
  readonly passthrough?: boolean;
  readonly global?: boolean;
  readonly code?: number;
  readonly name?: string;
  readonly reason?: string;
  readonly stage?: number;
  readonly level?: number;
  readonly entry?: bigint;
  readonly value?: bigint;
  readonly hole?: boolean;
  readonly recorded?: boolean;
  readonly flags?: number;
  readonly faultAddr?: bigint;
  readonly reads: number;
}

export interface Ask {
  readonly pasid?: number;
  readonly access?: "r" | "w" | "rw" | "x";
  readonly priv?: boolean;
  readonly binding?: Binding;
}

const ACCESS = { r: READ, w: WRITE, rw: READ | WRITE, x: EXECUTE };

export class AmdIommu {
  readonly memory = new TableMemory();
  readonly walker = new AmdViWalker(this.memory);
  readonly engine = new WalkEngine(this.walker);
  readonly state = new IommuState();
  readonly #request = new WalkRequest();
  #free = FIRST_TABLE;

  constructor(registers: Readonly<Record<string, bigint>> = {}, props: Record<string, PropertyValue> = {}) {
    this.memory.ram(DEVICE_TABLE, 0x2000n);
    this.set({ dev_tab_base: DEVICE_TABLE | 1n, ...registers }, props);
  }

  set(registers: Readonly<Record<string, bigint>>, props: Record<string, PropertyValue> = {}): void {
    for (const [name, value] of Object.entries(registers))
      this.state.registers.set(name, {
        hi: Number(BigInt.asIntN(32, value >> 32n)),
        lo: Number(BigInt.asIntN(32, value)),
      });
    for (const [name, value] of Object.entries(props)) this.state.props.set(name, value);
    this.walker.configure(this.state);
    this.engine.drop();
  }

  /** A zeroed 4 KiB frame of system memory. */
  table(): bigint {
    const address = this.#free;
    this.#free += PAGE;
    this.memory.ram(address, PAGE);
    return address;
  }

  dte(device: number, ...words: bigint[]): void {
    words.forEach((word, i) => {
      this.memory.write64(DEVICE_TABLE + BigInt(device) * 32n + BigInt(i) * 8n, word);
    });
  }

  dteAddress(device: number): bigint {
    return DEVICE_TABLE + BigInt(device) * 32n;
  }

  /** A device with host tables alone. */
  hostDevice(device: number, root: bigint, mode: number, domain = 7, perm = DTE_IR | DTE_IW): void {
    this.dte(device, DTE_V | DTE_TV | (BigInt(mode) << 9n) | root | perm, BigInt(domain));
  }

  /** A device with guest tables, over host tables where `mode` is not 0. */
  guestDevice(
    device: number,
    gcr3: bigint,
    glx: number,
    options: { levels?: 4 | 5; root?: bigint; mode?: number; or0?: bigint; domain?: number } = {},
  ): void {
    const [low, high] = gcr3Pieces(gcr3);
    const mode = BigInt(options.mode ?? 0);
    this.dte(
      device,
      DTE_V |
        DTE_TV |
        (mode << 9n) |
        (options.root ?? 0n) |
        DTE_GV |
        (BigInt(glx) << 56n) |
        low |
        DTE_IR |
        DTE_IW |
        (options.or0 ?? 0n),
      BigInt(options.domain ?? 7) | high,
      options.levels === 5 ? 1n << 54n : 0n,
    );
  }

  ask(device: number, address: bigint, how: Ask = {}): Seen {
    const request = this.#request;
    request.device = device;
    request.pasid = how.pasid ?? NO_PASID;
    request.addrHi = Number(BigInt.asIntN(32, address >> 32n));
    request.addrLo = Number(BigInt.asIntN(32, address));
    request.access = ACCESS[how.access ?? "r"];
    request.priv = how.priv ?? false;
    request.binding = how.binding ?? null;
    return seen(this.engine.walk(request));
  }
}

function bytes(frame: number, offset: number): bigint {
  return BigInt(frame) * PAGE + BigInt(offset);
}

function word(hi: number, lo: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

function seen(r: WalkResult): Seen {
  const common = { domain: r.domain, reads: r.reads };
  if (r.status === 2) return { result: "msi", ...common };
  if (r.status === 0)
    return {
      result: "ok",
      pa: bytes(r.frame, r.offset),
      page: r.pageShift === 0 ? 0n : 1n << BigInt(r.pageShift),
      perm: (r.perm & 1 ? "r" : "-") + (r.perm & 2 ? "w" : "-") + (r.perm & 4 ? "x" : "-"),
      passthrough: r.passthrough,
      global: r.global,
      ...common,
    };
  return {
    result: "fault",
    code: r.fault!.code,
    name: r.fault!.name,
    reason: r.reason,
    stage: r.stage,
    recorded: r.recorded,
    flags: r.flags,
    hole: r.hole,
    ...(r.level === NO_LEVEL ? {} : { level: r.level }),
    ...(r.entryFrame < 0 ? {} : { entry: bytes(r.entryFrame, r.entryOffset) }),
    ...(r.entryKnown ? { value: word(r.entryHi, r.entryLo) } : {}),
    ...(r.hasFaultAddr ? { faultAddr: word(r.faultHi, r.faultLo) } : {}),
    ...common,
  };
}
