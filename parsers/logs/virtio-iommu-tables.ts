/**
 * What a virtio-iommu maps, as tables of AMD's version 1: the device has no tables of its own (virtio 1.3, 5.13), and this
 * format maps any power of two with any rights. An address means the same in both: what is mapped is translated, what is
 * not mapped, or not for this access, faults.
 */
import { DeviceTableEntry } from "../../walkers/amd-vi/device-table-entry.ts";
import { ControlRegister, DeviceTableBase } from "../../walkers/amd-vi/registers.ts";
import { AmdV1Entry } from "../../walkers/page-tables/amd-v1.ts";
import type { LogOutput, Loss } from "./format.ts";
import type { LogIommu } from "./log-iommu.ts";
import { PlacedTables } from "./placed-tables.ts";
import { hexOfBig, TableBuilder } from "./table-builder.ts";

/** Levels of the tables: 64-bit addresses. */
const LEVELS = 6;
/** A device table for 2^16 devices: of 4 KiB times SIZE and one. */
const DEVICES = 1 << 16;
/** Domain ids of the table format, less 0. */
const MAX_DOMAINS = 0xffff;
/** Entries that one mapping may take: past that, it is left out. */
const MAX_ENTRIES = 1 << 16;
const VIRTIO_READ = 1;
const VIRTIO_WRITE = 2;

const LARGE_MAPPING: Loss = {
  what: "large-mapping",
  severity: "error",
  message: "mappings that take more than 65536 entries are left out: requests to them look like faults",
};

/** An eight-byte structure as hex digits. */
function wordOf(bytes: Uint8Array): string {
  return hexOfBig(new DataView(bytes.buffer).getBigUint64(0, true));
}

/** Bits of an entry that leads to a table, by the level of that. */
const POINTERS = Array.from({ length: LEVELS + 1 }, (_, level) =>
  BigInt(wordOf(AmdV1Entry.build({ PR: 1, NEXT_LEVEL: level, IR: 1, IW: 1 }))),
);

export interface Mapping {
  readonly start: bigint;
  /** The last byte. */
  readonly end: bigint;
  readonly physical: bigint;
  readonly flags: number;
}

class Domain {
  /** A number that fits the table format. */
  readonly id: number;
  readonly pages: PlacedTables;
  readonly mappings = new Map<bigint, Mapping>();
  /** Devices that are attached. */
  readonly endpoints = new Set<number>();

  constructor(id: number, pages: PlacedTables) {
    this.id = id;
    this.pages = pages;
  }
}

export class VirtioTables {
  readonly #output: LogOutput;
  readonly #iommu: LogIommu;
  readonly #builder: TableBuilder;
  readonly #domains = new Map<number, Domain>();
  #deviceTable: bigint | null = null;

  constructor(output: LogOutput, iommu: LogIommu) {
    this.#output = output;
    this.#iommu = iommu;
    this.#builder = new TableBuilder(output);
  }

  /** Devices of a domain. */
  endpoints(domain: number): ReadonlySet<number> {
    return this.#domain(domain).endpoints;
  }

  /** What is mapped in a domain. */
  mappings(domain: number): Iterable<Mapping> {
    return this.#domain(domain).mappings.values();
  }

  attached(endpoint: number): boolean {
    for (const domain of this.#domains.values()) if (domain.endpoints.has(endpoint)) return true;
    return false;
  }

  /** Number of a domain in the tables. */
  domainId(domain: number): number {
    return this.#domain(domain).id;
  }

  attach(domain: number, endpoint: number): void {
    if (endpoint >= DEVICES) return;
    const known = this.#domain(domain);
    for (const other of this.#domains.values()) other.endpoints.delete(endpoint);
    known.endpoints.add(endpoint);
    this.#builder.entry(DeviceTableEntry, this.#entryOf(endpoint), {
      V: 1,
      TV: 1,
      MODE: LEVELS,
      HPTROOT: known.pages.root >> 12n,
      IR: 1,
      IW: 1,
      DOMAINID: known.id,
    });
  }

  detach(domain: number, endpoint: number): void {
    if (endpoint >= DEVICES || !this.#domains.get(domain)?.endpoints.delete(endpoint)) return;
    this.#builder.entry(DeviceTableEntry, this.#entryOf(endpoint), {});
  }

  map(domain: number, mapping: Mapping): void {
    const { mappings, pages } = this.#domain(domain);
    const spans = spansOf(mapping);
    if (spans === null) {
      this.#output.lost(LARGE_MAPPING);
      return;
    }
    const { start, physical, flags } = mapping;
    mappings.set(start, mapping);
    const rights = { IR: flags & VIRTIO_READ ? 1 : 0, IW: flags & VIRTIO_WRITE ? 1 : 0 };
    for (const { at, level } of spans) {
      const entry = AmdV1Entry.build({ PR: 1, ADDR: (physical + (at - start)) >> 12n, ...rights });
      if (pages.leaf(at, level, wordOf(entry), '["addr","data"]')) continue;
      this.#output.lost(LARGE_MAPPING);
      return;
    }
  }

  /**
   * All mappings that lie whole in the range are gone.
   * @param end the last byte
   */
  unmap(domain: number, start: bigint, end: bigint): void {
    const { mappings, pages } = this.#domain(domain);
    const exact = mappings.get(start);
    const gone =
      exact?.end === end
        ? [exact]
        : [...mappings.values()].filter((mapping) => mapping.start >= start && mapping.end <= end);
    for (const mapping of gone) {
      mappings.delete(mapping.start);
      for (const { at } of spansOf(mapping) ?? []) pages.clear(at);
    }
  }

  #domain(domain: number): Domain {
    let known = this.#domains.get(domain);
    if (known === undefined) {
      if (this.#domains.size === MAX_DOMAINS) throw new RangeError(`domain ${domain}: no number is left`);
      const root = this.#builder.place();
      known = new Domain(
        this.#domains.size + 1,
        new PlacedTables(this.#builder, root, LEVELS, (level) => POINTERS[level]!),
      );
      this.#domains.set(domain, known);
    }
    return known;
  }

  #entryOf(endpoint: number): string {
    if (this.#deviceTable === null) {
      const bytes = DEVICES * DeviceTableEntry.bytes;
      this.#deviceTable = this.#builder.place(bytes);
      const base = DeviceTableBase.build({ SIZE: bytes / 4096 - 1, DEVTABBASE: this.#deviceTable >> 12n });
      this.#iommu.set("dev_tab_base", wordOf(base), true);
      this.#iommu.set("control", wordOf(ControlRegister.build({ IOMMUEN: 1 })), true);
      this.#iommu.declare();
    }
    return hexOfBig(this.#deviceTable + BigInt(endpoint * DeviceTableEntry.bytes));
  }
}

/** The pages of the table format that a mapping consists of, or null where there are too many. */
function spansOf({ start, end, physical }: Mapping): { at: bigint; level: number }[] | null {
  const spans: { at: bigint; level: number }[] = [];
  let at = start & ~0xfffn;
  while (at <= end) {
    if (spans.length === MAX_ENTRIES) return null;
    let level = 1;
    for (let larger = 2; larger < LEVELS; larger++) {
      const size = 1n << BigInt(12 + 9 * (larger - 1));
      const aligned = ((at | (physical + (at - start))) & (size - 1n)) === 0n;
      if (!aligned || at + size - 1n > end) break;
      level = larger;
    }
    spans.push({ at, level });
    at += 1n << BigInt(12 + 9 * (level - 1));
  }
  return spans;
}
