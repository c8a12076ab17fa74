import { IommuUnit } from "../../pipeline/iommus/iommu-unit.ts";
import { PageMemory } from "../../pipeline/record/page-memory.ts";
import { TableCrawl } from "../../pipeline/record/table-crawl.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { Word64 } from "../../walkers/registers.ts";
import type { GuestMachine } from "./machine.ts";

/** One IOMMU at one moment. */
export interface CapturedIommu {
  readonly id: string;
  readonly model: IommuModel;
  readonly registers: ReadonlyMap<string, bigint>;
}

/** The IOMMUs of a machine at one moment, and the pages that their tables lie in. */
export interface Capture {
  readonly iommus: readonly CapturedIommu[];
  readonly pages: Map<number, Uint8Array>;
  /** Frames of tables, and the IOMMU that each is of. */
  readonly tables: ReadonlyMap<number, number>;
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
    const found = lookAround(iommus, memory);
    if (memory.missing.size === 0) {
      const pages = new Map([...memory.touched].map((frame) => [frame, memory.pages.get(frame)!]));
      return { iommus, pages, ...found };
    }
    for (const [frame, page] of await machine.pages([...memory.missing])) memory.bring(frame, page);
  }
}

function lookAround(iommus: readonly CapturedIommu[], memory: PageMemory) {
  const tables = new Map<number, number>();
  let spent = false;
  for (const [index, iommu] of iommus.entries()) {
    const crawl = new TableCrawl(unitOf(iommu, memory), ({ frame }) => {
      tables.set(frame, index);
      // Tables larger than a page are all of them.
      memory.page(frame);
    });
    crawl.run();
    spent ||= crawl.spent;
  }
  return { tables, spent };
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
