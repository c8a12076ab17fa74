/** What it costs to keep track of what the recorded caches may hold. */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Bench } from "tinybench";
import { SLOT_BYTES } from "../../pipeline/caches/held/cached-pages.ts";
import { Invalidation, IOTLB } from "../../walkers/invalidation.ts";
import { type Case, collectCases } from "./cases.ts";
import { type Contender, contender, measure, median } from "./contenders.ts";

/** Requests of each task's iteration. */
const REQUESTS = 1000;
/** A domain id that nothing has. */
const NOBODY = 0xfff0;

/**
 * Requests of pages that have been used before: walked (from the engine's own cache) and tracked, with nothing new;
 * after an invalidation of something else, which makes every page be noted again.
 */
export async function addCacheTasks(bench: Bench): Promise<void> {
  const cases = await collectCases({ caches: true });
  const some = Array.from({ length: REQUESTS }, (_, i) => cases[i % cases.length]!);
  const { caches } = some[0]!.unit;
  if (caches === null) throw new Error("expected a unit that keeps track of its caches");
  let time = 1e9;
  const track = ({ unit, request }: Case) =>
    unit.caches!.use(request, unit.engine.walk(request), time) ? 1 : 0;
  const other = new Invalidation();
  other.reset(IOTLB);
  other.onDomain(NOBODY);
  bench.add("caches: 1000 requests, not tracked", () => {
    let status = 0;
    for (const { unit, request } of some) status |= unit.engine.walk(request).status;
    return status;
  });
  bench.add("caches: 1000 requests, tracked", () => {
    let doubt = 0;
    time++;
    for (const c of some) doubt |= track(c);
    return doubt;
  });
  bench.add("caches: 1000 requests, tracked, each iteration after an invalidation", () => {
    let doubt = 0;
    caches.invalidations.invalidate(other, ++time);
    time++;
    for (const c of some) doubt |= track(c);
    return doubt;
  });
}

export interface CachedPagesOptions {
  /** Different pages. */
  readonly pages: number;
  readonly rounds: number;
}

/** Pages of one request. */
const RUN = 1024;
/** Pages under one entry of the top table: two full tables below it, which all such entries share. */
const PER_ENTRY = 512 * 512;

/**
 * Whole runs of the built command on a trace of very many different pages, with and without keeping track of them: the
 * difference is what it takes per page.
 */
export function cachedPages({ pages, rounds }: CachedPagesOptions): void {
  const folder = mkdtempSync(join(tmpdir(), "pasid-replay-bench-"));
  try {
    const trace = join(folder, "trace.ndjson");
    writeTrace(trace, pages);
    const tracked = contender("tracked", [trace, "--stats-only"]);
    const untracked = contender("--no-caches", [trace, "--stats-only", "--no-caches"]);
    for (let round = 0; round < rounds; round++) for (const c of [tracked, untracked]) measure(c, folder);
    console.log(`\ncached pages: ${pages} different ones; median of ${rounds} rounds`);
    for (const c of [tracked, untracked]) console.log(line(c));
    const nanoseconds = ((median(tracked.seconds) - median(untracked.seconds)) / pages) * 1e9;
    const bytes = ((median(tracked.kilobytes) - median(untracked.kilobytes)) / pages) * 1024;
    console.log(`a page: ${nanoseconds.toFixed(0)} ns, ${bytes.toFixed(1)} bytes; a slot has ${SLOT_BYTES}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function line(c: Contender): string {
  const peak = c.kilobytes.length > 0 ? `${(median(c.kilobytes) / 1024).toFixed(0)} MiB peak` : "";
  return `${c.name.padEnd(26)} ${`${median(c.seconds).toFixed(2)} s`.padStart(9)}  ${peak.padStart(14)}`;
}

/** VT-d in legacy mode with second-stage tables of 3 levels (5.10, 9.8). */
function writeTrace(path: string, pages: number): void {
  const [root, contexts, top, middle, last, data] = [0x1000n, 0x2000n, 0x3000n, 0x4000n, 0x5000n, 0x80_0000n];
  const word = (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    return bytes.toString("hex");
  };
  const mem = (addr: bigint, words: readonly bigint[]) =>
    `{"type":"mem","addr":"0x${addr.toString(16)}","data":"${words.map(word).join("")}"}\n`;
  const each = (entry: (i: bigint) => bigint) => Array.from({ length: 512 }, (_, i) => entry(BigInt(i)));
  const file = openSync(path, "w");
  writeSync(
    file,
    [
      `{"type":"iommu","id":"dmar0","model":"intel","regs":{"rtaddr":"0x${root.toString(16)}"}}\n`,
      `{"type":"ram","addr":"0x0","size":"0x10000000"}\n`,
      mem(root, [contexts | 1n]),
      mem(contexts + 0x180n, [top | 1n, (9n << 8n) | 1n]),
      mem(top, each(() => middle | 3n).slice(0, Math.ceil(pages / PER_ENTRY))),
      mem(
        middle,
        each(() => last | 3n),
      ),
      mem(
        last,
        each((i) => (data + i * 4096n) | 3n),
      ),
    ].join(""),
  );
  for (let page = 0; page < pages; page += RUN) {
    const bytes = Math.min(RUN, pages - page) * 4096;
    const addr = (page * 4096).toString(16);
    writeSync(file, `{"type":"dma","iommu":"dmar0","dev":"00:03.0","addr":"0x${addr}","len":${bytes}}\n`);
  }
  closeSync(file);
}
