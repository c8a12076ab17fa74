import type { LoggedFault, LogPlace } from "../../parsers/logs/iommu-events.ts";
import { deviceTableEntry, nativeRecord } from "../../parsers/logs/native-record.ts";
import { faultTitle, sentence } from "../../pipeline/words/sentence.ts";
import { structureLines } from "../../pipeline/words/structure.ts";
import { pageLines } from "../../pipeline/words/walk-text.ts";
import type { Fault } from "../../walkers/fault.ts";
import { FAULT, OK } from "../../walkers/result.ts";
import { hex } from "../../walkers/word64.ts";
import type { ExplainedGroup, ExplainedLogs } from "../explain-log/explain-logs.ts";
import { haveRequests } from "../explain-log/request-faults.ts";
import { requestFaultLines } from "./request-faults.ts";

const INDENT = "  ";
/** Kinds of faults that are written out. */
const MAX_GROUPS = 50;
const UNKNOWN_ACCESS = "request (the log does not say whether read or write)";
const ACCESS = { r: "read", w: "write", x: "read for execute" };

/** What logs say of IOMMUs, for a person. */
export function logText(paths: readonly string[], explained: ExplainedLogs): string {
  const { groups } = explained;
  const lines = [headLine(paths, explained)];
  const walks = new Map<string, number>();
  groups.slice(0, MAX_GROUPS).forEach((group, i) => {
    lines.push("", ...groupLines(group, i + 1, walks));
  });
  if (groups.length > MAX_GROUPS)
    lines.push("", `… ${count(groups.length - MAX_GROUPS, "more kind")} of faults`);
  let number = groups.length + 1;
  for (const requests of explained.requests) {
    lines.push(...requestFaultLines(requests, number));
    number += requests.faults.length;
  }
  lines.push(...restLines(explained));
  // Of a pipe the requests are gone.
  if (haveRequests(explained.report.formats) && paths.includes("-"))
    lines.push(
      "",
      "The log has requests: by its name, not through a pipe, those that fault are explained as well.",
    );
  return `${lines.join("\n")}\n`;
}

function headLine(paths: readonly string[], { groups, report, facts, requests }: ExplainedLogs): string {
  const replayed = requests.flatMap(({ faults: kinds }) => kinds);
  const faults =
    groups.reduce((sum, { group }) => sum + group.count, facts.ungrouped) +
    replayed.reduce((sum, kind) => sum + kind.requests, 0);
  const of = report.formats.length === 0 ? "nothing about an IOMMU" : count(faults, "fault");
  const all = groups.length + replayed.length;
  const kinds = all === 0 ? "" : ` of ${count(all, "kind")}`;
  const mappings =
    facts.mappings === 0
      ? ""
      : `, ${count(facts.mappings, "mapping or unmapping", "mappings and unmappings")}`;
  return `${paths.join(", ")}: ${count(report.lines, "line")}, ${of}${kinds}${mappings}`;
}

/** @param walks the walks that have been written out, with the number of their group */
function groupLines(explained: ExplainedGroup, number: number, walks: Map<string, number>): string[] {
  const { group, vendor, meanings, causes, tables } = explained;
  const { first } = group;
  const where = first.iommu === undefined ? vendor : `${vendor}, ${first.iommu}`;
  const lines = [
    `${number}. ${deviceText(first)} (${where}): ${count(group.count, "fault")}, ${timesText(first.at, group.last)}`,
    ...indented(requestLines(explained)),
    ...indented(meaningLines(first, meanings, tables?.walk?.pages.at(-1)?.result.fault ?? undefined)),
    ...indented(recordLines(first)),
    ...indented(tableLines(explained, number, walks)),
  ];
  for (const { count: n, text } of group.histories.values())
    lines.push(`${INDENT}History${n === group.count ? "" : ` (${n} of ${group.count})`}: ${text}`);
  if (causes.length > 0)
    lines.push(`${INDENT}Likely causes:`, ...causes.map((cause) => `${INDENT}  - ${cause}`));
  return lines;
}

function deviceText({ dev, smmu }: LoggedFault): string {
  const name = dev ?? "a device that the log does not name";
  return smmu?.client === undefined ? name : `${smmu.client} (${name})`;
}

function timesText(first: LogPlace, last: LogPlace): string {
  const one = first.ts === "" ? `line ${first.line}` : `${plain(first.ts)} (line ${first.line})`;
  if (first.line === last.line) return one;
  return `${one} to ${last.ts === "" ? `line ${last.line}` : `${plain(last.ts)} (line ${last.line})`}`;
}

function plain(ts: string): string {
  return ts.startsWith('"') ? ts.slice(1, -1) : `${ts} s`;
}

function requestLines({ group }: ExplainedGroup): string[] {
  const { first, addresses, moreAddresses, pasids, accesses } = group;
  if (first.interrupt) return ["an interrupt request, no DMA"];
  const more = moreAddresses ? ", …" : "";
  const where =
    addresses.length === 0
      ? ""
      : ` at ${addresses.map(hex).join(", ")}${more}${first.pageOnly ? " (page)" : ""}`;
  const what = [...accesses].map((access) => (access === undefined ? UNKNOWN_ACCESS : ACCESS[access]));
  return [`${what.join(", ")}${where}, ${pasidText([...pasids])}`];
}

