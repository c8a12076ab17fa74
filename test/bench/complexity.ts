/**
 * tsx test/bench/complexity.ts [kind,…] [largest, default 1000000]: how the time of a replay grows with the number of
 * records of each kind, and what memory it takes under a limit of 64 MiB. An exponent of 1 is linear; n log n is up to
 * 1.1. CPU time of this process, so that others on the machine do not count.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ChunkSource } from "../../parsers/trace/source.ts";
import { replayTrace } from "../../pipeline/replay/run.ts";

const MEMORY_LIMIT = 64 * 2 ** 20;
const SIZES = [10_000, 100_000, 1_000_000];
/** IOMMUs that a trace may have. */
const MOST_IOMMUS = 4096;

type Lines = Iterable<string>;

const hex = (value: number) => `0x${value.toString(16)}`;
const words = (...values: readonly number[]) => {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, i) => {
    bytes.writeBigUInt64LE(BigInt(value), 8 * i);
  });
  return bytes.toString("hex");
};
const mem = (addr: number, data: string) => `{"type":"mem","addr":"${hex(addr)}","data":"${data}"}`;
const repeated = <T>(n: number, of: (i: number) => T) => Array.from({ length: n }, (_, i) => of(i));
const bdf = (i: number) =>
  `${((i >> 8) & 255).toString(16).padStart(2, "0")}:${((i >> 3) & 31).toString(16).padStart(2, "0")}.${i & 7}`;

const IOMMU =
  '{"type":"iommu","id":"d","model":"intel","regs":{"rtaddr":"0x1000000","cap":"0x1d2008c222f0606","ecap":"0xf00f4a","gsts":"0xc0000000"}}';
const RAM = '{"type":"ram","addr":"0x0","size":"0x800000000"}';

/** VT-d legacy mode: every device has domain 1, and four levels of tables that map everything somewhere. */
function* tables(): Lines {
  yield IOMMU;
  yield RAM;
  yield mem(0x100_0000, words(...repeated(256, () => [0x100_1001, 0]).flat()));
  yield mem(0x100_1000, words(...repeated(256, () => [0x100_2001, 0x102]).flat()));
  for (const [at, next] of [
    [0x100_2000, 0x100_3003],
    [0x100_3000, 0x100_4003],
    [0x100_4000, 0x100_5003],
  ] as const)
    yield mem(at, words(...repeated(512, () => next)));
  yield mem(0x100_5000, words(...repeated(512, (i) => 0x1_0000_0000 + i * 4096 + 3)));
}

const dma = (more: string) => `{"type":"dma","iommu":"d",${more}}`;

