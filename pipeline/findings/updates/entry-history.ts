import type { WalkRequest } from "../../../walkers/request.ts";
import type { IommuUnit } from "../../iommus/iommu-unit.ts";
import { type LiveTable, TableLinter } from "../tables/linter.ts";
import type { EntryPlace } from "./request-look.ts";
import type { EntryState, Store } from "./stores.ts";

/** An entry of a table. */
export interface TableEntry {
  readonly table: LiveTable;
  readonly index: number;
}

/** A request that used an entry in the middle of an update, or at its end, and what it comes to. */
export interface Use {
  readonly line: number;
  /** How many stores there had been. */
  readonly stores: number;
  readonly answer: string;
  readonly request: WalkRequest;
  /** What it comes to after the last store so far that is of the same update; null: there is none after it. */
  after: string | null;
}

/** The stores to an entry since the IOMMU was last sure to hold nothing older, and the requests that came between. */
export class EntryHistory {
  readonly unit: IommuUnit;
  /** The entry, as every table has it that it is part of. */
  readonly entries: TableEntry[];
  readonly place: EntryPlace;
  readonly base: EntryState;
  /** Tick of the first store. */
  readonly since: number;
  readonly stores: Store[] = [];
  uses: Use[] = [];
  /** Requests that were looked at. */
  looks = 0;
  /** How many stores there were at each invalidation that covers it and is not complete. */
  readonly issued: number[] = [];
  /** Number of the first store of the latest update, and the bytes that its stores have written. */
  updateStart = 0;
  #written = 0n;

  constructor(unit: IommuUnit, entry: TableEntry, place: EntryPlace, base: EntryState, since: number) {
    this.unit = unit;
    this.entries = [entry];
    this.place = place;
    this.base = base;
    this.since = since;
  }

  /** Takes a store. An update writes each place once: where one is written again, the next begins. */
  push(store: Store): void {
    const bytes = ((1n << BigInt(store.to - store.from)) - 1n) << BigInt(store.from);
    if ((bytes & this.#written) !== 0n) this.endUpdate();
    this.#written |= bytes;
    this.stores.push(store);
  }

  /** What has been stored is meant to be: the next store begins an update. */
  endUpdate(): void {
    this.updateStart = this.stores.length;
    this.#written = 0n;
  }

  get state(): EntryState {
    return this.stores.at(-1)?.after ?? this.base;
  }

  /** The device that the entry is about, -1 where it is about several. */
  static deviceOf({ table, index }: TableEntry): number {
    const { kind, first, device } = table.spec;
    if (kind.ids === "pasid") return device;
    return kind.span === 1 ? first + index : -1;
  }
}

export function placeOf({ table, index }: TableEntry): EntryPlace | null {
  const place = TableLinter.place(table, index);
  return place === null ? null : { ...place, bytes: table.spec.kind.layout.bytes };
}
