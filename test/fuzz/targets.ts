/** What is fuzzed: a target for each parser, with its seeds and what it promises of any input. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { readRequest } from "../../parsers/bind/read-request.ts";
import { openCapabilities } from "../../parsers/caps/open-caps.ts";
import { TraceMemory } from "../../parsers/memory/guest-memory.ts";
import { openSnapshot } from "../../parsers/memory/open-snapshot.ts";
import type { SnapshotFormat } from "../../parsers/memory/snapshot-formats.ts";
import { OutcomeFeed } from "../../parsers/outcomes/outcome-feed.ts";
import { hostAddressOf, memoryWords, ramOf, regionsNamed } from "../../parsers/qemu/monitor-text.ts";
import { onlyTrace } from "../../parsers/recognize.ts";
import { unpacked } from "../../parsers/trace/decompress.ts";
import { documentFeed } from "../../parsers/trace/document-feed.ts";
import { isTraceError } from "../../parsers/trace/errors.ts";
import { type Feed, LineFeed } from "../../parsers/trace/line-feed.ts";
import { MAX_LINE_BYTES, type TraceHandler } from "../../parsers/trace/reader.ts";
import { TraceNames } from "../../parsers/trace/records.ts";
import { bytesSource } from "../../parsers/trace/source.ts";
import { diffStreams } from "../../pipeline/diff/diff.ts";
import { IgnoreRuleError, ignoreRule, ignoreRuleFromText } from "../../pipeline/diff/ignore-rules.ts";
import { DEFAULT_OPTIONS } from "../../pipeline/replay/options.ts";
import { replayTrace } from "../../pipeline/replay/run.ts";
import { decodeCommand, formatCommand } from "../../walkers/commands/command.ts";
import { IOMMU_MODELS } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { avmlRange, dataChunk, IDENTIFIER } from "../support/avml-writer.ts";
import { elfCore } from "../support/elf-writer.ts";
import { flattened, kdump } from "../support/kdump-writer.ts";
import { lzoBlock, snappyBlock } from "../support/lz-writers.ts";
import { tarOf } from "../support/tar-writer.ts";
import { fed } from "./fed.ts";
import { LOG_TARGETS } from "./log-targets.ts";

export interface Target {
  seeds(): readonly Uint8Array[];
  /** @throws where a promise is broken: any exception but those that the parser declares */
  run(bytes: Uint8Array): void | Promise<void>;
}

/** The first lines of samples: small, so that a mutation meets something. */
const TRACE_SEEDS = [
  "samples/intel/intel-11.1-fs-inval-s1.ndjson.gz",
  "samples/arm/arm-11.1-nested-4k-inval-1.ndjson.gz",
  "samples/amd/amd-gcr3-l2-s1.ndjson.gz",
  "samples/bind/entry-update.ndjson",
  "test/fixtures/vtd-bound.ndjson",
];

