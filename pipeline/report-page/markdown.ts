import { hasCode } from "../../walkers/fault.ts";
import { MODEL_OWNER } from "../../walkers/models.ts";
import { NO_LEVEL } from "../../walkers/result.ts";
import { hex } from "../../walkers/word64.ts";
import type { FindingRecord } from "../output/records.ts";
import type { RuleFindings } from "../summary/finding-groups.ts";
import { requestResults } from "../summary/request-results.ts";
import { byWorst } from "../summary/wrong-answers.ts";
import { mappedText, spaceText, tableText } from "../words/inspect-words.ts";
import { faultTitle } from "../words/sentence.ts";
import { shellWord } from "../words/shell-word.ts";
import { GLANCE, glance, worstTracesFirst } from "../words/trace-table.ts";
import { VERDICT_WORDS } from "../words/verdict-words.ts";
import { pageLines } from "../words/walk-text.ts";
import { mdBlock, mdCode, mdDetails, mdTable, mdText } from "./md.ts";
import type { ReportedTrace, ReportView } from "./view.ts";
import {
  answerText,
  clip,
  commandToWalk,
  many,
  number,
  placeText,
  requestText,
  statements,
  traceName,
  whose,
} from "./words.ts";

/** Characters that a report takes at most: an issue of GitHub's may have 65,536. */
const MOST_CHARACTERS = 60_000;
/** How much of each kind is shown, of one trace alone; less where it does not fit. */
const MOST = 24;
const CHARACTERS = 600;

/** Traces that are shown in full, and rows of the table of all. */
const MOST_TRACES = 10;
const MOST_ROWS = 200;

/** A report as Markdown, for a bug report: what matters first, walks to be opened. */
export function reportMarkdown(view: ReportView): string {
  const traces = worstTracesFirst(view.traces, ({ report }) => report.counts);
  const shown = traces.slice(0, MOST_TRACES);
  const table = traces.length > 1 ? [tableOf(traces)] : [];
  for (let most = Math.ceil(MOST / shown.length); ; most = Math.floor(most / 2)) {
    const sections = shown.map((trace) => traceSection(trace, view, most));
    const text = `${[...table, ...sections].join("\n\n")}\n`;
    if (text.length <= MOST_CHARACTERS) return text;
    if (most === 0) return `${text.slice(0, MOST_CHARACTERS - 100)}\n\n… cut\n`;
  }
}

/** Several traces at a glance, the worst first. */
function tableOf(traces: readonly ReportedTrace[]): string {
  const rows = traces
    .slice(0, MOST_ROWS)
    .map(({ path, report }) => [mdCode(traceName(path)), ...glance(report.counts).map(number)]);
  return [
    `# ${number(traces.length)} traces, the worst first`,
    mdTable(["trace", ...GLANCE], rows),
    ...left(traces.length - rows.length),
  ].join("\n\n");
}

