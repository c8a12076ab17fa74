import type { Answer } from "../../pipeline/diff/answer.ts";
import type { DiffResult, StreamReport } from "../../pipeline/diff/diff.ts";
import type { ChangeTally, DiffTally } from "../../pipeline/diff/diff-summary.ts";
import type { DiffRecord } from "../../pipeline/diff/difference.ts";
import { diffNotes } from "../../pipeline/diff/summary-record.ts";
import { ACCESS_WORDS } from "../../pipeline/words/access.ts";
import { columns } from "../../pipeline/words/columns.ts";
import { linesText } from "../../pipeline/words/lines.ts";
import { paint } from "../../pipeline/words/paint.ts";

const INDENT = "  ";
/** Rows of a table before it is cut. */
const MAX_ROWS = 20;

/** The specification's names of fault codes ("0x58"). */
export type CodeNames = ReadonlyMap<string, string>;

/** A comparison for a person. */
export function diffText(a: string, b: string, result: DiffResult, names: CodeNames): string {
  const { counts } = result;
  const lines = [
    ...streamLines("A", a, result.a),
    ...streamLines("B", b, result.b),
    `Aligned by ${result.alignedBy === "seq" ? "seq" : "what the requests ask for"}; ` +
      `${count(counts.compared, "pair")} compared: ${counts.same} the same, ${counts.differ} different${ignoredText(result)}`,
  ];
  const notes = diffNotes(result);
  if (notes.length > 0) lines.push("", ...notes.map(({ message }) => `Note: ${message}.`));
  if (counts.first === null) lines.push("", paint("good", "No differences."));
  else {
    lines.push("", paint("strong", "First difference:"), ...indented(differenceLines(counts.first)));
    lines.push(
      "",
      paint("strong", `Kinds of difference (${counts.total} in all):`),
      ...changeLines(counts.changes()),
    );
    lines.push("", ...tallyLines("By fault code, A to B:", counts.byCode, names));
    lines.push(...tallyLines("By device:", counts.byDevice));
    lines.push(...tallyLines("By PASID:", counts.byPasid));
  }
  lines.push(...ruleLines(result));
  return `${linesText(lines).trimEnd()}\n`;
}

function streamLines(letter: string, path: string, report: StreamReport): string[] {
  const what =
    report.kind === "outcomes"
      ? "output of a replay"
      : `trace, ${report.answers === "walk" ? "what our walk gives" : "what was observed"}`;
  const errors =
    report.errorCount > 0 ? `, ${count(report.errorCount, "record")} that could not be used` : "";
  const name = path === "-" ? "standard input" : path;
  return [`${letter}: ${name}: ${what}, ${count(report.requests, "request")}${errors}`];
}

function ignoredText({ ignore, counts, filtered }: DiffResult): string {
  const ignored = ignore.rules.reduce((sum, rule) => sum + rule.count, 0);
  const only = counts.total - counts.differ;
  const left = filtered === undefined ? "" : `; ${count(filtered, "request")} left out by the filter`;
  const others = only > 0 ? `; ${count(only, "further difference")}` : "";
  return `${others}${left}${ignored > 0 ? `; ${count(ignored, "difference")} ignored by rules` : ""}`;
}

/** One difference over several lines: where, the request, and both answers. */
function differenceLines(record: DiffRecord): string[] {
  return [
    `${paint("bad", record.class)}: ${placeText(record)}`,
    requestText(record),
    ...sideBySide(record.a, record.b),
  ];
}

function placeText({ line_a, line_b, seq }: DiffRecord): string {
  const places = [
    ...(line_a === undefined ? [] : [`line ${line_a} of A`]),
    ...(line_b === undefined ? [] : [`line ${line_b} of B`]),
    ...(seq === undefined ? [] : [`seq ${seq}`]),
  ];
  return places.join(", ");
}

function requestText({ access, len, addr, dev, pasid, priv, at }: DiffRecord): string {
  const who = pasid === undefined ? "without PASID" : `PASID ${pasid}`;
  return `${ACCESS_WORDS[access]} of ${count(len, "byte")} at ${addr} by ${dev}, ${who}${priv ? ", privileged" : ""}${at === undefined ? "" : `, ${at}`}`;
}

/** Both answers in columns, a member a line: those that differ are marked. */
function sideBySide(a: Answer | undefined, b: Answer | undefined): string[] {
  const members = [...new Set([...Object.keys(a ?? {}), ...Object.keys(b ?? {})])];
  const cell = (answer: Answer | undefined, member: string) => memberText(answer?.[member]);
  const rows = members.map((member) => [member, cell(a, member), cell(b, member)]);
  const lines = columns([["", "A", "B"], ...rows]);
  return lines.map((line, i) => {
    const [, left, right] = rows[i - 1] ?? ["", "", ""];
    return left === right ? paint("faint", line) : line;
  });
}

function memberText(value: unknown): string {
  if (value === undefined) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function changeLines(changes: readonly ChangeTally[]): string[] {
  const kinds = changes.map(
    (change) => `${change.class}${change.transition === "" ? "" : ` ${change.transition}`}`,
  );
  const lines = rows(changes.map((change, i) => [kinds[i]!, change.count]));
  const out: string[] = [];
  for (const [i, change] of changes.slice(0, MAX_ROWS).entries()) {
    const { example } = change;
    out.push(lines[i]!, `${INDENT}${INDENT}e.g. ${placeText(example)}: ${requestText(example)}`);
    if (change.transition === "") out.push(...indented(indented(sideBySide(example.a, example.b))));
  }
  out.push(...lines.slice(MAX_ROWS));
  return out;
}

function tallyLines(title: string, tally: DiffTally, names: CodeNames = new Map()): string[] {
  if (tally.counts.size === 0) return [];
  const entries = tally.byCount();
  const lines = rows(entries).map((row, i) => {
    const codes = entries[i]?.[0].split("→") ?? [];
    const named = codes.some((code) => names.has(code));
    return i < MAX_ROWS && named
      ? `${row}  ${codes.map((code) => names.get(code) ?? code).join(" → ")}`
      : row;
  });
  return [paint("strong", title), ...lines, ""];
}

/** Names and counts in columns; the last row says how many were left out. */
function rows(entries: readonly (readonly [string, number])[]): string[] {
  const shown = entries.slice(0, MAX_ROWS);
  const width = Math.max(...shown.map(([name]) => name.length));
  const digits = Math.max(...shown.map(([, n]) => `${n}`.length));
  const lines = shown.map(([name, n]) => `${INDENT}${name.padEnd(width)}  ${`${n}`.padStart(digits)}`);
  const left = entries.slice(MAX_ROWS);
  if (left.length > 0)
    lines.push(`${INDENT}… ${left.length} more, ${left.reduce((sum, [, n]) => sum + n, 0)} in all`);
  return lines;
}

function ruleLines({ ignore }: DiffResult): string[] {
  if (ignore.rules.length === 0) return [];
  const why = ({ reason }: { reason: string }) => (reason === "" ? "" : `  ${reason}`);
  return [
    "",
    "Ignored, by rule:",
    ...ignore.rules.map((rule) => `${INDENT}${rule.name}: ${rule.count}${why(rule)}`),
  ];
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => INDENT + line);
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}
