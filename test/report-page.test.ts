import { createHash } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { builtFile } from "../parsers/package-files.ts";
import { html, jsonData } from "../pipeline/report-page/html.ts";
import { columnsOf, LANE_HEIGHT, lanePath } from "../pipeline/report-page/lane-path.ts";
import { reportMarkdown } from "../pipeline/report-page/markdown.ts";
import { mdBlock, mdCode, mdText } from "../pipeline/report-page/md.ts";
import { countsOf, pairsOf, positionText, spanText } from "../pipeline/report-page/timeline-data.ts";
import type { ReportView } from "../pipeline/report-page/view.ts";
import { statements } from "../pipeline/report-page/words.ts";
import { pageOf, reportOf, reportOfRecords, viewOf } from "./support/report.ts";

const SAMPLE = "samples/intel/intel-11.1-fs-inval-s1.ndjson.gz";
const NESTED = "samples/arm/arm-11.1-nested-4k-inval-1.ndjson.gz";

/** What somebody may put into a trace to be markup in a report of it. */
const EVIL = `</script><script>alert(1)</script><img src=x onerror=alert(2)>"'\`|*_#1 @all [x](javascript:alert(3)) \u202e\u0007`;

/** A trace with that in every text that a report could quote. */
function hostile(): object[] {
  const dma = { type: "dma", iommu: EVIL, dev: "00:03.0", addr: "0x1000" };
  return [
    { type: "header", format: "pasid-trace", version: 1, producer: EVIL, comment: EVIL },
    {
      type: "iommu",
      id: EVIL,
      model: "intel",
      regs: { rtaddr: "0x1000", [EVIL]: "0x1" },
      props: { [EVIL]: EVIL },
    },
    { type: "ram", addr: "0x0", size: "0x10000" },
    { type: "mark", label: EVIL },
    { type: EVIL },
    { type: "snapshot", path: EVIL },
    { type: "loss", what: "x", severity: "error", count: 1, message: EVIL },
    { ...dma, [EVIL]: 1, observed: { result: "fault", reason: EVIL, [EVIL]: EVIL } },
    { ...dma, iommu: `${EVIL}!` },
    { ...dma, ts: EVIL },
  ];
}

