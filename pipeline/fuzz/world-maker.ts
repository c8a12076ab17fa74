import { Random } from "../../walkers/fuzz/random.ts";
import type { VendorFuzzing } from "../../walkers/fuzz/vendor-fuzzing.ts";
import {
  type Limits,
  type Target,
  World,
  type WorldEntry,
  type WorldRecord,
} from "../../walkers/fuzz/world.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { Vendor } from "../../walkers/vendor.ts";
import type { FuzzCoverage } from "./coverage.ts";
import { Invalidations } from "./invalidations.ts";
import { mutateEntry, mutateRegister } from "./mutations.ts";
import { Requests } from "./requests.ts";
import { anyEntry, Tries } from "./tries.ts";

/** What a world was made of: enough to make it again, and others from it. */
export interface Recipe {
  /** Of the vendor's sound world. */
  readonly seed: number;
  /** What is otherwise than in that: structures by their addresses, registers by their names. */
  readonly entries: ReadonlyMap<bigint, Uint8Array>;
  readonly registers: ReadonlyMap<string, bigint>;
}

/** A world with what happens in it. */
export interface WorldCase {
  readonly number: number;
  readonly recipe: Recipe;
  readonly world: World;
  readonly records: readonly WorldRecord[];
}

/** Worlds that reached something new, to make others from. */
const MOST_KEPT = 256;
/** Most structures of a world that are otherwise than in the sound one that it was made from. */
const MOST_CHANGED = 6;

/**
 * Makes one world after another: new ones, and changed ones of those that reached something new. The same for the same
 * seed and limits, whatever the device answers.
 */
export class WorldMaker {
  readonly #model: IommuModel;
  readonly #vendor: Vendor;
  readonly #fuzzing: VendorFuzzing;
  readonly #limits: Limits;
  readonly #coverage: FuzzCoverage;
  readonly #random: Random;
  readonly #kept: Recipe[] = [];
  readonly #tries = new Tries();
  #number = 0;

  constructor(
    model: IommuModel,
    vendor: Vendor,
    fuzzing: VendorFuzzing,
    limits: Limits,
    coverage: FuzzCoverage,
    seed: number,
  ) {
    this.#model = model;
    this.#vendor = vendor;
    this.#fuzzing = fuzzing;
    this.#limits = limits;
    this.#coverage = coverage;
    this.#random = new Random(seed);
  }

