import type { Bench } from "tinybench";
import { type Case, collectCases } from "./cases.ts";

/** Walks of each task's iteration. */
const WALKS = 1000;
/**
 * Walks of single requests of the synthetic trace that hit 4 KiB pages: VT-d, 4-level first stage alone and nested
 * on a 4-level second stage. "uncached" reads every structure from the root table on.
 */
export async function addWalkTasks(bench: Bench): Promise<void> {
  const cases = await collectCases({ caches: false });
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
    const process = walker.newPasidContext();
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
