import { IommuUnit } from "../../pipeline/iommus/iommu-unit.ts";
import { PageMemory } from "../../pipeline/record/page-memory.ts";
import { TableCrawl, type TablePage } from "../../pipeline/record/table-crawl.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { Word64 } from "../../walkers/registers.ts";
import type { GuestMachine, MachineIommu } from "./machine.ts";
import { queueFrames } from "./queues.ts";

/** One IOMMU at one moment. */
export interface CapturedIommu {
  readonly id: string;
  readonly model: IommuModel;
  readonly registers: ReadonlyMap<string, bigint>;
}

/** The IOMMUs of a machine at one moment, and the pages that their tables and queues lie in. */
export interface Capture {
  readonly iommus: readonly CapturedIommu[];
  readonly pages: Map<number, Uint8Array>;
  /** What each page of tables is. */
  readonly tables: ReadonlyMap<number, TablePage & { readonly iommu: number }>;
  readonly queues: ReadonlySet<number>;
  /** Some tables were not looked at: they are endless. */
  readonly spent: boolean;
}

/** Reads registers and tables. The machine should stand still. @throws QmpError */
export async function capture(machine: GuestMachine): Promise<Capture> {
  const iommus: CapturedIommu[] = [];
  for (const iommu of machine.iommus)
    iommus.push({ id: iommu.id, model: iommu.kind.model, registers: await machine.registers(iommu) });
  const memory = new PageMemory(
    (frame) => machine.isMemory(frame),
    (frame) => machine.pageNow(frame),
  );
  for (;;) {
    memory.touched.clear();
    const found = lookAround(machine.iommus, iommus, memory);
    if (memory.missing.size === 0) {
      const pages = new Map([...memory.touched].map((frame) => [frame, memory.pages.get(frame)!]));
      return { iommus, pages, ...found };
    }
    for (const [frame, page] of await machine.pages([...memory.missing])) memory.bring(frame, page);
  }
}

function lookAround(machines: readonly MachineIommu[], iommus: readonly CapturedIommu[], memory: PageMemory) {
  const tables = new Map<number, TablePage & { iommu: number }>();
  const queues = new Set<number>();
  let spent = false;
  for (const [index, iommu] of iommus.entries()) {
    for (const frame of queueFrames(machines[index]!.kind.queue, iommu.registers))
      if (memory.page(frame) !== null) queues.add(frame);
    const crawl = new TableCrawl(unitOf(iommu, memory), (page) => {
      const known = tables.get(page.frame);
      // A page that is two things is the one that leads on.
      if (known === undefined || (page.leads && !known.leads))
        tables.set(page.frame, { ...page, iommu: index });
      memory.page(page.frame);
    });
    crawl.run();
    spent ||= crawl.spent;
  }
  return { tables, queues, spent };
}

/** An IOMMU with these registers, to walk its tables. */
export function unitOf({ id, model, registers }: CapturedIommu, memory: PageMemory): IommuUnit {
  const unit = new IommuUnit(id, model, memory);
  unit.configure(
    [...registers].map(([name, value]): [string, Word64] => [name, wordOf(value)]),
    [],
  );
  return unit;
}

function wordOf(value: bigint): Word64 {
  return { hi: Number(BigInt.asIntN(32, value >> 32n)), lo: Number(BigInt.asIntN(32, value)) };
}
