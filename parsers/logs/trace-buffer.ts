/**
 * Trace events of Linux that say what software did: iommu:*, dma:*, intel_iommu:* (tracefs, trace-cmd report, perf
 * script). They make `map`, `unmap` and `cmd` records. There is no DMA in them.
 */

import { hex } from "../../walkers/word64.ts";
import type { LogFormat, LogLine, LogOutput, LogReader, Loss } from "./format.ts";
import { isTraceHeader, lostEvents } from "./ftrace-line.ts";
import { pciDevice } from "./kernel-text.ts";
import type { LogUnits } from "./log-units.ts";
import { machineOf } from "./machine.ts";
import { cmdText, recordText } from "./record-text.ts";
import { type MappedRange, type SoftwareEvent, softwareEvent } from "./trace-events.ts";

const EVENT =
  /^(?:(?:iommu|dma|intel_iommu|swiotlb):)?((?:un)?map|dma_[a-z_]+|qi_submit|(?:at|de)tach_device_\w+|(?:add|remove)_device_\w+|io_page_fault|cache_tag_\w+|prq_report|swiotlb_bounced): ?(.*)$/s;

export const TRACE_EVENTS: LogFormat = {
  name: "trace-events",
  title: "Linux's trace events iommu:*, dma:* and intel_iommu:*: tracefs, trace-cmd report, perf script",
  needles: [
    "IOMMU:",
    "dma_addr",
    "phys_addrs=",
    "qi_submit",
    "cache_tag_",
    "prq_report",
    " EVENTS]",
    "# tracer:",
  ],
  detect: (text) => isOurEvent(text) || lostEvents(text) !== undefined || isTraceHeader(text),
  open: (output) => new TraceEventReader(output),
};

function isOurEvent(text: string): boolean {
  const found = EVENT.exec(text);
  return found !== null && softwareEvent(found[1]!, found[2]!) !== undefined;
}

/** Mappings of scatter-gather lists that are remembered: their unmapping does not give their addresses. */
const MAX_LISTS = 1 << 16;

const LOST: Loss = {
  what: "lost-trace-events",
  severity: "error",
  message:
    "the trace buffer ran over: mappings and invalidations are missing (a larger one: buffer_size_kb, or trace-cmd -b)",
};
const TRUNCATED: Loss = {
  what: "truncated-lists",
  severity: "warning",
  message: "the kernel cut the lists of large scatter-gather mappings: the rest of them is not known",
};
const UNKNOWN_LIST: Loss = {
  what: "unmapped-before-mapped",
  severity: "info",
  message: "scatter-gather lists were unmapped whose mapping is not in the trace",
};

/** VT-d 5.10, 6.5.2.8: an invalidation wait that asks for a status write. */
const WAIT_TYPE = 0x25n;

class TraceEventReader implements LogReader {
  readonly #output: LogOutput;
  readonly #units: LogUnits;
  /** Ranges of scatter-gather mappings, by device and the physical addresses that their unmapping gives. */
  readonly #lists = new Map<string, readonly MappedRange[]>();
  /** Who submits descriptors, until something else comes: then the wait is due that ends every batch. */
  #batch: { readonly iommu: string; readonly origin: string } | null = null;

  constructor(output: LogOutput) {
    this.#output = output;
    this.#units = machineOf(output).units;
  }

  line(line: LogLine): boolean {
    const found = EVENT.exec(line.text);
    const event = found === null ? undefined : softwareEvent(found[1]!, found[2]!);
    if (event?.kind !== "vtd-command") this.#endBatch();
    if (event === undefined) return this.#other(line.text);
    if (event === null) this.#output.ignored(`${found![1]}: torn, or of an unknown version`);
    else this.#event(event, line);
    return true;
  }

  finish(): void {
    this.#endBatch();
  }

