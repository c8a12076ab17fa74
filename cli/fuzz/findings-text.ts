import { TraceSource } from "../../parsers/trace/reader.ts";
import { bytesSource } from "../../parsers/trace/source.ts";
import type { Reached } from "../../pipeline/fuzz/coverage.ts";
import { COVERAGE_KINDS } from "../../pipeline/fuzz/coverage.ts";
import { refusedCommands } from "../../pipeline/fuzz/refused-commands.ts";
import { DEFAULT_OPTIONS } from "../../pipeline/replay/options.ts";
import { inspectTrace } from "../../pipeline/walk/walk-trace.ts";
import { walkText } from "../../pipeline/words/walk-text.ts";
import { type Limits, NO_LIMITS, type WorldRecord } from "../../walkers/fuzz/world.ts";
import { deviceName, type IommuModel } from "../../walkers/models.ts";
import { hex } from "../../walkers/word64.ts";

/** Longest part of a signature in a file's name. */
const MOST_NAME = 72;

/** A name for the files of a finding. */
export function fileName(number: number, signature: string): string {
  const words = signature
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-|-$/g, "");
  return `${String(number).padStart(2, "0")}-${words.slice(0, MOST_NAME).replace(/-$/, "")}`;
}

/** Records as the lines of a trace. @param comment of its header */
export function traceText(records: readonly WorldRecord[], comment: string): string {
  const header = {
    type: "header",
    format: "pasid-trace",
    version: 1,
    producer: "pasid-replay fuzz",
    comment,
  };
  return [header, ...records].map((record) => `${JSON.stringify(record)}\n`).join("");
}

/**
 * The walk of one request of a trace, explained.
 * @param line of its record, not counting the header
 */
export async function walkOf(name: string, trace: string, line: number): Promise<string> {
  const source = new TraceSource(bytesSource(Buffer.from(trace)), DEFAULT_OPTIONS);
  const inspected = await inspectTrace(source, { line: line + 1 });
  return walkText(name, inspected);
}

/** What was reached of what can be, one kind a line. */
export function coverageText(reached: readonly Reached[]): string {
  return reached
    .map(({ kind, reached: count, of }) => {
      const share = of === undefined ? `${count}` : `${count} of ${of}`;
      return `  ${COVERAGE_KINDS[kind].padEnd(34)} ${share}\n`;
    })
    .join("");
}

/** What no world has, since the device cannot do it or say what became of it, one kind a line. */
export function leftOutText(model: IommuModel, limits: Limits): string {
  const accesses = NO_LIMITS.accesses.filter((access) => !limits.accesses.includes(access));
  const types = NO_LIMITS.addressTypes.filter((type) => !limits.addressTypes.includes(type));
  const devices = limits.devices.map((id) => deviceName(model, id));
  const refused = refusedCommands(model, limits);
  const left = [
    limits.pasid ? "" : "requests with a PASID",
    limits.pasid && limits.leastPasid > 0 ? `requests with a PASID below ${limits.leastPasid}` : "",
    limits.priv ? "" : "privileged requests",
    accesses.length > 0 ? `accesses ${accesses.join(", ")}` : "",
    types.length > 0 ? `requests of address type ${types.join(", ")}` : "",
    limits.len < NO_LIMITS.len
      ? `requests of more than ${limits.len} ${limits.len === 1 ? "byte" : "bytes"}`
      : "",
    devices.length > 0 ? `devices but ${devices.join(", ")}` : "",
    limits.unlogged ? "whether faults are recorded" : "",
    limits.foreign === undefined ? "" : "tables in what is no memory of the machine's",
    ...Object.entries(limits.commands ?? {}).flatMap(([name, fields]) =>
      Object.entries(fields).map(([field, most]) => `${name} with ${field} above ${most}`),
    ),
    refused.length > 0 ? `commands that it does not take: ${refused.join(", ")}` : "",
    limits.untranslated ? "" : "what becomes of requests that nothing translates",
    ...limits.untold,
    ...Object.entries(limits.regs).map(([name, value]) => `other values of ${name} than ${hex(value)}`),
    ...Object.entries(limits.props).map(([name, value]) => `other values of ${name} than ${value}`),
  ].filter((text) => text !== "");
  return left.length === 0
    ? ""
    : `left out, as it is not for this device:\n${left.map((text) => `  ${text}\n`).join("")}`;
}
