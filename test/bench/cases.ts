import type { ByteSource } from "../../parsers/trace/byte-source.ts";
import { readTrace, type TraceHandler } from "../../parsers/trace/reader.ts";
import { TraceNames } from "../../parsers/trace/records.ts";
import type { PlainRecord } from "../../parsers/trace/schema.ts";
import { bytesSource, openTrace } from "../../parsers/trace/source.ts";
import type { IommuUnit } from "../../pipeline/iommus/iommu-unit.ts";
import { aim } from "../../pipeline/iommus/iommus.ts";
import { RecordSink } from "../../pipeline/output/record-sink.ts";
import { SELECT_NOTHING } from "../../pipeline/output/selection.ts";
import { DEFAULT_OPTIONS } from "../../pipeline/replay/options.ts";
import { Replay } from "../../pipeline/replay/replay.ts";
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
  const cases = await casesOf(bytesSource(Buffer.from(text)), caches, () => true);
  return cases.filter(({ unit, request }) => unit.engine.walk(request).pageShift === PAGE_SHIFT);
}

/** Requests of a recording. Registers stay as they are declared: some recordings end with the IOMMU turned off. */
export async function recordedCases(path: string): Promise<Case[]> {
  return casesOf(await openTrace(path), false, ({ type }) => type !== "reg");
}

/** Requests of a trace that page tables translate as memory is at its end. */
async function casesOf(
  source: ByteSource,
  caches: boolean,
  wanted: (record: PlainRecord) => boolean,
): Promise<Case[]> {
  const names = new TraceNames();
  const replay = new Replay(names, new RecordSink(() => {}, SELECT_NOTHING), { ...DEFAULT_OPTIONS, caches });
  const cases: Case[] = [];
  const handler: TraceHandler = {
    dma: (line, record) => {
      const route = replay.system.iommus.route(record);
      if ("code" in route) throw new Error(`line ${line}: ${route.message}`);
      const request = new WalkRequest();
      aim(request, route, record);
      cases.push({ unit: route.unit, request });
    },
    mem: (line, record) => replay.mem(line, record),
    record: (line, record) => {
      if (wanted(record)) replay.record(line, record);
    },
    unknown() {},
    error(line, _code, message) {
      throw new Error(`line ${line}: ${message}`);
    },
  };
  await readTrace(source, handler, { names });
  return cases.filter(({ unit, request }) => {
    const walk = unit.engine.walk(request);
    return walk.status === OK && walk.pageShift !== 0;
  });
}
