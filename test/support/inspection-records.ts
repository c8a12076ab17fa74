import { Devices } from "../../parsers/trace/devices.ts";
import { Budget } from "../../pipeline/inspect/budget.ts";
import { type InspectionOptions, UnitInspector } from "../../pipeline/inspect/inspector.ts";
import type { RangeWalk } from "../../pipeline/inspect/range-walk.ts";
import type { InspectedSpace, InspectionSink } from "../../pipeline/inspect/sink.ts";
import { IommuUnit } from "../../pipeline/iommus/iommu-unit.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { PropertyValue } from "../../walkers/registers.ts";
import type { Binding } from "../../walkers/request.ts";
import type { PasidTableConfig } from "../../walkers/walker.ts";
import type { TableMemory } from "./table-memory.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests look into records of all types
export type AnyRecord = any;

/** Keeps the records of an inspection, without the fields that have no value. */
class Collected implements InspectionSink {
  readonly records: AnyRecord[] = [];
  #space: InspectedSpace | undefined;

  readonly #add = (record: object): void => {
    this.records.push(JSON.parse(JSON.stringify(record)));
  };
  iommu = this.#add;
  device = this.#add;
  devices = this.#add;
  pasid = this.#add;
  note = this.#add;
  summary = this.#add;

  space(space: InspectedSpace): void {
    this.#space = space;
  }

  range(range: RangeWalk): boolean {
    const { dev, pasid } = this.#space!;
    const at = (frame: number) => `0x${(BigInt(frame) << 12n).toString(16)}`;
    const { frame, output, frames, perm, pageShift } = range;
    const size = frames * 4096;
    this.#add({ type: "map", dev, pasid, iova: at(frame), pa: at(output), size, perm, pageShift });
    return false;
  }

  async pause(): Promise<void> {}
}

export interface InspectedUnit {
  readonly records: AnyRecord[];
  readonly walks: number;
}

const ALL: InspectionOptions = {
  device: undefined,
  pasid: undefined,
  maps: true,
  faulty: true,
  from: 0,
  limit: Number.POSITIVE_INFINITY,
  filter: null,
  tableReads: null,
};

/** Enumerates everything behind an IOMMU over a memory. */
export async function inspectUnit(
  model: IommuModel,
  memory: TableMemory,
  registers: Readonly<Record<string, bigint>>,
  options: Partial<InspectionOptions> & {
    readonly props?: Readonly<Record<string, PropertyValue>>;
    readonly walks?: number;
    readonly bind?: readonly [id: number, config: PasidTableConfig];
  } = {},
): Promise<InspectedUnit> {
  const unit = new IommuUnit(undefined, model, memory);
  const words = Object.entries(registers).map(
    ([name, value]) =>
      [name, { hi: Number(value >> 32n) | 0, lo: Number(value & 0xffff_ffffn) | 0 }] as [
        string,
        { hi: number; lo: number },
      ],
  );
  unit.configure(words, Object.entries(options.props ?? {}));
  const bound = new Map<number, Binding>();
  if (options.bind !== undefined) bound.set(options.bind[0], unit.walker.bind(options.bind[1]) as Binding);
  const sink = new Collected();
  const budget = new Budget(options.walks ?? 5_000_000);
  await new UnitInspector(unit, new Devices(), { ...ALL, ...options }, sink, budget).run(bound);
  return { records: sink.records, walks: budget.spent };
}

/** "device pasid translation", "-" for no PASID; one line per address space, and per group of devices. */
export function outline(records: readonly AnyRecord[]): string[] {
  return records.flatMap((r) => {
    if (r.type === "pasid") return [`${r.dev} ${r.pasid ?? "-"} ${r.translation}`];
    if (r.type === "devices") return [`${r.dev}..${r.last} ${r.translation}`];
    if (r.type !== "note") return [];
    const several = r.last === undefined ? "" : `..${r.last}`;
    return [`${r.dev} ${r.pasid ?? "-"}${several} ${r.note}${r.name === undefined ? "" : ` ${r.name}`}`];
  });
}
