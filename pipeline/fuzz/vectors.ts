/**
 * Vectors: the smallest worlds that show each fault condition, rule, kind of page and command, with what a correct IOMMU
 * answers. A suite for whoever has no device that can be talked with.
 */
import { decodeCommand } from "../../walkers/commands/command.ts";
import type { VendorFuzzing } from "../../walkers/fuzz/vendor-fuzzing.ts";
import { NO_LIMITS, type WorldRecord } from "../../walkers/fuzz/world.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";
import type { Vendor } from "../../walkers/vendor.ts";
import type { DeviceAnswer } from "../device/answer.ts";
import { newWorldMaker } from "./campaign.ts";
import { FuzzCoverage, ruleName } from "./coverage.ts";
import { judgeWorld, observedRecords } from "./judge.ts";
import { LocalDevice } from "./local-device.ts";
import { type Shown, shrink } from "./shrink.ts";

/** Kinds of coverage that vectors are made of. */
const KINDS = ["fault", "rule", "page", "command"] as const;
type VectorKind = (typeof KINDS)[number];

export interface Vector {
  readonly kind: VectorKind;
  /** The condition, rule, kind of page or command. */
  readonly shows: string;
  /** Document and section; "" where there is none of its own. */
  readonly source: string;
  /** With what is to be observed of each request. */
  readonly records: readonly WorldRecord[];
}

/** Runs for one vector: an answer of our own costs little. */
const MOST_RUNS = 250;
/** Worlds that are looked through for the vector of one command. */
const MOST_TRIES = 20;

