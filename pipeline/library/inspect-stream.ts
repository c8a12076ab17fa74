import { setImmediate } from "node:timers/promises";
import { onlyTrace } from "../../parsers/recognize.ts";
import { FRAME_BYTES } from "../../walkers/memory.ts";
import { addressText } from "../../walkers/word64.ts";
import type { FilterWords } from "../filter/filter-words.ts";
import { RecordFilter } from "../filter/record-filter.ts";
import { inspectTables, SelectionError } from "../inspect/inspect-tables.ts";
import type {
  InspectedDevice,
  InspectedDevices,
  InspectedIommu,
  InspectedPasid,
  InspectedRange,
  InspectionNote,
  InspectionSummary,
} from "../inspect/records.ts";
import type { InputRange, InspectedSpace, InspectionSink } from "../inspect/sink.ts";
import { permText } from "../output/perm-text.ts";
import { LibraryError } from "./library-error.ts";
import { filtered, handedOn, sourceOf, type TraceInput, traceFolder } from "./trace-input.ts";

/** Which part of a trace's tables to enumerate. */
export interface InspectOptions {
  /** The state after this line; default: after the whole trace. */
  readonly at?: number;
  /** The mapped ranges as well. */
  readonly maps?: boolean;
  /** Contexts and entries that are there, and fault. */
  readonly faulty?: boolean;
  /** Ranges of each address space, at most. */
  readonly limit?: number;
  /** Walks in all, after which it ends: tables may point back into themselves. Default 50,000,000. */
  readonly maxWalks?: number;
  /** Which IOMMUs, devices, PASIDs and addresses; default: all. */
  readonly filter?: FilterWords;
  /** Folders or files outside of the trace's own that its snapshots may be in. */
  readonly allowPaths?: readonly string[];
}

/** Any record of an inspection; `map` stands before the `pasid` that it is of. */
export type InspectionRecord =
  | InspectedIommu
  | InspectedDevice
  | InspectedDevices
  | InspectedPasid
  | InspectedRange
  | InspectionNote
  | InspectionSummary;

/** As many walks as take about half a minute. */
const DEFAULT_WALKS = 50_000_000;
/** Records that are handed on at once. */
const ENOUGH = 1000;

/**
 * Enumerates the tables of a trace as they are after a line, as `pasid-replay inspect`: a record for each IOMMU, device and
 * PASID, with its ranges before it, and `inspect-summary` as the last. Leaving the loop early closes the trace.
 *
 * @throws TraceError where the trace cannot be opened; LibraryError ("argument") for options that make no sense
 */
export async function* inspect(
  input: TraceInput,
  options: InspectOptions = {},
): AsyncGenerator<InspectionRecord, void, undefined> {
  const {
    at,
    maps = false,
    faulty = false,
    limit,
    maxWalks = DEFAULT_WALKS,
    filter: words,
    allowPaths = [],
  } = options;
  const filter = words && filtered(() => new RecordFilter(words));
  const source = await onlyTrace(await sourceOf(input));
  const selection = { at, maps, faulty, limit, walks: maxWalks, filter };
  const batches = handedOn<InspectionRecord[]>([source], async (put) => {
    const sink = new InspectionRecords(put);
    await inspectTables(source, selection, sink, { directory: traceFolder(input), allowPaths });
    await sink.flush();
  });
  try {
    for await (const batch of batches) yield* batch;
  } catch (error) {
    throw error instanceof SelectionError ? new LibraryError("argument", error.message) : error;
  }
}

/** Collects what an inspection finds, as objects. */
class InspectionRecords implements InspectionSink {
  readonly #put: (records: InspectionRecord[]) => Promise<void>;
  #records: InspectionRecord[] = [];
  #space: InspectedSpace | null = null;

  constructor(put: (records: InspectionRecord[]) => Promise<void>) {
    this.#put = put;
  }

  iommu(record: InspectedIommu): void {
    this.#records.push(record);
  }

  device(record: InspectedDevice): void {
    this.#records.push(record);
  }

  devices(record: InspectedDevices): void {
    this.#records.push(record);
  }

  space(space: InspectedSpace): void {
    this.#space = space;
  }

  range({ frame, frames, output, perm, pageShift, privileged }: InputRange): boolean {
    const { iommu, dev, pasid } = this.#space!;
    this.#records.push({
      type: "map",
      iommu,
      dev,
      pasid,
      iova: addressText(frame),
      pa: addressText(output),
      size: frames * FRAME_BYTES,
      perm: permText(perm),
      ...(pageShift === 0 ? { passthrough: true } : { page: 2 ** pageShift }),
      ...(privileged ? { priv: true } : {}),
    });
    return this.#records.length >= ENOUGH;
  }

  pasid(record: InspectedPasid): void {
    this.#records.push(record);
  }

  note(record: InspectionNote): void {
    this.#records.push(record);
  }

  summary(record: InspectionSummary): void {
    this.#records.push(record);
  }

  async pause(yielding = true): Promise<void> {
    if (this.#records.length >= ENOUGH || (yielding && this.#records.length > 0)) await this.flush();
    if (yielding) await setImmediate();
  }

  async flush(): Promise<void> {
    if (this.#records.length === 0) return;
    const records = this.#records;
    this.#records = [];
    await this.#put(records);
  }
}
