/**
 * What a walker asks of guest memory. The walkers know nothing of files, records or caches; whoever holds the
 * bytes (parsers/memory, or a test) implements this.
 */
export interface GuestMemory {
  /** The bytes of the last successful `fetch`: `at` is the offset of the first one in `view`. */
  readonly view: DataView;
  readonly at: number;

  /**
   * Makes `bytes` bytes at physical address `frame * 4096 + offset` readable through `view` and `at`, without
   * copying them. The range must lie within one frame: table entries are naturally aligned, so they never
   * cross one.
   *
   * @param frame 4 KiB frame number, 0 to 2^52 - 1
   * @param offset byte offset in the frame, 0 to 4095
   * @returns false where any of the bytes is outside all recorded memory (a hole)
   */
  fetch(frame: number, offset: number, bytes: number): boolean;

  /**
   * Changes whenever bytes of a frame that `fetch` has served change, or may have changed. A cache of walk
   * results is valid for as long as the value that it was filled under.
   */
  readonly generation: number;

  /**
   * Says whether what was read of a frame is still so, and counts as a fetch of it.
   * Memory that does not know leaves it out: then everything may have changed with the generation.
   * @returns the generation in which a byte of the frame changed last, or may have; 0: none has since there is memory
   */
  changedAt?(frame: number): number;
}

/** Frame size of every fetch and every address split in the project: 4 KiB, the smallest of all vendors. */
export const FRAME_SHIFT = 12;
export const FRAME_BYTES = 1 << FRAME_SHIFT;
export const FRAME_MASK = FRAME_BYTES - 1;
/** Frames there are in 64 bits of address: a frame number is below this. */
export const FRAMES = 2 ** (64 - FRAME_SHIFT);

/** High 32 bits of the byte address of a frame (as int32). */
export function frameHi(frame: number): number {
  return (frame / 0x10_0000) | 0;
}

/** Low 32 bits of the byte address of a frame (as int32). */
export function frameLo(frame: number): number {
  return frame << FRAME_SHIFT;
}

const POWERS = Float64Array.from({ length: 65 }, (_, n) => 2 ** n);

/** 2 to the power of 0 to 64: the operator is a call into the runtime. */
export function pow2(n: number): number {
  return POWERS[n]!;
}

const FRAMES_OF = Float64Array.from({ length: 65 }, (_, shift) => 2 ** (shift - FRAME_SHIFT));

/** Frames of `2 ** shift` bytes; a fraction of one below 12. */
export function framesIn(shift: number): number {
  return FRAMES_OF[shift]!;
}

/** Frame number of a 64-bit byte address given as two 32-bit halves. */
export function frameOf(hi: number, lo: number): number {
  return (hi >>> 0) * 0x10_0000 + (lo >>> FRAME_SHIFT);
}
