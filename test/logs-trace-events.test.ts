import { describe, expect, test } from "vitest";
import { importLog } from "./support/logs.ts";

const records = (...lines: string[]) => importLog(lines.join("\n")).texts.map((text) => JSON.parse(text));
const ftrace = (event: string, task = "dd-411", time = "25.705750") =>
  `              ${task}   [000] d..1.    ${time}: ${event}`;

const MAP_PAGE =
  "dma_map_page: 0000:00:03.0 dir=TO_DEVICE dma_addr=ffffd0f8 size=16 phys_addr=602c0f8 attrs=";
const MAPPED = {
  dev: "0000:00:03.0",
  addr: "0xffffd0f8",
  size: "0x10",
  pa: "0x602c0f8",
  access: "r",
  ts: 25.70575,
};

describe("a line of trace events in every form", () => {
  test.each([
    ["tracefs", ftrace(MAP_PAGE)],
    ["tracefs of an old kernel, with four flags", `    dd-411   [000] d..1    25.705750: ${MAP_PAGE}`],
    ["with the thread group", `    dd-411     (    411) [000] d..1.    25.705750: ${MAP_PAGE}`],
    ["trace-cmd report", ftrace(MAP_PAGE.replace(": ", ":         "))],
    ["a task whose name was lost", ftrace(MAP_PAGE, "<...>-411")],
    ["a task with blanks in its name", ftrace(MAP_PAGE, "Web Content-411")],
    ["perf script", `dd     411 [000]    25.705750:            dma:${MAP_PAGE}`],
    ["perf script, with the thread", `dd     411/412 [000]    25.705750:            dma:${MAP_PAGE}`],
    ["quoted", `> ${ftrace(MAP_PAGE)}`],
  ])("%s", (_, line) => {
    expect(records(line)).toEqual([{ type: "map", ...MAPPED }]);
  });
});

