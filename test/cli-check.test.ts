import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cli, records } from "./support/cli.ts";

let folder = "";

/** ECAP: PASID, 20 bits, scalable mode, first and second stage, nesting. */
const ECAP = ((19n << 35n) | (1n << 40n) | (1n << 43n) | (3n << 46n) | (1n << 26n)).toString(16);
const CONFIG = { version: 1, bytes: 25, model: "intel", base_ptr: "0x1000", pasid_bits: 15 };

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pasid-check-"));
  const put = (name: string, contents: string | Uint8Array) => writeFileSync(join(folder, name), contents);
  for (const [unit, ecap] of [
    ["dmar0", ECAP],
    ["dmar1", "f050da"],
  ] as const) {
    mkdirSync(join(folder, "iommu", unit, "intel-iommu"), { recursive: true });
    put(`iommu/${unit}/intel-iommu/cap`, "d2008c40660462\n");
    put(`iommu/${unit}/intel-iommu/ecap`, `${ecap}\n`);
  }
  put("ok.json", JSON.stringify(CONFIG));
  put("misaligned.json", JSON.stringify({ ...CONFIG, base_ptr: "0x1040" }));
  // A directory at 0x1000 whose first entry leads to a table at 0x2000; PASID 1 has a first stage of five levels.
  const memory = Buffer.alloc(0x3000);
  memory.writeBigUInt64LE(0x2001n, 0x1000);
  memory.writeBigUInt64LE(1n | (1n << 6n), 0x2040);
  memory.writeBigUInt64LE(0x4004n, 0x2050);
  put("memory.raw", memory);
});
afterAll(() => rmSync(folder, { recursive: true }));

const at = (name: string) => join(folder, name);

describe.concurrent("check", () => {
  it("a table that fits: status 0, and it is said", async () => {
    const ran = await cli(["check", "--config", at("ok.json"), "--host", at("iommu"), "--iommu", "dmar0"]);
    expect(ran).toEqual({
      status: 0,
      signal: null,
      stderr: "",
      stdout: "pasid_table_config on dmar0, intel: nothing speaks against it\n",
    });
    const json = await cli([
      "check",
      "--config",
      at("ok.json"),
      "--host",
      at("iommu"),
      "--iommu",
      "dmar0",
      "--json",
    ]);
    expect(json).toMatchObject({ status: 0, stdout: "" });
  });

  it("each IOMMU of a host; findings as records", async () => {
    const ran = await cli(["check", "--config", at("misaligned.json"), "--host", at("iommu"), "--json"]);
    expect(ran).toMatchObject({ status: 1, stderr: "" });
    const found = records(ran.stdout);
    expect(found.map(({ iommu, rule }) => [iommu, rule])).toEqual([
      ["dmar0", "bind-base-alignment"],
      ["dmar1", "bind-format-unsupported"],
      ["dmar1", "bind-no-pasid"],
      ["dmar1", "bind-base-alignment"],
    ]);
    expect(found[0]).toEqual({
      type: "finding",
      line: 1,
      severity: "error",
      rule: "bind-base-alignment",
      iommu: "dmar0",
      message: "base_ptr is 0x1040: expected an address aligned to 4 KiB, as the PASID directory must be",
    });
  });

  it("with a snapshot, what is in the table", async () => {
    const args = ["check", "--host", at("iommu"), "--iommu", "dmar0", "--snapshot", at("memory.raw")];
    const ran = await cli([...args, "--config", "-", "--format", "raw"], { input: JSON.stringify(CONFIG) });
    expect(ran.status).toBe(1);
    expect(ran.stdout).toContain(
      "error bind-pgtable-format: the entry of PASID 1: expected page tables that this IOMMU can walk, found 5-level first stage",
    );
    const moved = await cli([
      ...args,
      "--config",
      at("ok.json"),
      "--format",
      "raw",
      "--base",
      "0x100000",
      "--json",
    ]);
    expect(moved.status).toBe(0);
    expect(records(moved.stdout).map(({ rule, severity }) => [rule, severity])).toEqual([
      ["bind-extent-hole", "info"],
    ]);
  });

  it.each([
    [["--config", "-", "--host", "-"], "expected standard input to be one of --config and --host"],
    [["--config", "ok.json", "--host", "iommu", "--iommu", "dmar3"], "did you mean dmar"],
    [["--config", "ok.json", "--host", "iommu", "--base", "0"], "--base: expected with --snapshot"],
    [["--config", "missing", "--host", "iommu"], "expected a configuration, found no such file"],
    [["--config", "memory.raw", "--host", "ok.json"], "found 12288 bytes"],
    [["--config", "ok.json", "--host", "ok.json"], "expected regs or props beside the model"],
    [["--config", "ok.json", "--host", "iommu", "--snapshot", "missing"], "--snapshot: missing"],
    [["--config", "ok.json"], "host"],
  ])("%j: status 2 and one sentence", async (words, message) => {
    const ran = await cli(["check", ...words], { cwd: folder, input: "" });
    expect(ran).toMatchObject({ status: 2, stdout: "" });
    expect(ran.stderr).toContain(message);
    expect(ran.stderr).not.toContain("internal error");
  });
});

describe.concurrent("caps", () => {
  it("a table of every field, and what it comes to", async () => {
    const ran = await cli(["caps", at("iommu")]);
    expect(ran).toMatchObject({ status: 0, stderr: "" });
    const lines = ran.stdout.split("\n");
    expect(lines[0]).toBe("dmar0: intel, from intel-iommu of sysfs");
    expect(lines).toContain("dmar1: intel, from intel-iommu of sysfs");
    expect(lines.some((line) => /^ +PSS +39:35 +0x13 +PASID size, minus one$/.test(line))).toBe(true);
    expect(lines.some((line) => /^ +PASID bits +20$/.test(line))).toBe(true);
    expect(lines.some((line) => /^ +PASID bits +0: no PASIDs$/.test(line))).toBe(true);
    expect(lines.some((line) => /^ +tables intel +yes, base_ptr aligned to 4 KiB$/.test(line))).toBe(true);
  });

  it("as records", async () => {
    const input = '{"model":"arm-smmuv3","regs":{"idr1":"0x410"},"props":{"output_bits":44}}';
    const ran = await cli(["caps", "-", "--json"], { input });
    expect(ran.status).toBe(0);
    const [record] = records(ran.stdout);
    expect(record).toMatchObject({
      type: "caps",
      model: "arm-smmuv3",
      registers: { idr1: { value: "0x410", fields: { SSIDSIZE: { value: "0x10" } } } },
      props: { output_bits: 44 },
      limits: {
        pasid_bits: 16,
        output_bits: 44,
        tables: { "arm-1lvl": { supported: true, alignment: [64, 2 ** 22] } },
        nested: true,
      },
    });
  });

  it("a problem with part of it: the rest, a sentence, status 2", async () => {
    const input = '{"type":"iommu","id":"a","model":"amd"}\n{"type":"iommu","id":"b","model":"x"}\n';
    const ran = await cli(["caps", "-", "--json"], { input });
    expect(ran.status).toBe(2);
    expect(ran.stderr).toMatch(/^pasid-replay: -: line 2: iommu\.model: expected .*\n$/);
    expect(records(ran.stdout).map(({ iommu }) => iommu)).toEqual(["a"]);
    expect(await cli(["caps", at("missing")])).toMatchObject({ status: 2, stdout: "" });
  });
});
