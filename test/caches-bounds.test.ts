import { expect, test } from "vitest";
import { readTrace } from "../parsers/trace/reader.ts";
import { TraceNames } from "../parsers/trace/records.ts";
import { bytesSource } from "../parsers/trace/source.ts";
import { ByteWriter } from "../pipeline/output/byte-writer.ts";
import { NdjsonSink } from "../pipeline/output/ndjson-sink.ts";
import { selectionOf } from "../pipeline/output/selection.ts";
import { DEFAULT_OPTIONS } from "../pipeline/replay/options.ts";
import { Replay } from "../pipeline/replay/replay.ts";

/** Replays a trace and gives what is kept in the end, before anything is said. */
async function replayed(records: readonly object[], memoryLimit: number): Promise<Replay> {
  const names = new TraceNames();
  const sink = new NdjsonSink(new ByteWriter(), selectionOf([]));
  const replay = new Replay(names, sink, { ...DEFAULT_OPTIONS, memoryLimit, only: selectionOf([]) });
  const text = records.map((record) => `${JSON.stringify(record)}\n`).join("");
  await readTrace(bytesSource(Buffer.from(text)), replay, { names });
  return replay;
}

const hex = (value: number) => `0x${value.toString(16)}`;
const words = (...values: readonly (number | bigint)[]) => {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, i) => {
    bytes.writeBigUInt64LE(BigInt(value), 8 * i);
  });
  return bytes.toString("hex");
};
const mem = (addr: number, data: string) => ({ type: "mem", addr: hex(addr), data });

const IOMMU = { type: "iommu", id: "d", model: "intel", regs: { gsts: "0xc0000000" } };
const RAM = { type: "ram", addr: "0x0", size: "0x10000000" };

test("tags are bounded by the memory limit: each PASID has one of its own", async () => {
  const PASIDS = 6000;
  const perFrame = 64;
  const frames = Math.ceil(PASIDS / perFrame);
  const records: object[] = [IOMMU, RAM];
  // VT-d 5.10, 9.5 and 9.6: directory entries of P and the table's frame; P, PGTT 001b (first stage), DID 1, FSPTPTR.
  for (let i = 0; i < frames; i++) records.push(mem(0x10_0000 + 8 * i, words(0x20_0001)));
  records.push(
    mem(
      0x20_0000,
      words(...Array.from({ length: perFrame }, () => [0x41, 1, 0x30_0000, 0, 0, 0, 0, 0]).flat()),
    ),
  );
  records.push(
    mem(0x30_0000, words(0x30_1027)),
    mem(0x30_1000, words(0x30_2027)),
    mem(0x30_2000, words(0x30_3027)),
  );
  records.push(mem(0x30_3008, words(0x500_0067)));
  records.push({
    type: "bind",
    iommu: "d",
    dev: "00:03.0",
    config: { model: "intel", base_ptr: "0x100000", pasid_bits: 20 },
  });
  for (let pasid = 0; pasid < PASIDS; pasid++)
    records.push({ type: "dma", iommu: "d", dev: "00:03.0", pasid, addr: "0x1000" });
  const tagsOf = (replay: Replay) => replay.system.iommus.units[0]!.caches!.translations.tags.all.length;
  const plenty = await replayed(records, 2 ** 30);
  expect([plenty.summary.walked, tagsOf(plenty) >= PASIDS, plenty.system.iommus.forgotten]).toEqual([
    PASIDS,
    true,
    0,
  ]);
  const little = await replayed(records, 8 * 2 ** 20);
  expect(tagsOf(little)).toBeLessThanOrEqual(1024 + 2);
  expect(little.system.iommus.forgotten).toBeGreaterThan(0);
});

test("invalidations that nothing ever completes are bounded, and counted as not known", async () => {
  const cmd = (...data: readonly string[]) => ({ type: "cmd", iommu: "d", data });
  // VT-d 5.10, 6.5.2.9, 6.5.2.3: one wait, so that it is known that there are any; then IOTLB invalidations by domain.
  const issued = Array.from({ length: 40_000 }, (_, i) => cmd(hex(0x22 + (i % 0x8000) * 0x1_0000), "0x0"));
  const replay = await replayed([IOMMU, RAM, cmd("0x22", "0x0"), cmd("0x25", "0x0"), ...issued], 2 ** 30);
  const { caches } = replay.system.iommus.units[0]!;
  expect(caches!.pending).toBeLessThanOrEqual(1 << 14);
  expect(caches!.forgotten).toBeGreaterThanOrEqual(40_000 - (1 << 14));
});
