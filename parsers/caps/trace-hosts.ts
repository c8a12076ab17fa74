import { IommuState } from "../../walkers/registers.ts";
import type { ByteSource } from "../trace/byte-source.ts";
import { readTrace } from "../trace/reader.ts";
import type { PlainRecord } from "../trace/schema.ts";
import type { HostCapabilities, HostIommu } from "./host.ts";

/** Problems that are kept. */
const MAX_PROBLEMS = 16;

/**
 * Reads the IOMMUs that a trace declares, as they are at its first request. Closes the source.
 * @returns the IOMMUs, or a sentence that says what was expected and what was found
 */
export async function hostsOfTrace(source: ByteSource): Promise<HostCapabilities | string> {
  const hosts = new Map<string, HostIommu>();
  const problems: string[] = [];
  const complain = (line: number, message: string) => {
    if (problems.length < MAX_PROBLEMS) problems.push(`line ${line}: ${message}`);
  };
  const handler = {
    stopped: false,
    dma() {
      // Nothing after the first request changes what the IOMMUs are at it.
      handler.stopped = true;
    },
    mem() {},
    unknown() {},
    error: (line: number, _code: string, message: string) => complain(line, message),
    record(line: number, record: PlainRecord) {
      const wrong = take(record, hosts);
      if (wrong !== undefined) complain(line, wrong);
    },
  };
  await readTrace(source, handler);
  if (hosts.size > 0) return { hosts: [...hosts.values()], problems };
  const found = problems.length > 0 ? problems.join("; ") : "none";
  return `expected capabilities (JSON, a trace with an iommu record, bytes of iommufd, or a sysfs tree), found ${found}`;
}

function take(record: PlainRecord, hosts: Map<string, HostIommu>): string | undefined {
  if (record.type === "iommu") {
    const known = hosts.get(record.id);
    if (known !== undefined && known.model !== record.model)
      return `iommu.model: expected ${known.model}, as before, found ${record.model}`;
    const state = known?.state ?? new IommuState();
    for (const [name, word] of record.regs ?? []) state.registers.set(name, word);
    for (const [name, property] of record.props ?? []) state.props.set(name, property);
    if (known === undefined)
      hosts.set(record.id, { id: record.id, model: record.model, state, source: "iommu record", notes: [] });
  } else if (record.type === "reg") hosts.get(record.iommu)?.state.registers.set(record.name, record.value);
  return undefined;
}
