import type { Fault } from "../../walkers/fault.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { FAULT, MSI, OK, type WalkResult } from "../../walkers/result.ts";
import { addressText, hex } from "../../walkers/word64.ts";
import { permText } from "../output/perm-text.ts";
import type { OutcomeRecord } from "../output/records.ts";
import type { PageWalk, WalkStep } from "../walk/page-walk.ts";
import type { InspectedRequest } from "../walk/walk-trace.ts";
import { ACCESS_WORDS } from "./access.ts";
import { linesText } from "./lines.ts";
import { paint, paintAs } from "./paint.ts";
import { faultLines, faultTitle } from "./sentence.ts";
import { structureLines } from "./structure.ts";
import { tagTexts } from "./tags.ts";
import { causesOfWalk, occurrenceOfWalk } from "./walk-causes.ts";

const INDENT = "  ";

/** Physical runs that are listed. */
const MAX_RUNS = 64;

/** A walk for a person: the request, every structure read, and what it came to. */
export function walkText(trace: string, inspected: InspectedRequest): string {
  const { pages, outcome } = inspected;
  const lines = [requestLine(trace, inspected), whereLine(inspected)];
  for (const page of pages) {
    if (page.skipped > 0) lines.push("", `… ${count(page.skipped, "more page")}`);
    lines.push("", ...pageLines(page, pages.length > 1));
  }
  lines.push("", ...outcomeLines(inspected, pages.at(-1)!.result.fault));
  if (outcome.verdict !== undefined) lines.push("", ...verdictLines(inspected));
  return linesText(lines);
}

function requestLine(trace: string, { line, outcome }: InspectedRequest): string {
  const pasid = outcome.pasid === undefined ? "without PASID" : `PASID ${outcome.pasid}`;
  const priv = outcome.priv === true ? ", privileged" : "";
  const at = outcome.at === undefined || outcome.at === "untranslated" ? "" : `, ${outcome.at}`;
  return (
    `${trace}:${line}: ${ACCESS_WORDS[outcome.access]} of ${count(outcome.len, "byte")} at ${outcome.addr} ` +
    `by ${outcome.dev}, ${pasid}${priv}${at}`
  );
}

function whereLine({ iommu, model, outcome }: InspectedRequest): string {
  const name = iommu === undefined ? "an undeclared IOMMU" : `IOMMU ${JSON.stringify(iommu)}`;
  return `${name}, ${model}; tables of model ${outcome.model}`;
}

/** Every structure that a walk of one page read, and what it came to. */
export function pageLines(page: PageWalk, several: boolean): string[] {
  const lines = several ? [`page at ${hex(page.address)}`] : [];
  let number = 1;
  for (const step of page.steps) lines.push(...stepLines(step, `${number++}`));
  if (page.last.length > 0) {
    // Without a first stage this is the walk itself; with one, it comes after it.
    const nested = page.steps.some((step) => step.stage === 1);
    if (nested) lines.push(`second stage, for ${lastPurpose(page.result)}:`);
    for (const [i, step] of page.last.entries())
      lines.push(
        ...(nested ? indented(stepLines(step, `${number}.${i + 1}`)) : stepLines(step, `${number + i}`)),
      );
  }
  if (page.steps.length + page.last.length === 0) lines.push("nothing is read");
  lines.push(`=> ${resultText(page.result)}`);
  return lines;
}

/** What the last second-stage walk was for: Arm's class says so, and a walk that succeeds ends with its data. */
export function lastPurpose(result: WalkResult): string {
  if (result.status !== FAULT || result.faultClass === "IN") return "the first stage's output";
  if (result.faultClass === "TT") return "the next first-stage table";
  if (result.faultClass === "CD") return "the next context structure";
  return "the next table, or the first stage's output";
}

function stepLines(step: WalkStep, number: string): string[] {
  const { layout, words, stage, level } = step;
  const place = stage === 0 ? "" : `stage ${stage}${level === undefined ? "" : ` level ${level}`}: `;
  const order = step.littleEndian ? "" : ", big-endian";
  const found = words === null ? ": not in recorded memory" : "";
  const lines = [
    `${number}. ${place}${paint("strong", layout.name)} at ${hex(step.address)}${order}${found}  ${paint("faint", `[${layout.source}]`)}`,
  ];
  if (step.through.length > 0) {
    lines.push(`${INDENT}second stage, for its address:`);
    for (const [i, through] of step.through.entries())
      lines.push(...indented(indented(stepLines(through, `${number}.${i + 1}`))));
  }
  if (words !== null) lines.push(...indented(structureLines(words, step.fields, step.reservedSet)));
  return lines;
}

