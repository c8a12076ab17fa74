/**
 * Small traces about caches: tables written word by word with the specifications' numbers, requests, changes and
 * invalidations, and the verdicts that a replay gives.
 */
import { replay } from "../../pipeline/library/replay-stream.ts";
import type { StreamOptions } from "../../pipeline/library/stream-options.ts";

export type Record_ = Readonly<{ type: string } & { [field: string]: unknown }>;

const PAGE = 4096n;

export function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

export interface Dma {
  readonly dev: string;
  readonly addr: bigint;
  readonly pasid?: number | undefined;
  readonly len?: number | undefined;
  readonly access?: "r" | "w" | "rw" | "x" | undefined;
  readonly priv?: boolean | undefined;
}

export type Observed = bigint | { readonly code?: bigint; readonly recorded?: boolean };

export class Scenario {
  readonly lines: string[] = [];
  #free = 0x100_0000n;
  #seq = 0;

  constructor(
    model: string,
    regs: Readonly<Record<string, bigint>>,
    props: Readonly<Record<string, unknown>> = {},
  ) {
    this.add({ type: "ram", addr: "0x0", size: "0x100000000" });
    const hexed = Object.fromEntries(Object.entries(regs).map(([name, value]) => [name, hex(value)]));
    this.add({ type: "iommu", id: "unit", model, regs: hexed, props });
  }

  add(record: object): this {
    this.lines.push(JSON.stringify(record));
    return this;
  }

  /** Zeroed memory, aligned to its size. */
  allocate(bytes = PAGE): bigint {
    this.#free = (this.#free + bytes - 1n) & ~(bytes - 1n);
    const at = this.#free;
    this.#free += bytes;
    return at;
  }

  put(addr: bigint, ...words: bigint[]): this {
    const bytes = Buffer.alloc(8 * words.length);
    words.forEach((word, i) => {
      bytes.writeBigUInt64LE(BigInt.asUintN(64, word), 8 * i);
    });
    return this.add({ type: "mem", addr: hex(addr), data: bytes.toString("hex") });
  }

  cmd(...words: bigint[]): this {
    return this.add({ type: "cmd", iommu: "unit", data: words.map(hex) });
  }

  inv(fields: object): this {
    return this.add({ type: "inv", iommu: "unit", ...fields });
  }