/** Vectors of so many worlds. @returns sorted by source, then by what they show: the same for the same seed */
export async function makeVectors(model: IommuModel, seed: number, worlds: number): Promise<Vector[]> {
  const vendor = VENDORS[model];
  const fuzzing = await vendor.fuzzing();
  const { maker, coverage } = await newWorldMaker(model, NO_LIMITS, seed);
  const found = new Map<string, Vector>();
  const makers = new VectorMaker(model, vendor, fuzzing);
  for (let i = 0; i < worlds; i++) {
    const world = maker.next();
    judgeWorld(world.records, coverage);
    const news = coverage.takeNews();
    if (news.length > 0) maker.keep(world);
    const wanted = makers.wanted(found, news);
    if (wanted.length === 0) continue;
    const shown = makers.look(world.records);
    for (const key of wanted) {
      const vector = await makers.make(key, world.records, shown);
      if (vector !== null) found.set(key, vector);
    }
  }
  return [...found.values()].sort((a, b) => order(a.source, b.source) || order(a.shows, b.shows));
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What a world reaches. */
class Noted extends FuzzCoverage {
  readonly keys = new Set<string>();

  override add(kind: Parameters<FuzzCoverage["add"]>[0], name: string): void {
    this.keys.add(`${kind}:${name}`);
  }

  override addEntry(): void {
    // Values of fields are no reason for a vector.
  }
}

class VectorMaker {
  readonly #model: IommuModel;
  readonly #vendor: Vendor;
  readonly #fuzzing: VendorFuzzing;
  readonly #device: LocalDevice;
  /** What was reached, and has no vector yet: another world may show it better. */
  readonly #open = new Set<string>();
  readonly #tries = new Map<string, number>();

  constructor(model: IommuModel, vendor: Vendor, fuzzing: VendorFuzzing) {
    this.#model = model;
    this.#vendor = vendor;
    this.#fuzzing = fuzzing;
    this.#device = new LocalDevice(model, { bugs: [], habits: new Set() });
  }

  wanted(found: ReadonlyMap<string, Vector>, news: readonly string[]): string[] {
    for (const key of news) if (KINDS.some((kind) => key.startsWith(`${kind}:`))) this.#open.add(key);
    for (const key of found.keys()) this.#open.delete(key);
    return [...this.#open];
  }

  /** Each request of a world, alone with the memory that it is made in, by what it reaches. */
  look(records: readonly WorldRecord[]): ReadonlyMap<string, readonly WorldRecord[]> {
    const shown = new Map<string, readonly WorldRecord[]>();
    for (const [index, record] of records.entries()) {
      if (record.type !== "dma") continue;
      const before = records.slice(0, index).filter(({ type }) => type !== "dma" && type !== "cmd");
      const alone = [...before, record];
      for (const key of this.#keysOf(alone)) if (!shown.has(key)) shown.set(key, alone);
    }
    return shown;
  }

  /** The vector of something that a world may show; null: it does not. */
  async make(
    key: string,
    records: readonly WorldRecord[],
    shown: ReadonlyMap<string, readonly WorldRecord[]>,
  ): Promise<Vector | null> {
    const [kind, shows] = [key.slice(0, key.indexOf(":")) as VectorKind, key.slice(key.indexOf(":") + 1)];
    const found =
      kind === "command" ? await this.#ofCommand(shows, records) : await this.#ofRequest(key, shown.get(key));
    if (found === null) return null;
    const answers = await this.#device.run(found);
    return { kind, shows, source: this.#sourceOf(kind, shows), records: observedRecords(found, answers) };
  }

  /** @param alone a request that shows it, and the memory that it is made in */
  async #ofRequest(
    key: string,
    alone: readonly WorldRecord[] | undefined,
  ): Promise<readonly WorldRecord[] | null> {
    if (alone === undefined) return null;
    const shows = async (tried: readonly WorldRecord[]): Promise<Shown | null> =>
      this.#keysOf(tried).has(key) ? { records: tried, line: tried.length } : null;
    const first = { records: alone, line: alone.length };
    return (await shrink(first, shows, () => false, { most: MOST_RUNS })).shown.records;
  }

  #keysOf(records: readonly WorldRecord[]): ReadonlySet<string> {
    const noted = new Noted(this.#vendor, this.#fuzzing, []);
    judgeWorld(records, noted);
    return noted.keys;
  }

  /** A request before a change and after its invalidation, whose answer depends on the command. */
  async #ofCommand(name: string, records: readonly WorldRecord[]): Promise<readonly WorldRecord[] | null> {
    const tries = (this.#tries.get(name) ?? 0) + 1;
    this.#tries.set(name, tries);
    if (tries > MOST_TRIES) return null;
    const shows = async (tried: readonly WorldRecord[]): Promise<Shown | null> =>
      (await this.#depends(name, tried)) ? { records: tried, line: tried.length } : null;
    for (const [index, record] of records.entries()) {
      if (record.type !== "dma" || !records.slice(0, index).some((one) => this.#isCommand(name, one)))
        continue;
      const first = await shows(records.slice(0, index + 1));
      if (first !== null) return (await shrink(first, shows, () => false, { most: MOST_RUNS })).shown.records;
    }
    return null;
  }

  #isCommand(name: string, record: WorldRecord): boolean {
    if (record.type !== "cmd") return false;
    const words = (record.data as string[]).map((word) => {
      const value = BigInt(word);
      return { hi: Number(value >> 32n) | 0, lo: Number(value & 0xffff_ffffn) | 0 };
    });
    return decodeCommand(this.#model, words).name === name;
  }

  /** Whether the last answer is that of memory, and another one where the command is left out. */
  async #depends(name: string, records: readonly WorldRecord[]): Promise<boolean> {
    const last = records.at(-1)!;
    const answer = await this.#lastOf(records);
    const without = await this.#lastOf(records.filter((record) => !this.#isCommand(name, record)));
    if (same(answer, without)) return false;
    const alone = records.filter(
      (record) => record === last || (record.type !== "dma" && record.type !== "cmd"),
    );
    if (!same(answer, await this.#lastOf(alone))) return false;
    // The command has to be complete before the request.
    const lastCommand = records.findLast(({ type }) => type === "cmd");
    return lastCommand !== undefined && !this.#isCommand(name, lastCommand);
  }

  async #lastOf(records: readonly WorldRecord[]): Promise<DeviceAnswer | undefined> {
    return (await this.#device.run(records)).at(-1);
  }

  #sourceOf(kind: VectorKind, shows: string): string {
    switch (kind) {
      case "fault":
        return this.#fuzzing.faults.find(({ name }) => name === shows)?.source ?? "";
      case "rule":
        for (const { layout, rules } of this.#fuzzing.rules)
          for (const { field, kind: sort, source } of Object.values(rules))
            if (ruleName(layout.name, field, sort.id) === shows) return source;
        return "";
      case "command": {
        const spec = this.#vendor.commands?.specs.find(({ name }) => name === shows);
        return spec?.source ?? spec?.layout.source ?? "";
      }
      default:
        return "";
    }
  }
}

function same(a: DeviceAnswer | undefined, b: DeviceAnswer | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
