import type { IotlbResult } from "../caches/iotlb-simulation.ts";
import { ReadsHistogram, type ReadsRecord } from "../output/reads-histogram.ts";
import type { StatsRecord } from "../output/records.ts";

/** Numbers of a `stats` record that are summed; of devices, PASIDs and domains each trace has its own. */
const SUMS = ["requests", "ok", "faults", "msi", "bytes", "devices", "pasids", "domains"] as const;
/** Those that are left out where there is nothing to count, and counts by name. */
const SELDOM = [
  "latent",
  "redundant_invalidations",
  "covered_pages",
  "over_wide_pages",
  "cached_pages",
] as const;
const BY_NAME = ["by_reason", "by_code", "page_sizes", "invalidations"] as const;

/** The counters of one IOMMU and table model, of several replays. */
class StatsTotal {
  readonly #first: StatsRecord;
  readonly #sums = new Map<string, number>();
  readonly #byName = new Map<string, Map<string, number>>();
  readonly #reads = new ReadsHistogram();
  readonly #iotlb = new Map<string, { entries: number; ways: number; hits: number; misses: number }>();

  constructor(first: StatsRecord) {
    this.#first = first;
  }

  add(stats: StatsRecord): void {
    for (const name of [...SUMS, ...SELDOM])
      if (stats[name] !== undefined) this.#sums.set(name, (this.#sums.get(name) ?? 0) + stats[name]);
    for (const name of BY_NAME) if (stats[name] !== undefined) this.#addCounts(name, stats[name]);
    for (const [reads, requests] of Object.entries((stats.reads as ReadsRecord).counts))
      this.#reads.add(Number(reads), requests);
    for (const { entries, ways, hits, misses } of stats.iotlb ?? []) {
      const key = `${entries}x${ways}`;
      const sum = this.#iotlb.get(key) ?? { entries, ways, hits: 0, misses: 0 };
      this.#iotlb.set(key, { entries, ways, hits: sum.hits + hits, misses: sum.misses + misses });
    }
  }

  #addCounts(name: string, counts: Readonly<Record<string, number>>): void {
    const sums = this.#byName.get(name) ?? new Map<string, number>();
    this.#byName.set(name, sums);
    for (const [key, count] of Object.entries(counts)) sums.set(key, (sums.get(key) ?? 0) + count);
  }

  /** With the members of a `stats` record, in their order. */
  record(): Omit<StatsRecord, "trace"> {
    const { type, iommu, model } = this.#first;
    const sum = (name: (typeof SUMS)[number]) => this.#sums.get(name) ?? 0;
    const seldom = (...names: (typeof SELDOM)[number][]) =>
      Object.fromEntries(
        names.flatMap((name) => (this.#sums.has(name) ? [[name, this.#sums.get(name)!]] : [])),
      );
    const counts = (name: (typeof BY_NAME)[number], compare: (a: string, b: string) => number) =>
      Object.fromEntries([...(this.#byName.get(name) ?? [])].sort(([a], [b]) => compare(a, b)));
    const invalidations = counts("invalidations", byText);
    return {
      type,
      ...(iommu === undefined ? {} : { iommu }),
      model,
      requests: sum("requests"),
      ok: sum("ok"),
      faults: sum("faults"),
      msi: sum("msi"),
      bytes: sum("bytes"),
      devices: sum("devices"),
      pasids: sum("pasids"),
      domains: sum("domains"),
      by_reason: counts("by_reason", byText),
      by_code: counts("by_code", (a, b) => Number(a) - Number(b)),
      page_sizes: counts("page_sizes", (a, b) => Number(a) - Number(b)),
      reads: this.#reads.record(),
      ...seldom("latent"),
      ...(Object.keys(invalidations).length === 0 ? {} : { invalidations }),
      ...seldom("redundant_invalidations", "covered_pages", "over_wide_pages", "cached_pages"),
      ...(this.#iotlb.size === 0 ? {} : { iotlb: [...this.#iotlb.values()].map(withRate) }),
    };
  }
}

function byText(a: string, b: string): number {
  return a < b ? -1 : 1;
}

function withRate(iotlb: Omit<IotlbResult, "rate">): IotlbResult {
  const lookups = iotlb.hits + iotlb.misses;
  return { ...iotlb, rate: lookups === 0 ? 0 : Math.round((iotlb.hits / lookups) * 1e6) / 1e6 };
}

/** Adds up the counters of several replays, by IOMMU and table model. */
export class StatsTotals {
  readonly #byKey = new Map<string, StatsTotal>();

  add(stats: StatsRecord): void {
    const key = `${stats.model}\n${stats.iommu ?? ""}`;
    let total = this.#byKey.get(key);
    if (total === undefined) {
      total = new StatsTotal(stats);
      this.#byKey.set(key, total);
    }
    total.add(stats);
  }

  /** In the order in which IOMMUs and models first came. */
  records(): Omit<StatsRecord, "trace">[] {
    return [...this.#byKey.values()].map((total) => total.record());
  }
}
