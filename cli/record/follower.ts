import { PageMemory } from "../../pipeline/record/page-memory.ts";
import { TableCrawl, type TablePage } from "../../pipeline/record/table-crawl.ts";
import { FRAME_SHIFT } from "../../walkers/memory.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { type CapturedIommu, unitOf } from "./capture.ts";
import type { GuestMachine, MachineIommu } from "./machine.ts";
import { ASKED, LOGGED, type PageMap, UNWATCHED } from "./page-map.ts";
import { queueFrames } from "./queues.ts";
import type { AskedStore } from "./store-channel.ts";

/** How long after an entry was taken back the pages that nothing leads to any more are let go, in milliseconds. */
const SWEEP_MS = 100;
const WORD = 8n;

/** What is asked of the machine whose tables are followed. */
export type FollowedMachine = Pick<GuestMachine, "iommus" | "isMemory" | "pageNow">;

interface Followed extends TablePage {
  readonly iommu: number;
  /** Devices that are looked up through it: ids from the first to the last. */
  first: number;
  last: number;
}

/** From so many devices on, all are looked at: a crawl steps over many at once where there is nothing. */
const MANY = 1 << 12;

/**
 * Follows the tables of a running machine: which pages they lie in, from the registers on, and from each entry that is
 * written. A page that becomes one is written down whole, and every store to it from then on.
 */
export class TableFollower {
  /** Pages that are watched. */
  readonly pages = new Map<number, Followed>();
  readonly queues = new Set<number>();
  readonly #machine: FollowedMachine;
  readonly #map: PageMap;
  readonly #memory: PageMemory;
  /** Registers as they are, by IOMMU. */
  readonly #registers: Map<string, bigint>[];
  #sweeping: NodeJS.Timeout | null = null;
  /** Lines for the log that answer the question at hand. */
  #lines: string[] = [];

