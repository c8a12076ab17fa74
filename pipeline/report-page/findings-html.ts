import type { IommuModel } from "../../walkers/models.ts";
import { RULES } from "../findings/registry.ts";
import type { FindingRecord } from "../output/records.ts";
import type { TraceReport } from "../report/trace-report.ts";
import type { RuleFindings } from "../summary/finding-groups.ts";
import { shellWord } from "../words/shell-word.ts";
import { EMPTY, type Html, html } from "./html.ts";
import { structureHtml } from "./structure-html.ts";
import type { ReportedTrace, ReportView, ShownLimits } from "./view.ts";
import type { WalkBudget } from "./walk-budget.ts";
import type { OldWord } from "./walk-html.ts";
import { clip, commandToWalk, many, number, TONE_OF_SEVERITY } from "./words.ts";

/** Findings by rule, the worst first; each of the first few with what was owed, the entry, and the walk that met it. */
export function findingsHtml(
  id: string,
  trace: ReportedTrace,
  view: ReportView,
  limits: ShownLimits,
  walks: WalkBudget,
): Html {
  const groups = trace.report.summary.findings.worstFirst();
  if (groups.length === 0) return EMPTY;
  const items = groups.slice(0, limits.groups).map((group) => ruleHtml(group, trace, view, limits, walks));
  const left = groups.length - items.length;
  return html`<section id="${id}-findings"><h3>Findings</h3>${items}${
    left > 0 && html`<p class="more">… of ${many(left, "more rule")}</p>`
  }</section>`;
}

function ruleHtml(
  group: RuleFindings,
  trace: ReportedTrace,
  view: ReportView,
  limits: ShownLimits,
  walks: WalkBudget,
): Html {
  const { rule, severity, count, latent, examples } = group;
  const declared = RULES.find(({ id }) => id === rule);
  const shown = examples.slice(0, limits.examples);
  const hidden = latent === 0 ? "" : latent === count ? ", latent" : `, ${number(latent)} of them latent`;
  const all = `pasid-replay ${shellWord(trace.path)} --only findings --rule ${rule}${view.filter}${view.options}`;
  return html`<div class="rule"><h4><span class="badge ${TONE_OF_SEVERITY[severity]}">${severity}</span> ${rule}: ${number(count)}${hidden}</h4>${
    declared !== undefined && html`<p>${declared.text} <cite>${declared.source}</cite></p>`
  }${shown.map((finding) => findingHtml(finding, trace, view, limits, walks))}${
    count > shown.length &&
    html`<p class="more">… ${number(count - shown.length)} more</p><pre class="command">${all}</pre>`
  }</div>`;
}

function findingHtml(
  finding: FindingRecord,
  { path, report }: ReportedTrace,
  view: ReportView,
  limits: ShownLimits,
  walks: WalkBudget,
): Html {
  const { line, dev, pasid, message, source } = finding;
  const who = [
    dev === undefined ? "" : clip(dev, limits.characters),
    pasid === undefined ? "" : `PASID ${pasid}`,
  ].filter((part) => part !== "");
  const walk = walkOf(finding, report);
  const structure = report.structures.of(finding);
  const entry =
    structure !== undefined &&
    html`<p class="step"><b>${structure.layout.name}</b> at <code>${finding.entry_addr}</code> <cite>${structure.layout.source}</cite></p>${structureHtml({ ...structure, marked: finding.field })}`;
  return html`<details class="item"><summary>line ${number(line)}${who.length > 0 ? `, ${who.join(", ")}` : ""}: ${clip(message, Math.min(160, limits.characters))}</summary><p>${clip(message, limits.characters)}${
    source !== undefined && html` <cite>${source}</cite>`
  }</p>${owedHtml(finding, modelOf(finding, report))}${entry}${
    walk !== undefined &&
    html`<p>The walk of line ${number(walk.line)}, as memory was then:</p>${walks.show(walk, oldWordOf(finding))}<pre class="command">${commandToWalk(path, walk.line, view.options)}</pre>`
  }</details>`;
}

/** The command that the driver owes, in the vendor's own syntax and as words. */
function owedHtml(
  { command, data, command_register: register }: FindingRecord,
  model: IommuModel | undefined,
): Html {
  if (command === undefined) return EMPTY;
  const words = data?.join(" ") ?? "";
  const decode =
    model !== undefined &&
    words !== "" &&
    html`
<span class="then">pasid-replay decode ${model}${register === undefined ? "" : ` --register ${register}`} ${words}</span>`;
  const where = register === undefined ? "" : ` (register ${register})`;
  return html`<p>owed${where}:</p><pre class="owed">${command}${
    words !== "" &&
    html`
${words}`
  }${decode}</pre>`;
}

/** The walk of the first request that the finding is about. */
function walkOf({ first_line, request_line, fault_line, line }: FindingRecord, { walks }: TraceReport) {
  const lines = [first_line, request_line, fault_line, line];
  const known = lines.find((one) => one !== undefined && walks.at(one) !== undefined);
  return known === undefined ? undefined : walks.at(known);
}

function oldWordOf({ entry_addr, old }: FindingRecord): OldWord | undefined {
  if (entry_addr === undefined || old === undefined) return undefined;
  return { address: BigInt(entry_addr), value: BigInt(old) };
}

function modelOf({ iommu }: FindingRecord, { units }: TraceReport): IommuModel | undefined {
  return units.find((unit) => unit.iommu === iommu)?.model;
}