function pasidText(pasids: readonly (number | undefined)[]): string {
  const given = pasids.filter((pasid) => pasid !== undefined);
  if (given.length === 0) return "without PASID";
  return `PASID ${given.map(String).join(", ")}${given.length < pasids.length ? ", or none" : ""}`;
}

/** What the code means; where a walk has told which of its conditions it was, that one. */
function meaningLines(first: LoggedFault, meanings: readonly Fault[], exact: Fault | undefined): string[] {
  const known = exact !== undefined && meanings.includes(exact) ? [exact] : meanings;
  if (known.length === 0) {
    const code = first.code === undefined ? "" : ` (code ${hex(first.code)})`;
    return first.text === "" && code === "" ? [] : [`${first.text}${code}`];
  }
  const lines: string[] = [];
  for (const [i, fault] of known.entries())
    lines.push(`${i === 0 ? "" : "or "}${faultTitle(fault)}: ${sentence(fault.text)} [${fault.source}]`);
  const words = first.text;
  if (words !== "" && !known.some(({ name }) => name === words)) lines.push(`The kernel's words: ${words}`);
  return lines;
}

/** The native record's fields, where the log has them. */
function recordLines(first: LoggedFault): string[] {
  const record = nativeRecord(first);
  if (record === undefined) return [];
  const layout = record.format.layout(record.format.code(record.view));
  const words = layout.words(record.view, 0);
  const lines = structureLines(words, layout.decode(record.view, 0), layout.reservedSet(record.view, 0));
  const fields = record.derived ? lines.slice(1) : lines;
  return [`The event's fields  [${layout.source}]:`, ...indented(fields)];
}

function tableLines({ group, tables }: ExplainedGroup, number: number, walks: Map<string, number>): string[] {
  const fault = group.dumped;
  if (fault === undefined || tables === undefined) return [];
  const lines: string[] = [];
  const { walk, findings } = tables;
  if (walk !== undefined && walk.pages.length > 0) {
    const steps = walk.pages.flatMap((page) => pageLines(page, false));
    const known = walks.get(steps.join("\n"));
    if (known === undefined) {
      walks.set(steps.join("\n"), number);
      lines.push(
        `The tables that were printed with the fault of line ${fault.at.line} (the root table's address is in no log: it is placed):`,
        ...indented(steps),
      );
    } else
      lines.push(
        `The tables that were printed with the fault of line ${fault.at.line}: as those of ${known}.`,
      );
    lines.push(verdictText(fault, walk.pages.at(-1)!.result));
  } else lines.push(...deviceEntryLines(fault));
  for (const { message } of findings) lines.push(`The entries by themselves: ${message}`);
  return lines;
}

/** Whether the tables agree with the fault. */
function verdictText(
  { code }: LoggedFault,
  result: NonNullable<NonNullable<ExplainedGroup["tables"]>["walk"]>["pages"][number]["result"],
): string {
  if (result.status === OK)
    return "The tables as dumped allow this access: the IOMMU saw an older entry, or what it read was not what the CPU had written.";
  if (result.status === FAULT && result.fault!.code !== code)
    return `The tables as dumped give another fault, ${faultTitle(result.fault!)}: the IOMMU saw older entries, or what it read was not what the CPU had written.`;
  return "The tables as dumped give this fault.";
}

function deviceEntryLines(fault: LoggedFault): string[] {
  const entry = deviceTableEntry(fault);
  if (entry === undefined) return [];
  const { layout, view } = entry;
  const fields = structureLines(layout.words(view, 0), layout.decode(view, 0), layout.reservedSet(view, 0));
  const control = fault.amd?.control;
  return [
    `The ${layout.name} that was printed with the fault of line ${fault.at.line}  [${layout.source}]:`,
    ...indented(fields),
    ...(control === undefined ? [] : [`Control register: ${hex(control)}`]),
  ];
}

/** What is no fault of a request: queues, notes, losses, what to collect. */
function restLines({ facts, report, collect }: ExplainedLogs): string[] {
  const lines: string[] = [];
  const section = (title: string, items: readonly string[]) => {
    if (items.length > 0) lines.push("", `${title}:`, ...items.map((item) => `${INDENT}- ${item}`));
  };
  const counted = [...facts.queueErrors.values()].map(
    ({ text, count: n, first }) => `${text} (${n === 1 ? "" : `${n} times, `}line ${first.line})`,
  );
  const commands = facts.commands.map(
    ({ note, words, at }) => `${note}: ${words.map(hex).join(" ")} (line ${at.line})`,
  );
  section("Queues", [...counted, ...commands]);
  section(
    "Notes",
    [...facts.notes.values()].map(({ text, first }) => `${text} (line ${first.line})`),
  );
  const losses = [...report.lost.values()].filter(({ loss }) => loss.severity !== "info");
  section(
    "Not in the log",
    losses.map(({ loss, count: n }) => `${n} x ${loss.what}: ${loss.message}`),
  );
  section("To collect next", collect);
  return lines;
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => INDENT + line);
}

function count(n: number, noun: string, plural = `${noun}s`): string {
  return `${n} ${n === 1 ? noun : plural}`;
}