function traceSection(trace: ReportedTrace, view: ReportView, most: number): string {
  return [
    `# ${mdText(traceName(trace.path))}`,
    statements(trace.report, view.filter)
      .map(({ text }) => `- ${mdText(text)}`)
      .join("\n"),
    verdicts(trace),
    answers(trace, view, most),
    findings(trace, view, most),
    faults(trace, view, most),
    spaces(trace, most),
    provenance(trace, view),
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}

function verdicts({ report }: ReportedTrace): string {
  const { requests, ok, faults: faulted, msi } = requestResults(report.summary.spaces);
  const counts = `${many(requests, "request")}: ${number(ok)} translated, ${number(faulted)} faulted${msi > 0 ? `, ${many(msi, "interrupt")}` : ""}`;
  const rows = byWorst(Object.fromEntries(report.counts.verdicts)).map(([verdict, n]) => [
    mdCode(verdict),
    number(n),
    mdText(VERDICT_WORDS[verdict]),
  ]);
  const table = rows.length === 0 ? [] : ["", mdTable(["verdict", "requests", "the answer is"], rows)];
  return [mdText(counts), ...table].join("\n");
}

function answers({ path, report }: ReportedTrace, view: ReportView, most: number): string {
  const groups = report.answers.worstFirst();
  if (groups.length === 0 || most === 0) return "";
  const items = groups.slice(0, most).map(({ verdict, difference, count, first, observed }) => {
    const differs = difference === "" ? "" : `, the ${difference} differs`;
    const seen = observed === "" ? "" : `, observed ${mdCode(clip(observed, CHARACTERS))}`;
    return [
      `- ${mdCode(verdict)}: ${mdText(`${many(count, "request")} of ${whose(first.dev, first.pasid)}${differs}`)}`,
      `  first in line ${first.line}: ${mdText(requestText(first))}; memory gives ${mdText(answerText(first))}${seen}`,
      indented(walk(path, report, first.line, view)),
    ].join("\n");
  });
  return ["## Answers that memory does not give", ...items, ...left(groups.length - items.length)].join(
    "\n\n",
  );
}

function findings(trace: ReportedTrace, view: ReportView, most: number): string {
  const groups = trace.report.summary.findings.worstFirst();
  if (groups.length === 0 || most === 0) return "";
  const items = groups.slice(0, most).map((group) => rule(group, trace, view, Math.ceil(most / 8)));
  return ["## Findings", ...items, ...left(groups.length - items.length)].join("\n\n");
}

function rule(group: RuleFindings, trace: ReportedTrace, view: ReportView, most: number): string {
  const { rule: id, severity, count, latent, examples } = group;
  const hidden = latent === 0 ? "" : `, ${number(latent)} latent`;
  const shown = examples.slice(0, most).map((finding) => findingItem(finding, trace, view));
  return [
    `### ${mdText(`${severity}: ${id}, ${number(count)}${hidden}`)}`,
    ...shown,
    ...left(count - shown.length),
  ].join("\n\n");
}

function findingItem(finding: FindingRecord, { path, report }: ReportedTrace, view: ReportView): string {
  const { line, message, command, data, first_line, request_line } = finding;
  const owed =
    command === undefined ? "" : mdBlock([command, ...(data === undefined ? [] : [data.join(" ")])]);
  const at = first_line ?? request_line;
  return [
    `- line ${line}: ${mdText(clip(message, CHARACTERS))}`,
    ...(owed === "" ? [] : [indented(owed)]),
    ...(at === undefined ? [] : [indented(walk(path, report, at, view))]),
  ].join("\n\n");
}

function faults({ path, report }: ReportedTrace, view: ReportView, most: number): string {
  const { all, others } = report.summary.faults;
  if (all.length === 0 || most === 0) return "";
  const sorted = [...all].sort((a, b) => b.requests - a.requests || a.first.line - b.first.line);
  const shown = sorted.slice(0, most);
  const rows = shown.map(({ requests, fault, reason, stage, level, first, names, pasid }) => [
    number(requests),
    mdText(whose(names.device, pasid)),
    mdText(faultTitle(fault)),
    mdText(`${reason}${placeText(stage, level === NO_LEVEL ? undefined : level)}`),
    `${first.line}`,
    mdCode(first.addr),
  ]);
  const { first, fault } = shown[0]!;
  const rest = sorted.slice(shown.length).reduce((sum, { requests }) => sum + requests, others);
  return [
    "## Faults by device, PASID and condition",
    mdTable(["requests", "of", "fault", "reason", "first line", "at"], rows),
    ...left(rest, "more request"),
    walk(path, report, first.line, view),
    mdBlock(
      [
        `pasid-replay explain ${MODEL_OWNER[first.model]} ${shellWord(hasCode(fault) ? hex(fault.code) : fault.name)}`,
      ],
      "sh",
    ),
  ].join("\n\n");
}

/** The walk of a line, to be opened; only the command where it was not kept. */
function walk(
  path: string,
  { walks }: ReportedTrace["report"],
  line: number,
  { options }: ReportView,
): string {
  const command = commandToWalk(path, line, options);
  const taken = walks.at(line);
  if (taken === undefined) return mdBlock([command], "sh");
  return mdDetails(`the walk of line ${line}`, mdBlock([`$ ${command}`, ...pageLines(taken.page, false)]));
}

function spaces({ report }: ReportedTrace, most: number): string {
  const all = report.maps.units.flatMap(({ iommu, devices }) =>
    devices.flatMap((device) => device.spaces.map(({ space }) => ({ model: iommu.model, space }))),
  );
  if (all.length === 0 || most === 0) return "";
  const rows = all
    .slice(0, most)
    .map(({ model, space }) => [
      mdText(space.dev),
      mdText(spaceText(model, space)),
      mdText(space.tables.map(tableText).join("; ")),
      mdText(space.tables.length === 0 ? "" : mappedText(space)),
    ]);
  return [
    "## Address spaces after the last line",
    mdTable(["device", "requests", "tables", "mapped"], rows),
    ...left(all.length - rows.length),
  ].join("\n\n");
}

function provenance({ path, report, file }: ReportedTrace, view: ReportView): string {
  const rows = [
    ["trace", mdCode(traceName(path))],
    ...(file === undefined ? [] : [["file", `${many(file.bytes, "byte")}, SHA-256 ${mdCode(file.sha256)}`]]),
    ["lines", number(report.lines)],
    ...report.headers.map(({ producer, comment }) => [
      "header",
      mdText(clip([producer, comment].filter(Boolean).join("; "), CHARACTERS)),
    ]),
    ["by", mdText(`pasid-replay ${view.version}`)],
  ];
  return ["## Provenance", mdTable(["", ""], rows), mdBlock([view.command], "sh")].join("\n\n");
}

function left(n: number, noun?: string): string[] {
  if (n <= 0) return [];
  return [mdText(`… ${noun === undefined ? `${number(n)} more` : many(n, noun)}`)];
}

function indented(text: string): string {
  return text
    .split("\n")
    .map((line) => (line === "" ? "" : `  ${line}`))
    .join("\n");
}
