import type { IotlbResult } from "../caches/iotlb-simulation.ts";
import type { StatsRecord } from "../output/records.ts";
import { binarySize } from "../words/sizes.ts";
import { EMPTY, type Html, html } from "./html.ts";
import type { ReportedTrace, ShownLimits } from "./view.ts";
import { clip, many, number } from "./words.ts";

/** IOMMUs and table models whose counters are shown. */
const MOST_STATS = 32;

/** The counters of every IOMMU and table model, and the hit rates of simulated IOTLBs. */
export function statisticsHtml({ report }: ReportedTrace, limits: ShownLimits): Html {
  const { stats } = report.summary;
  if (stats.length === 0) return EMPTY;
  const tables = stats.slice(0, MOST_STATS).map((record) => statsHtml(record, limits));
  const left = stats.length - tables.length;
  return html`<section><h3>Statistics</h3>${tables}${left > 0 && html`<p class="more">… of ${many(left, "more IOMMU")}</p>`}</section>`;
}

function statsHtml(stats: StatsRecord, { characters }: ShownLimits): Html {
  const { iommu, model, reads, bytes, iotlb } = stats;
  const name = iommu === undefined ? model : `${clip(iommu, characters)}, ${model}`;
  const rows: (readonly [string, string])[] = [
    ["requests", number(stats.requests)],
    ["translated", number(stats.ok)],
    ["faults", number(stats.faults)],
    ["interrupts", number(stats.msi)],
    ["bytes asked for", number(bytes)],
    ["devices", number(stats.devices)],
    ["PASIDs", number(stats.pasids)],
    ["domains", number(stats.domains)],
    [
      "memory reads a request, without caches",
      `${reads.mean} on average, ${reads.p50} median, ${reads.p99} of 99 %, ${reads.max} at most`,
    ],
    ...countRows("by reason", stats.by_reason),
    ...countRows("by code", stats.by_code),
    ...countRows("pages", stats.page_sizes, (size) => binarySize(Number(size))),
    ...countRows("invalidations", stats.invalidations ?? {}),
    ...optional("invalidations that covered nothing", stats.redundant_invalidations),
    ...optional("cached pages covered", stats.covered_pages),
    ...optional("of these, still right", stats.over_wide_pages),
    ...optional("pages a cache may hold at the end", stats.cached_pages),
  ];
  return html`<h4>${name}</h4><table class="stats"><tbody>${rows.map(([what, value]) => html`<tr><th scope="row">${what}</th><td>${value}</td></tr>`)}</tbody></table>${iotlb !== undefined && iotlbHtml(iotlb)}`;
}

function countRows(
  what: string,
  counts: Readonly<Record<string, number>>,
  nameOf: (name: string) => string = (name) => name,
): (readonly [string, string])[] {
  const all = Object.entries(counts).sort(([, a], [, b]) => b - a);
  if (all.length === 0) return [];
  return [[what, all.map(([name, n]) => `${nameOf(name)} ${number(n)}`).join(", ")]];
}

function optional(what: string, count: number | undefined): (readonly [string, string])[] {
  return count === undefined ? [] : [[what, number(count)]];
}

const WIDTH = 480;
const HEIGHT = 220;
const LEFT = 44;
const BOTTOM = 28;
const TOP = 10;
const RIGHT = 70;

/** Hit rates over the number of entries: a line for each associativity. */
function iotlbHtml(results: readonly IotlbResult[]): Html {
  const rows = results.map(
    ({ entries, ways, hits, misses, rate }) =>
      html`<tr><td>${number(entries)}</td><td>${number(ways)}</td><td>${number(hits)}</td><td>${number(misses)}</td><td>${percent(rate)}</td></tr>`,
  );
  return html`<h5>Simulated IOTLBs: hit rate by entries</h5>${results.length > 1 && curves(results)}<table class="iotlb"><thead><tr><th>Entries</th><th>Ways</th><th>Hits</th><th>Misses</th><th>Rate</th></tr></thead><tbody>${rows}</tbody></table>`;
}

function percent(rate: number): string {
  return `${(rate * 100).toFixed(2)} %`;
}

function curves(results: readonly IotlbResult[]): Html {
  const sizes = results.map(({ entries }) => Math.log2(entries));
  const least = Math.min(...sizes);
  const span = Math.max(Math.max(...sizes) - least, 1);
  const x = (entries: number) =>
    Math.round(LEFT + ((Math.log2(entries) - least) / span) * (WIDTH - LEFT - RIGHT));
  const y = (rate: number) => Math.round(TOP + (1 - rate) * (HEIGHT - TOP - BOTTOM));
  const ways = [...new Set(results.map((result) => result.ways))].sort((a, b) => a - b);
  const lines = ways.map((way, i) => {
    const own = results.filter((result) => result.ways === way).sort((a, b) => a.entries - b.entries);
    const points = own.map(({ entries, rate }) => `${x(entries)},${y(rate)}`).join(" ");
    const dots = own.map(
      ({ entries, rate }) =>
        html`<circle cx="${x(entries)}" cy="${y(rate)}" r="3"><title>${`${entries} entries, ${way} ways: ${percent(rate)}`}</title></circle>`,
    );
    const last = own.at(-1)!;
    return html`<g class="series s${i % 6}"><polyline points="${points}"/>${dots}<text x="${x(last.entries) + 6}" y="${y(last.rate) + 4}">${many(way, "way")}</text></g>`;
  });
  const grid = [0, 0.25, 0.5, 0.75, 1].map(
    (rate) =>
      html`<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(rate)}" y2="${y(rate)}"/><text x="${LEFT - 6}" y="${y(rate) + 4}" text-anchor="end">${`${rate * 100} %`}</text>`,
  );
  const ticks = [...new Set(results.map(({ entries }) => entries))].map(
    (entries) => html`<text x="${x(entries)}" y="${HEIGHT - 8}" text-anchor="middle">${`${entries}`}</text>`,
  );
  return html`<svg class="curves" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Hit rate by entries"><g class="grid">${grid}${ticks}</g>${lines}</svg>`;
}