  constructor(machine: FollowedMachine, map: PageMap, iommus: readonly CapturedIommu[]) {
    this.#machine = machine;
    this.#map = map;
    this.#registers = iommus.map(({ registers }) => new Map(registers));
    this.#memory = new PageMemory(
      (frame) => machine.isMemory(frame),
      (frame) => machine.pageNow(frame),
    );
  }

  /** Something of the tables has been followed. */
  get started(): boolean {
    return this.pages.size > 0;
  }

  /** Takes over what is there. @returns lines for the log */
  begin(): string {
    for (const index of this.#machine.iommus.keys()) {
      this.#queue(index);
      this.#lookAround(index);
    }
    return this.#taken();
  }

  /** The guest has given the registers of an IOMMU a place, where they have these values. */
  placed(index: number, registers: ReadonlyMap<string, bigint>): void {
    this.#registers[index] = new Map(registers);
  }

  /** The plugin has seen a store. @returns lines for the log */
  stored(store: AskedStore): string {
    this.#memory.forget();
    const frame = Number(store.address >> BigInt(FRAME_SHIFT));
    const page = this.pages.get(frame);
    if (page !== undefined) this.#entry(page, store);
    else this.#register(store);
    return this.#taken();
  }

  end(): void {
    if (this.#sweeping !== null) clearTimeout(this.#sweeping);
    this.#sweeping = null;
  }

  #taken(): string {
    const text = this.#lines.join("");
    this.#lines = [];
    return text;
  }

  #entry({ place, iommu, first, last }: Followed, { address }: AskedStore): void {
    if (place === null && last - first < MANY) this.#crawl(iommu).devices(first, last);
    else if (place === null) this.#lookAround(iommu);
    else {
      const span = BigInt(2 ** place.table);
      this.#crawl(iommu).below(place, Number((address % span) / WORD));
    }
    // An entry that has gone may have led to what is now no table any more.
    this.#sweepLater();
  }

  #register({ address, bytes, value }: AskedStore): void {
    for (const [index, { kind, base, id }] of this.#machine.iommus.entries()) {
      if (base === null) continue;
      for (const register of kind.leading) {
        const at = address - base - BigInt(register.offset);
        if (at < 0n || at >= BigInt(register.bytes)) continue;
        const registers = this.#registers[index]!;
        const mask = ((1n << BigInt(8 * bytes)) - 1n) << (8n * at);
        const old = registers.get(register.name) ?? 0n;
        registers.set(register.name, (old & ~mask) | ((value << (8n * at)) & mask));
        this.#queue(index);
        this.#lookAround(index);
        this.#sweepLater();
        if (kind.silent === true)
          this.#lines.push(
            `iotab_register ${id} ${register.name} 0x${registers.get(register.name)!.toString(16)}\n`,
          );
      }
    }
  }

  /** All tables of an IOMMU. */
  #lookAround(index: number): void {
    if (this.#rooted(index)) this.#crawl(index).run();
  }

  #queue(index: number): void {
    for (const frame of queueFrames(this.#kind(index).queue, this.#registers[index]!))
      if (!this.queues.has(frame) && this.#machine.isMemory(frame)) {
        this.queues.add(frame);
        this.#watch(frame, LOGGED);
      }
  }

  #kind(index: number): MachineIommu["kind"] {
    return this.#machine.iommus[index]!.kind;
  }

  #crawl(index: number, found = (page: TablePage) => this.#found(page, index)): TableCrawl {
    const { kind, id } = this.#machine.iommus[index]!;
    const registers = new Map(this.#registers[index]!);
    const { register, bits } = kind.enable;
    registers.set(register, (registers.get(register) ?? 0n) | bits);
    return new TableCrawl(unitOf({ id, model: kind.model, registers }, this.#memory), found);
  }

  #found(page: TablePage, iommu: number): void {
    if (!this.#machine.isMemory(page.frame)) return;
    const known = this.pages.get(page.frame);
    const first = Math.min(known?.first ?? page.device, page.device);
    const last = Math.max(known?.last ?? page.device, page.device);
    if (known !== undefined && (known.leads || !page.leads)) {
      // The same page by a way that still leads there; one that is two things is the one that leads on.
      if (known.leads === page.leads && known.place !== null)
        this.pages.set(page.frame, { ...page, iommu, first, last });
      known.first = first;
      known.last = last;
      return;
    }
    this.pages.set(page.frame, { ...page, iommu, first, last });
    this.#watch(page.frame, page.leads ? LOGGED | ASKED : LOGGED);
  }

  /** Every store to a page is seen from here on; what it holds now is written down. */
  #watch(frame: number, kind: number): void {
    this.#map.watch(frame, kind);
    const page = this.#machine.pageNow(frame);
    if (page === null) return;
    const zero = page.every((byte) => byte === 0);
    this.#lines.push(
      `iotab_page 0x${frame.toString(16)}000 ${zero ? "zero" : Buffer.from(page).toString("hex")}\n`,
    );
  }

  #sweepLater(): void {
    this.#sweeping ??= setTimeout(() => {
      this.#sweeping = null;
      this.#sweep();
    }, SWEEP_MS);
  }

  /** Pages that tables lie in now; null where they are endless. */
  reached(): ReadonlySet<number> | null {
    this.#memory.forget();
    const reached = new Set<number>();
    for (const index of this.#machine.iommus.keys()) {
      if (!this.#rooted(index)) continue;
      const crawl = this.#crawl(index, ({ frame }) => reached.add(frame));
      crawl.run();
      if (crawl.spent) return null;
    }
    return reached;
  }

  /** Software has said where the tables of an IOMMU are: before, they are nowhere. */
  #rooted(index: number): boolean {
    const { registerNames } = VENDORS[this.#kind(index).model];
    return (this.#registers[index]!.get(registerNames.root) ?? 0n) !== 0n;
  }

  /** Pages that no entry leads to any more are let go: they become something else, and are written to very often. */
  #sweep(): void {
    const reached = this.reached();
    if (reached === null) return;
    for (const frame of this.pages.keys())
      if (!reached.has(frame)) {
        this.pages.delete(frame);
        this.#map.watch(frame, this.queues.has(frame) ? LOGGED : UNWATCHED);
      }
  }
}
