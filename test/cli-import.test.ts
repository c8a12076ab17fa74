import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { cli, ROOT, records, temporaryFolder } from "./support/cli.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const SMMU = join(ROOT, "samples/logs/qemu-11.1-smmuv3.log.gz");
const RISCV = join(ROOT, "samples/logs/qemu-11.1-riscv.log.gz");
const RISCV_MEMORY = join(ROOT, "samples/riscv/linux-riscv-paging.elf");
const RISCV_TRACE = join(ROOT, "samples/riscv/linux-riscv-paging.ndjson");
const log = gunzipSync(readFileSync(SMMU));

describe.concurrent("import", () => {
  test("writes a trace, and counts on standard error", async () => {
    const ran = await cli(["import", SMMU, "-o", at("smmu.ndjson")]);
    expect(ran).toMatchObject({ status: 0, stdout: "" });
    expect(ran.stderr).toMatch(
      /^178 lines: \d+ understood, \d+ ignored, 0 of something else\nformats: qemu-smmuv3\n/,
    );
    const replayed = records((await cli([at("smmu.ndjson"), "--no-stats"])).stdout);
    expect(replayed.length).toBe(12);
    expect(replayed.every(({ verdict }) => verdict === "match")).toBe(true);
  });

  test("every command that takes a trace takes a log, by its own lines", async () => {
    const outcomes = records((await cli(["replay", "-", "--no-stats"], { input: log })).stdout);
    const last = outcomes.at(-1);
    expect(last).toMatchObject({ result: "fault", code: "0x10", verdict: "match" });
    expect(log.toString("latin1").split("\n")[last.line - 1]).toContain("SMMU_EVT_F_TRANSLATION");
    const walk = await cli(["walk", SMMU, "--line", String(last.line)]);
    expect(walk.stdout).toContain("verdict: match");
    const inspect = await cli(["inspect", SMMU, "--maps"]);
    expect(inspect.stdout).toContain("0xffffc000-0xffffdfff -> 0x44e96000-0x44e97fff");
    const diff = await cli(["diff", SMMU, SMMU]);
    expect(diff.status).toBe(0);
  });

  test("a request is walked by its line even where that line shows an entry as well", async () => {
    const vtd = join(ROOT, "samples/logs/qemu-7.2-vtd-legacy.log.gz");
    const lines = gunzipSync(readFileSync(vtd)).toString("latin1").split("\n");
    const line = lines.findIndex((text) => text.includes("vtd_dmar_translate")) + 1;
    const walk = await cli(["walk", vtd, "--line", String(line)]);
    expect(walk.stdout).toContain("verdict: match");
    const other = await cli(["walk", vtd, "--line", String(line - 2)]);
    expect(other.stderr).toContain(`line ${line - 2}: expected a dma record, found one of type mem`);
  });

  test("memory and registers beside the log determine what the log alone does not", async () => {
    mkdirSync(at("riscv"), { recursive: true });
    const trace = at("riscv/trace.ndjson");
    const args = ["import", RISCV, "--memory", RISCV_MEMORY, "--iommu", RISCV_TRACE, "-o", trace];
    expect((await cli(args)).status).toBe(0);
    const ran = await cli([trace, "--no-stats", "--allow-path", RISCV_MEMORY]);
    const outcomes = records(ran.stdout).filter(({ type }) => type === "outcome");
    expect(outcomes.length).toBe(86);
    // QEMU grants writes to read-only pages from its cache (samples/riscv/PROVENANCE.md): it says so itself.
    const wrong = outcomes.filter(({ verdict }) => verdict !== "match");
    expect(wrong.length).toBe(8);
    expect(wrong.every(({ access, code }) => access === "w" && code === "0xf")).toBe(true);
  });

  test("memory stands where in the log it was taken", async () => {
    writeFileSync(at("m.raw"), Buffer.alloc(4096));
    const place = async (suffix: string) => {
      const ran = await cli(["import", "-", "--memory", `m.raw${suffix}`], { input: log, cwd: folder });
      return records(ran.stdout).map(({ type }) => type);
    };
    expect((await place("")).indexOf("snapshot")).toBe(1);
    const line = (await place("@150")).indexOf("snapshot");
    expect(line).toBeGreaterThan(10);
    const offset = log.toString("latin1").split("\n").slice(0, 149).join("\n").length + 1;
    expect((await place(`@${offset}B`)).indexOf("snapshot")).toBe(line);
    expect((await place("@99999")).at(-1)).toBe("snapshot");
  });

  test("several logs are merged by time", async () => {
    const lines = log.toString("latin1").trimEnd().split("\n");
    writeFileSync(at("even.txt"), `${lines.filter((_, i) => i % 2 === 0).join("\n")}\n`);
    writeFileSync(at("odd.txt"), `${lines.filter((_, i) => i % 2 === 1).join("\n")}\n`);
    const merged = await cli(["import", at("odd.txt"), at("even.txt")]);
    const whole = await cli(["import", SMMU]);
    expect(merged.stdout.split("\n").slice(1)).toEqual(whole.stdout.split("\n").slice(1));
    expect(merged.stderr).toContain("178 lines: ");
  });

  test("--boot is read first, whatever its time", async () => {
    const lines = log.toString("latin1").trimEnd().split("\n");
    writeFileSync(at("boot.txt"), `${lines.slice(0, 60).join("\n")}\n`);
    writeFileSync(at("late.txt"), `${lines.slice(60).join("\n")}\n`);
    const ran = await cli(["import", at("late.txt"), "--boot", at("boot.txt")]);
    const whole = await cli(["import", SMMU]);
    expect(ran.stdout.split("\n").slice(1)).toEqual(whole.stdout.split("\n").slice(1));
  });

  test("a log of another subsystem: status 2, and no format", async () => {
    const ran = await cli(["import", "-"], { input: "usb 1-1: new device\n".repeat(9) });
    expect(ran.status).toBe(2);
    expect(ran.stderr).toBe(
      "9 lines: 0 understood, 0 ignored, 9 of something else\nformats: none that is known\nrecords: none\n",
    );
  });

  test("wrong use: unknown formats, files that are not there, standard input twice", async () => {
    const from = await cli(["import", SMMU, "--from", "qemu-vdt"]);
    expect(from).toMatchObject({ status: 2, stdout: "" });
    expect(from.stderr).toContain("did you mean qemu-vtd?");
    const missing = await cli(["import", at("none.log")]);
    expect(missing.status).toBe(2);
    expect(missing.stderr).toContain("none.log: expected a log, found no such file");
    expect((await cli(["import", "-", "-"])).stderr).toContain("found it named twice");
    const help = await cli(["import", "--help"]);
    expect(help.stdout).toContain("qemu-smmuv3");
    expect(help.stdout).toContain("--memory");
  });

  test("--from reads what is named alone", async () => {
    const ran = await cli(["import", SMMU, "--from", "qemu-vtd"]);
    expect(ran.status).toBe(2);
    expect(records(ran.stdout).length).toBe(1);
  });
});
