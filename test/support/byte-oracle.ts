/** Guest memory in the most obvious way: a byte per address. For comparison with the real one. */
export class ByteOracle {
  readonly bytes = new Map<bigint, number>();

  ram(address: bigint, size: bigint): void {
    for (let a = address; a < address + size; a++) if (!this.bytes.has(a)) this.bytes.set(a, 0);
  }

  write(address: bigint, data: Uint8Array): void {
    data.forEach((byte, i) => {
      this.bytes.set(address + BigInt(i), byte);
    });
  }

  /** A snapshot: segments of bytes and the zeros behind them; bytes beat zeros. */
  replace(segments: readonly { paddr: bigint; data: Uint8Array; memsz: bigint }[]): void {
    this.bytes.clear();
    for (const s of segments) this.write(s.paddr, s.data);
    for (const s of segments) this.ram(s.paddr, s.memsz);
  }

  /** Hex of a range; null where any of its bytes does not exist. */
  read(address: bigint, count: number): string | null {
    let text = "";
    for (let i = 0n; i < BigInt(count); i++) {
      const byte = this.bytes.get(address + i);
      if (byte === undefined) return null;
      text += byte.toString(16).padStart(2, "0");
    }
    return text;
  }
}