describe("a page", () => {
  let view: ReportView;
  let page: string;
  beforeAll(async () => {
    const traces = [SAMPLE, NESTED].map(async (path) => ({ path, report: await reportOf(path) }));
    view = viewOf(await Promise.all(traces));
    page = pageOf(view);
  });

  it("allows its own style and script by their hashes, and loads nothing", () => {
    const csp = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(page)![1]!;
    const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
    const style = /<style>([\s\S]*?)<\/style>/.exec(page)![1]!;
    const scripts = [...page.matchAll(/<script>([\s\S]*?)<\/script>/g)].map((match) => match[1]!);
    expect(scripts).toHaveLength(1);
    expect(csp).toBe(
      `default-src 'none'; style-src ${hash(style)}; script-src ${hash(scripts[0]!)}; base-uri 'none'; form-action 'none'`,
    );
    expect(page).not.toMatch(/\b(src|href)="(?!#)|url\(|@import|\bstyle="|\son\w+="/);
    for (const file of ["style.css", "main.js"])
      expect(builtFile(`cli/report-page/${file}`)).not.toMatch(/<\/s/i);
  });

  it("says what matters first, the worst trace before the others", () => {
    const [worst, other] = view.traces;
    expect(statements(worst!.report, "").map(({ tone, text }) => `${tone}: ${text}`)).toEqual([
      "bad: 5 recorded answers are ones that no correct IOMMU gives.",
      "bad: 18 findings of severity error: late-invalidation 18.",
      "warn: 21 answers came from old entries: the driver owes invalidations.",
      "warn: 1 finding of severity warning: pointer-outside-memory 1.",
      "info: 315 of 766 requests fault, most of all SFS.4 (0x73), PGD_FETCH, of 0000:00:08.0, without PASID (123).",
    ]);
    expect(page.indexOf(`<h2>${SAMPLE}`)).toBeLessThan(page.indexOf(`<h2>${NESTED}`));
    expect(pageOf({ ...view, traces: [other!, worst!] })).toBe(page);
  });

  it("shows the command that is owed, and the walk with the entry as it was", () => {
    const late = page.slice(page.indexOf("late-invalidation: 18"));
    expect(late).toContain(
      "PASID-based-IOTLB invalidate: page-selective-within-PASID, DID 1, PASID 0, addr 0x6aa7c314b000, AM 0, IH 0\n0x10036 0x6aa7c314b000 0x0 0x0\n",
    );
    // Line 466 changed the entry from 0x1e693b007 to 0x23350007.
    expect(late).toContain(
      '<tr class="mark"><th scope="row">ADDR</th><td>51:12</td><td><del>0x1e693b000</del> 0x23350000</td>',
    );
    expect(late).toContain(`pasid-replay walk ${SAMPLE} --line 467`);
  });

  it("shows the second stage of a nested walk below the structure whose address it gives", () => {
    expect(page).toContain("second stage, for its address:");
    expect(page).toContain("second stage, for the first stage&#39;s output:");
  });

  it("is at most 5 MB however many traces there are, and names them all", () => {
    const [trace] = view.traces;
    const many = Array.from({ length: 120 }, (_, i) => ({ ...trace!, path: `trace-${i}.ndjson` }));
    const large = pageOf({ ...view, traces: many });
    expect(Buffer.byteLength(large)).toBeLessThan(5_000_000);
    expect(large).toContain("120 traces, the worst first");
    for (const { path } of many) expect(large).toContain(path);
    expect(large.match(/<article /g)).toHaveLength(50);
    const text = reportMarkdown({ ...view, traces: many });
    expect(text.length).toBeLessThan(61_000);
  });
});

describe("what a trace says", () => {
  it("is text in a page, whatever it is", async () => {
    const report = await reportOfRecords(hostile());
    expect(report.counts.walked).toBe(2);
    const page = pageOf(viewOf([{ path: `${EVIL}.ndjson`, report }]));
    expect(page).toContain("&lt;/script&gt;&lt;script&gt;alert(1)");
    const markup = page.replace(/<style>[\s\S]*?<\/style>|<script>[\s\S]*?<\/script>/g, "");
    expect(markup).not.toMatch(/<script>|<img|\p{Cf}|(?!\n)\p{Cc}/u);
    // Outside of quotation marks an attribute would need, every one of EVIL's is an entity.
    expect(markup.replaceAll(/"[^"<>]*"/g, '""')).not.toMatch(/onerror=alert\(2\)>/);
    expect(markup.match(/<script type="application\/json"/g)).toHaveLength(1);
    const json = /<script type="application\/json"[^>]*>([\s\S]*?)<\/script>/.exec(markup)![1]!;
    expect(Object.keys(JSON.parse(json))).toEqual(["axes"]);
  });

  it("is text in Markdown, too", async () => {
    const report = await reportOfRecords(hostile());
    const text = reportMarkdown(viewOf([{ path: "a.ndjson", report }]));
    const plain = text
      .replace(/^( *)(`{3,})[^\n]*\n[\s\S]*?^\1\2$/gm, "")
      .replace(/(`+)(?!`).*?[^`]\1(?!`)/g, "");
    expect(plain).not.toMatch(/(?<!\\)<(?!\/?(details|summary)>|!-- -->)|[@#](?!<!-- -->|#* )|\]\(|\u202e/);
    expect(text.length).toBeLessThan(20_000);
  });

  it.each([
    ["a*b_c", "a\\*b\\_c"],
    ["<b> & @me #1", "\\<b\\> \\& @<!-- -->me #<!-- -->1"],
    ["https://www.x.y :up: 00:03.0", "https\\://www\\.x.y \\:up: 00:03.0"],
  ])("%s is %s as Markdown", (given, expected) => {
    expect(mdText(given)).toBe(expected);
  });

  it("ends no code of Markdown", () => {
    expect(mdCode("a`b``c")).toBe("```a`b``c```");
    expect(mdCode("`")).toBe("`` ` ``");
    expect(mdBlock(["```", "x\ny"])).toBe("````\n```\nx\\u000ay\n````");
  });

  it("is escaped by the template, but for what is HTML already", () => {
    expect(
      html`<p title="${'"<'}">${"<b>&'"}${html`<i>${1}</i>`}${[html`a`, html`b`]}${false}</p>`.text,
    ).toBe('<p title="&quot;&lt;">&lt;b&gt;&amp;&#39;<i>1</i>ab</p>');
    expect(jsonData("d", { a: "</script>\u2028" }).text).toBe(
      '<script type="application/json" id="d">{"a":"\\u003c/script>\\u2028"}</script>',
    );
  });
});

describe("a lane", () => {
  it("puts buckets together into columns, and is drawn as one path", () => {
    expect(columnsOf([1, 2, 3, 4, 5], { from: 0, to: 5 }, 500)).toEqual([1, 2, 3, 4, 5]);
    expect(columnsOf([1, 2, 3, 4, 5, 6], { from: 0, to: 6 }, 3)).toEqual([3, 7, 11]);
    expect(columnsOf([1, 2, 3, 4, 5, 6], { from: 1, to: 4 }, 2)).toEqual([5, 4]);
    expect(lanePath([0, 2, 2, 0, 1])).toBe(`M200 ${LANE_HEIGHT}V0H600V30ZM800 30V15H1000V30Z`);
    expect(lanePath([0, 0])).toBe("");
  });

  it("goes to the page as pairs", () => {
    const counts = [0, 0, 5, 0, 1, 0];
    expect(pairsOf(counts)).toEqual([2, 5, 2, 1]);
    expect(countsOf(pairsOf(counts), 6)).toEqual(counts);
  });

  it("names its positions", () => {
    const lines = { start: 4, width: 2, buckets: 100, end: 200, unit: "line", lanes: [] } as const;
    expect(spanText(lines, 0, 100)).toBe("lines 4 to 199");
    expect(spanText({ ...lines, width: 1 }, 3, 4)).toBe("line 7");
    expect(spanText({ ...lines, unit: "number", width: 0.25 }, 2, 4)).toBe("4.50 to 5.00");
    expect(positionText({ ...lines, unit: "date" }, 0)).toBe("1970-01-01 00:00:00.000");
  });
});
