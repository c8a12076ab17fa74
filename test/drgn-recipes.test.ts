import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { replay } from "../pipeline/library/index.ts";
import { ROOT } from "./support/cli.ts";

const FOLDER = join(ROOT, "samples", "drgn");
const RECIPES = readdirSync(FOLDER).filter((name) => name.endsWith(".py"));
const python = (args: readonly string[], input = "") =>
  spawnSync("python3", ["-B", ...args], { encoding: "utf8", input });
const without = python(["--version"]).status !== 0;

interface IommuRecord {
  readonly type: string;
  readonly id?: string;
  readonly regs?: Record<string, string>;
  readonly props?: Record<string, unknown>;
}

/** What a recipe prints of a kernel that the stand-in for drgn knows. */
async function records(recipe: string, kernel: string, ...args: string[]): Promise<IommuRecord[]> {
  const ran = python([join(ROOT, "test/fixtures/drgn/run.py"), join(FOLDER, recipe), kernel, ...args]);
  expect(ran.stderr).toBe("");
  const lines = ran.stdout.trimEnd().split("\n");
  const found = lines.map((line) => JSON.parse(line) as IommuRecord);
  const trace = lines.filter((_, i) => found[i]!.type !== "snapshot").join("\n");
  for await (const record of replay(Buffer.from(trace), { strict: true }))
    expect(record.type, JSON.stringify(record)).not.toBe("error");
  return found;
}

const registers = (found: readonly IommuRecord[]) =>
  found
    .filter((record) => record.type === "iommu")
    .map(({ id, regs }): Record<string, string | undefined> => ({ id, ...regs }));

describe.skipIf(without)("recipes for drgn", () => {
  test.each(RECIPES)("%s is Python", (name) => {
    const compiled = python(
      ["-c", "import sys; compile(sys.stdin.read(), 'recipe', 'exec')"],
      readFileSync(join(FOLDER, name), "utf8"),
    );
    expect(compiled.stderr).toBe("");
  });

  test("VT-d: legacy mode before there was a switch, scalable mode where unit and switch have it", async () => {
    const old = await records("vtd.py", "vtd-4.19");
    expect(registers(old)).toEqual([
      { id: "dmar0", cap: "0xd2008c222f0686", ecap: "0xf00f4a", rtaddr: "0x1001000", gsts: "0xc0000000" },
      {
        id: "dmar1",
        cap: "0xd2008c222f0686",
        ecap: "0x80000000000",
        rtaddr: "0x1001000",
        gsts: "0x40000000",
      },
    ]);
    const recent = registers(await records("vtd.py", "vtd-7.2"));
    expect(recent.map((iommu) => iommu.rtaddr)).toEqual(["0x1001000", "0x1001400"]);
  });

  test("AMD-Vi: one device table for all, and one a PCI segment", async () => {
    expect(registers(await records("amd_vi.py", "amd-5.4"))).toEqual([
      { id: "ivhd0", efr: "0x59f77ef22294ada", dev_tab_base: "0x20001ff" },
    ]);
    expect(registers(await records("amd_vi.py", "amd-7.2"))).toEqual([
      { id: "ivhd0", efr: "0x59f77ef22294ada", efr2: "0x10", dev_tab_base: "0x3000000" },
    ]);
  });

  test("SMMUv3: the registers as the driver kept them, and as it makes them; other IOMMUs are passed over", async () => {
    const cr0 = "0x1";
    expect(registers(await records("smmuv3.py", "smmu-5.4"))).toEqual([
      { id: "smmu0", cr0, strtab_base: "0x40000000483d0000", strtab_base_cfg: "0x10210" },
    ]);
    const linear = await records("smmuv3.py", "smmu-7.2-linear");
    expect(registers(linear)).toEqual([
      { id: "smmu0", cr0, strtab_base: "0x4000000080000000", strtab_base_cfg: "0x10" },
    ]);
    expect(linear[1]!.props).toEqual({
      ssid_bits: 10,
      asid_bits: 16,
      output_bits: 44,
      btm: true,
      stall: false,
    });
    // 256 first-level descriptors of 2^8 entries each: FMT 1, SPLIT 8, LOG2SIZE 16.
    expect(registers(await records("smmuv3.py", "smmu-7.2-2lvl"))).toEqual([
      { id: "smmu0", cr0, strtab_base: "0x4000000090000000", strtab_base_cfg: "0x10210" },
    ]);
  });

  test("name the dump that they are told", async () => {
    const found = await records("vtd.py", "vtd-7.2", "vmcore");
    expect(found[0]).toMatchObject({ type: "header", version: 1 });
    expect(found.at(-1)).toEqual({ type: "snapshot", path: "vmcore" });
  });
});
