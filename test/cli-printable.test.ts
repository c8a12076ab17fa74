import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { printable, printableLine } from "../parsers/trace/show.ts";
import { cli, records, temporaryFolder } from "./support/cli.ts";
import { tarOf } from "./support/tar-writer.ts";

/** Sets a title, clears the screen, begins a line, colours (C1), and turns text around. */
const ATTACK = "\u001b]0;title\u0007\u001b[2J\nok: line 9\u009b31m\u202e\u007f";
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const HARMFUL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e]/;

const folder = temporaryFolder();
const trace = join(folder, "attack.ndjson");
writeFileSync(
  trace,
  [
    { type: "iommu", id: ATTACK, model: "intel", regs: { rtaddr: "0x1000" }, props: { [ATTACK]: ATTACK } },
    { type: "ram", addr: "0x0", size: "0x100000" },
    { type: "snapshot", path: ATTACK },
    { type: "reg", iommu: `no${ATTACK}`, name: ATTACK, value: "0x0" },
    { type: ATTACK },
    { type: "mark", label: ATTACK },
    {
      type: "dma",
      iommu: ATTACK,
      dev: "00:03.0",
      addr: "0x0",
      seq: 1,
      ts: ATTACK,
      observed: { result: "ok", pa: "0x0", why: ATTACK },
    },
  ]
    .map((record) => `${JSON.stringify(record)}\n`)
    .join(""),
);

describe("text of an input", () => {
  test.each([
    [["replay", trace]],
    [["walk", trace, "--seq", "1"]],
    [["walk", trace, "--seq", "1", "--json"]],
    [["caps", trace]],
    [["inspect", trace]],
    [["diff", trace, trace, "--summary"]],
  ])("moves nothing on the terminal of %s", async (args) => {
    const { stdout, stderr } = await cli(args);
    expect(stdout).not.toBe("");
    expect(stdout).not.toMatch(HARMFUL);
    expect(stderr).not.toMatch(HARMFUL);
    expect(`\n${stdout}\n${stderr}`).not.toContain("\nok: line 9");
  });

  test("is the same text to whoever parses the output, but for messages, which are printed as they are", async () => {
    const out = records((await cli([trace])).stdout);
    expect(out.find((r) => r.type === "mark").label).toBe(ATTACK);
    expect(out.find((r) => r.type === "outcome")).toMatchObject({ iommu: ATTACK, ts: ATTACK });
    for (const { message } of out.filter((r) => r.message !== undefined))
      expect(message).not.toMatch(HARMFUL);
  });

  test("caps of an archive, and a property of any name", async () => {
    const names = ["__proto__", "valueOf", "constructor", "__defineGetter__", ATTACK.replaceAll("/", "")];
    for (const model of ["intel-iommu", "amd-iommu", "arm-smmu-v3"]) {
      const archive = join(folder, "host.tar");
      writeFileSync(archive, tarOf(names.map((name) => ({ name: `d/${model}/${name}`, data: "7\n" }))));
      const { stdout, stderr, status } = await cli(["caps", archive]);
      expect([status, stderr]).toEqual([0, ""]);
      for (const name of names.slice(0, 4)) expect(stdout).toContain(name);
      expect(stdout).not.toMatch(HARMFUL);
    }
  });

  test("printable keeps lines and tabs, printableLine does not", () => {
    expect(printable("a\tb\n\u001b é 😀")).toBe("a\tb\n\\u001b é 😀");
    expect(printableLine("a\tb\n\u{e0041}")).toBe("a\\u0009b\\u000a\\udb40\\udc41");
  });
});
