/**
 * VT-d tables in memory that is known at some lines of the log. In between, the log shows each leaf entry as it is read;
 * where it stands follows from the tables above it, which a driver rarely takes away once they are there.
 */
import { OK } from "../../walkers/result.ts";
import { CHANGED_TABLES } from "./determined.ts";
import type { LogOutput } from "./format.ts";
import type { LogIommu } from "./log-iommu.ts";
import { hexOfBig, type TableBuilder } from "./table-builder.ts";
import { type ProbedEntry, TableProbe } from "./table-probe.ts";

/** Accessed and dirty flags of a first stage (5, 6) and of a second (8, 9), which the IOMMU itself sets. */
const FLAGS = 0x360n;
/** Leaf entries that are remembered as shown by the log. */
const MAX_SHOWN = 1 << 20;

export class VtdMemory {
  readonly #output: LogOutput;
  readonly #builder: TableBuilder;
  readonly #now: TableProbe;
  readonly #next: TableProbe;
  /** Addresses of leaf entries whose value is the log's. */
  readonly #shown = new Set<string>();

  constructor(output: LogOutput, iommu: LogIommu, builder: TableBuilder) {
    this.#output = output;
    this.#builder = builder;
    this.#now = new TableProbe(iommu, output.known!.now);
    this.#next = new TableProbe(iommu, output.known!.next);
  }

  /** Memory is another from here on. */
  replaced(): void {
    this.#shown.clear();
  }

  /**
   * A leaf entry has been used for a request.
   * @param leaf 0x and hex digits, "" for a request that passes through
   * @param hit it came from the IOTLB, and may be an old one
   * @returns whether the request's tables are known
   */
  leaf(sid: number, iova: bigint, level: number, leaf: string, hit: boolean): boolean {
    if (this.#output.known!.complete || leaf === "") return true;
    const request = { device: sid, addr: iova, access: "r" };
    this.#now.walk(request);
    const entry = leafOf(this.#now.entries, level);
    if (entry !== undefined) {
      if (!hit) this.#show(entry, leaf);
      else if (!this.#shown.has(entry.addr) && !same(entry.value, leaf)) return this.#unknown();
      return true;
    }
    if (hit || !this.#output.known!.hasNext) return this.#unknown();
    this.#next.walk(request);
    const later = leafOf(this.#next.entries, level);
    if (later === undefined) return this.#unknown();
    for (const { addr, value, stage } of this.#next.entries)
      if (stage > 0 && addr !== later.addr && value !== null)
        this.#builder.word(addr, hexOfBig(value), '["data"]');
    this.#show(later, leaf);
    return true;
  }

  /** A request has met a fault. @returns whether its tables are known */
  fault(sid: number, iova: bigint, access: "r" | "w", unmapped: boolean): boolean {
    if (this.#output.known!.complete) return true;
    if (this.#now.walk({ device: sid, addr: iova, access }).status !== OK) return true;
    const entry = this.#now.entries.at(-1);
    if (!unmapped || entry === undefined || entry.stage === 0) return this.#unknown();
    this.#shown.add(entry.addr);
    this.#builder.word(entry.addr, "0x0", '["addr","data"]');
    return true;
  }

  #show({ addr }: ProbedEntry, leaf: string): void {
    if (this.#shown.size >= MAX_SHOWN) this.#shown.clear();
    this.#shown.add(addr);
    this.#builder.word(addr, leaf, '["addr"]');
  }

  #unknown(): false {
    this.#output.lost(CHANGED_TABLES);
    return false;
  }
}

/** The entry of a level that a walk has come to. */
function leafOf(entries: readonly ProbedEntry[], level: number): ProbedEntry | undefined {
  const last = entries.at(-1);
  return last !== undefined && last.stage > 0 && last.level === level ? last : undefined;
}

function same(value: bigint | null, leaf: string): boolean {
  return value !== null && (value & ~FLAGS) === (BigInt(leaf) & ~FLAGS);
}
