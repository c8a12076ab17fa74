import { hasCode } from "../../walkers/fault.ts";
import { FRAME_BYTES } from "../../walkers/memory.ts";
import { MODEL_OWNER } from "../../walkers/models.ts";
import { NO_LEVEL } from "../../walkers/result.ts";
import { addressText, hex } from "../../walkers/word64.ts";
import type { DistinctFault } from "../summary/distinct-faults.ts";
import { faultTitle } from "../words/sentence.ts";
import { shellWord } from "../words/shell-word.ts";
import { VERDICT_WORDS } from "../words/verdict-words.ts";
import { EMPTY, type Html, html } from "./html.ts";
import type { ReportedTrace, ReportView, ShownLimits } from "./view.ts";
import type { WalkBudget } from "./walk-budget.ts";
import {
  answerText,
  clip,
  commandToWalk,
  many,
  number,
  placeText,
  requestText,
  TONE_OF_VERDICT,
  whose,
} from "./words.ts";

/** Addresses of a fault that are listed. */
const SHOWN_ADDRESSES = 12;

/** Answers that are not as memory says, the worst first: each kind with the walk of its first request. */
export function answersHtml(
  id: string,
  { path, report }: ReportedTrace,
  view: ReportView,
  limits: ShownLimits,
  walks: WalkBudget,
): Html {
  const groups = report.answers.worstFirst();
  if (groups.length === 0) return EMPTY;
  const items = groups.slice(0, limits.groups).map((group) => {
    const { verdict, difference, count, first, observed } = group;
    const tone = TONE_OF_VERDICT[verdict];
    const seen =
      observed !== "" && html`<dt>observed</dt><dd><code>${clip(observed, limits.characters)}</code></dd>`;
    return html`<details class="item"><summary><span class="badge ${tone}">${verdict}</span> ${number(count)} × ${whose(first.dev, first.pasid)}${
      difference === "" ? "" : `: the ${difference} differs`
    }</summary><p>${sentenceOf(VERDICT_WORDS[verdict])}</p><dl><dt>first</dt><dd>line ${number(first.line)}: ${requestText(first)}</dd><dt>memory gives</dt><dd>${answerText(first)}</dd>${seen}${
      first.changed_line !== undefined &&
      html`<dt>changed</dt><dd>line ${number(first.changed_line)}: a cache may not have seen it</dd>`
    }</dl>${walks.show(report.walks.at(first.line))}<pre class="command">${commandToWalk(path, first.line, view.options)}</pre></details>`;
  });
  return html`<section id="${id}-answers"><h3>Answers that memory does not give</h3>${items}${leftOut(groups.length - items.length, "more kind")}</section>`;
}

function sentenceOf(meaning: string): string {
  return `${meaning.charAt(0).toUpperCase()}${meaning.slice(1)}.`;
}

/** Requests that fault, by device, PASID and condition: the most frequent first, each with the walk of the first. */
export function faultsHtml(
  id: string,
  { path, report }: ReportedTrace,
  view: ReportView,
  limits: ShownLimits,
  walks: WalkBudget,
): Html {
  const { all, others } = report.summary.faults;
  if (all.length === 0) return EMPTY;
  const sorted = [...all].sort((a, b) => b.requests - a.requests || a.first.line - b.first.line);
  const items = sorted.slice(0, limits.groups).map((group) => {
    const { fault, reason, stage, level, first, lastLine, requests } = group;
    const place = placeText(stage, level === NO_LEVEL ? undefined : level);
    const last = lastLine === first.line ? "" : `, the last in line ${number(lastLine)}`;
    const code = hasCode(fault) ? hex(fault.code) : fault.name;
    return html`<details class="item"><summary>${number(requests)} × <b>${faultTitle(fault)}</b> ${reason}${place} <span class="who">${whose(group.names.device, group.pasid)}</span>${verdictBadges(group)}</summary><dl><dt>first</dt><dd>line ${number(first.line)}: ${requestText(first)}${last}</dd>${
      first.entry_addr !== undefined &&
      html`<dt>failing entry</dt><dd><code>${first.entry_addr}</code>: <code>${first.entry ?? "not in recorded memory"}</code></dd>`
    }<dt>addresses</dt><dd>${addressesText(group)}</dd></dl>${walks.show(report.walks.at(first.line))}<pre class="command">${commandToWalk(path, first.line, view.options)}
pasid-replay explain ${MODEL_OWNER[first.model]} ${shellWord(code)}</pre></details>`;
  });
  const left = sorted.slice(items.length).reduce((sum, { requests }) => sum + requests, others);
  return html`<section id="${id}-faults"><h3>Faults by device, PASID and condition</h3>${items}${leftOut(left, "more request")}</section>`;
}

function verdictBadges({ verdicts }: DistinctFault): Html[] {
  return [...verdicts].map(([verdict, n]) => {
    const tone = TONE_OF_VERDICT[verdict];
    return html` <span class="badge ${tone}">${number(n)} ${verdict}</span>`;
  });
}

function addressesText({ addresses }: DistinctFault): string {
  const blocks = addresses.blocks();
  const shown = blocks.slice(0, SHOWN_ADDRESSES).map(({ frame, frames, count }) => {
    const range =
      frames === 1
        ? addressText(frame)
        : `${addressText(frame)}-${addressText(frame + frames - 1, FRAME_BYTES - 1)}`;
    return count === 1 ? range : `${range} (${number(count)})`;
  });
  const left = blocks.length - shown.length;
  return `${shown.join(", ")}${left > 0 ? `, … ${number(left)} more` : ""}`;
}

function leftOut(n: number, noun: string): Html {
  return n > 0 ? html`<p class="more">… ${many(n, noun)}</p>` : EMPTY;
}
