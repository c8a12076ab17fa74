import { requestResults } from "../summary/request-results.ts";
import { byWorst } from "../summary/wrong-answers.ts";
import { VERDICT_WORDS } from "../words/verdict-words.ts";
import { answersHtml, faultsHtml } from "./answers-html.ts";
import { findingsHtml } from "./findings-html.ts";
import { EMPTY, type Html, html } from "./html.ts";
import { provenanceHtml } from "./provenance-html.ts";
import { statisticsHtml } from "./statistics-html.ts";
import { timelineHtml } from "./timeline-html.ts";
import { treeHtml } from "./tree-html.ts";
import type { ReportedTrace, ReportView, ShownLimits } from "./view.ts";
import { WalkBudget } from "./walk-budget.ts";
import { number, statements, TONE_OF_VERDICT, traceName, worstTone } from "./words.ts";

/** Everything about one trace: what matters first. */
export function traceHtml(id: string, trace: ReportedTrace, view: ReportView, limits: ShownLimits): Html {
  const said = statements(trace.report, view.filter);
  const walks = new WalkBudget(limits.walks, limits.characters);
  const items = said.map(
    ({ tone, text, section }) =>
      html`<li class="${tone}">${section === undefined ? text : html`<a href="#${id}-${section}">${text}</a>`}</li>`,
  );
  // Findings and answers first: where there is no room for all walks, theirs are shown.
  const answers = answersHtml(id, trace, view, limits, walks);
  const findings = findingsHtml(id, trace, view, limits, walks);
  const faults = faultsHtml(id, trace, view, limits, walks);
  return html`<article id="${id}" class="trace"><h2>${traceName(trace.path)}</h2>
<ul class="said ${worstTone(said)}">${items}</ul>
${tilesHtml(trace)}${verdictsHtml(trace)}
${timelineHtml(id, trace.report, limits)}
<section id="${id}-tree">${treeHtml(trace, view, limits)}</section>
${answers}
${findings}
${faults}
${statisticsHtml(trace, limits)}
${provenanceHtml(id, trace, view, limits)}</article>
`;
}

function tilesHtml({ report }: ReportedTrace): Html {
  const { requests, ok, faults, msi, devices } = requestResults(report.summary.spaces);
  const tiles: (readonly [string, number])[] = [
    ["lines", report.lines],
    ["devices", devices],
    ["requests", requests],
    ["translated", ok],
    ["faults", faults],
    ...(msi > 0 ? [["interrupts", msi] as const] : []),
    ["findings", [...report.counts.findings.values()].reduce((sum, n) => sum + n, 0)],
  ];
  return html`<dl class="tiles">${tiles.map(([what, n]) => html`<div><dt>${what}</dt><dd>${number(n)}</dd></div>`)}</dl>`;
}

function verdictsHtml({ report }: ReportedTrace): Html {
  const verdicts = byWorst(Object.fromEntries(report.counts.verdicts));
  if (verdicts.length === 0) return EMPTY;
  const rows = verdicts.map(([verdict, n]) => {
    const tone = TONE_OF_VERDICT[verdict];
    return html`<tr><td><span class="badge ${tone}">${verdict}</span></td><td class="n">${number(n)}</td><td>${VERDICT_WORDS[verdict]}</td></tr>`;
  });
  return html`<table class="verdicts"><thead><tr><th>Verdict</th><th>Requests</th><th>The answer is</th></tr></thead><tbody>${rows}</tbody></table>`;
}
