import type { ByteMask } from "./byte-mask.ts";

/** What a memory image has of a frame. */
export const ABSENT = 0;
/** All 4096 bytes, at `view` and `at`. */
export const BYTES = 1;
/** All 4096 bytes, and they are zero. */
export const ZERO = 2;
/** Some of it, or all of it in several pieces: use `compose`. */
export const PIECES = 3;
/** The image should have it, but reading failed: see `takeError`. */
export const FAILED = 4;
export type FrameKind = 0 | 1 | 2 | 3 | 4;

/** Why memory could not be used; `code` is that of the trace contract's `error` record. */
export interface MemoryError {
  readonly code: "schema" | "range" | "io";
  readonly message: string;
}

/** Guest memory as a file holds it, whatever the format: frames, read when they are asked for. */
export interface MemoryImage {
  /** After `find` gave BYTES: the frame's bytes. They stay as they are for at least 64 further calls. */
  readonly view: DataView;
  readonly at: number;
  /** Changes when bytes that `find` gave earlier may be overwritten by others: forget kept views. */
  readonly evictions: number;

  /** Looks a frame up. */
  find(frame: number): FrameKind;

  /**
   * Copies what there is of a frame into `page` from byte `at` on, and adds it to `mask`.
   * @returns false where reading failed
   */
  compose(frame: number, page: Uint8Array, at: number, mask: ByteMask): boolean;

  /** What went wrong while reading, given once; null where nothing did, or it was taken already. */
  takeError(): MemoryError | null;

  close(): void;
}
