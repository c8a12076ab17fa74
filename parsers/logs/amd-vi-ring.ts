/** A command of a ring that was dumped. */
export interface RingCommand {
  /** Its place in the ring. */
  readonly index: number;
  /** 64-bit words, lowest address first. */
  readonly words: readonly bigint[];
  readonly executed: boolean;
}

/**
 * The commands of a dumped command buffer, oldest first: from the tail on those of a round before, from the head to the
 * tail those that the IOMMU has not executed. Places that were never written are left out.
 * @param head index of the command that the IOMMU reads next
 * @param tail index that software writes next
 */
export function* ringOf(
  rows: readonly (readonly bigint[])[],
  head: number,
  tail: number,
): Generator<RingCommand> {
  const size = rows.length;
  if (size === 0) return;
  const pending = (((tail - head) % size) + size) % size;
  for (let n = 0; n < size; n++) {
    const index = (tail + n) % size;
    const words = rows[index]!;
    if (words.some((word) => word !== 0n)) yield { index, words, executed: n < size - pending };
  }
}

/** Four 32-bit words of a command as two of 64. */
export function doublewords(words: readonly number[]): bigint[] {
  const [a = 0, b = 0, c = 0, d = 0] = words;
  return [(BigInt(b) << 32n) | BigInt(a), (BigInt(d) << 32n) | BigInt(c)];
}
