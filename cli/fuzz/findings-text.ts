import { TraceSource } from "../../parsers/trace/reader.ts";
import { bytesSource } from "../../parsers/trace/source.ts";
import { COVERAGE_KINDS, type CoverageKind, type FuzzCoverage } from "../../pipeline/fuzz/coverage.ts";
import { refusedCommands } from "../../pipeline/fuzz/refused-commands.ts";
import { DEFAULT_OPTIONS } from "../../pipeline/replay/options.ts";
import { inspectTrace } from "../../pipeline/walk/walk-trace.ts";
import { wrapped } from "../../pipeline/words/structure.ts";
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

/** What was reached of what can be, one kind a line, and below it what was not. */
export function coverageText(coverage: FuzzCoverage): string {
  const lines = coverage.reached().flatMap(({ kind, reached, of }) => {
    const share = of === undefined ? `${reached}` : `${reached} of ${of}`;
    const missing = kind === "field" ? [] : coverage.missing(kind);
    const names = missing.length === 0 ? [] : wrapped("    not: ", missing);
    return [`  ${COVERAGE_KINDS[kind].padEnd(34)} ${share}`, ...names];
  });
  return `${lines.join("\n")}\n`;
}

/** Names of all that was not reached of what can be, "kind: name" a line. */
export function notReachedText(coverage: FuzzCoverage): string {
  const kinds = Object.keys(COVERAGE_KINDS) as CoverageKind[];
  return kinds
    .flatMap((kind) => coverage.missing(kind).map((name) => `${COVERAGE_KINDS[kind]}: ${name}\n`))
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
