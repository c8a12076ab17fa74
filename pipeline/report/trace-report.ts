import type { RecordSource } from "../../parsers/trace/record-source.ts";
import { readRecords } from "../../parsers/trace/record-source.ts";
import type { TraceNames } from "../../parsers/trace/records.ts";
import type { PlainRecord, RecordOf } from "../../parsers/trace/schema.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { PropertyValue, Word64 } from "../../walkers/registers.ts";
import type { RecordFilter } from "../filter/record-filter.ts";
import { inspectUnits } from "../inspect/inspect-units.ts";
import type { InspectedSpace } from "../inspect/sink.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Summary } from "../output/statistics.ts";
import type { ReplayOptions } from "../replay/options.ts";
import { Replay } from "../replay/replay.ts";
import type { SummarySink } from "../summary/summary-sink.ts";
import { AddressMaps, type MapLimits } from "./address-maps.ts";
import type { AnswerKinds } from "./answer-kinds.ts";
import { Collector, type CollectorLimits } from "./collector.ts";
import type { FoundStructures } from "./found-structures.ts";
import type { TakenWalks } from "./taken-walks.ts";
import type { Timeline } from "./timeline.ts";

export interface ReportLimits extends CollectorLimits {
  readonly maps: MapLimits;
  /** Walks to enumerate the tables at the end. */
  readonly enumeration: number;
}

/** What is known of an IOMMU at the end of a trace. */
export interface UnitState {
  readonly iommu: string | undefined;
  readonly model: IommuModel;
  readonly registers: readonly (readonly [name: string, value: Word64])[];
  readonly props: readonly (readonly [name: string, value: PropertyValue])[];
}

/** Everything that a report of one trace says. */
export interface TraceReport {
  /** Counts, as a replay of the same options has them. */
  readonly counts: Summary;
  readonly summary: SummarySink;
  /** Answers that memory does not give. */
  readonly answers: AnswerKinds;
  readonly timeline: Timeline;
  readonly walks: TakenWalks;
  readonly structures: FoundStructures;
  /** The tables at the end. */
  readonly maps: AddressMaps;
  readonly units: readonly UnitState[];
  /** What the trace says of its making: the first few. */
  readonly headers: readonly RecordOf<"header">[];
  readonly lines: number;
  /** Bytes of the input, before decompression. */
  readonly bytes: number;
}

const MOST_HEADERS = 4;
/** IOMMUs whose registers are told, and registers and properties of each. */
const MOST_UNITS = 64;
const MOST_REGISTERS = 64;

/**
 * Replays the records of a source from beginning to end, closes it, and keeps what a report is made of.
 * @param tables which of the tables at the end are told; null: all
 * @param onPiece as for `replayRecords`
 */
export async function traceReport(
  source: RecordSource,
  options: ReplayOptions,
  limits: ReportLimits,
  tables: RecordFilter | null,
  onPiece: (bytesRead: number, requests: number) => void,
): Promise<TraceReport> {
  const collector = new Collector(limits);
  const replay = new ReportedReplay(source.names, collector, options);
  const { headers } = replay;
  const handler = options.filter === null ? replay : options.filter.watching(replay);
  try {
    const { lines, bytes } = await readRecords(source, handler, (read) =>
      onPiece(read, replay.summary.requests),
    );
    replay.finish(lines);
    const { summary, answers, timeline, walks, structures } = collector;
    const { units } = replay.system.iommus;
    const maps = new AddressMaps(limits.maps, usedIn(summary));
    const all = { device: undefined, pasid: undefined, maps: true, faulty: true, from: 0 };
    const what = { ...all, limit: Number.POSITIVE_INFINITY, filter: tables, tableReads: null };
    await inspectUnits(units, source.names.devices, what, lines, limits.enumeration, maps);
    const states = units.slice(0, MOST_UNITS).map(stateOf);
    const found = { summary, answers, timeline, walks, structures, maps, units: states };
    return { counts: replay.summary, ...found, headers, lines, bytes };
  } finally {
    replay.close();
  }
}

/** A replay that keeps what the trace says of itself. */
class ReportedReplay extends Replay {
  readonly headers: RecordOf<"header">[] = [];

  constructor(names: TraceNames, collector: Collector, options: ReplayOptions) {
    super(names, collector, options, (system) => collector.watch(system));
  }

  override record(line: number, record: PlainRecord): void {
    if (record.type === "header" && this.headers.length < MOST_HEADERS) this.headers.push(record);
    super.record(line, record);
  }
}

/** Whether requests were made in an address space. */
function usedIn({ spaces }: SummarySink): (space: InspectedSpace) => boolean {
  const keyOf = (iommu: string | undefined, dev: string, pasid = -1) => `${iommu}\n${dev}\n${pasid}`;
  const used = new Set(spaces.all.map(({ iommu, device, pasid }) => keyOf(iommu, device, pasid)));
  return ({ iommu, dev, pasid }) => used.has(keyOf(iommu, dev, pasid));
}

function stateOf({ id, model, state }: IommuUnit): UnitState {
  return {
    iommu: id,
    model,
    registers: [...state.registers].slice(0, MOST_REGISTERS),
    props: [...state.props].slice(0, MOST_REGISTERS),
  };
}
