/**
 * Commands that drop what another drops, and say so otherwise: by another address of a large page, by a range that begins
 * before the page, under another tag where the entry is for all. The vendor's own decoder says what a command covers.
 */
import type { OwedCommand } from "../../walkers/advice.ts";
import { FIRST, GLOBAL_SPACE, SECOND, type TranslationTag } from "../../walkers/caching.ts";
import { CommandDecoder } from "../../walkers/commands/command.ts";
import type { CommandSpec } from "../../walkers/commands/command-set.ts";
import type { Random } from "../../walkers/fuzz/random.ts";
import { allOnes, type EntryUse, type World } from "../../walkers/fuzz/world.ts";
import { ACCEPTED, type Invalidation } from "../../walkers/invalidation.ts";
import { FRAME_SHIFT, frameHi, frameLo, frameOf } from "../../walkers/memory.ts";
import type { Word64 } from "../../walkers/registers.ts";
import { coversPage, coversTags } from "../caches/invalidations/coverage.ts";

/** Tries to find one: it takes several operands that fit each other to name a range. */
const TRIES = 200;
/** A range begins at most so many pages before the one that is meant, as a power of two. */
const MOST_BEFORE = 6;
/** log2 of what is looked at of a page that is larger. */
const MOST_SHIFT = 42;

export class Equivalents {
  readonly #random: Random;
  readonly #decoder: CommandDecoder;
  readonly #encode: (command: OwedCommand) => Word64[] | null;

  constructor(world: World, random: Random, encode: (command: OwedCommand) => Word64[] | null) {
    this.#random = random;
    this.#encode = encode;
    this.#decoder = new CommandDecoder(world.model, world.state);
  }

  /**
   * Another form of a command that drops translations by address; the command itself where none is found.
   * @param asked frames of addresses that devices have asked for
   */
  of(command: OwedCommand, use: EntryUse, spec: CommandSpec, asked: readonly number[]): OwedCommand {
    const own = tagOf(use, use.space);
    if (!this.#covers(command, use, own)?.hasAddress) return command;
    const random = this.#random;
    const free = spec.layout.names().filter((field) => spec.fixed[field] === undefined);
    const otherTag = random.oneIn(4);
    const inside = use.shift > FRAME_SHIFT && random.oneIn(2);
    const tag = otherTag ? tagOf(use, GLOBAL_SPACE) : own;
    const last = use.frame + 2 ** (Math.min(use.shift, MOST_SHIFT) - FRAME_SHIFT) - 1;
    const used = asked.filter((frame) => frame >= use.frame && frame <= last);
    let found = command;
    for (let tries = 0; tries < TRIES; tries++) {
      // From one that does as well to the next: the operands that name a range come one after another.
      const other = this.#changed(found, use, spec, free, used);
      const inv = this.#covers(other, use, tag);
      if (!inv?.hasAddress) continue;
      found = other;
      const first = frameOf(inv.addrHi, inv.addrLo);
      if (otherTag ? !coversTags(inv, own) : inside ? first > use.frame : first < use.frame) break;
    }
    return found;
  }

  #changed(
    command: OwedCommand,
    use: EntryUse,
    spec: CommandSpec,
    free: readonly string[],
    used: readonly number[],
  ): OwedCommand {
    const random = this.#random;
    const fields: Record<string, number> = { ...command.fields };
    for (let i = 1 + random.below(4); i > 0; i--) {
      const field = random.pick(free);
      const { kind } = spec.layout.fields[field]!;
      const ones = Number(allOnes(spec.layout, field) & 0xf_ffff_ffff_ffffn);
      fields[field] =
        kind === "address" || kind === "frame"
          ? this.#frame(use, used)
          : random.below(Math.min(ones, 2 ** random.below(MOST_BEFORE)) + 1);
    }
    return { ...command, fields };
  }

  /** A page inside of what is mapped, one a little before it, or one whose low bits say the size of a range. */
  #frame({ frame, shift }: EntryUse, used: readonly number[]): number {
    const random = this.#random;
    const size = 2 ** (1 + random.below(MOST_BEFORE));
    const aligned = frame - (frame % size);
    switch (random.below(3)) {
      case 0:
        if (used.length > 0) return random.pick(used);
        return frame + random.below(2 ** (Math.min(shift, MOST_SHIFT) - FRAME_SHIFT));
      case 1:
        return aligned;
      default:
        return aligned + size / 2 - 1;
    }
  }

  /** What a command invalidates, where the specification stands behind it and the translation is among it. */
  #covers(command: OwedCommand, use: EntryUse, tag: TranslationTag): Invalidation | null {
    const words = this.#encode(command);
    const inv = words && this.#decoder.invalidation(words);
    if (!inv || inv.status !== ACCEPTED) return null;
    const hi = frameHi(use.frame);
    const lo = frameLo(use.frame);
    return coversTags(inv, tag) && coversPage(inv, tag, hi, lo, use.shift, use.shift, -1) ? inv : null;
  }
}

/** How a cache tags what it has translated by an entry. @param space GLOBAL_SPACE: the entry says that it is for all */
function tagOf({ domain, regime, stage, nested }: EntryUse, space: number): TranslationTag {
  const stages = nested ? FIRST | SECOND : stage === 1 ? FIRST : SECOND;
  return { domain, space, regime, stages, withoutTopByte: false };
}
