import { printableLine } from "../../parsers/trace/show.ts";
import type { CACHE_RULES } from "../../pipeline/findings/cache-rules.ts";
import type { StatsRecord } from "../../pipeline/output/records.ts";
import type { RuleFindings } from "../../pipeline/summary/finding-groups.ts";
import { requestResults } from "../../pipeline/summary/request-results.ts";
import type { SummarySink } from "../../pipeline/summary/summary-sink.ts";
import { byWorst, type WrongAnswers } from "../../pipeline/summary/wrong-answers.ts";
import { ACCESS_WORDS } from "../../pipeline/words/access.ts";
import { type Align, clipped, columns, counted } from "../../pipeline/words/columns.ts";
import { paint, paintAs } from "../../pipeline/words/paint.ts";
import { shellWord } from "../../pipeline/words/shell-word.ts";
import { formatBytes } from "../../pipeline/words/sizes.ts";
import { VERDICT_WORDS } from "../../pipeline/words/verdict-words.ts";
import { summaryFaults } from "./summary-faults.ts";
import { summaryLeftOut } from "./summary-left-out.ts";
import { INDENT, MAX_ROWS, moreCommand, pasidCell, type SummaryView, tableLines } from "./summary-parts.ts";

/** A replay at a glance, for a person. */
export function summaryText(summary: SummarySink, view: SummaryView): string {
  const sections = [
    headLines(summary, view),
    verdictLines(summary),
    answerLines(summary, view),
    findingLines(summary, view),
    summaryFaults(summary, view),
    spaceLines(summary),
    summaryLeftOut(summary, view),
  ];
  const texts = sections.filter((lines) => lines.length > 0).map((lines) => lines.join("\n"));
  return `${texts.join("\n\n")}\n`;
}

function headLines(sink: SummarySink, { trace }: SummaryView): string[] {
  const { requests, ok, faults, msi, devices } = requestResults(sink.spaces);
  const name = trace === "-" ? "standard input" : trace;
  const lines = [paint("strong", `${printableLine(name)}: ${counted(sink.summary?.lines ?? 0, "line")}`)];
  if (requests === 0) return [...lines, `${INDENT}no request was replayed`];
  const results = [
    [ok, "translated"],
    [faults, "faulted"],
    [msi, "of interrupts"],
  ] as const;
  return [
    ...lines,
    `${INDENT}${counted(requests, "request")} of ${counted(devices, "device")} behind ${unitNames(sink.stats)}`,
    `${INDENT}${results.flatMap(([n, what]) => (n > 0 ? [`${n} ${what}`] : [])).join(", ")}`,
  ];
}

const SHOWN_UNITS = 4;

function unitNames(stats: readonly StatsRecord[]): string {
  const all = stats.map(({ iommu, model }) =>
    iommu === undefined ? model : `${printableLine(iommu)} (${model})`,
  );
  const names = [...new Set(all)];
  return `${names.slice(0, SHOWN_UNITS).join(", ")}${names.length > SHOWN_UNITS ? ", …" : ""}`;
}

function verdictLines(sink: SummarySink): string[] {
  const verdicts = byWorst(sink.summary?.verdicts ?? {});
  const { requests } = requestResults(sink.spaces);
  const unjudged = requests - verdicts.reduce((all, [, count]) => all + count, 0);
  const rows = verdicts.map(([verdict, count]) => [verdict, `${count}`, VERDICT_WORDS[verdict]]);
  if (unjudged > 0) rows.push(["(none)", `${unjudged}`, "nothing was observed to compare with"]);
  if (rows.length === 0) return [];
  const lines = columns(rows, ["left", "right"]);
  return [
    paint("strong", "Verdicts"),
    ...lines.map((line, i) => {
      const word = rows[i]![0]!;
      return `${INDENT}${paintAs(word)}${line.slice(word.length)}`;
    }),
  ];
}

function answerLines({ answers }: SummarySink, view: SummaryView): string[] {
  const groups = answers.worstFirst();
  if (groups.length === 0) return [];
  return [
    paint("strong", "Answers that memory does not give, the worst first"),
    ...groups.slice(0, MAX_ROWS).flatMap((group) => answerGroup(group, view)),
    ...cut(groups),
  ];
}