function traceSeeds(): Uint8Array[] {
  return TRACE_SEEDS.flatMap((path) => {
    const bytes = readFileSync(path);
    const lines = (path.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8").split("\n");
    const kinds = new Map<string, string[]>();
    for (const line of lines) {
      const type = /"type":"(\w+)"/.exec(line)?.[1] ?? "";
      const some = kinds.get(type) ?? [];
      if (some.length < 6) kinds.set(type, [...some, line]);
    }
    return [Buffer.from(`${[...kinds.values()].flat().join("\n")}\n`)];
  });
}

/** What a feed says of an input, one text a record. */
function told(bytes: Uint8Array, make: (handler: TraceHandler, names: TraceNames) => Feed): string[] {
  const names = new TraceNames();
  const said: string[] = [];
  const feed = make(
    {
      dma(line, r) {
        const { observed: o } = r;
        const observed = [
          o.present,
          o.result,
          o.hasPa,
          o.paHi,
          o.paLo,
          o.hasCode,
          o.code,
          // By name: a reason that is given twice has a number all the same.
          o.reason < 0 ? "" : names.reasons.text(o.reason),
          o.stage,
          o.faultClass,
          o.recorded,
        ];
        const iommu = r.iommu < 0 ? "" : names.iommus.text(r.iommu);
        said.push(
          `${line} dma ${iommu} ${names.devices.get(r.dev).text} ${[r.pasid, r.addrHi, r.addrLo, r.len, r.access, r.priv, r.seq]} ${r.tsText()} ${observed} ${r.observedText()}`,
        );
      },
      mem: (line, r) =>
        said.push(
          `${line} mem ${r.addrHi} ${r.addrLo} ${r.byIommu} ${Buffer.from(r.bytes.subarray(r.start, r.end))}`,
        ),
      record: (line, r) => said.push(`${line} ${r.type}`),
      unknown: (line, type) => said.push(`${line} unknown ${type}`),
      error: (line, code, message) => said.push(`${line} ${code} ${message}`),
      unknownField: () => false,
    },
    names,
  );
  fed(feed, bytes);
  return said;
}

/** What answers requests by what came of others takes longer to set up than a small input to replay: of one in so many. */
const REPLAYED_TWICE = 16;

/** What a replay writes. */
async function replayed(bytes: Uint8Array, fast: boolean): Promise<string> {
  let out = "";
  const write = (piece: Buffer) => {
    out += piece.toString("utf8");
  };
  const options = { ...DEFAULT_OPTIONS, fast, memoryLimit: 1 << 20, directory: "/nowhere" };
  await replayTrace(bytesSource(bytes), { write }, options);
  return out;
}

/** Reads every line by the book. */
class SlowFeed extends LineFeed {
  protected override scan(): number {
    return -1;
  }
}

function same(a: readonly string[], b: readonly string[], what: string): void {
  const at = a.findIndex((text, i) => text !== b[i]);
  if (at >= 0 || a.length !== b.length)
    throw new Error(`${what}: ${a[at] ?? "less"} against ${b[at] ?? "more"}`);
}

/** A folder for the files that parsers read at random places. */
let folder = "";
function file(bytes: Uint8Array): string {
  if (folder === "") {
    folder = mkdtempSync(join(tmpdir(), "pasid-fuzz-"));
    process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  }
  writeFileSync(join(folder, "input"), bytes);
  return "input";
}

/** Frames that are read of a memory file: those of the seeds, and the ends of addresses. */
const FRAMES = [0, 1, 2, 3, 7, 255, 2 ** 20, 2 ** 52 - 1];

function memory(format: SnapshotFormat, seeds: () => readonly Uint8Array[]): Target {
  return {
    seeds,
    run(bytes) {
      const name = file(bytes);
      const opened = openSnapshot(name, folder, { format, cacheBytes: 1 << 20 });
      if (!opened.ok) return;
      const guest = new TraceMemory();
      guest.replace(opened.image);
      for (const frame of FRAMES) if (guest.fetch(frame, 8, 16)) guest.view.getUint8(guest.at + 15);
      guest.writeHex(Buffer.from("00ff"), 0, 4, 0, 0x1ffe);
      guest.fetch(1, 0xff0, 16);
      guest.takeError();
      guest.close();
    },
  };
}

const PAGE = Buffer.alloc(4096, 7);
const LIME = Buffer.concat([
  Buffer.from("454d694c01000000001000000000000000200000000000000000000000000000", "hex"),
  Buffer.alloc(4097, 5),
]);
/** A page, as blocks of snappy and LZO hold one. */
const STEPS = [{ literals: Buffer.from("a table's bytes ") }, { distance: 16, length: 4080 }];
/** RFC 8878, 3.1.1: a raw block, a run-length block, and one that the zstd command has compressed. */
const ZSTD = [
  "28b52ffd2001090000 0a",
  "28b52ffd60000f038000a7",
  "28b52ffd2409490000687474703a2f2f612f00000000",
].map((hex) => Buffer.from(hex.replace(/ /g, ""), "hex"));

function json(values: readonly unknown[]): Uint8Array[] {
  return values.map((value) => Buffer.from(JSON.stringify(value)));
}

const CONFIGURATIONS = [
  { version: 1, bytes: 32, model: "intel", base_ptr: "0x1000", pasid_bits: 20, intel: { rid_pasid: 0 } },
  {
    type: "bind",
    dev: "00:03.0",
    config: { model: "arm-2lvl", base_ptr: "0x40", arm: { s1fmt: 1, s1dss: 2 } },
  },
  { pgtbl_addr: "0x1000", addr_width: 48, flags: 0 },
  { ste: ["0x1", "0x2"] },
];
const CAPABILITIES = [
  { model: "intel", regs: { cap: "0x1", ecap: "0x2" }, props: { pasid_bits: 20 } },
  { cap_reg: "0x1", ecap_reg: "0x2" },
  { idr: [1, 2, 3, 4, 5, 6], iidr: 0, aidr: 0 },
];
const SYSFS = tarOf([
  { name: "dmar0/intel-iommu/cap", data: "d2008c40660462\n" },
  { name: "dmar0/intel-iommu/ecap", data: "f050da\n" },
  { name: "smmu/arm-smmu-v3/ssid_bits", data: "16\n" },
]);

/** What is read and put out at once: small, since most of the time would go into making such buffers. */
const CHUNK = new Uint8Array(1 << 12);
/** Of damaged data, what stands before the damage is got byte by byte: of one input in so many. */
const SALVAGED = 32;

/** Drains a source; what breaks off is said. */
async function drained(bytes: Uint8Array): Promise<void> {
  try {
    const raw = bytesSource(bytes);
    if (bytes.length % SALVAGED !== 0) delete raw.reopen;
    const source = await unpacked(raw, CHUNK.length);
    for (let total = 0; total < 1 << 24; ) {
      const n = await source.read(CHUNK, 0, CHUNK.length);
      if (n === 0) break;
      total += n;
    }
    await source.close();
  } catch (error) {
    if (!isTraceError(error)) throw error;
  }
}

/** What the monitor of a QEMU prints. */
const MONITOR_SEEDS = [
  'FlatView #0\r\n AS "memory", root: system\r\n  0000000000100000-000000000fffffff (prio 0, ram): pc.ram @0000000000100000\r\n',
  "    00000000fed90000-00000000fed9022f (prio 0, i/o): intel_iommu\r\n",
  "0000000000001000: 0x0000000000000001 0x00000000fed90000\r\n00001010: 0x1 0x2\r\n",
  "Host virtual address for 0x6000000 (pc.ram) is 0x7f6fe9e00000\r\n",
];

export const TARGETS: Readonly<Record<string, Target>> = {
  ...LOG_TARGETS,
  "qemu-monitor": {
    seeds: () => MONITOR_SEEDS.map((text) => Buffer.from(text)),
    run(bytes) {
      const text = Buffer.from(bytes).toString("latin1");
      for (const { first, last } of [...ramOf(text), ...regionsNamed(text, ["intel_iommu"])])
        if (first < 0n || last >= 1n << 64n) throw new Error("no address");
      if (memoryWords(text).some((word) => word >= 1n << 64n)) throw new Error("no word");
      hostAddressOf(text);
    },
  },
  trace: {
    seeds: traceSeeds,
    run(bytes) {
      const options = (names: TraceNames) => ({ names, maxLineBytes: MAX_LINE_BYTES });
      const fast = told(bytes, (handler, names) => new LineFeed(handler, options(names)));
      same(
        fast,
        told(bytes, (handler, names) => new SlowFeed(handler, options(names))),
        "fast and slow path",
      );
    },
  },
  document: {
    seeds: () =>
      traceSeeds().map((seed) =>
        Buffer.from(`[${Buffer.from(seed).toString("utf8").trim().replaceAll("\n", ",\n")}]`),
      ),
    async run(bytes) {
      const said: string[] = [];
      const names = new TraceNames();
      const note = (line: number) => said.push(`${line}`);
      const handler: TraceHandler = { dma: note, mem: note, record: note, unknown: note, error: note };
      fed(await documentFeed(handler, { names, maxLineBytes: MAX_LINE_BYTES }), bytes);
    },
  },
  replay: {
    seeds: traceSeeds,
    async run(bytes) {
      const plain = await replayed(bytes, false);
      const lines = plain.split("\n").filter((line) => line !== "");
      for (const line of lines) JSON.parse(line);
      if (JSON.parse(lines.at(-1)!).type !== "summary") throw new Error("no summary at the end");
      if (bytes.length % REPLAYED_TWICE === 0 && (await replayed(bytes, true)) !== plain)
        throw new Error("the memo says something else");
    },
  },
  recognize: {
    seeds: traceSeeds,
    async run(bytes) {
      try {
        await (await onlyTrace(bytesSource(bytes, 97))).close();
      } catch (error) {
        if (!isTraceError(error)) throw error;
      }
    },
  },
  outcomes: {
    seeds: () =>
      json([
        {
          type: "outcome",
          line: 2,
          iommu: "d",
          dev: "00:03.0",
          pasid: 5,
          addr: "0x1000",
          len: 64,
          access: "w",
          model: "intel",
          result: "ok",
          pa: "0x5000",
          page: 4096,
          perm: "rw-",
          reads: 3,
          verdict: "match",
        },
        {
          type: "outcome",
          line: 3,
          dev: "sid:7",
          addr: "0x0",
          len: 1,
          access: "r",
          model: "arm-1lvl",
          result: "fault",
          reason: "PTE_FETCH",
          code: "0x10",
          name: "F_TRANSLATION",
          reads: 4,
        },
        { type: "summary", lines: 2, records: {}, errors: 0, findings: {}, verdicts: {} },
      ]).map((line) => Buffer.concat([line, Buffer.from("\n")])),
    run(bytes) {
      const none = () => {};
      fed(
        new OutcomeFeed(
          { outcome: none, record: none, error: none },
          { names: new TraceNames(), maxLineBytes: MAX_LINE_BYTES },
        ),
        bytes,
      );
    },
  },
  diff: {
    seeds: traceSeeds,
    async run(bytes) {
      const half = bytes.length >> 1;
      await diffStreams(
        bytesSource(bytes.subarray(0, half)),
        bytesSource(bytes.subarray(half)),
        { write() {} },
        { side: "observed" },
      );
    },
  },
  ignore: {
    seeds: () =>
      json([
        {
          class: "code",
          dev: "00:*",
          codes: ["0x58", "0x5?"],
          pasid: "1-31",
          addr: "0x1000-0x1fff",
          reason: "r",
          expires: "2027-01-31",
        },
        "class=code,codes=0x58:0x50|x",
      ]),
    run(bytes) {
      const text = Buffer.from(bytes).toString("utf8");
      try {
        ignoreRuleFromText(text);
      } catch (error) {
        if (!(error instanceof IgnoreRuleError)) throw error;
      }
      try {
        ignoreRule(JSON.parse(text), "rule", false);
      } catch (error) {
        if (!(error instanceof IgnoreRuleError || error instanceof SyntaxError)) throw error;
      }
    },
  },
  gzip: { seeds: () => traceSeeds().map((seed) => gzipSync(seed)), run: drained },
  zstd: { seeds: () => ZSTD, run: drained },
  elf: memory("elf", () => [
    elfCore([
      { paddr: 0x1000n, data: PAGE },
      { paddr: 0x2000n, data: PAGE.subarray(9), memsz: 8192n },
    ]),
    elfCore([{ paddr: 0n, data: PAGE }], { bigEndian: true }),
  ]),
  lime: memory("lime", () => [LIME]),
  avml: memory("lime", () => [
    avmlRange(0x1000n, 5000n, [IDENTIFIER, dataChunk(PAGE), dataChunk(Buffer.alloc(904, 7), false)]),
  ]),
  raw: memory("raw", () => [PAGE]),
  kdump: memory("kdump", () => {
    const plain = kdump([
      { page: 1, data: PAGE },
      { page: 2 },
      { page: 3, stored: { flags: 0x20, bytes: ZSTD[1]! } },
      { page: 4, stored: { flags: 2, bytes: lzoBlock(STEPS).packed } },
      { page: 5, stored: { flags: 4, bytes: snappyBlock(STEPS).packed } },
    ]);
    return [plain, flattened(plain, 5000)];
  }),
  configuration: {
    seeds: () => [
      ...json(CONFIGURATIONS),
      Buffer.from("010000002000000002000000000000000010000000000000100102", "hex"),
      Buffer.alloc(24, 1),
    ],
    run: (bytes) => void readRequest(bytes),
  },
  capabilities: {
    seeds: () => [...json(CAPABILITIES), SYSFS, Buffer.alloc(24, 1), traceSeeds()[0]!],
    async run(bytes) {
      try {
        const name = file(bytes);
        await openCapabilities(join(folder, name));
      } catch (error) {
        if (!isTraceError(error)) throw error;
      }
    },
  },
  structures: {
    seeds: () => [Buffer.alloc(64, 0xa5), Buffer.alloc(64)],
    run(bytes) {
      const view = new DataView(Buffer.concat([bytes, Buffer.alloc(128)]).buffer.slice(0, 128));
      for (const model of IOMMU_MODELS) {
        const { layouts, faultRecord } = VENDORS[model];
        for (const layout of layouts) {
          layout.decode(view, 0);
          layout.words(view, 0);
          layout.reservedSet(view, 0);
        }
        const record = new DataView(view.buffer, 0, faultRecord.bytes);
        faultRecord.layout(faultRecord.code(record)).decode(view, 0);
        faultRecord.reasons?.(record);
      }
    },
  },
  commands: {
    seeds: () => [
      Buffer.from("2200050000000000000000000000000000", "hex"),
      Buffer.from("1200000006000500011000f700000000", "hex"),
    ],
    run(bytes) {
      const padded = Buffer.concat([bytes, Buffer.alloc(33)]);
      const words = Array.from({ length: padded[32]! % 6 }, (_, i) => ({
        hi: padded.readInt32LE((i * 8) % 28),
        lo: padded.readInt32LE((i * 8 + 4) % 28),
      }));
      for (const model of IOMMU_MODELS) formatCommand(decodeCommand(model, words));
    },
  },
};
