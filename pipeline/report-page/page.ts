import { createHash } from "node:crypto";
import { GLANCE, glance, worstTracesFirst } from "../words/trace-table.ts";
import { EMPTY, Html, html } from "./html.ts";
import { traceHtml } from "./trace-html.ts";
import type { ReportedTrace, ReportView, ShownLimits } from "./view.ts";
import { number, statements, traceName, worstTone } from "./words.ts";

/** What a page is drawn and moved by: made from `cli/report-page/` by the build. */
export interface PageAssets {
  readonly style: string;
  readonly script: string;
}

/** Bytes that a report takes at most. */
const MOST_BYTES = 5_000_000;
/** Traces that are shown in full; of further ones the table has a row. */
const MOST_TRACES = 50;

/** Of one trace alone; several share what there is. */
const LIMITS: ShownLimits = {
  groups: 300,
  examples: 10,
  walks: 2_000_000,
  spaces: 500,
  stretches: 400,
  columns: 500,
  characters: 1500,
};

/** A report as one HTML file that loads nothing. */
export function reportPage(view: ReportView, { style, script }: PageAssets): string {
  const traces = worstTracesFirst(view.traces, ({ report }) => report.counts);
  // What a hostile trace is made to be large by, is cut until it fits.
  for (let share = traces.length; ; share *= 2) {
    const text = pageText(view, traces, limitsFor(share), style, script);
    if (Buffer.byteLength(text) <= MOST_BYTES || share > 1 << 20) return text;
  }
}

/**
 * What each of several traces may take.
 * @param share how many share it
 */
function limitsFor(share: number): ShownLimits {
  const part = (of: number, least: number, spare = 1) =>
    Math.min(of, Math.max(Math.floor((of * spare) / share), least));
  return {
    groups: part(LIMITS.groups, 3),
    examples: part(LIMITS.examples, 1, 4),
    walks: part(LIMITS.walks, 0),
    spaces: part(LIMITS.spaces, 3),
    stretches: part(LIMITS.stretches, 8, 4),
    columns: part(LIMITS.columns, 60, 4),
    characters: part(LIMITS.characters, 80, 8),
  };
}

function pageText(
  view: ReportView,
  traces: readonly ReportedTrace[],
  limits: ShownLimits,
  style: string,
  script: string,
): string {
  const shown = traces.slice(0, MOST_TRACES);
  const title = traces.length === 1 ? traceName(traces[0]!.path) : `${traces.length} traces`;
  const articles = shown.map((trace, i) => traceHtml(`t${i + 1}`, trace, view, limits));
  const csp = [
    "default-src 'none'",
    `style-src ${hashOf(style)}`,
    `script-src ${hashOf(script)}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${new Html(csp)}"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><meta name="generator" content="pasid-replay ${view.version}"><title>${title} · pasid-replay</title><style>${new Html(style)}</style></head>
<body><header><h1>pasid-replay: what a correct IOMMU answers</h1><div class="tools" hidden><input type="search" id="filter" placeholder="Filter findings and faults ( / )" aria-label="Filter findings, faults and answers"><button type="button" id="expand">Expand all</button><button type="button" id="theme">Theme</button><button type="button" id="keys">Keys</button></div></header>
<main>${traces.length > 1 ? tableHtml(traces, view, shown.length) : EMPTY}${articles}</main>
<dialog id="help"><h2>Keys</h2><dl><dt>j, k</dt><dd>next, previous finding, fault or answer</dd><dt>Enter</dt><dd>open or close it</dd><dt>e</dt><dd>open or close all</dd><dt>/</dt><dd>filter</dd><dt>t</dt><dd>to the timeline: there ← → move, + − zoom, 0 shows all</dd><dt>?</dt><dd>this</dd></dl><button type="button" id="close">Close</button></dialog>
<script>${new Html(script)}</script></body></html>
`.text;
}

/** A source of content by the hash of its text. */
function hashOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

/** Several traces at a glance, the worst first. */
function tableHtml(traces: readonly ReportedTrace[], view: ReportView, linked: number): Html {
  const rows = traces.map((trace, i) => {
    const { report, path } = trace;
    const name = i < linked ? html`<a href="#t${i + 1}">${traceName(path)}</a>` : html`${traceName(path)}`;
    return html`<tr><td><span class="dot ${worstTone(statements(report, view.filter))}"></span>${name}</td>${glance(report.counts).map((n) => html`<td class="n">${number(n)}</td>`)}</tr>`;
  });
  return html`<section><h2>${number(traces.length)} traces, the worst first</h2><table class="traces"><thead><tr><th>Trace</th>${GLANCE.map((head) => html`<th>${head}</th>`)}</tr></thead><tbody>${rows}</tbody></table></section>`;
}