export function resultText(result: WalkResult): string {
  if (result.status === MSI) return "interrupt: not translated";
  if (result.status === OK) {
    const pa = addressText(result.frame, result.offset);
    if (result.pageShift === 0) return `${pa}, not translated`;
    return `${pa}, ${count(2 ** result.pageShift, "byte")} a page, ${permText(result.perm)}`;
  }
  return `${paint("bad", "fault")} ${faultTitle(result.fault!)}`;
}

function outcomeLines(inspected: InspectedRequest, fault: Fault | null): string[] {
  const { outcome, model } = inspected;
  const lines: string[] = [];
  if (outcome.result === "fault") {
    const place = outcome.stage === undefined ? "" : `, stage ${outcome.stage}`;
    const level = outcome.level === undefined ? "" : ` level ${outcome.level}`;
    const code = outcome.code === undefined ? "" : ` (${outcome.code})`;
    lines.push(`outcome: ${paint("bad", "fault")} ${paint("strong", outcome.name!)}${code}${place}${level}`);
    if (fault !== null && outcome.reason !== undefined)
      lines.push(
        ...indented(
          faultLines(fault, occurrenceOfWalk(inspected.outcome, fault), causesOfWalk(inspected, fault)),
        ),
      );
    if (outcome.entry_addr !== undefined)
      lines.push(
        `${INDENT}failing entry at ${outcome.entry_addr}: ${outcome.entry ?? "not in recorded memory"}`,
      );
    if (outcome.fault_addr !== undefined) lines.push(`${INDENT}faulting address: ${outcome.fault_addr}`);
    if (outcome.class !== undefined) lines.push(`${INDENT}class: ${outcome.class}`);
    if (outcome.flags !== undefined) lines.push(`${INDENT}flags of the fault record: ${outcome.flags}`);
    if (outcome.other_code !== undefined)
      lines.push(
        `${INDENT}as right: ${outcome.other_code}, since two conditions meet and neither is said to come first`,
      );
    if (outcome.recorded === false) lines.push(`${INDENT}no fault record is written`);
  } else if (outcome.result === "msi") lines.push("outcome: interrupt, not translated as memory");
  else lines.push(...okLines(outcome, model));
  if (outcome.other_result !== undefined)
    lines.push(`${INDENT}as right: ${outcome.other_result}, since the specification can be read in two ways`);
  lines.push(`${INDENT}${count(outcome.reads, "memory read")} without caches`);
  return lines;
}

function okLines(outcome: OutcomeRecord, model: IommuModel): string[] {
  const lines = [
    `outcome: ${paint("good", "ok")}, ${outcome.pa}${outcome.passthrough === true ? ", passed through" : ""}`,
  ];
  const page = outcome.page === undefined ? "" : `, ${count(outcome.page, "byte")} a page`;
  lines.push(`${INDENT}rights ${outcome.perm}${page}`);
  for (const tag of tagTexts(model, outcome)) lines.push(`${INDENT}${tag}`);
  const runs = outcome.sg ?? [];
  for (const [pa, bytes] of runs.slice(0, MAX_RUNS)) lines.push(`${INDENT}${pa}: ${count(bytes, "byte")}`);
  if (runs.length > MAX_RUNS) lines.push(`${INDENT}… ${count(runs.length - MAX_RUNS, "more run")}`);
  return lines;
}

function verdictLines({ observed, outcome }: InspectedRequest): string[] {
  const { diff, changed_line: changed } = outcome;
  const why = [
    ...(diff === undefined ? [] : [`${diff} differs`]),
    ...(changed === undefined ? [] : [`a cache may not have seen the change in line ${changed}`]),
  ];
  const verdict = `verdict: ${paintAs(outcome.verdict!)}${why.length > 0 ? ` (${why.join("; ")})` : ""}`;
  return observed === "" ? [verdict] : [`observed: ${observed}`, verdict];
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => INDENT + line);
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}
