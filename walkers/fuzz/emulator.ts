/**
 * An emulator of a vendor's IOMMU that can be driven from outside, as the vendor describes it: how its machine is started,
 * where its registers are, how commands are given, and what it says of a request. Who drives it does the talking.
 */
import type { PropertyValue } from "../registers.ts";
import type { Limits, MemoryRange } from "./world.ts";

/** Functions that requests come from: of both halves of a bus, and one beside another. */
export const FUNCTIONS: readonly number[] = [0x18, 0x20, 0x21, 0xf0];

/** A machine whose memory and devices can be reached. Writes are carried out in their order, before the next read. */
export interface EmulatedMachine {
  write32(address: bigint, value: number): void;
  write64(address: bigint, value: bigint): void;
  /** @param hex bytes, lowest address first */
  write(address: bigint, hex: string): void;
  read32(address: bigint): Promise<number>;
  read64(address: bigint): Promise<bigint>;
  readBytes(address: bigint, bytes: number): Promise<Uint8Array>;
  /** A 32-bit register in the configuration space of a device on bus 0. */
  writeConfig(device: number, register: number, value: number): void;
}

/** A request that no device of the emulator can make. */
export interface EmulatedRequest {
  readonly device: number;
  readonly pasid: number | undefined;
  readonly address: bigint;
  readonly bytes: number;
  readonly access: string;
  readonly priv: boolean;
}

/** What an emulator did with a request, by its trace events and what it wrote into its fault log. */
export interface EmulatedAnswer {
  readonly result: "ok" | "fault";
  /** ok: where the first byte went; absent: nobody can tell, unless `places` are given. */
  readonly pa?: bigint;
  /** ok, instead of `pa`: where it may have gone, as it is not told how large the page is. */
  readonly places?: readonly bigint[];
  /** ok: where the bytes of further pages of 4 KiB went. */
  readonly furtherPages?: readonly bigint[];
  readonly code?: number;
  readonly recorded?: boolean;
  readonly stage?: 1 | 2;
  /** Arm's class of the access that faulted. */
  readonly faultClass?: string;
  /** It came from a cache, which checks rights without telling: whether bytes arrived is to be looked at. */
  readonly cached?: boolean;
  /** Addresses that a refusal without a record would say the same of: the IOMMU is to be asked for them once more. */
  readonly unsure?: readonly bigint[];
}

export interface EmulatorDriver {
  /** Of the program: "qemu-system-" and this. */
  readonly architecture: string;
  /** What the emulated IOMMU is called. */
  readonly name: string;
  /** First version that has it; absent: any. */
  readonly since?: number;
  /** Words of the command line, but for memory, accelerator and devices. @param version 7.2 is 7.2 */
  machine(version: number): readonly string[];
  /** Properties that the machine has and no register tells. */
  props(version: number): Readonly<Record<string, PropertyValue>>;
  /** Whether a version has a fault log that says what was recorded. Absent: all have. */
  logsFaults?(version: number): boolean;
  /** What its requests can be, where that is not what an `edu` device makes of bytes in memory. */
  readonly limits: Partial<Limits>;
  /** What it does not tell of its answers, in words. Absent: nothing more than the limits say. */
  untold?(version: number): readonly string[];
  /** Trace events that tell what became of a request. */
  readonly events: readonly string[];
  /** Requester ids of its devices, on bus 0. */
  readonly devices: readonly number[];
  /** Memory that worlds may use; what is below it, from `firstByte` on, is the driver's own. */
  readonly memory: MemoryRange;
  /** Where memory begins. */
  readonly firstByte: bigint;
  /** All that reads as memory: zeros, but for little that is the driver's and the machine's own. */
  readonly ram: readonly MemoryRange[];
  /** Where configuration space is mapped; null: it is reached by x86's ports. */
  readonly ecam: bigint | null;
  /** Where registers of further devices may be placed. */
  readonly window: bigint;
  /** Firmware for a processor that is to do nothing. */
  readonly firmware: Uint8Array;
  /**
   * What of a world an emulated machine cannot forget: worlds of which this says something else get a machine of their own.
   * Absent: it forgets all.
   */
  imprint?(registers: Readonly<Record<string, bigint>>): string;
  /** What a new machine needs before its devices reach memory. */
  prepare?(machine: EmulatedMachine): void;
  /** The registers that say what it can do. */
  identify(machine: EmulatedMachine): Promise<Readonly<Record<string, bigint>>>;
  /** Translation off, caches empty, the queue as new. */
  reset(machine: EmulatedMachine): Promise<void>;
  /** Takes over registers by their names in traces, and begins to translate. */
  configure(machine: EmulatedMachine, registers: Readonly<Record<string, bigint>>): void;
  /**
   * Lets requests through as if there were no IOMMU, and no longer; what its caches hold stays as it is.
   * Absent: an answer always has `pa`.
   */
  forward?(machine: EmulatedMachine, all: boolean): void;
  /** Gives one command of the queue. */
  command(machine: EmulatedMachine, words: readonly bigint[]): void;
  /** Asks the IOMMU itself, instead of a device. @returns null: not in this way either */
  ask?(machine: EmulatedMachine, request: EmulatedRequest): Promise<EmulatedAnswer | null>;
  /** The first record in its fault log since this was last asked; null: there is none. Absent: its events say it all. */
  faultRecord?(machine: EmulatedMachine): Promise<DataView | null>;
  /**
   * Where a write that came to nothing, or of which nobody can tell what it came to, may have written all the same: any
   * address of each page of 4 KiB. Absent: it is not told.
   */
  reached?(lines: readonly string[], address: bigint): readonly bigint[];
  /**
   * What the lines of its trace events, and its fault log, say of one request.
   * @param address its first byte
   * @param write whether it wrote
   */
  answer(
    lines: readonly string[],
    address: bigint,
    record: DataView | null,
    write: boolean,
  ): EmulatedAnswer | null;
}
