import type { FaultHistory, RefusedRequest } from "./mapping-history.ts";
import type { Moment, SoftwareMapping } from "./mapping-index.ts";

const DIRECTIONS = { r: "DMA_TO_DEVICE", w: "DMA_FROM_DEVICE", rw: "DMA_BIDIRECTIONAL" };

/** A fault's history as a sentence without its full stop. */
export function historyText(history: FaultHistory, request: RefusedRequest, at: Moment): string {
  const { crowded = false, forgotten = 0 } = history;
  const bounds = [
    crowded ? "more mappings of this address stand, and the latest alone are looked at" : "",
    forgotten > 0 ? `${forgotten} mappings are forgotten for want of memory` : "",
  ];
  return [causeText(history, request, at), ...bounds].filter((text) => text !== "").join("; ");
}

function causeText({ cause, mapping, beyond }: FaultHistory, request: RefusedRequest, at: Moment): string {
  switch (cause) {
    case "use-after-unmap":
      return `use after unmap: ${rangeText(mapping!)} was mapped${direction(mapping!)}${forWhom(mapping!)} until ${before(mapping!.ended!, at)} the fault, then unmapped`;
    case "wrong-direction":
      return `wrong direction: ${rangeText(mapping!)} is mapped${direction(mapping!)}, and the device ${request.access === "w" ? "writes" : "reads"}`;
    case "beyond-buffer":
      return `beyond the buffer: ${beyond} bytes past the end of ${rangeText(mapping!)}, which ${mapping!.ended === null ? "is" : "was"} mapped${direction(mapping!)}`;
    case "other-device":
      return `another device's: ${rangeText(mapping!)} is mapped${direction(mapping!)}${forWhom(mapping!)}, not for this one`;
    case "mapped":
      return `mapped at that time: ${rangeText(mapping!)}${direction(mapping!)}${forWhom(mapping!)}, since ${before(mapping!.made, at)} the fault: the IOMMU saw an older entry, or the mapping is in another domain`;
    case "never-mapped":
      return "never mapped: no mapping of this address is in the trace before the fault";
    case "not-traced":
      return "no mapping for this device is in the trace";
  }
}

function rangeText({ addr, size }: SoftwareMapping): string {
  return `0x${addr.toString(16)}-0x${(addr + size - 1n).toString(16)}`;
}

function direction({ access }: SoftwareMapping): string {
  return access === undefined ? "" : ` ${DIRECTIONS[access]}`;
}

function forWhom({ dev }: SoftwareMapping): string {
  return dev === "" ? " (for whom, the trace does not say)" : ` for ${dev}`;
}

/** "3.1 ms before", or the line where there is no time. */
function before(then: Moment, now: Moment): string {
  if (then.seconds === undefined || now.seconds === undefined) return `line ${then.line}, before`;
  return `${durationText(Math.max(0, now.seconds - then.seconds))} before`;
}

/** With two digits, in the unit that makes a number from 1 on of it. */
export function durationText(seconds: number): string {
  if (seconds >= 1) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds >= 1e-3) return `${(seconds * 1e3).toFixed(seconds < 1e-2 ? 1 : 0)} ms`;
  return `${Math.round(seconds * 1e6)} µs`;
}
