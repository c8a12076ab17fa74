import { readTrace, type TraceHandler } from "../../parsers/trace/reader.ts";
import { type DmaRecord, TraceNames } from "../../parsers/trace/records.ts";
import { bytesSource, openTrace } from "../../parsers/trace/source.ts";
import { ByteWriter } from "../../pipeline/byte-writer.ts";
import type { IommuUnit } from "../../pipeline/iommu-unit.ts";
import { aim } from "../../pipeline/iommus.ts";
import { DEFAULT_OPTIONS } from "../../pipeline/options.ts";
import { Replay } from "../../pipeline/replay.ts";
import { NOTHING } from "../../pipeline/selection.ts";
import { WalkRequest } from "../../walkers/request.ts";
import { OK } from "../../walkers/result.ts";
import { syntheticTrace } from "../support/trace-generator.ts";

/** log2 of the pages whose walks are compared: their tables have all 4 levels. */
const PAGE_SHIFT = 12;

/** One request of the synthetic trace, with the unit that walks it. */
export interface Case {
  readonly unit: IommuUnit;
  readonly request: WalkRequest;
}

/**
 * Requests of the synthetic trace that are translated by 4 KiB pages.
 * @param caches whether the units keep track of what the recorded caches may hold
 */
export async function collectCases({ caches }: { caches: boolean }): Promise<Case[]> {
  const text = [...syntheticTrace({ requests: 20_000, seed: 1 })].join("");
  const names = new TraceNames();
  const replay = new Replay(names, new ByteWriter(), { ...DEFAULT_OPTIONS, only: NOTHING, caches });
  const cases: Case[] = [];
  const handler: TraceHandler = {
    dma: (_line, record) => {
      const found = caseOf(replay, record);
      if (found !== null) cases.push(found);
    },
    mem: (line, record) => replay.mem(line, record),
    record: (line, record) => replay.record(line, record),
    unknown() {},
    error(line, _code, message) {
      throw new Error(`line ${line}: ${message}`);
    },
  };
  await readTrace(bytesSource(Buffer.from(text)), handler, { names });
  return cases;
}

/**
 * Requests of a recording that page tables translate as memory is at its end. Registers stay as they are declared: some
 * recordings end with the IOMMU turned off.
 */
export async function recordedCases(path: string): Promise<Case[]> {
  const names = new TraceNames();
  const replay = new Replay(names, new ByteWriter(), { ...DEFAULT_OPTIONS, only: NOTHING, caches: false });
  const cases: Case[] = [];
  const handler: TraceHandler = {
    dma: (_line, record) => {
      const route = replay.iommus.route(record);
      if ("code" in route) return;
      const request = new WalkRequest();
      aim(request, route, record);
      cases.push({ unit: route.unit, request });
    },
    mem: (line, record) => replay.mem(line, record),
    record: (line, record) => {
      if (record.type !== "reg") replay.record(line, record);
    },
    unknown() {},
    error() {},
  };
  await readTrace(await openTrace(path), handler, { names });
  return cases.filter(({ unit, request }) => {
    const walk = unit.engine.walk(request);
    return walk.status === OK && walk.pageShift !== 0;
  });
}

/** A request that is translated by 4 KiB pages, or null. */
function caseOf(replay: Replay, record: DmaRecord): Case | null {
  const route = replay.iommus.route(record);
  if ("code" in route) throw new Error(route.message);
  const request = new WalkRequest();
  aim(request, route, record);
  const walk = route.unit.engine.walk(request);
  return walk.status === OK && walk.pageShift === PAGE_SHIFT ? { unit: route.unit, request } : null;
}
