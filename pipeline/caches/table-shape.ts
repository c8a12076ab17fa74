import type { DeviceContext, ProcessContext } from "../../walkers/amd-vi/context.ts";
import { FRAME_SHIFT } from "../../walkers/memory.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { BITS_PER_LEVEL } from "../../walkers/page-tables/nines.ts";
import { SV32_LEVELS } from "../../walkers/page-tables/riscv-sv.ts";
import { FINAL_LEVEL } from "../../walkers/page-tables/vmsav8-64.ts";
import type { RiscvDevice, RiscvProcess } from "../../walkers/riscv/context.ts";
import type { StreamContext } from "../../walkers/smmuv3/stream-context.ts";
import type { SubstreamContext } from "../../walkers/smmuv3/substream-context.ts";
import { FIRST_STAGE, NESTED, type VtdProcess } from "../../walkers/vtd/context.ts";
import type { Structure } from "./history/past-walks.ts";
import type { Change } from "./history/versioned-memory.ts";

/** The sizes that table entries above the last level map, the smallest first: those of the stage that input addresses enter. */
export class Ladder {
  /** 1 or 2. */
  stage = 0;
  /** How many there are. */
  count = 0;
  #smallest = 0;
  #step = 0;
  /** Number of the level of the smallest, and whether numbers grow towards the root (Arm's do not). */
  #level = 0;
  #up = 1;

  set(stage: number, pageShift: number, step: number, levels: number, level = 2, up = 1): this {
    this.stage = stage;
    this.count = Math.max(levels - 1, 0);
    this.#smallest = pageShift + step;
    this.#step = step;
    this.#level = level;
    this.#up = up;
    return this;
  }

  shift(step: number): number {
    return this.#smallest + step * this.#step;
  }

  /** The level's number, as the specification counts. */
  level(step: number): number {
    return this.#level + step * this.#up;
  }

  /** The first step that maps more than a leaf of this size; `count` where there is none. */
  firstAbove(leafShift: number): number {
    let step = 0;
    while (step < this.count && this.shift(step) <= leafShift) step++;
    return step;
  }
}

const SV32_BITS = 10;

const ladder = new Ladder();

/**
 * The ladder of a context's tables. Reused: valid until the next call.
 * @param hi high half of the input address: Arm has two halves
 */
export function ladderOf(model: IommuModel, device: object, process: object, hi: number): Ladder {
  switch (model) {
    case "intel": {
      const p = process as VtdProcess;
      const first = p.kind === FIRST_STAGE || p.kind === NESTED;
      return ladder.set(first ? 1 : 2, FRAME_SHIFT, BITS_PER_LEVEL, first ? p.firstLevels : p.secondLevels);
    }
    case "amd": {
      const d = device as DeviceContext;
      const guest = (process as ProcessContext).guest !== 0;
      return ladder.set(guest ? 1 : 2, FRAME_SHIFT, BITS_PER_LEVEL, guest ? d.guestLevels : d.mode);
    }
    case "riscv": {
      const { firstLevels } = process as RiscvProcess;
      const levels = firstLevels || (device as RiscvDevice).secondLevels;
      const bits = levels === SV32_LEVELS ? SV32_BITS : BITS_PER_LEVEL;
      return ladder.set(firstLevels === 0 ? 2 : 1, FRAME_SHIFT, bits, levels);
    }
    case "arm-smmuv3": {
      const d = device as StreamContext;
      const p = process as SubstreamContext;
      const high = !p.onePrivilege && (hi & 0x80_0000) !== 0;
      const { granule, startLevel } = p.bypass ? d.stage2 : (high ? p.high : p.low).tables;
      const levels = p.bypass && !d.stage2Enabled ? 0 : FINAL_LEVEL - startLevel + 1;
      return ladder.set(p.bypass ? 2 : 1, granule, granule - 3, levels, FINAL_LEVEL - 1, -1);
    }
  }
}

// Bits of a table entry's lowest byte that tell a leaf from a pointer to a table, above the last level.
/** x86-64 and VT-d second-stage entries: PS. */
const PAGE_SIZE = 0x80;
/** VMSAv8-64 descriptors, 1:0: table. */
const ARM_TABLE = 3;
/** AMD v1: Next Level at 11:9, in the second byte; 0 and 7 are those of leaves. */
const AMD_NEXT_LEVEL = 0xe;
/** RISC-V: R, W and X. */
const RISCV_RIGHTS = 0xe;

/**
 * Whether a page-table entry pointed to another table before a change of the word that it stands in.
 * @param entry what a walk finds there now
 */
export function pointedToTable(model: IommuModel, entry: Structure, change: Change): boolean {
  if (entry.stage === 0 || entry.level === (model === "arm-smmuv3" ? FINAL_LEVEL : 1)) return false;
  const at = entry.offset - change.offset;
  const low = oldByte(change, at + (entry.littleEndian ? 0 : entry.bytes - 1));
  if (model === "riscv") return (low & RISCV_RIGHTS) === 0;
  if (model === "arm-smmuv3") return (low & ARM_TABLE) === ARM_TABLE;
  if (model === "intel" || entry.stage === 1) return (low & PAGE_SIZE) === 0;
  const next = oldByte(change, at + 1) & AMD_NEXT_LEVEL;
  return next !== 0 && next !== AMD_NEXT_LEVEL;
}

/** A byte of the word before the change, lowest address first. */
function oldByte({ oldHi, oldLo }: Change, index: number): number {
  return ((index < 4 ? oldLo : oldHi) >>> (8 * (index & 3))) & 0xff;
}
