/** Uses what the library exports, as a program that has installed it: it is compiled against the package. */
import {
  capabilities,
  check,
  decode,
  diff,
  explain,
  explainEntry,
  explainRecord,
  Iommu,
  importLogs,
  inspect,
  isTraceError,
  LibraryError,
  Memory,
  type OutcomeRecord,
  overview,
  replay,
  replayBytes,
  report,
  structures,
  type WalkOutcome,
} from "pasid-replay";

async function main(): Promise<void> {
  for await (const record of replay("trace.ndjson", { only: ["faults"], filter: { dev: "00:03.0" } }))
    if (record.type === "outcome") {
      const o: OutcomeRecord = record;
      console.log(o.line, o.name, o.entry_addr);
    }
  for await (const chunk of replayBytes(new Uint8Array())) console.log(chunk.length);
  for await (const record of diff("a", "b", { depth: "code" }))
    if (record.type === "diff-summary") console.log(record.differences, record.notes[0]?.code);
  for await (const record of inspect("a", { maps: true }))
    if (record.type === "map") console.log(record.iova, record.size);
  const trace = importLogs(["dmesg.txt", new Uint8Array()], { memory: [{ path: "guest.elf", line: 2 }] });
  for await (const record of replay(trace)) console.log(record.type);
  console.log(trace.summary?.ignored, trace.summary?.lost[0]?.severity);
  const { text, errors } = await report("a", { format: "md", iotlb: [{ entries: 64, ways: 4 }] });
  console.log(text, errors, (await overview("a")).findings[0]);
  const memory = Memory.fromFile("guest.elf");
  const iommu = new Iommu("intel", memory, { registers: { rtaddr: 0x619b000n } });
  iommu.bind("00:03.0", { model: "intel", base: 0x1000n });
  const outcome: WalkOutcome = iommu.walk({ device: "00:02.0", address: 0xffff8000n });
  if (outcome.result === "fault") console.log(outcome.fault.name, outcome.entry?.value);
  console.log(
    explain("intel", 0x71)[0]?.causes,
    explainEntry("intel", structures("intel")[0]!, [1n]).fields[0]?.value,
    explainRecord("riscv", [1n, 2n, 3n, 4n]).faults,
  );
  console.log(decode("arm-smmuv3", [1n, 2n]).problems[0]?.kind);
  const { iommus } = await capabilities("/sys/class/iommu");
  console.log(
    check({ model: "intel" }, iommus[0]!, memory).map(({ rule, message }) => rule.severity + message),
  );
}
main().catch((error: unknown) => {
  if (isTraceError(error) || error instanceof LibraryError) console.error(error.code);
});
