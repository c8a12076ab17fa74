/** A report in a browser: what a reader sees and does. Skipped where there is no Chromium (CHROMIUM names one). */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumPath, openChromium } from "./support/chromium.ts";
import { pageOf, reportOf, reportOfRecords, viewOf } from "./support/report.ts";

const PATH = chromiumPath();
const SAMPLE = "samples/intel/intel-11.1-fs-inval-s1.ndjson.gz";
const LOG = "samples/logs/qemu-11.1-smmuv3.log.gz";

if (PATH === undefined) console.warn("no Chromium found: the report is not looked at in a browser");

describe.skipIf(PATH === undefined)("a report in Chromium", () => {
  const folder = mkdtempSync(join(tmpdir(), "pasid-replay-report-"));
  let context: BrowserContext;
  let close = async () => {};
  const complaints: string[] = [];
  const requested: string[] = [];

  beforeAll(async () => {
    [context, close] = await openChromium(PATH!);
    context.on("request", (request) => requested.push(request.url()));
    context.on("dialog", (dialog) => complaints.push(`dialog: ${dialog.message()}`));
    context.on("weberror", (error) => complaints.push(`${error.error()}`));
    context.on("console", (message) => complaints.push(`${message.type()}: ${message.text()}`));
  });

  afterAll(async () => {
    await close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function open(name: string, text: string): Promise<Page> {
    const path = join(folder, name);
    writeFileSync(path, text);
    const page = await context.newPage();
    await page.goto(pathToFileURL(path).href);
    return page;
  }

  const texts = (page: Page, selector: string) => page.locator(selector).allInnerTexts();

  it("shows the numbers of a known trace in every view", async () => {
    const report = await reportOf(SAMPLE, { iotlb: [4, 16, 64].map((entries) => ({ entries, ways: 4 })) });
    const page = await open("sample.html", pageOf(viewOf([{ path: SAMPLE, report }])));
    expect(await texts(page, ".tiles dd")).toEqual(["1,365", "6", "766", "451", "315", "19"]);
    expect(await texts(page, ".verdicts tbody tr td:nth-child(-n+2)")).toEqual([
      "mismatch",
      "5",
      "stale",
      "21",
      "match",
      "740",
    ]);
    expect(await texts(page, ".lane .total")).toEqual(["451", "315", "5", "21", "528", "67", "19"]);
    expect(await texts(page, ".device > summary b")).toEqual(
      ["04.0", "05.0", "06.0", "07.0", "08.0"].map((name) => `0000:00:${name}`),
    );
    const space = page.locator("details.space").first();
    expect(await space.locator("summary").first().innerText()).toBe(
      "without PASID: first stage, domain 1 · 123 requests, 37 faults, 8 stale",
    );
    expect(await space.locator(".map i:not(.gap):not(.fault)").count()).toBe(32);
    expect(await page.locator(".map .w1.perm-rw.p1").first().isVisible()).toBe(true);
    expect(await texts(page, ".rule h4")).toEqual([
      "error late-invalidation: 18",
      "warning pointer-outside-memory: 1",
    ]);
    expect(await texts(page, ".iotlb tbody tr")).toHaveLength(3);
    expect(await page.locator(".curves polyline").count()).toBe(1);
  });

  it("obeys the keyboard", async () => {
    const page = context.pages().at(-1)!;
    const shown = () => page.locator(".readout").innerText();
    await page.keyboard.press("t");
    await page.keyboard.press("+");
    expect(await shown()).toBe("lines 345 to 1,025");
    expect((await texts(page, ".lane .total"))[4]).toBe("159");
    await page.keyboard.press("ArrowRight");
    expect(await shown()).toBe("lines 430 to 1,110");
    await page.keyboard.press("End");
    expect(await shown()).toBe("lines 685 to 1,365");
    await page.keyboard.press("0");
    expect(await shown()).toBe("lines 4 to 1,365");

    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("k");
    await page.keyboard.press("Enter");
    expect(await page.locator("details.item[open]").count()).toBe(1);
    const first = page.locator("details.item").first();
    expect(await first.getAttribute("open")).not.toBeNull();
    expect(await first.locator(".steps > li").count()).toBe(8);
    await page.keyboard.press("e");
    expect(await page.locator("details.item[open]").count()).toBe(0);

    await page.keyboard.press("/");
    await page.keyboard.type("06.0 SFS.3");
    const visible = page.locator("#t1-faults details.item:visible > summary");
    for (const text of await visible.allInnerTexts()) expect(text).toMatch(/SFS\.3 .*06\.0/);
    expect(await visible.count()).toBeGreaterThan(2);
    expect(await page.locator(".rule:visible").count()).toBe(0);
    await page.keyboard.press("Escape");
    expect(await page.locator(".rule:visible").count()).toBe(2);

    await page.keyboard.press("?");
    expect(await page.locator("#help").isVisible()).toBe(true);
    await page.keyboard.press("Escape");
    expect(await page.locator("#help").isVisible()).toBe(false);
  });

  it("zooms by the mouse", async () => {
    const page = context.pages().at(-1)!;
    const box = (await page.locator(".lane svg").first().boundingBox())!;
    await page.mouse.move(box.x + box.width / 2, box.y + 10);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.75, box.y + 10);
    await page.mouse.up();
    expect(await page.locator(".readout").innerText()).toMatch(/^lines 68\d to 1,02\d/);
    await page.getByRole("button", { name: "All", exact: true }).click();
    expect((await texts(page, ".lane .total"))[0]).toBe("451");
  });

  it("is readable in the dark, at 400 pixels, and on paper", async () => {
    const page = context.pages().at(-1)!;
    const background = () => page.evaluate("getComputedStyle(document.body).backgroundColor");
    await page.emulateMedia({ colorScheme: "light" });
    expect(await background()).toBe("rgb(255, 255, 255)");
    await page.emulateMedia({ colorScheme: "dark" });
    expect(await background()).toBe("rgb(15, 19, 24)");
    await page.locator("#theme").click();
    expect(await background()).toBe("rgb(255, 255, 255)");

    await page.setViewportSize({ width: 400, height: 800 });
    await page.keyboard.press("e");
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(400);
    await page.keyboard.press("e");

    await page.emulateMedia({ media: "print" });
    expect(await page.locator("#filter").isVisible()).toBe(false);
    const open = () => page.evaluate("document.querySelectorAll('details:not([open])').length");
    const before = await open();
    await page.evaluate("dispatchEvent(new Event('beforeprint'))");
    expect(await open()).toBe(0);
    await page.evaluate("dispatchEvent(new Event('afterprint'))");
    expect(await open()).toBe(before);
  });

  it("goes along time where there is any", async () => {
    const page = await open("log.html", pageOf(viewOf([{ path: LOG, report: await reportOf(LOG) }])));
    const requests = (await texts(page, ".lane .total"))[0];
    await page.getByRole("button", { name: "By time" }).click();
    expect(await page.locator(".readout").innerText()).toMatch(
      /^2026-11-30 02:38:\d\d\.\d{3} to 2026-11-30 02:3\d:\d\d\.\d{3}$/,
    );
    expect((await texts(page, ".lane .total"))[0]).toBe(requests);
  });

  it("takes nothing of a trace for markup", async () => {
    const evil = `</script><script>alert(1)</script><img src=x onerror="alert(2)">' onfocus='alert(3)`;
    const report = await reportOfRecords([
      { type: "iommu", id: evil, model: "intel", regs: { rtaddr: "0x1000", [evil]: "0x1" } },
      { type: "mark", label: evil },
      { type: "dma", iommu: evil, dev: "00:03.0", addr: "0x1000", observed: { result: "ok", x: evil } },
    ]);
    const page = await open("evil.html", pageOf(viewOf([{ path: evil, report }])));
    expect(await page.locator("h2").first().innerText()).toBe(evil);
    expect(await page.locator("img").count()).toBe(0);
    expect(await page.locator("script").count()).toBe(2);
  });

  it("asks for nothing, and complains of nothing", () => {
    expect(requested.filter((url) => !url.startsWith("file:") && url !== "about:blank")).toEqual([]);
    expect(requested.length).toBe(3);
    expect(complaints).toEqual([]);
  });
});