  /** @returns its number, by which `run` gives its outcome */
  dma(request: Dma, observed?: Observed): number {
    const seen =
      observed === undefined
        ? {}
        : typeof observed === "bigint"
          ? { observed: { result: "ok", pa: hex(observed) } }
          : {
              observed: {
                result: "fault",
                ...observed,
                ...(observed.code === undefined ? {} : { code: hex(observed.code) }),
              },
            };
    const { addr, ...rest } = request;
    this.add({ type: "dma", seq: this.#seq, iommu: "unit", ...rest, addr: hex(addr), ...seen });
    return this.#seq++;
  }

  async run(options: StreamOptions = {}): Promise<Run> {
    const records: Record_[] = [];
    for await (const record of replay(Buffer.from(`${this.lines.join("\n")}\n`), options))
      records.push(record as unknown as Record_);
    return new Run(records);
  }
}

export class Run {
  readonly records: readonly Record_[];

  constructor(records: readonly Record_[]) {
    this.records = records;
    const errors = this.of("error");
    if (errors.length > 0) throw new Error(JSON.stringify(errors[0]));
  }

  of(type: string): Record_[] {
    return this.records.filter((record) => record.type === type);
  }

  outcome(seq: number): Record_ {
    return this.of("outcome").find((record) => record.seq === seq)!;
  }

  /** The verdict of a request; "" for none. */
  verdict(seq: number): string {
    return (this.outcome(seq).verdict as string | undefined) ?? "";
  }

  rules(): string[] {
    return this.of("finding").map((record) => record.rule as string);
  }

  get summary(): Record_ {
    return this.of("summary")[0]!;
  }
}

/** How a page-table format writes its entries; levels count down to 1, the level of the smallest pages. */
export interface Format {
  readonly levels: number;
  readonly bits: number;
  readonly pageBits: number;
  /** Further bits of the index at the top level. */
  readonly topBits?: number;
  table(next: bigint, level: number): bigint;
  leaf(pa: bigint, level: number): bigint;
}

/**
 * x86-64 tables of 4 levels. VT-d's second stage has the same shape, with other flags.
 * @param table flags of an entry that leads to a table
 * @param leaf flags of one that maps a page
 */
export const x86 = (table: bigint, leaf: bigint): Format => ({
  levels: 4,
  bits: 9,
  pageBits: 12,
  table: (next) => next | table,
  leaf: (pa, level) => pa | leaf | (level > 1 ? 0x80n : 0n),
});
/** VT-d's first stage and AMD-Vi's v2 tables: P, R/W, U/S, A; and D in a leaf. */
export const X86_64 = x86(0x27n, 0x67n);
/** R, W. */
export const VTD_SECOND = x86(3n, 3n);

/** A page table in a scenario's memory. */
export class Radix {
  readonly root: bigint;
  readonly #scenario: Scenario;
  readonly #format: Format;
  readonly #place: (address: bigint) => bigint;
  readonly #tables = new Map<bigint, bigint>();

  /** @param place where a table is that entries call so (through a second stage) */
  constructor(scenario: Scenario, format: Format, place: (address: bigint) => bigint = (a) => a) {
    this.#scenario = scenario;
    this.#format = format;
    this.#place = place;
    this.root = scenario.allocate(this.#bytes() << BigInt(format.topBits ?? 0));
  }

  #bytes(): bigint {
    return 8n << BigInt(this.#format.bits);
  }

  shift(level: number): bigint {
    return BigInt(this.#format.pageBits + this.#format.bits * (level - 1));
  }

  /** Address of the entry for an input address at a level; the tables above are made. */
  entry(address: bigint, level = 1): bigint {
    const { levels, bits, topBits = 0 } = this.#format;
    let table = this.root;
    for (let l = levels; ; l--) {
      const width = BigInt(bits + (l === levels ? topBits : 0));
      const at = table + ((address >> this.shift(l)) & ((1n << width) - 1n)) * 8n;
      if (l === level) return this.#place(at);
      let next = this.#tables.get(at);
      if (next === undefined) {
        next = this.#scenario.allocate(this.#bytes());
        this.#tables.set(at, next);
        this.#scenario.put(this.#place(at), this.#format.table(next, l));
      }
      table = next;
    }
  }

  map(address: bigint, pa: bigint, level = 1): this {
    this.#scenario.put(this.entry(address, level), this.#format.leaf(pa, level));
    return this;
  }

  /** Points the entry of a level to another table, in which a copy of nothing stands. */
  replaceTable(address: bigint, level: number, next: bigint): void {
    this.#scenario.put(this.entry(address, level), this.#format.table(next, level));
  }
}

/** Somewhere that a cache holds something: how to use it, how to change what is behind it, and what it said before. */
export interface Place {
  readonly request: Dma;
  /** What is asked in the end, where that is not `request`. */
  readonly probe?: Dma;
  readonly old: bigint;
  change(): void;
}

/**
 * Uses every place, changes what is behind each, gives commands, and observes the old answer everywhere.
 * @returns names of the places that the commands cover, which is to say, where the old answer is not lawful any more
 */
export async function covered(
  scenario: Scenario,
  places: Readonly<Record<string, Place>>,
  commands: (scenario: Scenario) => void,
): Promise<string[]> {
  for (const { request } of Object.values(places)) scenario.dma(request);
  for (const place of Object.values(places)) place.change();
  commands(scenario);
  const asked = Object.entries(places).map(
    ([name, { request, probe, old }]) => [name, scenario.dma(probe ?? request, old)] as const,
  );
  const run = await scenario.run();
  const first = run.outcome(0);
  if (first.result !== "ok") throw new Error(`the first request fails: ${JSON.stringify(first)}`);
  return asked
    .filter(([name, seq]) => {
      const verdict = run.verdict(seq);
      if (verdict === "stale-after-invalidation") return true;
      if (verdict === "stale") return false;
      throw new Error(`${name}: verdict ${verdict}, ${JSON.stringify(run.outcome(seq))}`);
    })
    .map(([name]) => name);
}
