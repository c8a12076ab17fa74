/** The commands after a change: the right ones, others that do as well, all there are, narrower ones, any. */
import type { OwedCommand } from "../../walkers/advice.ts";
import { encodeCommand } from "../../walkers/commands/command.ts";
import type { CommandSpec } from "../../walkers/commands/command-set.ts";
import type { Random } from "../../walkers/fuzz/random.ts";
import type { VendorFuzzing } from "../../walkers/fuzz/vendor-fuzzing.ts";
import {
  allOnes,
  type EntryUse,
  type World,
  type WorldEntry,
  type WorldRecord,
} from "../../walkers/fuzz/world.ts";
import type { Word64 } from "../../walkers/registers.ts";
import type { Vendor } from "../../walkers/vendor.ts";
import { hexHalves } from "../../walkers/word64.ts";
import type { FuzzCoverage } from "./coverage.ts";
import { Equivalents } from "./equivalents.ts";
import type { Tries } from "./tries.ts";

/** Most commands for one change: a structure may be used under very many tags. */
const MOST_COMMANDS = 12;

export class Invalidations {
  readonly #world: World;
  readonly #vendor: Vendor;
  readonly #fuzzing: VendorFuzzing;
  readonly #random: Random;
  readonly #equivalents: Equivalents;
  readonly #coverage: FuzzCoverage;
  readonly #tries: Tries;

  /** @param tries of which kinds of commands there have been how many */
  constructor(
    world: World,
    vendor: Vendor,
    fuzzing: VendorFuzzing,
    coverage: FuzzCoverage,
    random: Random,
    tries: Tries,
  ) {
    this.#fuzzing = fuzzing;
    this.#world = world;
    this.#vendor = vendor;
    this.#random = random;
    this.#coverage = coverage;
    this.#tries = tries;
    this.#equivalents = new Equivalents(world, random, (command) => this.#encoded(command));
  }

  /** What a change of an entry asks for, by everybody who uses it. */
  right(entry: WorldEntry): OwedCommand[] {
    return this.#owed(entry).map(({ command }) => command);
  }

  /** Others that drop the same. @param asked frames of addresses that devices have asked for */
  equivalent(entry: WorldEntry, asked: readonly number[]): OwedCommand[] {
    return this.#owed(entry).map(({ use, command }) => {
      const spec = this.#spec(command.name);
      return spec === undefined || use.whole || use.table
        ? command
        : this.#equivalents.of(command, use, spec, asked);
    });
  }

  #owed(entry: WorldEntry): { readonly use: EntryUse; readonly command: OwedCommand }[] {
    const { advice } = this.#vendor;
    if (advice === null) return [];
    const owed = new Map<string, { use: EntryUse; command: OwedCommand }>();
    for (const use of entry.uses) {
      const command = advice(use, this.#world.state);
      if (command.register === undefined) owed.set(JSON.stringify(command), { use, command });
    }
    return [...owed.values()].slice(0, MOST_COMMANDS);
  }

  /** Everything. */
  wide(entry: WorldEntry): OwedCommand[] {
    const use = entry.uses[0];
    if (use === undefined) return [];
    const all = this.#vendor.rootAdvice?.(this.#world.state, use.device, use.domain) ?? [];
    return all.filter(({ register }) => register === undefined);
  }

  /** The right ones, with a field of one of them changed. */
  narrow(entry: WorldEntry): OwedCommand[] {
    const commands = this.right(entry);
    if (commands.length === 0) return commands;
    const random = this.#random;
    const index = random.below(commands.length);
    const { name, fields, ...rest } = commands[index]!;
    const spec = this.#spec(name);
    const free = spec?.layout.names().filter((field) => spec.fixed[field] === undefined) ?? [];
    if (free.length === 0) return commands;
    const field = random.pick(free);
    const changed = { ...fields, [field]: this.#value(spec!, field, fields[field] ?? 0) };
    return commands.with(index, { name, fields: changed, ...rest });
  }

  /** One command with any operands: rarely one that the device refuses, after which a queue may stop. */
  any(): OwedCommand[] {
    const random = this.#random;
    const all = this.#vendor.commands?.specs.filter(({ invalidate }) => invalidate) ?? [];
    if (all.length === 0) return [];
    const taken = all.filter(({ name }) => this.#coverage.can("command", name));
    const specs = taken.length > 0 && !random.oneIn(8) ? taken : all;
    const spec = this.#tries.choose(
      () => random.pick(specs),
      ({ name }) => name,
    );
    const fields: Record<string, number> = {};
    for (const field of spec.layout.names())
      if (spec.fixed[field] === undefined && random.oneIn(3)) fields[field] = this.#value(spec, field, 0);
    return [{ name: spec.name, fields }];
  }

  #spec(name: string): CommandSpec | undefined {
    return this.#vendor.commands?.specs.find((spec) => spec.name === name);
  }

  /** Ids that the world has, addresses that are mapped, or a neighbour of what is there. */
  #value(spec: CommandSpec, field: string, now: number): number {
    const random = this.#random;
    const { kind } = spec.layout.fields[field]!;
    const ones = Number(allOnes(spec.layout, field) & 0xf_ffff_ffff_ffffn);
    const { targets, entries } = this.#world;
    const target = targets.length > 0 ? random.pick(targets) : undefined;
    if (kind === "address" || kind === "frame") {
      const first = Number((target?.address ?? 0n) >> 12n);
      return Math.max(first - 1 + random.below(random.oneIn(2) ? 3 : 512), 0);
    }
    const used = entries.length > 0 ? random.pick(entries).uses : [];
    const use = used.length > 0 ? random.pick(used) : undefined;
    const ids = [use?.domain, use?.space, use?.device, use?.pasid].filter(
      (id) => id !== undefined && id >= 0,
    );
    const value = random.oneIn(2) && ids.length > 0 ? random.pick(ids)! : now + 1 + random.below(3);
    return value % (ones + 1);
  }

  /** What completes those before it. */
  completion(): WorldRecord[] {
    const own = this.#fuzzing.completion?.(this.#world);
    if (own !== undefined) return this.records([own]);
    const spec = this.#vendor.commands?.specs.find(({ completion }) => completion === true);
    return spec === undefined ? [] : this.records([{ name: spec.name, fields: {}, words: this.#words() }]);
  }

  /** Words of a command, where the mode decides: those of what is advised. */
  #words(): number | undefined {
    const { state } = this.#world;
    return this.#vendor.rootAdvice?.(state, 0, 0)[0]?.words;
  }

  records(commands: readonly OwedCommand[]): WorldRecord[] {
    return commands.flatMap((command) => {
      const data = this.#encoded(command)?.map(({ hi, lo }) => hexHalves(hi, lo));
      return data === undefined ? [] : [{ type: "cmd", iommu: "iommu0", data }];
    });
  }

  #encoded({ name, fields, words }: OwedCommand): Word64[] | null {
    const most = this.#world.limits.commands?.[name] ?? {};
    const within = Object.entries(fields).map(([field, value]) => [
      field,
      Math.min(value, most[field] ?? value),
    ]);
    try {
      return encodeCommand(this.#world.model, name, Object.fromEntries(within), words ?? this.#words());
    } catch (error) {
      // A value that its field cannot hold: there is no such command.
      if (error instanceof RangeError) return null;
      throw error;
    }
  }
}
