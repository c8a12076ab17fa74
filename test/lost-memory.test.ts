import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { bytesSource } from "../parsers/trace/source.ts";
import type { ReplayOptions } from "../pipeline/replay/options.ts";
import { replayTrace } from "../pipeline/replay/run.ts";
import { cli, records as recordsOf, temporaryFolder } from "./support/cli.ts";
import { kdump } from "./support/kdump-writer.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests look into records of all types
type Any = any;

async function replay(records: readonly object[], options: Partial<ReplayOptions> = {}): Promise<Any[]> {
  let out = "";
  await replayTrace(
    bytesSource(Buffer.from(records.map((record) => `${JSON.stringify(record)}\n`).join(""))),
    {
      write: (bytes) => {
        out += bytes.toString("utf8");
      },
    },
    options,
  );
  return recordsOf(out);
}

/** VT-d 5.10, 9.1, 9.3: a root entry, and a context entry that passes requests of 00:03.0 through (TT 10). */
const IOMMU = {
  type: "iommu",
  id: "d",
  model: "intel",
  regs: { rtaddr: "0x1000", cap: "0x1d2008c222f0606", ecap: "0xf00f4b", gsts: "0xc0000000" },
};
const ROOT = { type: "mem", addr: "0x1000", data: "01200000000000000000000000000000" };
const CONTEXT = { type: "mem", addr: "0x2180", data: "09000000000000000201000000000000" };
const LOST = { type: "snapshot", path: "not-there.elf" };
const RAM = { type: "ram", addr: "0x0", size: "0x10000" };
const dma = (observed?: object) => ({ type: "dma", iommu: "d", dev: "00:03.0", addr: "0x5000", observed });
const OK = { result: "ok", pa: "0x5000" };
const FAULT = { result: "fault", code: "0x2" };

const verdicts = (out: readonly Any[]) => out.filter((r) => r.type === "outcome").map((r) => r.verdict);

describe("a snapshot that could not be read", () => {
  test.each([
    ["nothing", [LOST]],
    ["RAM before it", [RAM, LOST]],
    ["RAM after it, whose zeros are not known to be there", [LOST, RAM]],
    ["a part of what is needed", [LOST, RAM, ROOT]],
  ])("leaves no verdict on what needs it: %s", async (_, memory) => {
    const out = await replay([IOMMU, ...memory, dma(OK), dma(FAULT), dma()]);
    expect(verdicts(out)).toEqual(["unknown", "unknown", undefined]);
    expect(out.at(-1)).toMatchObject({ errors: 1, verdicts: { unknown: 2 } });
    expect(out.filter((r) => r.type === "finding")).toEqual([]);
  });

  test("does not matter to what was written since, nor to a log that memory could explain", async () => {
    const logged = { type: "fault", iommu: "d", dev: "00:04.0", addr: "0x7000", code: "0x2" };
    const out = await replay([IOMMU, LOST, ROOT, CONTEXT, dma(OK), dma(FAULT), logged]);
    expect(verdicts(out)).toEqual(["match", "mismatch"]);
    expect(out.filter((r) => r.type === "finding")).toEqual([]);
  });

  test("is forgotten with the next one", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "memory.raw"), Buffer.alloc(0x3000));
    const whole = { type: "snapshot", path: "memory.raw", format: "raw" };
    const out = await replay([IOMMU, LOST, whole, dma(OK), dma({ result: "fault", code: "0x1" })], {
      directory: folder,
    });
    expect(verdicts(out)).toEqual(["mismatch", "match"]);
  });

  test("a page that cannot be read later on is the same, also beside what was written to it", async () => {
    const folder = temporaryFolder();
    // Page 1 is a zstd frame of one run-length block of 27 bytes (RFC 8878, 3.1.1), not of a page.
    const damaged = { flags: 0x20, bytes: Buffer.from("28b52ffd201bdb0000a7", "hex") };
    writeFileSync(
      join(folder, "damaged.kdump"),
      kdump([
        { page: 1, stored: damaged },
        { page: 2, data: Buffer.alloc(4096) },
      ]),
    );
    const snapshot = { type: "snapshot", path: "damaged.kdump" };
    const beside = { type: "mem", addr: "0x1800", data: "ffff" };
    const out = await replay(
      [IOMMU, snapshot, dma(OK), beside, RAM, dma(OK), ROOT, dma({ result: "fault", code: "0x2" })],
      {
        directory: folder,
      },
    );
    expect(verdicts(out)).toEqual(["unknown", "unknown", "match"]);
    expect(out.filter((r) => r.type === "error").map((r) => [r.line, r.code])).toEqual([[3, "io"]]);
  });
});

describe("the folder of snapshots", () => {
  test("--base-folder for a trace from standard input; --allow-path as the message says", async () => {
    const folder = temporaryFolder();
    const other = temporaryFolder();
    writeFileSync(join(folder, "memory.raw"), Buffer.alloc(0x3000));
    const trace = (path: string) => `{"type":"snapshot","path":"${path}","format":"raw"}\n`;
    const inPlace = await cli(["-", "--base-folder", folder], { input: trace("memory.raw"), cwd: other });
    expect([inPlace.status, recordsOf(inPlace.stdout)[0].type]).toEqual([0, "summary"]);
    const path = join(folder, "memory.raw");
    const refused = await cli(["-"], { input: trace(path), cwd: other });
    expect(refused.status).toBe(2);
    const advice = /--allow-path \S+/.exec(recordsOf(refused.stdout)[0].message)![0];
    const allowed = await cli(["-", ...advice.split(" ")], { input: trace(path), cwd: other });
    expect(allowed.status).toBe(0);
  });
});
