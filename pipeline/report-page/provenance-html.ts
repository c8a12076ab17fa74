import { hex, joined } from "../../walkers/word64.ts";
import type { UnitState } from "../report/trace-report.ts";
import { shellWord } from "../words/shell-word.ts";
import { EMPTY, type Html, html } from "./html.ts";
import type { ReportedTrace, ReportView, ShownLimits } from "./view.ts";
import { clip, many, number, traceName } from "./words.ts";

/** Where the trace is from, what is known of its IOMMUs, and what could not be used of it. */
export function provenanceHtml(
  id: string,
  trace: ReportedTrace,
  view: ReportView,
  limits: ShownLimits,
): Html {
  const { path, report, file } = trace;
  const text = (given: string | undefined) => (given === undefined ? "" : clip(given, limits.characters));
  const header = report.headers.map(
    ({ producer, comment }) =>
      html`<tr><th scope="row">header</th><td>${[text(producer), text(comment)].filter((part) => part !== "").join("; ")}</td></tr>`,
  );
  const records = [...report.counts.records].sort(([a], [b]) => (a < b ? -1 : 1));
  return html`<section id="${id}-provenance"><h3>Provenance</h3><table class="stats"><tbody><tr><th scope="row">trace</th><td>${traceName(path)}</td></tr>${
    file !== undefined &&
    html`<tr><th scope="row">file</th><td>${many(file.bytes, "byte")}, SHA-256 <code>${file.sha256}</code></td></tr>`
  }<tr><th scope="row">read</th><td>${many(report.lines, "line")}; ${records.map(([type, n]) => `${type} ${number(n)}`).join(", ")}</td></tr>${header}<tr><th scope="row">by</th><td>pasid-replay ${view.version}</td></tr></tbody></table>${report.units.map((unit) => unitHtml(unit, limits))}${errorsHtml(trace)}<h4>To repeat</h4><pre class="command">${view.command}
pasid-replay replay ${shellWord(path)} --only faults,mismatches,stale,findings${view.options}</pre></section>`;
}

function unitHtml({ iommu, model, registers, props }: UnitState, { characters }: ShownLimits): Html {
  const known = [
    ...registers.map(([name, { hi, lo }]) => [name, hex(joined(hi, lo))] as const),
    ...props.map(([name, value]) => [name, Array.isArray(value) ? value.join(" ") : `${value}`] as const),
  ];
  if (known.length === 0) return EMPTY;
  const rows = known.map(
    ([name, value]) =>
      html`<tr><th scope="row">${clip(name, characters)}</th><td><code>${clip(value, characters)}</code></td></tr>`,
  );
  return html`<details><summary>registers and properties of ${iommu === undefined ? "the IOMMU" : clip(iommu, characters)} (${model}) at the end</summary><table class="stats"><tbody>${rows}</tbody></table></details>`;
}

function errorsHtml({ report }: ReportedTrace): Html {
  const { errors, errorCount } = report.summary.errors;
  if (errorCount === 0) return EMPTY;
  const left = errorCount - errors.length;
  return html`<h4>Records that could not be used: ${number(errorCount)}</h4><ul>${errors.map(({ line, message }) => html`<li class="mark">line ${number(line)}: ${clip(message, 500)}</li>`)}${left > 0 && html`<li>… ${number(left)} more</li>`}</ul>`;
}
