import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runCommandLine } from "../cli/command-line.ts";
import { readIgnoreRules } from "../cli/ignore-files.ts";
import { faultsNamed } from "../cli/lookup.ts";
import { VENDORS } from "../walkers/registry.ts";
import { cli } from "./support/cli.ts";

describe("completion", () => {
  test("bash: commands, options, values and parts of lists", async () => {
    const script = (await cli(["completion", "bash"])).stdout;
    const typed: [string, string][] = [
      ["w", "walk"],
      ["replay --on", "--only"],
      ["--only fa", "faults"],
      ["x.ndjson --only faults,mis", "faults,mismatches"],
      ["--compare = p", "pa"],
      ["x.ndjson --rule la", "late-invalidation"],
      ["x.ndjson --no-st", "--no-stats"],
      ["explain risc", "riscv risc-v riscv-iommu"],
      ["explain vtd SFS.2", "SFS.2"],
      ["explain vtd --str", "--structures"],
      ["import --from qemu-v", "qemu-vtd qemu-virtio-iommu"],
      ["inspect --from q", ""],
      ["help ins", "inspect"],
      ["walk -- --l", ""],
    ];
    const tries = typed.map(([words]) => `try pasid-replay ${words}`).join("\n");
    const program = `${script}
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pasid_replay; echo "\${COMPREPLY[*]}"; }
${tries}
`;
    const found = execFileSync("bash", { input: program, encoding: "utf8" }).trimEnd().split("\n");
    const expected = typed.map(([, words]) => words);
    while (expected.at(-1) === "") expected.pop();
    expect(found).toEqual(expected);
  });

  test.each(["zsh", "fish"])("%s: a script with every command and its options", async (shell) => {
    const { stdout } = await cli(["completion", shell]);
    for (const word of ["inspect", "covers", "late-invalidation", "SFS.2", "qemu-smmuv3", "stats-only"])
      expect(stdout).toContain(word);
    // Quotes within sentences are quoted.
    const quotes = [...stdout.replaceAll("'\\''", "").replaceAll("\\'", "")].filter((char) => char === "'");
    expect(quotes.length % 2).toBe(0);
  });
});

test("manual pages: one of each command, with its options", async () => {
  const folder = mkdtempSync(join(tmpdir(), "pasid-replay-man-"));
  try {
    expect(await runCommandLine(["man", "--folder", folder])).toBe(0);
    const pages = readdirSync(folder);
    expect(pages).toContain("pasid-replay-walk.1");
    const overview = readFileSync(join(folder, "pasid-replay.1"), "utf8");
    for (const page of pages.filter((name) => name !== "pasid-replay.1"))
      expect(overview).toContain(`.BR ${page.slice(0, -2).replaceAll("-", "\\-")} (1)`);
    const replay = readFileSync(join(folder, "pasid-replay-replay.1"), "utf8");
    expect(replay).toMatch(/^\.TH PASID\\-REPLAY\\-REPLAY 1 "" "pasid\\-replay /);
    expect(replay).toContain("\\fB\\-o\\fR, \\fB\\-\\-output\\fR \\fIvalue\\fR");
    expect(replay).toContain("\\fB\\-\\-stats\\fR, \\fB\\-\\-no\\-stats\\fR");
    expect(replay).toContain(".SH FILTERS");
    expect(replay).toContain("\\fB\\-\\-color\\fR");
    // No text becomes a request.
    for (const line of replay.split("\n"))
      if (line.startsWith(".")) expect(line).toMatch(/^\.(?:TH|SH|TP|B|BR|br|nf|fi)\b/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe("what was meant", () => {
  test.each([
    [["reply", "--at", "5"], "did you mean the command replay?"],
    [["insepct", "t.ndjson", "--maps"], "did you mean the command inspect?"],
    [["inspect", "t.ndjson", "--mps"], "did you mean --maps?"],
    [["help", "wlk"], "did you mean walk?"],
    [["help", "walk", "inspect"], "found walk inspect"],
    [["man", "wlk"], "did you mean walk?"],
  ])("%j", async (words, message) => {
    await expect(runCommandLine(words)).rejects.toThrow(message);
  });

  test("codes as specifications write them", () => {
    const named = (code: string) => faultsNamed("VT-d", VENDORS.intel.faults, code).map(({ name }) => name);
    expect(named("71h")).toEqual(named("0x71"));
    expect(named("0071H")).toEqual(named("113"));
    expect(() => named("71g")).toThrow("expected a fault of VT-d");
  });
});

test("files of ignore rules have comments; places are still those of the file", async () => {
  const folder = mkdtempSync(join(tmpdir(), "pasid-replay-rules-"));
  const write = async (text: string) => {
    const path = join(folder, "known.json");
    writeFileSync(path, text);
    return (await readIgnoreRules([], [path], "2026-01-01")).rules.map(({ name, reason }) => [
      name.split(":").at(-1),
      reason,
    ]);
  };
  try {
    expect(
      await write('# why\n{"class":"code","reason":"#1"}\n  // more\n\n{"dev":"00:*","reason":"//"}\n'),
    ).toEqual([
      ["2", "#1"],
      ["5", "//"],
    ]);
    expect(await write('# an array\n[\n# of one\n{"class":"code","reason":"x"}\n]\n')).toHaveLength(1);
    await expect(write('# a\n{"class":"nope","reason":"x"}\n')).rejects.toThrow(
      "known.json:2: class: expected",
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
