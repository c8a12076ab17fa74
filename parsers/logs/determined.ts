import { OK, type WalkResult } from "../../walkers/result.ts";
import type { LogOutput, Loss } from "./format.ts";
import type { LogIommu } from "./log-iommu.ts";
import type { TableBuilder } from "./table-builder.ts";
import { type ProbedRequest, TableProbe } from "./table-probe.ts";

export const CHANGED_TABLES: Loss = {
  what: "tables-changed",
  severity: "warning",
  message:
    "requests are left out whose tables have changed since the memory file before them, and are not those of the next one: take memory more often, or record stores to tables",
};

/** Pages that are remembered as invalidated; past that, all are. */
const MAX_PAGES = 1 << 20;

/**
 * Tells requests whose tables are known from those whose tables have changed, where memory is known at some lines of the
 * log alone and the log shows no table. A translation that the tables hold at one line, they hold until something
 * invalidates it: a driver changes what is mapped, and then says so. What was not mapped may have been mapped since.
 */
export class Determined {
  /** After `has`: what the tables translate the request to where that is in the page of the log's answer; or null. */
  answer: bigint | null = null;
  /** After `has`: the access of the request; a write where the tables grant nothing else, and the log does not say. */
  access = "";
  readonly #output: LogOutput;
  readonly #tables: TableBuilder;
  readonly #now: TableProbe;
  readonly #next: TableProbe;
  #files = -1;
  #everything = false;
  readonly #domains = new Set<number>();
  readonly #pages = new Set<bigint>();

  constructor(output: LogOutput, iommu: LogIommu, tables: TableBuilder) {
    this.#output = output;
    this.#tables = tables;
    this.#now = new TableProbe(iommu, output.known!.now);
    this.#next = new TableProbe(iommu, output.known!.next);
  }

  /** All translations are invalidated. */
  everything(): void {
    this.#settle();
    this.#everything = true;
  }

  domain(domain: number): void {
    this.#settle();
    this.#domains.add(domain);
  }

  page(addr: bigint): void {
    this.#settle();
    if (this.#pages.size >= MAX_PAGES) this.#everything = true;
    else this.#pages.add(addr >> 12n);
  }

  /**
   * Whether the tables of a request are known; where the next file shows what has been mapped since, that is written.
   * @param pa what the request was translated to, or null where it met a fault
   */
  has(request: ProbedRequest, pa: bigint | null): boolean {
    this.#settle();
    this.access = request.access;
    const known = this.#output.known!;
    const now = this.#now.walk(request);
    this.answer = null;
    if (agrees(now, pa)) {
      this.answer = TableProbe.answer(now);
      return true;
    }
    const denied = now.status !== OK && now.reason === "PERMISSION";
    const mapped = now.status === OK || denied;
    const page = this.#pages.has(request.addr >> 12n) || this.#domains.has(now.domain);
    // The same page with other rights is the same mapping: whoever let the request pass was wrong about them.
    if (denied && this.#translates(request, pa)) return true;
    if (known.complete) return true;
    if (known.hasNow && mapped && !this.#everything && !page) return true;
    if (known.hasNext && this.#later(request, pa)) {
      this.#take();
      return true;
    }
    this.#output.lost(CHANGED_TABLES);
    return false;
  }

  /** Whether another kind of access is translated to this. */
  #translates(request: ProbedRequest, pa: bigint | null): boolean {
    const granted = ["r", "w"].find((access) => agrees(this.#now.walk({ ...request, access }), pa));
    this.access = granted ?? request.access;
    return granted !== undefined;
  }

  /** Whether the next file's tables say it; of a write, where they grant nothing else and nobody said that it was a read. */
  #later(request: ProbedRequest, pa: bigint | null): boolean {
    const next = this.#next.walk(request);
    if (agrees(next, pa)) return true;
    if (next.status === OK || next.reason !== "PERMISSION" || request.given === true) return false;
    this.access = "w";
    return agrees(this.#next.walk({ ...request, access: "w" }), pa);
  }

  /** With another file, what was invalidated before it is of no account. */
  #settle(): void {
    const { files } = this.#output.known!;
    if (files === this.#files) return;
    this.#files = files;
    this.#everything = false;
    this.#domains.clear();
    this.#pages.clear();
  }

  /** The tables of the next file that lead to the answer are there already. */
  #take(): void {
    for (const { addr, value, stage } of this.#next.entries)
      if (value !== null && stage > 0) this.#tables.word(addr, hexWord(value), '["data"]');
  }
}

/** Logs say of some answers the page alone: what the two have in common is the page of the translation. */
function agrees(result: WalkResult, pa: bigint | null): boolean {
  const answer = TableProbe.answer(result);
  if (answer === null || pa === null) return answer === pa;
  return (answer ^ pa) >> BigInt(result.pageShift) === 0n;
}

function hexWord(value: bigint): string {
  return `0x${value.toString(16)}`;
}
