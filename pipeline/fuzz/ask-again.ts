/** Worlds that were kept, asked about again: of a device that was mended, of another version, of another device. */
import type { Bug } from "../../walkers/fuzz/bug.ts";
import type { Limits, WorldRecord } from "../../walkers/fuzz/world.ts";
import { deviceName, type IommuModel } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { hex } from "../../walkers/word64.ts";
import {
  type EntryPlaces,
  ExpectedDepartures,
  type KnownEntry,
  misread,
  NOTHING_EXPECTED,
} from "./expected-departures.ts";
import { ask, kindOfFailure } from "./failing-worlds.ts";
import { judgeWorld, observedRecords } from "./judge.ts";
import { DeviceFailure, type DevicePort } from "./port.ts";
import { addressOfEntry, RequestWalks } from "./request-walks.ts";
import { asKnown, signaturesOf } from "./signature.ts";

export interface Answered {
  readonly requests: number;
  /** Requests that the device could not make. */
  readonly unanswered: number;
  /** Requests whose answers the mistakes explain that it is known to make. */
  readonly excused: number;
  /** What it departs in, one signature for each request that shows it, known where it can be; or how it failed. */
  readonly signatures: readonly string[];
  readonly failed: boolean;
}

/** Why a device cannot be asked about a world: "line 3: mem.addr: expected …, found …". */
export class NotForDevice extends Error {}

/**
 * Asks a device about a world that was made before; what was observed then does not count.
 * @param expected what is known of the device
 * @param isKnown whether a departure is, by its signature
 * @throws NotForDevice where the device has no such IOMMU, memory or devices, or a record is none; DeviceFailure where it
 * cannot be asked any more
 */
export async function askAgain(
  port: DevicePort,
  kept: readonly WorldRecord[],
  expected = NOTHING_EXPECTED,
  isKnown: (signature: string) => boolean = () => false,
): Promise<Answered> {
  const { model, limits } = port.identity;
  checkModel(model, kept);
  const records = kept.filter(({ type }) => type !== "header").map((record) => forDevice(record, limits));
  checkRecords(records);
  checkFor(model, limits, kept);
  const requests = records.filter(({ type }) => type === "dma").length;
  const answers = await ask(port, records);
  if (answers instanceof DeviceFailure)
    return {
      requests,
      unanswered: requests,
      excused: 0,
      signatures: [kindOfFailure(answers)],
      failed: true,
    };
  const observed = observedRecords(records, answers);
  const known = new ExpectedDepartures(expected, limits);
  const departures = known.judge(observed, placesIn(observed, expected.bugs));
  const fuzzing = await VENDORS[model].fuzzing();
  const signatures = signaturesOf(observed, departures, expected.codeAliases, true, fuzzing).map(
    (signature) => asKnown(signature, isKnown).text,
  );
  const unanswered = answers.filter((answer) => answer === undefined).length;
  return { requests, unanswered, excused: known.excused, signatures, failed: false };
}

/** The structures that walks of requests read: also those of a device that makes mistakes, and so does not stop before them. */
function placesIn(records: readonly WorldRecord[], bugs: readonly Bug[]): EntryPlaces {
  const entries = new Map<bigint, KnownEntry>();
  const places = { entryAt: (address: bigint) => entries.get(address) };
  const note = (seen: readonly WorldRecord[], made: readonly Bug[]) => {
    const walks = new RequestWalks((_line, record) => {
      for (const entry of walks.entriesOf(record))
        entries.set(BigInt(addressOfEntry(entry)), { ...entry, uses: [{ level: entry.level }] });
    }, made);
    walks.run(seen);
  };
  note(records, []);
  for (let known = 0; bugs.length > 0 && entries.size > known; ) {
    known = entries.size;
    note(misread(records, places, bugs), bugs);
  }
  return places;
}

/** A record without what another device has answered; the registers that this one cannot change are its own. */
function forDevice(record: WorldRecord, { regs, props }: Limits): WorldRecord {
  if (record.type === "dma") {
    const { observed: _gone, ...request } = record;
    return request as WorldRecord;
  }
  if (record.type !== "iommu") return record;
  const fixed = Object.fromEntries(Object.entries(regs).map(([name, value]) => [name, hex(value)]));
  return {
    ...record,
    regs: { ...(record.regs as object | undefined), ...fixed },
    props: { ...(record.props as object | undefined), ...props },
  };
}

/** A record that is none is told of before the device hears of it. */
function checkRecords(records: readonly WorldRecord[]): void {
  try {
    judgeWorld(records);
  } catch (error) {
    throw new NotForDevice((error as Error).message);
  }
}

function checkModel(model: IommuModel, records: readonly WorldRecord[]): void {
  for (const [i, record] of records.entries())
    if (record.type === "iommu" && record.model !== model)
      throw unfit(record, i, "model", JSON.stringify(model));
}

function checkFor(
  model: IommuModel,
  { memory, pagesInMemory, devices }: Limits,
  records: readonly WorldRecord[],
) {
  const end = memory.base + memory.bytes;
  const names = devices.map((id) => deviceName(model, id));
  for (const [i, record] of records.entries()) {
    if (record.type === "mem" && pagesInMemory) {
      const at = BigInt(record.addr as string);
      if (at < memory.base || at >= end)
        throw unfit(record, i, "addr", `memory of the device, ${hex(memory.base)} to ${hex(end - 1n)}`);
    }
    if (record.type !== "dma" || devices.length === 0) continue;
    if (!names.some((name) => name === record.dev || `0000:${name}` === record.dev))
      throw unfit(record, i, "dev", `one of ${names.join(", ")}`);
  }
}

function unfit(record: WorldRecord, index: number, field: string, expected: string): NotForDevice {
  const found = JSON.stringify(record[field]) ?? "none";
  return new NotForDevice(`line ${index + 1}: ${record.type}.${field}: expected ${expected}, found ${found}`);
}
