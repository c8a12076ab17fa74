import type { DecodedField, Layout } from "../../walkers/layout.ts";
import { FAULT } from "../../walkers/result.ts";
import { hex } from "../../walkers/word64.ts";
import type { TakenWalk } from "../report/taken-walks.ts";
import type { PageWalk, WalkStep } from "../walk/page-walk.ts";
import { sentence } from "../words/sentence.ts";
import { causesOfWalk, oldValues } from "../words/walk-causes.ts";
import { lastPurpose, resultText } from "../words/walk-text.ts";
import { EMPTY, Html, html } from "./html.ts";
import { structureHtml } from "./structure-html.ts";
import { answerText, clip, many } from "./words.ts";

/** An entry that was changed: what the word was before. */
export interface OldWord {
  readonly address: bigint;
  readonly value: bigint;
}

/** The walk of a request as a list of the structures that it read, with what it came to. */
export function walkHtml(walk: TakenWalk, old: OldWord | undefined, characters: number): Html {
  const { page, pagesBefore, outcome, observed } = walk;
  const before =
    pagesBefore > 0 &&
    html`<p>${many(pagesBefore, "page")} before; this is the walk of ${hex(page.address)}.</p>`;
  const seen = observed !== "" && html`<p>observed: <code>${clip(observed, characters)}</code></p>`;
  const memory = html`<p>memory gives: <strong>${answerText(outcome)}</strong></p>`;
  return html`<div class="walk">${before}${stepList(page, old)}${memory}${seen}${faultMeaning(walk)}</div>`;
}

function stepList(page: PageWalk, old: OldWord | undefined): Html {
  const nested = page.steps.some((step) => step.stage === 1);
  const steps = page.steps.map((step) => stepHtml(step, old));
  const last = page.last.map((step) => stepHtml(step, old));
  if (steps.length + last.length === 0) return html`<p>nothing is read</p>`;
  const tail =
    nested && last.length > 0
      ? html`<li class="through"><p>second stage, for ${lastPurpose(page.result)}:</p><ol>${last}</ol></li>`
      : new Html(last.map(({ text }) => text).join(""));
  return html`<ol class="steps">${steps}${tail}<li class="result ${page.result.status === FAULT ? "bad" : "good"}">${resultText(page.result)}</li></ol>`;
}

function stepHtml(step: WalkStep, old: OldWord | undefined): Html {
  const { layout, words, stage, level, fields, reservedSet, littleEndian, through } = step;
  const place = stage === 0 ? "" : `stage ${stage}${level === undefined ? "" : ` level ${level}`}: `;
  const before = old === undefined || words === null ? undefined : oldFields(step, old);
  const nested =
    through.length > 0 &&
    html`<div class="through"><p>second stage, for its address:</p><ol>${through.map((inner) => stepHtml(inner, old))}</ol></div>`;
  return html`<li><p class="step">${place}<b>${layout.name}</b> at <code>${hex(step.address)}</code>${
    littleEndian ? "" : ", big-endian"
  } <cite>${layout.source}</cite></p>${nested}${
    words === null
      ? html`<p class="mark">not in recorded memory</p>`
      : structureHtml({ words, fields, reservedSet, before })
  }</li>`;
}

/** The fields of a structure as they were before one of its words changed; undefined where it is another one. */
function oldFields(step: WalkStep, { address, value }: OldWord): readonly DecodedField[] | undefined {
  const { layout, words, littleEndian } = step;
  if (!littleEndian) return undefined;
  const index = Number(address - step.address) / 8;
  if (!Number.isInteger(index) || index < 0 || index >= words!.length) return undefined;
  return decodeWords(
    layout,
    words!.map((word, i) => (i === index ? value : word)),
  );
}

function decodeWords(layout: Layout, words: readonly bigint[]): readonly DecodedField[] {
  const view = new DataView(new ArrayBuffer(words.length * 8));
  words.forEach((word, i) => {
    view.setBigUint64(i * 8, word, true);
  });
  return layout.decode(view, 0);
}

/** What the fault means, and what most often brings it about. */
function faultMeaning(walk: TakenWalk): Html {
  const { fault } = walk.page.result;
  const { outcome, changes } = walk;
  if (fault === null || outcome.result !== "fault") return EMPTY;
  const causes = causesOfWalk(walk, fault);
  // Of a context or PASID structure the causes say so.
  const told = outcome.stage === undefined || changes.length === 0;
  const was = !told && html`<p>The entry was ${oldValues(changes)}.</p>`;
  const likely =
    causes.length > 0 &&
    html`<p>Likely causes:</p><ul>${causes.map((cause) => html`<li>${cause}</li>`)}</ul>`;
  return html`<p>${sentence(fault.text)} <cite>${fault.source}</cite></p>${was}${likely}`;
}
