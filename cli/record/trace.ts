import { type HostIommu, stateOf } from "../../parsers/caps/host.ts";
import { QEMU_REGION_WRITES } from "../../parsers/logs/qemu-smmuv3-units.ts";
import { lossText, recordText } from "../../parsers/logs/record-text.ts";
import { LOG_FORMATS } from "../../parsers/logs/registry.ts";
import type { AddedRecord, ImportReport } from "../../pipeline/import/import-logs.ts";
import type { MemoryFile } from "../../pipeline/import/memory-files.ts";
import type { GuestMemory } from "../../walkers/memory.ts";
import { hex } from "../../walkers/word64.ts";
import { importFiles } from "../import-files.ts";
import { writeOutput } from "../write-output.ts";
import type { CapturedIommu } from "./capture.ts";
import type { Recording } from "./recording.ts";
import { type SelfCheck, selfCheck, selfCheckText } from "./self-check.ts";
import type { TraceFolder } from "./trace-folder.ts";

/** What became of a recording: the report of its log, and the check where stores were recorded. */
export interface WrittenTrace {
  readonly report: ImportReport;
  readonly check: SelfCheck | null;
}

/** Makes the trace of a recording out of its log, memory and registers. @throws CliError, TraceError */
export async function writeTrace(folder: TraceFolder, recording: Recording): Promise<WrittenTrace> {
  const { start, end, stores, version } = recording;
  const models = new Set(start.iommus.map(({ model }) => model));
  const memory: MemoryFile[] = [];
  if (folder.has(folder.start)) memory.push({ path: folder.start });
  // With every store, what is there at the end is known already.
  if (end !== null && stores === null && folder.has(folder.end))
    memory.push({ path: folder.end, line: Number.MAX_SAFE_INTEGER });
  let check: SelfCheck | null = null;
  const declared = new Set<string>();
  const onRecord = (type: string, text: string): void => {
    if (type === "iommu") declared.add(JSON.parse(text).id);
  };
  const onEnd = (now: GuestMemory): AddedRecord[] => {
    check = stores === null || end === null ? null : selfCheck(now, stores);
    const untold = start.iommus.filter(({ id }) => !declared.has(id));
    return [...untold.map(declaration), ...endRecords(recording, check)];
  };
  const options = {
    formats: [
      ...LOG_FORMATS.filter(
        ({ model, name }) => name === STORES || (model !== undefined && models.has(model)),
      ),
      ...(recording.machine.some(({ place }) => place !== undefined) ? [QEMU_REGION_WRITES] : []),
    ],
    hosts: hostsOf(recording),
    memory,
    boot: [],
    outputPath: folder.trace,
    producer: "pasid-replay record",
    comment: `QEMU ${version.major}.${version.minor}.${version.micro}, ${stores === null ? "attached" : "with stores"}`,
    onRecord,
    onEnd,
  };
  const report = await writeOutput(folder.trace, (output) => importFiles([folder.log], output, options));
  return { report, check };
}

/** The format of the plugin's lines. */
const STORES = "qemu-stores";

function hostsOf({ start, machine }: Recording): HostIommu[] {
  return start.iommus.map(({ id, model, registers }, i) => ({
    ...(machine[i]?.place === undefined ? {} : { place: machine[i].place }),
    id,
    model,
    state: stateOf(Object.fromEntries(registers)),
    source: "registers of QEMU",
    notes: [],
    exact: true,
  }));
}

/** How exact the recording is: a mark where it has been checked to be, a loss where it is not. */
function endRecords({ end, stores, notes }: Recording, check: SelfCheck | null): AddedRecord[] {
  const records: AddedRecord[] = notes.map((label) => mark(label));
  if (end === null) records.push(loss("end-memory", stores === null ? UNKNOWN_AFTER_START : UNCHECKED));
  else if (check !== null && check.bytes === 0) records.push(mark(`self-check: ${selfCheckText(check)}`));
  else if (check !== null) records.push(loss("stores", selfCheckText(check), check.bytes));
  if (stores === null)
    records.push(
      mark("recorded without stores: tables between start and end are known as far as events show them"),
    );
  return records;
}

const UNKNOWN_AFTER_START =
  "QEMU was gone before its memory could be read at the end: what was made after the start is not known";
const UNCHECKED =
  "QEMU was gone before its memory could be read at the end: that every store is recorded has not been checked";

/** An IOMMU that no event told of: for whoever looks at its tables. */
function declaration({ id, model, registers }: CapturedIommu): AddedRecord {
  const regs = Object.fromEntries([...registers].map(([name, value]) => [name, hex(value)]));
  return { type: "iommu", text: recordText("iommu", { id, model, regs }) };
}

function mark(label: string): AddedRecord {
  return { type: "mark", text: recordText("mark", { label }) };
}

function loss(what: string, message: string, count = 1): AddedRecord {
  return { type: "loss", text: lossText(what, "error", count, 0, message) };
}
