/** Memory and registers that a driver of an emulator writes to and reads from; nothing acts on them. */
import type { EmulatedMachine } from "../../walkers/fuzz/emulator.ts";

export class FakeMachine implements EmulatedMachine {
  /** Writes in their order: "address = value" for registers, in hex. */
  readonly written: string[] = [];
  readonly #bytes = new Map<bigint, number>();

  /** Puts there what is read later. */
  set(address: bigint, value: bigint, bytes: number): void {
    for (let i = 0; i < bytes; i++)
      this.#bytes.set(address + BigInt(i), Number((value >> BigInt(8 * i)) & 0xffn));
  }

  /** Puts bytes there: hex, lowest address first. */
  put(address: bigint, hex: string): void {
    Buffer.from(hex, "hex").forEach((byte, i) => {
      this.#bytes.set(address + BigInt(i), byte);
    });
  }

  write32(address: bigint, value: number): void {
    this.#write(address, BigInt(value >>> 0), 4);
  }

  write64(address: bigint, value: bigint): void {
    this.#write(address, value, 8);
  }

  #write(address: bigint, value: bigint, bytes: number): void {
    this.written.push(`${address.toString(16)} = ${value.toString(16)}`);
    this.set(address, value, bytes);
  }

  write(address: bigint, hex: string): void {
    this.put(address, hex);
  }

  writeConfig(): void {
    // No driver has a register there.
  }

  async read32(address: bigint): Promise<number> {
    return Number(this.#read(address, 4));
  }

  async read64(address: bigint): Promise<bigint> {
    return this.#read(address, 8);
  }

  async readBytes(address: bigint, bytes: number): Promise<Uint8Array> {
    return Uint8Array.from({ length: bytes }, (_, i) => this.#bytes.get(address + BigInt(i)) ?? 0);
  }

  #read(address: bigint, bytes: number): bigint {
    let value = 0n;
    for (let i = bytes - 1; i >= 0; i--)
      value = (value << 8n) | BigInt(this.#bytes.get(address + BigInt(i)) ?? 0);
    return value;
  }
}