describe("what events say", () => {
  test.each([
    [
      "dma_map_phys: 0000:00:03.0 dir=FROM_DEVICE dma_addr=1000 size=4096 phys_addr=5e8f000 attrs=",
      { access: "w", addr: "0x1000", size: "0x1000", pa: "0x5e8f000" },
    ],
    [
      "dma_map_resource: 0000:00:03.0 dir=BIDIRECTIONAL dma_addr=1000 size=1 phys_addr=fe000000 attrs=MMIO",
      { access: "rw", pa: "0xfe000000" },
    ],
    [
      "dma_alloc: 0000:00:03.0 dir=BIDIRECTIONAL dma_addr=ffffe000 size=6726 virt_addr=(____ptrval____) flags=GFP_KERNEL|__GFP_NOWARN attrs=NO_WARN",
      { addr: "0xffffe000", size: "0x1a46", access: "rw" },
    ],
  ])("%s: map", (event, expected) => {
    expect(records(ftrace(event))).toMatchObject([{ type: "map", dev: "0000:00:03.0", ...expected }]);
  });

  test("unmapping", () => {
    expect(
      records(
        ftrace("dma_unmap_page: 0000:00:03.0 dir=TO_DEVICE dma_addr=ffffd0f8 size=16 attrs="),
        ftrace(
          "dma_free: 0000:00:03.0 dir=BIDIRECTIONAL dma_addr=ffffe000 size=6726 virt_addr=(____ptrval____) attrs=",
        ),
      ),
    ).toMatchObject([
      { type: "unmap", addr: "0xffffd0f8", size: "0x10" },
      { type: "unmap", addr: "0xffffe000", size: "0x1a46" },
    ]);
  });

  test("page tables of a domain, which name no device; what was unmapped counts", () => {
    expect(
      records(
        ftrace("map: IOMMU: iova=0x00000000fffdf000 - 0x00000000fffe0000 paddr=0x000000000ffc8000 size=4096"),
        ftrace("unmap: IOMMU: iova=0x00000000fffdf000 - 0x00000000fffe1000 size=8192 unmapped_size=4096"),
      ),
    ).toEqual([
      { type: "map", addr: "0xfffdf000", size: "0x1000", pa: "0xffc8000", ts: 25.70575 },
      { type: "unmap", addr: "0xfffdf000", size: "0x1000", ts: 25.70575 },
    ]);
  });

  const SG =
    "dir=FROM_DEVICE nents=2/2 ents=2/2 dma_addrs={0x1000,0x8000} sizes={0x1000,0x200} phys_addrs={0xa000,0xb000} attrs=";
  const JOINED =
    "dir=FROM_DEVICE nents=2/2 ents=1/1 dma_addrs={0x1000} sizes={0x2000} phys_addrs={0xa000,0xb000} attrs=";

  test("lists: entries that the IOMMU joined have no physical address of their own", () => {
    expect(records(ftrace(`dma_map_sg: 0000:00:02.0 ${SG}`))).toMatchObject([
      { addr: "0x1000", size: "0x1000", pa: "0xa000", access: "w" },
      { addr: "0x8000", size: "0x200", pa: "0xb000" },
    ]);
    const [joined] = records(ftrace(`dma_map_sg: 0000:00:02.0 ${JOINED}`));
    expect(joined).toMatchObject({ addr: "0x1000", size: "0x2000" });
    expect(joined.pa).toBeUndefined();
  });

  test("their unmapping names physical addresses alone: it is that of the mapping", () => {
    const unmap = "dma_unmap_sg: 0000:00:02.0 dir=FROM_DEVICE phys_addrs={0xa000,0xb000} attrs=";
    expect(records(ftrace(`dma_map_sg: 0000:00:02.0 ${JOINED}`), ftrace(unmap)).at(-1)).toMatchObject({
      type: "unmap",
      addr: "0x1000",
      size: "0x2000",
    });
    expect(records(ftrace(unmap))).toMatchObject([
      { type: "loss", what: "unmapped-before-mapped", count: 1 },
    ]);
  });

  test("descriptors of VT-d, and the wait that ends each batch", () => {
    const submit = (words: string, task: string) => ftrace(`qi_submit: p_iotlb_inv dmar0: ${words}`, task);
    expect(
      records(
        submit("0x30036 0xfffdf040 0x0 0x0", "dd-411"),
        submit("0x13 0x1 0x2 0x3", "dd-411"),
        submit("0x52 0x0 0x0 0x0", "cat-5"),
      ),
    ).toMatchObject([
      { type: "iommu", id: "dmar0", model: "intel" },
      { type: "cmd", data: ["0x30036", "0xfffdf040"] },
      { type: "cmd", data: ["0x13", "0x1", "0x2", "0x3"] },
      { type: "cmd", data: ["0x25", "0x0"], assumed: ["data"] },
      { type: "cmd", data: ["0x52", "0x0"] },
      { type: "cmd", data: ["0x25", "0x0"], assumed: ["data"] },
    ]);
  });

  test("events that a buffer lost, and lists that the kernel cut, are losses", () => {
    const { report } = importLog(
      `CPU:1 [LOST 123 EVENTS]\n${ftrace(`dma_map_sg: 0000:00:02.0 ${SG.replace("ents=2/2 dma", "ents=2/300 [TRUNCATED] dma")}`)}`,
    );
    expect(report.lost.get("lost-trace-events")).toMatchObject({ count: 123, loss: { severity: "error" } });
    expect(report.lost.get("truncated-lists")!.count).toBe(1);
  });

  test("events that say nothing of translations, torn ones and those of others are counted", () => {
    const { report, texts } = importLog(
      [
        ftrace("dma_sync_single_for_cpu: 0000:00:02.0 dir=FROM_DEVICE dma_addr=1000 size=4096"),
        ftrace("dma_map_page: 0000:00:03.0 dir=TO_DEVICE dma_addr=ffff"),
        ftrace("dma_map_page: 9050000.smmuv3 dir=TO_DEVICE dma_addr=1000 size=16 phys_addr=602c0f8 attrs="),
        ftrace(
          "cache_tag_flush_range: dmar0 dmar0[0] type iotlb did 5 [0xffefc000-0xffefcfff] addr 0xffefc000 pages 0x1 mask 0x0",
        ),
        ftrace("map: something of another subsystem dma_addr"),
      ].join("\n"),
    );
    expect(texts).toEqual([]);
    expect(Object.fromEntries(report.ignored.counts)).toMatchObject({
      dma_sync_single_for_cpu: 1,
      "dma_map_page: torn, or of an unknown version": 1,
      "mapping for a device that is no PCI device": 1,
      "cache_tag_flush (its descriptors follow)": 1,
    });
  });
});
