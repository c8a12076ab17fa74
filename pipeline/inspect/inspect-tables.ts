import type { ByteSource } from "../../parsers/trace/byte-source.ts";
import { IOMMUS } from "../../walkers/models.ts";
import { NO_PASID } from "../../walkers/request.ts";
import type { RecordFilter } from "../filter/record-filter.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Errors } from "../output/error-log.ts";
import type { ReplayOptions } from "../replay/options.ts";
import { inspectUnits } from "./inspect-units.ts";
import type { TableReads } from "./read-trail.ts";
import type { InspectionSink } from "./sink.ts";
import { TraceState } from "./trace-state.ts";

/** Which part of a trace's tables to enumerate. */
export interface TableSelection {
  /** The state after this line; undefined: after the whole trace. */
  readonly at?: number | undefined;
  /** Id of one IOMMU. */
  readonly iommu?: string | undefined;
  /** A device's name. */
  readonly dev?: string | undefined;
  /** One PASID; "none": requests without. */
  readonly pasid?: number | "none" | undefined;
  readonly maps: boolean;
  readonly faulty: boolean;
  /** First input address. */
  readonly from?: bigint | undefined;
  /** Ranges of each address space. */
  readonly limit?: number | undefined;
  /** Walks in all. */
  readonly walks: number;
  /** Narrows it further: several devices, PASIDs, ranges of addresses. */
  readonly filter?: RecordFilter | undefined;
  /** Told which frames are read as tables. */
  readonly tableReads?: TableReads | undefined;
}

/** What was asked for is not in the trace. */
export class SelectionError extends Error {}

/**
 * Replays a trace up to a line and enumerates the tables in memory as they are then.
 * @throws SelectionError where there is no such IOMMU or device
 */
export async function inspectTables(
  source: ByteSource,
  selection: TableSelection,
  sink: InspectionSink,
  options: Partial<ReplayOptions> = {},
): Promise<Errors> {
  const state = new TraceState(options);
  try {
    await state.read(source, selection.at ?? Number.POSITIVE_INFINITY);
    const { filter } = selection;
    const named = unitsOf(state, selection.iommu).filter(({ id }) => filter?.iommu(id) !== false);
    const device = deviceOf(state, selection.dev);
    const units = device === undefined ? named : unitsWith(named, device);
    const what = {
      device,
      pasid: selection.pasid === "none" ? NO_PASID : selection.pasid,
      maps: selection.maps,
      faulty: selection.faulty,
      from: Number((selection.from ?? 0n) >> 12n),
      limit: selection.limit ?? Number.POSITIVE_INFINITY,
      filter: selection.filter ?? null,
      tableReads: selection.tableReads ?? null,
    };
    await inspectUnits(units, state.names.devices, what, state.line, selection.walks, sink);
    return state.problems();
  } finally {
    state.close();
  }
}

function unitsOf(state: TraceState, id: string | undefined): readonly IommuUnit[] {
  if (id === undefined) return state.units;
  const units = state.units.filter((unit) => unit.id === id);
  if (units.length > 0) return units;
  const known = state.units.map((unit) => JSON.stringify(unit.id)).join(", ") || "none";
  throw new SelectionError(`expected an IOMMU of the trace (${known}), found ${JSON.stringify(id)}`);
}

/** Those that a device with this id can sit behind. */
function unitsWith(units: readonly IommuUnit[], device: number): readonly IommuUnit[] {
  const found = units.filter(({ model }) => device < 2 ** IOMMUS[model].device.bits);
  if (found.length > 0 || units.length === 0) return found;
  const [{ model }] = units as [IommuUnit];
  throw new SelectionError(
    `expected a device id of ${IOMMUS[model].device.bits} bits behind ${model}, found ${device}`,
  );
}

/** Id of a device by its name, whether the trace names it or not. */
function deviceOf(state: TraceState, name: string | undefined): number | undefined {
  if (name === undefined) return undefined;
  const device = state.names.devices.parse(name);
  if (typeof device !== "string") return device.id;
  throw new SelectionError(`expected a device such as "00:03.0" or "sid:7", found ${JSON.stringify(name)}`);
}
