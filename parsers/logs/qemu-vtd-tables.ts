/**
 * VT-d tables of which a log shows root address, context entries and leaf entries. What leads from one to the other stands
 * at addresses of our own: context tables, PASID tables, and the tables between the top and the leaf.
 */
import {
  ContextEntry,
  PasidDirectoryEntry,
  PasidEntry,
  PGTT_FIRST_STAGE,
  PGTT_SECOND_STAGE,
  RootEntry,
  ScalableContextEntry,
  ScalableRootEntry,
  TT_PASS_THROUGH,
} from "../../walkers/vtd/structures.ts";
import type { LogIommu } from "./log-iommu.ts";
import { PlacedTables } from "./placed-tables.ts";
import { hexOfBig, type TableBuilder } from "./table-builder.ts";

/** Levels of a page table in scalable mode, where no line shows them, and AW of as many. */
const SCALABLE_LEVELS = 4;
const SCALABLE_AW = 2;
/** By the AW of a legacy context entry. */
const LEVELS_OF_AW: Readonly<Record<number, number>> = { 1: 3, 2: 4, 3: 5 };
/** An entry that leads to a table: present, write and user in a first stage; read and write in a second. */
const firstStagePointer = () => 7n;
const secondStagePointer = () => 3n;
/** QEMU sets the accessed flag of each first-stage entry that it walks; in a second stage Linux never has this bit. */
const ACCESSED = 1n << 5n;
const READ = 1n;
const WRITE = 2n;

const readAw = ContextEntry.reader("AW");
const readTt = ContextEntry.reader("TT");
const readPresent = ContextEntry.reader("P");
const readTable = ContextEntry.reader("SSPTPTR");
const readDirectory = ScalableContextEntry.reader("PASIDDIRPTR");
const readRidPasid = ScalableContextEntry.reader("RID_PASID");

/** What is known of a device. */
interface Device {
  /** The context entry as the log last showed it. */
  readonly entry: string;
  /** Frame numbers: the top of its second stage (legacy), its PASID directory (scalable); 0 for pass-through. */
  readonly table: number;
  readonly levels: number;
  readonly passThrough: boolean;
  readonly ridPasid: number;
}

export class PlacedVtdTables {
  readonly #builder: TableBuilder;
  readonly #iommu: LogIommu;
  #root: bigint | null = null;
  #scalable = false;
  readonly #devices = new Map<number, Device>();
  /** Context tables by bus, and in scalable mode by half of it. */
  readonly #contextTables = new Map<number, bigint>();
  /** Page tables: in legacy mode by their top, in scalable mode by domain. */
  readonly #pageTables = new Map<string, PlacedTables>();
  /** Scalable mode: devices that have a PASID entry, with what it leads to. */
  readonly #pasidEntries = new Map<number, string>();
  /** PASID directories, by frame. */
  readonly #directories = new Set<number>();
  /** PASID tables by the directory that leads to them. */
  readonly #pasidTables = new Map<number, bigint>();
  readonly #view = new DataView(new ArrayBuffer(ScalableContextEntry.bytes));

  constructor(builder: TableBuilder, iommu: LogIommu) {
    this.#builder = builder;
    this.#iommu = iommu;
  }

  /** The root table is another one: nothing below it is known. */
  root(address: bigint, scalable: boolean): void {
    this.#root = address;
    this.#scalable = scalable;
    for (const each of [
      this.#devices,
      this.#contextTables,
      this.#pageTables,
      this.#pasidEntries,
      this.#pasidTables,
    ])
      each.clear();
  }