const KINDS: Readonly<Record<string, (n: number, snapshot: string) => Lines>> = {
  *devices(n) {
    yield '{"type":"iommu","id":"d","model":"arm-smmuv3","regs":{"cr0":"0x0"}}';
    for (let i = 0; i < n; i++) yield dma(`"dev":"sid:${i}","addr":"0x0"`);
  },
  *pasids(n) {
    yield IOMMU;
    yield RAM;
    for (let i = 0; i < 32; i++) yield mem(0x10_0000 + i * 4096, words(...repeated(512, () => 0x20_0001)));
    yield mem(0x20_0000, words(...repeated(64, () => [0x41, 1, 0x30_0000, 0, 0, 0, 0, 0]).flat()));
    for (const at of [0x30_0000, 0x30_1000, 0x30_2000]) yield mem(at, words(at + 0x1027));
    yield mem(0x30_3008, words(0x500_0067));
    yield '{"type":"bind","iommu":"d","dev":"00:03.0","config":{"model":"intel","base_ptr":"0x100000","pasid_bits":20}}';
    for (let i = 0; i < n; i++) yield dma(`"dev":"00:03.0","pasid":${i % 2 ** 20},"addr":"0x1000"`);
  },
  *iommus(n) {
    for (let i = 0; i < Math.min(n, MOST_IOMMUS); i++)
      yield `{"type":"iommu","id":"i${i}","model":"intel","regs":{"gsts":"0x0"}}`;
    for (let i = 0; i < n; i++)
      yield `{"type":"dma","iommu":"i${i % MOST_IOMMUS}","dev":"00:03.0","addr":"0x0"}`;
  },
  *binds(n) {
    yield IOMMU;
    for (let i = 0; i < n; i++)
      yield `{"type":"bind","iommu":"d","dev":"sid:${i % 65_536}","config":{"model":"intel","base_ptr":"0x100000"}}`;
  },
  *pages(n) {
    yield* tables();
    for (let i = 0; i < n; i++) yield dma(`"dev":"00:00.0","addr":"${hex(i * 4096)}"`);
  },
  *invalidations(n) {
    yield* tables();
    for (let i = 0; i < n; i++) {
      yield dma(`"dev":"00:00.0","addr":"${hex(i * 4096)}"`);
      yield `{"type":"inv","iommu":"d","cache":"iotlb","granularity":"page","domain":1,"addr":"${hex(2 ** 47 + i * 4096)}","size":"0x10000000"}`;
    }
  },
  *faults(n) {
    yield* tables();
    for (let i = 0; i < n; i++)
      yield `{"type":"fault","iommu":"d","dev":"${bdf(i)}","addr":"${hex(i * 4096)}","seq":${i}}`;
  },
  *changes(n) {
    yield* tables();
    for (let i = 0; i < n; i++) {
      yield mem(0x100_5008, words(0x1_0000_0000 + (i % 512) * 4096 + 3));
      yield dma('"dev":"00:00.0","addr":"0x1000"');
    }
  },
  *segments(n) {
    yield IOMMU;
    for (let i = 0; i < n; i++) yield `{"type":"ram","addr":"${hex(((i * 7919) % n) * 0x40)}","size":"0x20"}`;
    yield dma('"dev":"00:00.0","addr":"0x0"');
  },
  *memory(n) {
    yield IOMMU;
    for (let i = 0; i < n; i++) yield mem(i * 8, words(i));
  },
  *marks(n) {
    for (let i = 0; i < n; i++) yield `{"type":"mark","label":"${i}"}`;
  },
  *snapshots(n, snapshot) {
    yield IOMMU;
    for (let i = 0; i < n / 10; i++) yield `{"type":"snapshot","path":"${snapshot}","format":"raw"}`;
  },
};

async function* chunks(lines: Lines): AsyncGenerator<string> {
  let text = "";
  for (const line of lines) {
    text += `${line}\n`;
    if (text.length < 1 << 16) continue;
    yield text;
    text = "";
  }
  yield text;
}

async function seconds(kind: string, n: number, directory: string): Promise<number> {
  const before = process.cpuUsage();
  const lines = KINDS[kind]!(n, "memory.raw");
  await replayTrace(
    new ChunkSource(kind, chunks(lines), () => {}),
    { write() {} },
    { memoryLimit: MEMORY_LIMIT, directory },
  );
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

const [kinds = Object.keys(KINDS).join(","), largest = "1000000"] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), "pasid-complexity-"));
writeFileSync(join(directory, "memory.raw"), Buffer.alloc(8192));
try {
  for (const kind of kinds.split(",")) {
    const times: number[] = [];
    for (const n of SIZES) if (n <= Number(largest)) times.push(await seconds(kind, n, directory));
    const growth = times.slice(1).map((time, i) => Math.log10(time / times[i]!).toFixed(2));
    const memory = (process.memoryUsage().rss / 2 ** 20).toFixed(0);
    console.log(
      `${kind.padEnd(14)} ${times.map((time) => `${time.toFixed(2)} s`).join("  ")}  exponents ${growth.join(", ")}  ${memory} MiB`,
    );
  }
} finally {
  rmSync(directory, { recursive: true });
}
