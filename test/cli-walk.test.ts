import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cli, FIXTURE, ROOT, records, temporaryFolder } from "./support/cli.ts";

const folder = temporaryFolder();
const NESTED = join(ROOT, "samples/arm/arm-11.1-nested-4k-1.ndjson.gz");
/** Golden texts name the trace as it is given: relative to the repository. */
const RELATIVE = "test/fixtures/vtd-bound.ndjson";
const golden = (name: string) => join(ROOT, "test/fixtures", name);

describe.concurrent("walk", () => {
  test("prints every structure of every page, and the outcome", async ({ expect }) => {
    const ran = await cli(["walk", RELATIVE, "--seq", "2"]);
    expect(ran).toMatchObject({ status: 0, stderr: "" });
    await expect(ran.stdout).toMatchFileSnapshot(golden("walk-two-pages.txt"));
  });

  test("a termination without an event has no code", async () => {
    const trace = join(folder, "ste-abort.ndjson");
    const lines = [
      { type: "iommu", id: "s", model: "arm-smmuv3" },
      { type: "ram", addr: "0x0", size: "0x1000" },
      { type: "mem", addr: "0x0", data: "01" },
      { type: "dma", dev: "sid:0", addr: "0x1000" },
    ];
    writeFileSync(trace, lines.map((line) => JSON.stringify(line)).join("\n"));
    expect((await cli(["walk", trace, "--line", "4"])).stdout).toContain("\noutcome: fault STE.Config\n");
  });

  test("of an entry that was valid before, it is not likely that no driver has attached the device", async () => {
    const trace = join(folder, "ste-window.ndjson");
    const dma = { type: "dma", dev: "sid:0", addr: "0x1000" };
    const lines = [
      { type: "iommu", id: "s", model: "arm-smmuv3" },
      { type: "ram", addr: "0x0", size: "0x1000" },
      { type: "mem", addr: "0x0", data: "0900000000000000" },
      dma,
      { type: "mem", addr: "0x0", data: "0800000000000000" },
      dma,
    ];
    writeFileSync(trace, lines.map((line) => JSON.stringify(line)).join("\n"));
    const { stdout } = await cli(["walk", trace, "--line", "6"]);
    expect(stdout).toContain("Likely causes:\n    - the entry was 0x9 until line 5: ");
    expect(stdout).not.toContain("attached");
    // Where nothing was before, it is.
    const never = join(folder, "ste-never.ndjson");
    writeFileSync(never, [...lines.slice(0, 2), dma].map((line) => JSON.stringify(line)).join("\n"));
    expect((await cli(["walk", never, "--line", "3"])).stdout).toContain("no driver has attached the device");
  });

  test("prints what a fault means, and what was observed", async ({ expect }) => {
    const ran = await cli(["walk", RELATIVE, "--line", "13"]);
    await expect(ran.stdout).toMatchFileSnapshot(golden("walk-fault.txt"));
  });

  test.each([10, 11, 13, 14, 15])("the outcome of --json is the one of a replay: line %i", async (line) => {
    const replayed = records((await cli([FIXTURE, "--no-stats"])).stdout);
    const walked = records((await cli(["walk", FIXTURE, "--line", `${line}`, "--json"])).stdout);
    const outcome = walked.at(-1);
    expect(outcome).toEqual(replayed.find((r) => r.line === line));
    expect(walked.length - 1).toBe(outcome.reads);
  });

  test("--json gives words and fields of each step", async () => {
    const walked = records((await cli(["walk", FIXTURE, "--seq", "1", "--json"])).stdout);
    expect(walked[1]).toMatchObject({
      type: "step",
      index: 1,
      page: "0x7f0000001040",
      addr: "0x2140",
      words: ["0x41", "0x3", "0x3000", "0x0", "0x0", "0x0", "0x0", "0x0"],
      fields: { P: { value: "0x1" }, PGTT: { value: "0x1", name: "first stage" }, DID: { value: "0x3" } },
    });
    expect(walked[5]).toMatchObject({ stage: 1, level: 1, addr: "0x6008", words: ["0x12345007"] });
  });

  test("a request that is not in the trace, in the state of any line", async () => {
    const given = ["walk", FIXTURE, "--dev", "00:03.0", "--pasid", "5", "--addr", "0x7f0000001000", "--json"];
    const outcome = async (...more: string[]) => records((await cli([...given, ...more])).stdout).at(-1);
    // Line 16 takes the page away.
    expect(await outcome()).toMatchObject({ line: 16, result: "fault", code: "0x71", entry_addr: "0x6008" });
    expect(await outcome("--at", "15")).toMatchObject({ line: 15, result: "ok", pa: "0x12345000" });
    expect(await outcome("--at", "9", "--len", "8", "--access", "w")).toMatchObject({
      line: 9,
      len: 8,
      access: "w",
      result: "ok",
    });
    expect(await outcome("--at", "7")).toBeUndefined();
  });

  test("a second-stage walk belongs to the fetch whose address it gives", async () => {
    const ran = await cli(["walk", NESTED, "--seq", "5", "--json"]);
    const walked = records(ran.stdout);
    const steps = walked.filter((r) => r.type === "step");
    const fetches = steps.filter((s) => s.stage !== 2 && steps.some((other) => other.for === s.index));
    // The context descriptor and the stage 1 tables are at intermediate addresses.
    expect(fetches.length).toBeGreaterThan(2);
    for (const fetch of fetches) {
      const leaf = steps.filter((s) => s.for === fetch.index).at(-1);
      expect(leaf.index).toBe(fetch.index - 1);
      // A leaf of a 4 KiB page: its output frame is where the fetch went.
      expect(leaf.level).toBe(3);
      expect(BigInt(leaf.fields.ADDR.address)).toBe(BigInt(fetch.addr) & ~0xfffn);
    }
    expect(walked.at(-1).reads).toBe(steps.length);
    const text = (await cli(["walk", NESTED, "--seq", "5"])).stdout;
    expect(text).toContain("second stage, for its address:");
  });

  test("an unmapped structure is said to be outside recorded memory", async () => {
    const path = join(folder, "hole.ndjson");
    writeFileSync(path, readFileSync(FIXTURE, "utf8").replace('"0120000000000000"', '"0100002000000000"'));
    const text = (await cli(["walk", path, "--seq", "1"])).stdout;
    expect(text).toContain("at 0x20000140: not in recorded memory");
    const steps = records((await cli(["walk", path, "--seq", "1", "--json"])).stdout);
    expect(steps[1]).toMatchObject({ hole: true, addr: "0x20000140" });
  });

  test("says which earlier records could not be used, and exits with 2", async () => {
    const path = join(folder, "broken.ndjson");
    const lines = readFileSync(FIXTURE, "utf8").trimEnd().split("\n");
    writeFileSync(path, `${["nonsense", ...lines].join("\n")}\n`);
    const ran = await cli(["walk", path, "--seq", "1"]);
    expect(ran.status).toBe(2);
    expect(ran.stderr).toMatch(/^pasid-replay: .*broken.ndjson: line 1: .*\n$/);
    expect(ran.stdout).toContain("outcome: ok, 0x12345040");
  });

  test.each([
    [["--line", "12"], "line 12: expected a dma record, found one of type mark"],
    [["--line", "99"], "line 99: expected a dma record, found 16 as the last line"],
    [["--seq", "77"], "seq 77: expected a dma record, found none"],
    [["--line", "0"], "at least 1"],
    [["--line", "10", "--addr", "0x1"], "expected one of --line, --seq, or --dev with --addr"],
    [["--line", "10", "--at", "3"], "--at: expected with --dev and --addr"],
    [["--dev", "00:03.0"], "expected --dev and --addr together"],
    [["--dev", "nobody", "--addr", "0"], "dma.dev: expected"],
    [["--dev", "00:03.0", "--addr", "0x1g"], "--addr: expected a 64-bit number"],
    [["--dev", "00:03.0", "--addr", "0", "--pasid", "1048576"], "--pasid: expected an integer"],
    [["--dev", "00:03.0", "--iommu", "x", "--addr", "0"], 'found "x"'],
  ])("%j: exit 2 and %s", async (args, message) => {
    const ran = await cli(["walk", FIXTURE, ...args]);
    expect(ran).toMatchObject({ status: 2, stdout: "" });
    expect(ran.stderr).toContain(message);
    expect(ran.stderr).toMatch(/^pasid-replay: /);
  });
});
