/** Worlds that a device does not answer: it dies, hangs or says nonsense. They are made small as departures are. */
import type { DmaRecord } from "../../parsers/trace/records.ts";
import type { WorldRecord } from "../../walkers/fuzz/world.ts";
import type { DeviceAnswer } from "../device/answer.ts";
import { DeviceFailure, type DevicePort } from "./port.ts";
import { type ReadEntry, RequestWalks, readingsOf, written } from "./request-walks.ts";
import { type Shown, shrink } from "./shrink.ts";

export interface FailingWorld extends Shown {
  readonly failure: DeviceFailure;
}

/** Runs of a device for one failure: after each that fails it is started again. */
const MOST_RUNS = 300;
/** Runs where each that fails takes as long as the device may be silent. */
const MOST_RUNS_HUNG = 20;
/** Runs that look for the field which is behind it. */
const MOST_READINGS = 300;

/** What is alike in failures of one cause: numbers in what a device says on its end are of the one run. */
export function kindOfFailure({ kind, message }: DeviceFailure): string {
  return `${kind}: ${message.replaceAll(/0x[0-9a-f]+|\d{3,}/gi, "#")}`;
}

/** A world as it was told to a device that failed at it. */
export function failingWorld(records: readonly WorldRecord[], failure: DeviceFailure): FailingWorld {
  return { records, failure, line: lastRequest(records) };
}

/** Makes it small for as long as the device fails in the same way. */
export async function shrinkFailing(
  port: DevicePort,
  found: FailingWorld,
  signal?: AbortSignal,
): Promise<{ readonly shown: FailingWorld; readonly runs: number }> {
  const kind = kindOfFailure(found.failure);
  const { regs } = port.identity.limits;
  const shows = async (records: readonly WorldRecord[]): Promise<FailingWorld | null> => {
    const answered = await ask(port, records);
    return answered instanceof DeviceFailure && kindOfFailure(answered) === kind
      ? failingWorld(records, answered)
      : null;
  };
  const most = found.failure.kind === "hung" ? MOST_RUNS_HUNG : MOST_RUNS;
  return shrink(found, shows, (register) => regs[register] !== undefined, { most, signal });
}

/**
 * The structure and field that a failure depends on: with another value of it, the device answers.
 * @returns "SMMUv3 stream table entry.S2AA64"; the structure alone where no field decides, "" where nothing was read
 */
export async function placeOfFailure(port: DevicePort, failing: FailingWorld): Promise<string> {
  const entries = entriesOf(failing);
  const last = entries.at(-1)?.layout.name ?? "";
  if (failing.failure.kind === "hung") return last;
  let runs = 0;
  for (const entry of entries.toReversed())
    for (const { field, bytes } of readingsOf(entry)) {
      if (Buffer.compare(bytes, entry.bytes) === 0) continue;
      if (runs++ >= MOST_READINGS) return last;
      const records = failing.records.toSpliced(failing.line - 1, 0, written(entry, bytes));
      if (!((await ask(port, records)) instanceof DeviceFailure)) return `${entry.layout.name}.${field}`;
    }
  return last;
}

/** What the walk of the request reads at which it fails. */
function entriesOf({ records, line }: FailingWorld): readonly ReadEntry[] {
  let entries: ReadEntry[] = [];
  const walks = new RequestWalks((at: number, record: DmaRecord) => {
    if (at === line) entries = walks.entriesOf(record);
  });
  walks.run(records.slice(0, line));
  return entries;
}

/** What a device answers, or how it fails to. @throws DeviceFailure where it cannot be asked any more */
export async function ask(
  port: DevicePort,
  records: readonly WorldRecord[],
): Promise<readonly (DeviceAnswer | undefined)[] | DeviceFailure> {
  try {
    return await port.run(records);
  } catch (error) {
    if (error instanceof DeviceFailure && error.kind !== "start") return error;
    throw error;
  }
}

/** Line of the last request; of the last record, where there is none. */
export function lastRequest(records: readonly WorldRecord[]): number {
  const last = records.findLastIndex(({ type }) => type === "dma");
  return last < 0 ? records.length : last + 1;
}