  next(): WorldCase {
    const random = this.#random;
    const from = this.#kept.length > 0 && random.oneIn(2) ? random.pick(this.#kept) : null;
    const fresh: Recipe = { seed: random.word(), entries: new Map(), registers: new Map() };
    const { world, recipe } = this.#build(from ?? fresh, random.below(4));
    const records = new Happenings(
      world,
      this.#vendor,
      this.#fuzzing,
      this.#coverage,
      random.fork(),
      this.#tries,
    ).records();
    return { number: ++this.#number, recipe, world, records };
  }

  /** The world reached something new: others are made from it. */
  keep({ recipe }: WorldCase): void {
    if (this.#kept.length < MOST_KEPT) this.#kept.push(recipe);
    else this.#kept[this.#random.below(MOST_KEPT)] = recipe;
  }

  /** Makes a world anew, and changes so much more in it. */
  #build(from: Recipe, changes: number): { readonly world: World; readonly recipe: Recipe } {
    const { registers: layouts, capabilities, landmarks } = this.#fuzzing;
    const random = this.#random;
    const world = new World(this.#model, layouts, new Random(from.seed), this.#limits, landmarks);
    this.#fuzzing.build(world);
    const entries = new Map(from.entries);
    for (const [address, bytes] of entries) world.setBytes(world.entryAt(address)!, bytes);
    for (const [name, value] of from.registers) world.setRegister(name, value);
    const registers = new Map(from.registers);
    for (let i = 0; i < changes; i++)
      if (random.oneIn(3)) {
        const names = random.oneIn(8) ? Object.keys(layouts) : capabilities;
        const name = mutateRegister(world, names, layouts, random, this.#tries);
        if (name !== undefined) registers.set(name, world.registers.get(name)!);
      } else if (world.entries.length > 0 && entries.size < MOST_CHANGED) {
        const entry = anyEntry(world.entries, random, this.#tries);
        mutateEntry(world, entry, this.#fuzzing, this.#coverage, random, this.#tries);
        entries.set(entry.address, world.bytes(entry));
      }
    return { world, recipe: { seed: from.seed, entries, registers } };
  }
}

function frameOfRequest({ addr }: WorldRecord): number {
  return Number(BigInt(addr as string) >> 12n);
}

/**
 * Entries that map pages, by their stage and their pages' size: large ones are few. Without those of a stage under
 * another one, whose changes are not invalidated by address.
 */
function leavesOf(entries: readonly WorldEntry[]): WorldEntry[][] {
  const bySize = new Map<string, WorldEntry[]>();
  for (const entry of entries) {
    const use = entry.uses.find(
      ({ table, whole, stage, nested }) => !table && !whole && !(nested && stage === 2),
    );
    if (use === undefined || entry.targets.length === 0) continue;
    const key = `${use.stage} ${use.shift}`;
    const alike = bySize.get(key) ?? [];
    bySize.set(key, alike);
    alike.push(entry);
  }
  return [...bySize.values()];
}

/** Changes of tables while devices ask, and what software does about them. */
class Happenings {
  readonly #world: World;
  readonly #fuzzing: VendorFuzzing;
  readonly #coverage: FuzzCoverage;
  readonly #random: Random;
  readonly #tries: Tries;
  readonly #requests: Requests;
  readonly #invalidations: Invalidations;
  /** Walks see what processors have written only where that is flushed. */
  readonly #flushes: boolean;
  readonly #records: WorldRecord[];

  constructor(
    world: World,
    vendor: Vendor,
    fuzzing: VendorFuzzing,
    coverage: FuzzCoverage,
    random: Random,
    tries: Tries,
  ) {
    this.#world = world;
    this.#fuzzing = fuzzing;
    this.#coverage = coverage;
    this.#random = random;
    this.#tries = tries;
    this.#requests = new Requests(world, random);
    this.#invalidations = new Invalidations(world, vendor, fuzzing, coverage, random, tries);
    this.#flushes = vendor.coherence(world.state).because !== "";
    this.#records = world.setup();
    if (this.#flushes) this.#records.splice(-1, 0, { type: "flush" });
  }

  records(): readonly WorldRecord[] {
    const random = this.#random;
    for (let i = 9 + random.below(18); i > 0; i--) this.#ask();
    const used = this.#world.entries.filter(({ uses, targets }) => uses.length + targets.length > 0);
    const leaves = leavesOf(used);
    for (let i = used.length > 0 ? random.below(10) : 0; i > 0; i--)
      this.#change(
        leaves.length > 0 && random.oneIn(2)
          ? random.pick(random.pick(leaves))
          : anyEntry(used, random, this.#tries),
      );
    return this.#records;
  }

  /** What is cached of the one request must not grant more to another one. */
  #ask(target?: Target): void {
    const request = this.#requests.next(target);
    this.#records.push(request);
    if (this.#random.oneIn(3)) this.#records.push(this.#requests.otherwise(request));
    if (this.#random.oneIn(4)) this.#records.push(this.#requests.elsewhere(request));
  }

  #change(entry: WorldEntry): void {
    const random = this.#random;
    const targets = Array.from({ length: 1 + random.below(3) }, () =>
      entry.targets.length > 0 ? random.pick(entry.targets) : undefined,
    );
    const plain = random.oneIn(2);
    const before = targets.map((target) =>
      plain && target !== undefined ? this.#requests.plain(target) : this.#requests.next(target),
    );
    this.#records.push(...before);
    const was = this.#world.bytes(entry);
    // What software does most is to remove an entry.
    if (random.oneIn(3)) this.#world.setBytes(entry, new Uint8Array(entry.layout.bytes));
    else mutateEntry(this.#world, entry, this.#fuzzing, this.#coverage, random, this.#tries);
    this.#write(entry);
    if (random.oneIn(3)) this.#again(before);
    this.#invalidate(entry, before);
    this.#again(before);
    for (const target of targets) if (random.oneIn(2)) this.#ask(target);
    // Mostly it becomes what it was: a world in which all is wrong shows little.
    if (!random.oneIn(3)) {
      this.#world.setBytes(entry, was);
      this.#write(entry);
      this.#invalidate(entry, before);
      this.#again(before);
    }
  }

  #write(entry: WorldEntry): void {
    this.#records.push(this.#world.mem(entry));
    if (this.#flushes) this.#records.push({ type: "flush" });
  }

  #again(before: readonly WorldRecord[]): void {
    for (const request of before) this.#records.push({ ...request, seq: this.#requests.number() });
  }

  #invalidate(entry: WorldEntry, before: readonly WorldRecord[]): void {
    const random = this.#random;
    const invalidations = this.#invalidations;
    const kind = random.below(12);
    if (kind === 0) return;
    const commands =
      kind < 3
        ? invalidations.right(entry)
        : kind < 8
          ? invalidations.equivalent(entry, before.map(frameOfRequest))
          : kind < 9
            ? invalidations.wide(entry)
            : kind < 11
              ? invalidations.narrow(entry)
              : invalidations.any();
    this.#records.push(...invalidations.records(commands));
    if (!random.oneIn(6)) this.#records.push(...invalidations.completion());
  }
}
