import type { Bench } from "tinybench";
import { readTrace, type TraceHandler } from "../../parsers/trace/reader.ts";
import { type DmaRecord, TraceNames } from "../../parsers/trace/records.ts";
import { bytesSource } from "../../parsers/trace/source.ts";
import { ByteWriter } from "../../pipeline/byte-writer.ts";
import type { IommuUnit } from "../../pipeline/iommu-unit.ts";
import { DEFAULT_OPTIONS } from "../../pipeline/options.ts";
import { Replay } from "../../pipeline/replay.ts";
import { NOTHING } from "../../pipeline/selection.ts";
import { WalkRequest } from "../../walkers/request.ts";
import { OK } from "../../walkers/result.ts";
import { syntheticTrace } from "../support/trace-generator.ts";

/** Walks of each task's iteration. */
const WALKS = 1000;
/** log2 of the pages whose walks are compared: their tables have all 4 levels. */
const PAGE_SHIFT = 12;

/** One request of the synthetic trace, with the unit that walks it. */
interface Case {
  readonly unit: IommuUnit;
  readonly request: WalkRequest;
}

/**
 * Walks of single requests of the synthetic trace that hit 4 KiB pages: VT-d, 4-level first stage alone and nested
 * on a 4-level second stage. "uncached" reads every structure from the root table on.
 */
export async function addWalkTasks(bench: Bench): Promise<void> {
  const cases = await collectCases();
  const reads = (c: Case) => c.unit.engine.walk(c.request).reads;
  const fewest = Math.min(...cases.map(reads));
  const kinds = {
    "4-level first stage": cases.filter((c) => reads(c) === fewest),
    "nested 4x4": cases.filter((c) => reads(c) > 2 * fewest),
  };
  for (const [kind, all] of Object.entries(kinds)) {
    const some = Array.from({ length: WALKS }, (_, i) => all[i % all.length]!);
    const { walker, engine } = some[0]!.unit;
    const device = walker.newDevice();
    const process = walker.newProcess();
    bench.add(`walk: 1000 ${kind}, uncached, ${reads(some[0]!)} reads each`, () => {
      let status = 0;
      for (const { request } of some) status |= engine.walkUncached(request, device, process).status;
      return status;
    });
    bench.add(`walk: 1000 ${kind}, cached`, () => {
      let status = 0;
      for (const { request } of some) status |= engine.walk(request).status;
      return status;
    });
  }
}

async function collectCases(): Promise<Case[]> {
  const text = [...syntheticTrace({ requests: 20_000, seed: 1 })].join("");
  const names = new TraceNames();
  const replay = new Replay(names, new ByteWriter(), { ...DEFAULT_OPTIONS, only: NOTHING, caches: false });
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

/** A request that is translated by 4 KiB pages, or null. */
function caseOf(replay: Replay, record: DmaRecord): Case | null {
  const route = replay.iommus.route(record);
  if ("code" in route) throw new Error(route.message);
  const request = new WalkRequest();
  request.device = route.id;
  request.pasid = record.pasid;
  request.addrHi = record.addrHi;
  request.addrLo = record.addrLo;
  request.access = record.access;
  request.priv = record.priv;
  request.binding = route.binding;
  const walk = route.unit.engine.walk(request);
  return walk.status === OK && walk.pageShift === PAGE_SHIFT ? { unit: route.unit, request } : null;
}
