import type { Buckets } from "../report/buckets.ts";
import { LANES } from "../report/lanes.ts";
import type { TraceReport } from "../report/trace-report.ts";
import { EMPTY, type Html, html, jsonData } from "./html.ts";
import { columnsOf, LANE_HEIGHT, LANE_WIDTH, lanePath } from "./lane-path.ts";
import { type AxisData, countsOf, pairsOf, positionText, spanText } from "./timeline-data.ts";
import type { ShownLimits } from "./view.ts";
import { clip, many, number } from "./words.ts";

/** What happens along a trace: drawn whole, and with its numbers for the script that zooms. */
export function timelineHtml(id: string, report: TraceReport, limits: ShownLimits): Html {
  const { timeline, lines } = report;
  const byLine = axisOf(timeline.byLine, "line", lines + 1);
  if (byLine.lanes.length === 0) return EMPTY;
  const { unit } = timeline;
  const axes =
    unit === undefined || timeline.byTime.used < 2
      ? [byLine]
      : [byLine, axisOf(timeline.byTime, unit, endOf(timeline.byTime))];
  return html`<section class="timeline" id="${id}-timeline" data-timeline="${id}-data"><h3>Timeline</h3>
<div class="tools" hidden><button type="button" data-do="in">Zoom in</button><button type="button" data-do="out">Zoom out</button><button type="button" data-do="all">All</button>${
    axes.length > 1 && html`<button type="button" data-do="axis" aria-pressed="false">By time</button>`
  }<span class="hint">drag to zoom; with the focus on it: ← → + − 0</span></div>
<div class="lanes" role="group" aria-label="Timeline">${byLine.lanes.map((lane) => laneHtml(byLine, lane, limits.columns))}
<div class="axis"><span class="label"></span><span class="from">${positionText(byLine, byLine.start)}</span><span class="what">line</span><span class="to">${number(lines)}</span></div></div>
<p class="readout" aria-live="polite">${spanText(byLine, 0, byLine.buckets)}</p>
${marksHtml(report, limits)}${jsonData(`${id}-data`, { axes })}</section>`;
}

function axisOf(buckets: Buckets, unit: AxisData["unit"], end: number): AxisData {
  const { start, width, used } = buckets;
  const lanes = buckets
    .lanes()
    .map(({ lane, counts }) => ({ lane, title: LANES[lane], counts: pairsOf(counts) }));
  return { start, width, buckets: used, end, unit, lanes };
}

function endOf({ start, width, used }: Buckets): number {
  return start + width * used;
}

function laneHtml(
  { buckets }: AxisData,
  { lane, title, counts }: AxisData["lanes"][number],
  columns: number,
): Html {
  const all = countsOf(counts, buckets);
  const total = all.reduce((sum, count) => sum + count, 0);
  const path = lanePath(columnsOf(all, { from: 0, to: buckets }, columns));
  return html`<div class="lane" data-lane="${lane}"><span class="label">${title}</span><svg viewBox="0 0 ${LANE_WIDTH} ${LANE_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${title}: ${number(total)}"><path class="c-${lane}" d="${path}"/></svg><span class="total">${number(total)}</span></div>
`;
}

function marksHtml({ timeline: { marks, moreMarks } }: TraceReport, { characters }: ShownLimits): Html {
  if (marks.length === 0) return EMPTY;
  const items = marks.map(
    ({ line, label }) => html`<li>line ${number(line)}: ${clip(label, characters)}</li>`,
  );
  const more = moreMarks > 0 && html`<li>… ${many(moreMarks, "more mark")}</li>`;
  return html`<details><summary>${many(marks.length + moreMarks, "mark")}</summary><ul>${items}${more}</ul></details>`;
}
