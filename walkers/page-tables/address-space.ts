import { FRAME_SHIFT } from "../memory.ts";
import { type LevelGeometry, RADIX512 } from "./geometry.ts";

/** The tables of one stage, as far as their shape goes: what their entries mean is the walker's business. */
export interface StageTables {
  readonly stage: 1 | 2;
  /** `x86-64`, `vtd-ss`, `amdv1`, `vmsav8-64`, `riscv-sv39` or `riscv-sv39x4` and so on. */
  readonly format: string;
  /** Root table: frame number and offset in the frame. */
  readonly frame: number;
  readonly offset: number;
  readonly levels: number;
  readonly geometry: LevelGeometry;
  /** log2 of the bytes that lie under an entry of a level, by its low half, where they may be fewer than it maps. */
  readonly used?: (level: number, entryLo: number) => number;
}

/** Input addresses that the same tables translate: 4 KiB frames `from` to `to` - 1. */
export interface Region {
  readonly from: number;
  readonly to: number;
  readonly first: StageTables | null;
  readonly second: StageTables | null;
}

/** How the requests of one kind of one device are translated: everything that enumerating their addresses needs. */
export interface AddressSpace {
  readonly translation: TranslationKind;
  /** In ascending order. Outside of them every request faults, or is an alias of one inside. */
  readonly regions: readonly Region[];
  /** Input frames at which the outcome may change whatever the tables say, in ascending order. */
  readonly boundaries: readonly number[];
  /** Output frames, first and last, that no request may come out in; null: none. */
  readonly withheld: readonly [first: number, last: number] | null;
  /** Largest block around a second-stage input frame, as its log2 and at most `shift`, in which nothing has another table. */
  readonly narrow: ((frame: number, shift: number) => number) | null;
  /** VT-d DID, AMD DomainID, Arm VMID, RISC-V GSCID; -1: none. */
  readonly domain: number;
  /** Arm ASID, RISC-V PSCID; -1: none. */
  readonly asid: number;
}

export const TRANSLATION_KINDS = ["stage1", "stage2", "nested", "passthrough"] as const;
export type TranslationKind = (typeof TRANSLATION_KINDS)[number];

/** Tables of 512 entries of 8 bytes. */
export function radix512Tables(stage: 1 | 2, format: string, frame: number, levels: number): StageTables {
  return { stage, format, frame, offset: 0, levels, geometry: RADIX512 };
}

/** One past the last frame of a 64-bit address space. */
export const ALL_FRAMES = 2 ** (64 - FRAME_SHIFT);

/** Frames below 2^bits bytes. */
export function framesOf(bits: number): number {
  return 2 ** (Math.min(bits, 64) - FRAME_SHIFT);
}

/** The addresses from 0 to 2^bits bytes. */
export function lowRegion(bits: number, first: StageTables | null, second: StageTables | null): Region[] {
  return [{ from: 0, to: framesOf(bits), first, second }];
}

/** Addresses of `bits` bits whose highest is copied into all above: a lower and an upper half. */
export function signedRegions(bits: number, first: StageTables | null, second: StageTables | null): Region[] {
  const half = framesOf(bits - 1);
  return [
    { from: 0, to: half, first, second },
    { from: ALL_FRAMES - half, to: ALL_FRAMES, first, second },
  ];
}

export function translationOf(first: StageTables | null, second: StageTables | null): TranslationKind {
  if (first !== null) return second !== null ? "nested" : "stage1";
  return second !== null ? "stage2" : "passthrough";
}