  /** A context entry: its low 128 bits, 0x and hex digits. */
  context(sid: number, low: string, high: string): void {
    if (this.#root === null) return;
    const entry = `${low}/${high}`;
    if (this.#devices.get(sid)?.entry === entry) return;
    const view = this.#view;
    view.setBigUint64(0, BigInt(low), true);
    view.setBigUint64(8, BigInt(high), true);
    if (readPresent(view, 0) === 0) return;
    this.#iommu.declare();
    const passThrough = !this.#scalable && readTt(view, 0) === TT_PASS_THROUGH;
    this.#devices.set(sid, {
      entry,
      table: this.#scalable ? readDirectory(view, 0) : readTable(view, 0),
      levels: LEVELS_OF_AW[readAw(view, 0)] ?? 0,
      passThrough,
      ridPasid: this.#scalable ? readRidPasid(view, 0) : 0,
    });
    this.#pasidEntries.delete(sid);
    const at = this.#contextTable(sid) + BigInt(this.#scalable ? (sid & 0x7f) * 32 : (sid & 0xff) * 16);
    const bytes = new Uint8Array(view.buffer, 0, this.#scalable ? 32 : 16);
    this.#showTable(sid);
    this.#builder.bytes(hexOfBig(at), bytes.slice(), this.#scalable ? '["addr","data"]' : '["addr"]');
  }

  /** What a context entry leads to is there. */
  #showTable(sid: number): void {
    const device = this.#devices.get(sid)!;
    if (!this.#scalable) this.#legacyPages(device);
    else if (!this.#directories.has(device.table)) {
      this.#directories.add(device.table);
      this.#builder.table(BigInt(device.table) << 12n);
    }
  }

  /**
   * A leaf entry that has been used for a request, "" for pass-through.
   * @returns whether the tables lead to an answer
   */
  leaf(sid: number, iova: bigint, level: number, leaf: string, domain: number): boolean {
    const device = this.#devices.get(sid);
    if (device === undefined) return false;
    if (leaf === "") return device.passThrough;
    const pages = this.#pages(sid, device, leaf, domain);
    return pages?.leaf(iova, level, leaf, '["addr"]') ?? false;
  }

  /**
   * An address is not mapped for a request that has met a fault: what was there is gone, if it would have been granted.
   * @returns whether the tables lead to a fault
   */
  unmapped(sid: number, iova: bigint, access: "r" | "w"): boolean {
    const device = this.#devices.get(sid);
    if (device === undefined || device.passThrough) return false;
    const pages = this.#knownPages(sid, device);
    if (pages === undefined) return this.#empty(sid, device);
    const leaf = pages.lastLeaf(iova);
    const right = access === "w" ? WRITE : READ;
    if (leaf !== undefined && (BigInt(leaf) & right) !== 0n) pages.clear(iova);
    return true;
  }

  #contextTable(sid: number): bigint {
    const half = this.#scalable ? sid >> 7 : sid >> 8;
    const known = this.#contextTables.get(half);
    if (known !== undefined) return known;
    const table = this.#builder.place();
    this.#contextTables.set(half, table);
    const bus = sid >> 8;
    const at = hexOfBig(this.#root! + BigInt(bus * RootEntry.bytes));
    if (this.#scalable) {
      const lower = this.#contextTables.get(bus * 2);
      const upper = this.#contextTables.get(bus * 2 + 1);
      this.#builder.entry(ScalableRootEntry, at, {
        ...(lower === undefined ? {} : { LP: 1, LCTP: frameOf(lower) }),
        ...(upper === undefined ? {} : { UP: 1, UCTP: frameOf(upper) }),
      });
    } else this.#builder.entry(RootEntry, at, { P: 1, CTP: frameOf(table) });
    return table;
  }

  /** The page tables of a device, made where they are new; null where the mode is not one that we can make. */
  #pages(sid: number, device: Device, leaf: string, domain: number): PlacedTables | null {
    if (!this.#scalable) return this.#legacyPages(device);
    const firstStage = (BigInt(leaf) & ACCESSED) !== 0n;
    const key = `domain ${domain} ${firstStage}`;
    let pages = this.#pageTables.get(key);
    if (pages === undefined) {
      const pointer = firstStage ? firstStagePointer : secondStagePointer;
      pages = new PlacedTables(this.#builder, this.#builder.place(), SCALABLE_LEVELS, pointer);
      this.#pageTables.set(key, pages);
    }
    if (this.#pasidEntries.get(sid) !== key) {
      this.#pasidEntries.set(sid, key);
      this.#pasidEntry(device, pages.root, domain, firstStage);
    }
    return pages;
  }

  #legacyPages(device: Device): PlacedTables | null {
    if (device.levels === 0 || device.passThrough) return null;
    const key = `table ${device.table} ${device.levels}`;
    let pages = this.#pageTables.get(key);
    if (pages === undefined) {
      const root = BigInt(device.table) << 12n;
      pages = new PlacedTables(this.#builder, root, device.levels, secondStagePointer);
      this.#pageTables.set(key, pages);
      this.#builder.table(root);
    }
    return pages;
  }

  #knownPages(sid: number, device: Device): PlacedTables | undefined {
    if (!this.#scalable) return this.#legacyPages(device) ?? undefined;
    return this.#pageTables.get(this.#pasidEntries.get(sid) ?? "");
  }

  /** A scalable-mode device of which nothing was mapped yet: a first stage without entries. */
  #empty(sid: number, device: Device): boolean {
    if (!this.#scalable) return false;
    // The domain is in no line about a fault: one that nothing else has.
    return this.#pages(sid, device, hexOfBig(ACCESSED), UNKNOWN_DOMAIN) !== null;
  }

  #pasidEntry(device: Device, root: bigint, domain: number, firstStage: boolean): void {
    const pasid = device.ridPasid;
    let table = this.#pasidTables.get(device.table);
    if (table === undefined) {
      table = this.#builder.place();
      this.#pasidTables.set(device.table, table);
    }
    const directory = (BigInt(device.table) << 12n) + BigInt((pasid >> 6) * PasidDirectoryEntry.bytes);
    this.#builder.entry(PasidDirectoryEntry, hexOfBig(directory), { P: 1, SMPTBLPTR: frameOf(table) });
    const at = table + BigInt((pasid & 63) * PasidEntry.bytes);
    const stage = firstStage
      ? { PGTT: PGTT_FIRST_STAGE, FSPTPTR: frameOf(root) }
      : { PGTT: PGTT_SECOND_STAGE, SSPTPTR: frameOf(root), AW: SCALABLE_AW };
    this.#builder.entry(PasidEntry, hexOfBig(at), { P: 1, DID: domain, ...stage });
  }
}

/** The last domain id there is. */
const UNKNOWN_DOMAIN = 0xffff;

function frameOf(address: bigint): number {
  return Number(address >> 12n);
}