function answerGroup(
  { verdict, difference, count, first, observed, spaces }: WrongAnswers,
  view: SummaryView,
): string[] {
  const { dev, pasid, line, access, len, addr } = first;
  const one = `${dev}${pasid === undefined ? "" : `, PASID ${pasid}`}`;
  const who = spaces.size === 1 ? one : `${spaces.size} devices and PASIDs, the first of ${one}`;
  const seen = observed === "" ? "nothing" : printableLine(observed);
  const memory =
    first.result === "fault" ? `${first.code ?? "a fault"} ${first.name}` : (first.pa ?? first.result);
  return [
    `${INDENT}${paintAs(verdict)}${difference === "" ? "" : ` (${difference})`}: ${counted(count, "request")} of ${who}`,
    ...[
      `line ${line}: ${ACCESS_WORDS[access]} of ${counted(len, "byte")} at ${addr}`,
      `memory gives ${memory}; observed ${seen}`,
    ].map((text) => INDENT + INDENT + clipped(text, view.width - 2 * INDENT.length)),
    moreCommand(`walk ${shellWord(view.trace)} --line ${line}`),
  ];
}

/** The rule of faults that a log has and that no request explains: `explain` knows more of them. */
const LOGGED = "logged-fault" satisfies keyof typeof CACHE_RULES;

function findingLines({ findings, summary }: SummarySink, view: SummaryView): string[] {
  // A log that is read as a trace has no header.
  const isLog = summary?.records.header === undefined;
  const groups = findings.worstFirst();
  if (groups.length === 0) return [];
  return [
    paint("strong", "Findings, the worst first"),
    ...groups.slice(0, MAX_ROWS).flatMap((group) => findingGroup(group, view, isLog)),
    ...cut(groups),
  ];
}

function findingGroup(group: RuleFindings, view: SummaryView, isLog: boolean): string[] {
  const { rule, severity, count, examples } = group;
  const { line, dev, message } = examples[0]!;
  const who = dev === undefined ? "" : `, the first of ${printableLine(dev)}`;
  return [
    `${INDENT}${paintAs(severity)} ${paint("strong", rule)}: ${count}${latent(group)}${who}`,
    INDENT + INDENT + clipped(`line ${line}: ${message}`, view.width - 2 * INDENT.length),
    moreCommand(`${shellWord(view.trace)}${view.options("rule")} --only findings --rule ${rule}`),
    ...(rule === LOGGED && isLog ? [moreCommand(`explain ${shellWord(view.trace)}`)] : []),
  ];
}

function latent({ latent: n, count }: RuleFindings): string {
  if (n === 0) return "";
  return n === count ? " (latent)" : ` (${n} of them latent)`;
}

const SPACE_COLUMNS: readonly Align[] = ["left", "right", "right", "right", "right", "right", "right"];

function spaceLines(sink: SummarySink): string[] {
  const spaces = [...sink.spaces.all].sort((a, b) => b.requests - a.requests);
  if (spaces.length === 0) return [];
  const rows = spaces.slice(0, MAX_ROWS).map((space) => {
    const { device, pasid, requests, ok, faults, bytes, verdicts } = space;
    const judged = [...verdicts.values()].reduce((all, n) => all + n, 0);
    const wrong = judged - (verdicts.get("match") ?? 0);
    return [device, pasidCell(pasid), `${requests}`, `${ok}`, `${faults}`, `${wrong}`, formatBytes(bytes)];
  });
  const head = ["device", "PASID", "requests", "ok", "faults", "no match", "bytes"];
  const left = spaces.slice(MAX_ROWS);
  const others = left.reduce((all, { requests }) => all + requests, sink.spaces.others?.requests ?? 0);
  return [
    paint("strong", "Requests by device and PASID"),
    ...tableLines(head, rows, SPACE_COLUMNS),
    ...(others > 0 ? [`${INDENT}… ${counted(others, "request")} of others`] : []),
  ];
}

/** The last row: how much was left out. */
function cut(groups: readonly { readonly count: number }[]): string[] {
  const left = groups.slice(MAX_ROWS);
  if (left.length === 0) return [];
  const all = left.reduce((sum, { count }) => sum + count, 0);
  return [`${INDENT}… ${counted(left.length, "more kind")}, ${all} in all`];
}
