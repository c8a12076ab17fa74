import { describe, expect, test } from "vitest";
import { CarriedLine } from "../parsers/logs/carriers.ts";
import { instantOf } from "../parsers/logs/log-clock.ts";
import { NeedleFinder } from "../parsers/logs/needle-finder.ts";

function carried(raw: string): { text: string; ts: string; origin: string } {
  const line = new CarriedLine();
  line.take(1, raw);
  return { text: line.text, ts: line.ts, origin: line.origin };
}

describe("carriers come off", () => {
  const DMAR = "DMAR: [DMA Read NO_PASID] Request device [00:05.0] fault addr 0x1000";
  test.each([
    ["QEMU to 10.0", "30668@1796008047.872312:smmu_add_mr x", "smmu_add_mr x", "1796008047.872312", "30668"],
    [
      "QEMU since 10.1",
      "2026-11-30T02:38:23.078567Z smmuv3_read_mmio addr: 0x0 val:0x1",
      "smmuv3_read_mmio addr: 0x0 val:0x1",
      '"2026-11-30T02:38:23.078567Z"',
      "",
    ],
    ["the kernel's stamp", `[   12.345678] ${DMAR}`, DMAR, "12.345678", ""],
    ["and its caller", `[   12.345678] [T123] ${DMAR}`, DMAR, "12.345678", "T123"],
    ["and a padded caller", `[   12.345678][    C0] ${DMAR}`, DMAR, "12.345678", "C0"],
    ["a priority", `<6>[    0.000001] ${DMAR}`, DMAR, "0.000001", ""],
    ["a journal", `Nov 30 02:34:51 host.example kernel: ${DMAR}`, DMAR, '"Nov 30 02:34:51"', ""],
    [
      "a journal with the kernel's stamp",
      `Nov  3 02:34:51 host kernel: [  100.000000] ${DMAR}`,
      DMAR,
      "100.000000",
      "",
    ],
    [
      "a journal of local time",
      `2026-11-30T02:34:51+0100 host kernel: ${DMAR}`,
      DMAR,
      '"2026-11-30T02:34:51+0100"',
      "",
    ],
    [
      "rsyslog",
      `2026-11-30T02:34:51.123456+00:00 host kernel: ${DMAR}`,
      DMAR,
      '"2026-11-30T02:34:51.123456+00:00"',
      "",
    ],
    [
      "dmesg --time-format iso",
      `2026-11-30T02:34:51,123456+00:00 pci 0000:00:02.0: Adding to iommu group 1`,
      "pci 0000:00:02.0: Adding to iommu group 1",
      '"2026-11-30T02:34:51,123456+00:00"',
      "",
    ],
    ["dmesg --ctime", `[Mon Nov 30 02:34:51 2026] ${DMAR}`, DMAR, '"Mon Nov 30 02:34:51 2026"', ""],
    ["Xen", `(XEN) [VT-D]DMAR:[DMA Read] Request`, "[VT-D]DMAR:[DMA Read] Request", "", ""],
    ["quoted mail", `> > [    1.000000] ${DMAR}`, DMAR, "1.000000", ""],
    [
      "colours and CRLF",
      `\u001b[32m[    1.000000] \u001b[0m\u001b[33mDMAR: \u001b[0mx\r\r`,
      "DMAR: x",
      "1.000000",
      "",
    ],
    [
      "none",
      "riscv_iommu_dma (null): translate 0000:04.0 #0 RO 0x1 -> 0x1",
      "riscv_iommu_dma (null): translate 0000:04.0 #0 RO 0x1 -> 0x1",
      "",
      "",
    ],
  ])("%s", (_name, raw, text, ts, origin) => {
    expect(carried(raw)).toEqual({ text, ts, origin });
  });

  test("blanks that begin a continued line stay", () => {
    expect(carried("[    1.000000] \t0x0000000000000010").text).toBe("\t0x0000000000000010");
    expect(carried("   > not quoted").text).toBe("   > not quoted");
  });

  test("time stamps compare where their clocks are the same", () => {
    expect(instantOf("12.345678")).toEqual({ clock: "boot", seconds: 12.345678 });
    expect(instantOf("1796008047.872312")).toEqual({ clock: "epoch", seconds: 1796008047.872312 });
    expect(instantOf('"2026-11-30T03:34:51.250000+01:00"')).toEqual({
      clock: "epoch",
      seconds: 1796006091.25,
    });
    expect(instantOf('"2026-11-30T02:34:51,250000Z"')).toEqual({ clock: "epoch", seconds: 1796006091.25 });
    expect(instantOf("")).toBeNull();
    expect(instantOf('"nothing"')).toBeNull();
  });
});

describe("lines of interest", () => {
  const needles = ["DMAR", "iommu", "smmuv3_", "vtd_", "abc"];
  const finder = new NeedleFinder(needles);

  /** @returns offset of the line of the first needle, and newlines before it */
  function search(text: string, from: number): { line: number; newlines: number } {
    const bytes = new Uint8Array(text.length + (text.length & 1) + 2).fill(0x0a);
    bytes.set(Buffer.from(text, "latin1"));
    const hit = finder.find(bytes, new Uint16Array(bytes.buffer), from, text.length);
    return { line: hit < 0 ? -1 : text.lastIndexOf("\n", hit) + 1, newlines: finder.newlines };
  }

  test("finds the line that a plain search finds, and counts the newlines before it", () => {
    const words = [
      ...needles,
      "smmu",
      "vtd",
      "i",
      "om",
      "mu",
      " ",
      "\n",
      "\n",
      "D",
      "MAR",
      "bc",
      "\u00ff",
      "\0",
    ];
    let seed = 1;
    for (let round = 0; round < 20_000; round++) {
      let text = "";
      for (let i = 0; i < 24; i++) {
        seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
        text += words[(seed >>> 16) % words.length];
      }
      text += "\n";
      const from = text.indexOf("\n", (seed >>> 8) % 30) + 1;
      const hits = needles.map((needle) => text.indexOf(needle, from)).filter((at) => at >= 0);
      const line = hits.length === 0 ? -1 : text.lastIndexOf("\n", Math.min(...hits)) + 1;
      const before = line < 0 ? text.slice(from) : text.slice(from, line);
      expect(search(text, from), JSON.stringify(text)).toEqual({
        line,
        newlines: before.split("\n").length - 1,
      });
    }
  });

  test("needles are of three characters or more", () => {
    expect(() => new NeedleFinder(["ab"])).toThrow("three characters");
  });
});