  #other(text: string): boolean {
    const lost = lostEvents(text);
    if (lost !== undefined) this.#output.lost(LOST, lost.count);
    else if (isTraceHeader(text)) this.#output.ignored("heading");
    else return false;
    return true;
  }

  #event(event: SoftwareEvent, line: LogLine): void {
    switch (event.kind) {
      case "dma-map":
        this.#mapped(event, line);
        return;
      case "dma-unmap":
        this.#unmapped(event, line);
        return;
      case "iommu-map":
        this.#range("map", undefined, event.range, undefined, line.ts);
        return;
      case "iommu-unmap":
        this.#range("unmap", undefined, event.range, undefined, line.ts);
        return;
      case "vtd-command":
        this.#command(event, line);
        return;
      case "vtd-flush":
        this.#output.ignored("cache_tag_flush (its descriptors follow)");
        return;
      default:
        this.#output.ignored(event.kind === "other" ? event.name : event.kind);
    }
  }

  #mapped(event: Extract<SoftwareEvent, { kind: "dma-map" }>, line: LogLine): void {
    const dev = this.#device(event.device);
    if (dev === undefined) return;
    if (event.truncated) this.#output.lost(TRUNCATED);
    if (event.phys.length > 0) {
      if (this.#lists.size >= MAX_LISTS) this.#lists.delete(this.#lists.keys().next().value!);
      this.#lists.set(keyOf(dev, event.phys), event.ranges);
    }
    for (const range of event.ranges) this.#range("map", dev, range, event.access, line.ts);
  }

  #unmapped(event: Extract<SoftwareEvent, { kind: "dma-unmap" }>, line: LogLine): void {
    const dev = this.#device(event.device);
    if (dev === undefined) return;
    if (event.phys.length === 0) {
      for (const range of event.ranges) this.#range("unmap", dev, range, undefined, line.ts);
      return;
    }
    const key = keyOf(dev, event.phys);
    const ranges = this.#lists.get(key);
    this.#lists.delete(key);
    if (ranges === undefined) this.#output.lost(UNKNOWN_LIST);
    for (const range of ranges ?? []) this.#range("unmap", dev, range, undefined, line.ts);
  }

  /** The contract has names of PCI devices. */
  #device(name: string): string | undefined {
    const device = pciDevice(name);
    if (device === undefined) this.#output.ignored("mapping for a device that is no PCI device");
    return device?.name;
  }

  #range(
    type: "map" | "unmap",
    dev: string | undefined,
    { addr, size, pa }: MappedRange,
    access: string | undefined,
    ts: string,
  ): void {
    if (size === 0n) {
      this.#output.ignored(`${type} of nothing`);
      return;
    }
    const text = recordText(type, {
      dev,
      addr: hex(addr),
      size: hex(size),
      ...(type === "map" && pa !== undefined ? { pa: hex(pa) } : {}),
      access,
    });
    this.#output.record(type, ts === "" ? text : `${text.slice(0, -1)},"ts":${ts}}`);
  }

  #command({ iommu, words }: Extract<SoftwareEvent, { kind: "vtd-command" }>, line: LogLine): void {
    const batch = this.#batch;
    if (batch !== null && (batch.iommu !== iommu || batch.origin !== line.origin)) this.#endBatch();
    this.#batch = { iommu, origin: line.origin };
    const { unit } = this.#units.of("intel", iommu, undefined);
    unit.declare();
    // Descriptors have two words in legacy mode, of which the event prints four all the same.
    const own = words.slice(2).every((word) => word === 0n) ? words.slice(0, 2) : words;
    this.#output.record("cmd", cmdText(unit.id, own.map(hex)));
  }

  #endBatch(): void {
    const batch = this.#batch;
    this.#batch = null;
    if (batch === null) return;
    const { unit } = this.#units.of("intel", batch.iommu, undefined);
    this.#output.record("cmd", cmdText(unit.id, [hex(WAIT_TYPE), "0x0"], '["data"]'));
  }
}

function keyOf(dev: string, phys: readonly bigint[]): string {
  return `${dev} ${phys[0]} ${phys.length}`;
}
