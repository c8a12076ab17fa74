/**
 * An emulator of a vendor's IOMMU that can be driven from outside, as the vendor describes it: how its machine is started,
 * where its registers are, how commands are given, and what it says of a request. Who drives it does the talking.
 */
import type { PropertyValue } from "../registers.ts";

/** A machine whose memory and devices can be reached. Writes are carried out in their order, before the next read. */
export interface EmulatedMachine {
  write32(address: bigint, value: number): void;
  write64(address: bigint, value: bigint): void;
  /** @param hex bytes, lowest address first */
  write(address: bigint, hex: string): void;
  read32(address: bigint): Promise<number>;
  read64(address: bigint): Promise<bigint>;
  /** A 32-bit register in the configuration space of a device on bus 0. */
  writeConfig(device: number, register: number, value: number): void;
}

/** What an emulator did with a request, by its trace events. */
export interface EmulatedAnswer {
  readonly result: "ok" | "fault";
  /** ok: where the first byte went. */
  readonly pa?: bigint;
  readonly code?: number;
  readonly recorded?: boolean;
  /** It came from a cache, which checks rights without telling: whether bytes arrived is to be looked at. */
  readonly cached?: boolean;
}

export interface EmulatorDriver {
  /** Of the program: "qemu-system-" and this. */
  readonly architecture: string;
  /** What the emulated IOMMU is called. */
  readonly name: string;
  /** Words of the command line, but for memory, accelerator and devices. @param version 7.2 is 7.2 */
  machine(version: number): readonly string[];
  /** Properties that the machine has and no register tells. */
  props(version: number): Readonly<Record<string, PropertyValue>>;
  /** Trace events that tell what became of a request. */
  readonly events: readonly string[];
  /** Memory that worlds may use; what is below it is the driver's own. */
  readonly memory: { readonly base: bigint; readonly bytes: bigint };
  /** Where registers of further devices may be placed. */
  readonly window: bigint;
  /** Firmware for a processor that is to do nothing, and where its file is mapped; null: none is needed. */
  readonly firmware: Uint8Array;
  /** The registers that say what it can do. */
  identify(machine: EmulatedMachine): Promise<Readonly<Record<string, bigint>>>;
  /** Translation off, caches empty, the queue as new. */
  reset(machine: EmulatedMachine): Promise<void>;
  /** Takes over registers by their names in traces, and begins to translate. */
  configure(machine: EmulatedMachine, registers: Readonly<Record<string, bigint>>): void;
  /** Gives one command of the queue. */
  command(machine: EmulatedMachine, words: readonly bigint[]): void;
  /** What the lines of its trace events say of one request. @param address its first byte */
  answer(lines: readonly string[], address: bigint): EmulatedAnswer | null;
}
