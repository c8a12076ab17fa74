import { SEVERITIES } from "../../walkers/tables/rule.ts";
import type { Verdict } from "../iommus/outcome.ts";
import type { OutcomeRecord } from "../output/records.ts";
import type { TraceReport } from "../report/trace-report.ts";
import { requestResults } from "../summary/request-results.ts";
import { ACCESS_WORDS } from "../words/access.ts";
import { faultTitle } from "../words/sentence.ts";
import { shellWord } from "../words/shell-word.ts";

/** How bad something is: what it is coloured by, what matters most first. */
const TONES = ["bad", "warn", "good", "info"] as const;
export type Tone = (typeof TONES)[number];

/** One thing that a report says first. */
export interface Statement {
  readonly tone: Tone;
  readonly text: string;
  /** Section that has more of it. */
  readonly section: "answers" | "findings" | "faults" | "provenance" | undefined;
}

export const TONE_OF_SEVERITY = { error: "bad", warning: "warn", info: "info" } as const;

/** How bad each verdict is. */
export const TONE_OF_VERDICT = {
  mismatch: "bad",
  "stale-after-invalidation": "bad",
  stale: "warn",
  unflushed: "warn",
  hazard: "warn",
  unknown: "info",
  "not-modelled": "info",
  match: "good",
} as const satisfies Record<Verdict, Tone>;

export function many(n: number, noun: string, plural = `${noun}s`): string {
  return `${number(n)} ${n === 1 ? noun : plural}`;
}

/** With a comma after each three digits. */
export function number(n: number): string {
  return n.toLocaleString("en-US");
}

/** A text from a trace, cut where it is too long. */
export function clip(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}

export function traceName(path: string): string {
  return path === "-" ? "standard input" : path;
}

/** "00:03.0, PASID 5". */
export function whose(dev: string, pasid: number | undefined): string {
  return pasid === undefined || pasid < 0 ? `${dev}, without PASID` : `${dev}, PASID ${pasid}`;
}

/** "write of 64 bytes at 0x1000 by 00:03.0, PASID 5". */
export function requestText({ access, len, addr, dev, pasid, priv }: OutcomeRecord): string {
  const privileged = priv === true ? ", privileged" : "";
  return `${ACCESS_WORDS[access]} of ${many(len, "byte")} at ${addr} by ${whose(dev, pasid)}${privileged}`;
}

/** "fault F_TRANSLATION (0x10), stage 1 level 2", "ok, 0x1000", "interrupt". */
export function answerText(o: OutcomeRecord): string {
  if (o.result === "ok") return `ok, ${o.pa}`;
  if (o.result === "msi") return "interrupt";
  const code = o.code === undefined ? "" : ` (${o.code})`;
  return `fault ${o.name}${code}${placeText(o.stage ?? 0, o.level)}`;
}

/** ", stage 1 level 2"; "" where no page table is at fault. */
export function placeText(stage: number, level: number | undefined): string {
  if (stage === 0) return "";
  return `, stage ${stage}${level === undefined ? "" : ` level ${level}`}`;
}

export function commandToWalk(path: string, line: number, options: string): string {
  return `pasid-replay walk ${shellWord(path)} --line ${line}${options}`;
}

function verdictCount({ counts }: TraceReport, verdict: Verdict): number {
  return counts.verdicts.get(verdict) ?? 0;
}

/**
 * What matters, the worst first.
 * @param filter options that narrow the report; "" where there are none
 */
export function statements(report: TraceReport, filter: string): Statement[] {
  const { counts } = report;
  const { requests } = requestResults(report.summary.spaces);
  const said: Statement[] = [...answerStatements(report), ...findingStatements(report)];
  const judged = [...counts.verdicts.values()].reduce((all, n) => all + n, 0);
  const matches = verdictCount(report, "match");
  if (requests === 0) said.push({ tone: "warn", text: "No request was replayed.", section: undefined });
  else if (judged === 0)
    said.push({
      tone: "info",
      text: "What the recorded system answered is not in the trace: only the walks are told, not whether it was right.",
      section: undefined,
    });
  else if (matches === judged)
    said.push({
      tone: "good",
      text: `All ${many(judged, "recorded answer")} are right.`,
      section: undefined,
    });
  said.push(...faultStatements(report));
  if (counts.errors > 0)
    said.push({
      tone: "bad",
      text: `${many(counts.errors, "record")} could not be used: what is said here may be incomplete.`,
      section: "provenance",
    });
  if (counts.forgotten > 0)
    said.push({
      tone: "warn",
      text: `${many(counts.forgotten, "cached entry", "cached entries")} were dropped for want of memory: verdicts may be incomplete.`,
      section: "provenance",
    });
  if (filter !== "")
    said.push({
      tone: "info",
      text: `Narrowed by${filter}: ${many(Math.max(counts.filtered, 0), "request")} left out.`,
      section: undefined,
    });
  return said.sort((a, b) => TONES.indexOf(a.tone) - TONES.indexOf(b.tone));
}

function answerStatements(report: TraceReport): Statement[] {
  const { counts } = report;
  const say = (verdict: Verdict, text: (n: string) => string): Statement[] => {
    const n = verdictCount(report, verdict);
    return n === 0 ? [] : [{ tone: TONE_OF_VERDICT[verdict], text: text(number(n)), section: "answers" }];
  };
  const stale = verdictCount(report, "stale");
  const owed =
    counts.owed === stale
      ? "the driver owes invalidations"
      : `for ${number(counts.owed)} of them the driver owes an invalidation, the others came before one was complete`;
  return [
    ...say("mismatch", (n) => `${n} recorded answers are ones that no correct IOMMU gives.`),
    ...say(
      "stale-after-invalidation",
      (n) =>
        `${n} answers came from old entries although an invalidation had covered them: the IOMMU is wrong.`,
    ),
    ...say("stale", (n) => `${n} answers came from old entries: ${owed}.`),
    ...say("unflushed", (n) => `${n} answers are as before a write that nothing has flushed.`),
    ...say("hazard", (n) => `${n} requests could still be answered from an old entry.`),
  ];
}

function findingStatements({ counts, summary }: TraceReport): Statement[] {
  const groups = summary.findings.worstFirst();
  return SEVERITIES.flatMap((severity): Statement[] => {
    const n = counts.severities.get(severity) ?? 0;
    if (n === 0) return [];
    const rules = groups.filter((group) => group.severity === severity);
    const shown = rules.slice(0, 4).map(({ rule, count }) => `${rule} ${number(count)}`);
    const more = rules.length > shown.length ? ", …" : ".";
    return [
      {
        tone: TONE_OF_SEVERITY[severity],
        text: `${many(n, `finding of severity ${severity}`, `findings of severity ${severity}`)}: ${shown.join(", ")}${more}`,
        section: "findings",
      },
    ];
  });
}

function faultStatements(report: TraceReport): Statement[] {
  const { faults, requests } = requestResults(report.summary.spaces);
  if (faults === 0) return [];
  const most = [...report.summary.faults.all].sort((a, b) => b.requests - a.requests)[0];
  const first =
    most === undefined
      ? ""
      : `, most of all ${faultTitle(most.fault)}, ${most.reason}, of ${whose(most.names.device, most.pasid)} (${number(most.requests)})`;
  return [
    {
      tone: "info",
      text: `${number(faults)} of ${many(requests, "request")} fault${first}.`,
      section: "faults",
    },
  ];
}

/** The tone of all that is said. */
export function worstTone(said: readonly Statement[]): Tone {
  return TONES.find((tone) => said.some((statement) => statement.tone === tone)) ?? "good";
}
