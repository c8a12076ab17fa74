import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import {
  capabilities,
  type ImportedTrace,
  importLogs,
  isTraceError,
  logFormats,
  replay,
} from "../pipeline/library/index.ts";
import { cli, ROOT, records, temporaryFolder } from "./support/cli.ts";

const SMMU = "samples/logs/qemu-11.1-smmuv3.log.gz";
const RISCV = "samples/logs/qemu-11.1-riscv.log.gz";
const RISCV_MEMORY = "samples/riscv/linux-riscv-paging.elf";
const RISCV_TRACE = "samples/riscv/linux-riscv-paging.ndjson";
const log = gunzipSync(readFileSync(join(ROOT, SMMU)));
const lines = log.toString("latin1").trimEnd().split("\n");
const folder = temporaryFolder();

async function textOf(trace: ImportedTrace): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of trace) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

/** Without the header, which names the logs. */
const body = (text: string) => text.slice(text.indexOf("\n") + 1);

describe("importLogs", () => {
  test("writes what the command writes: hosts, memory at a line, a filter, two logs", async () => {
    const { iommus } = await capabilities(RISCV_TRACE);
    const trace = importLogs([RISCV, SMMU], {
      hosts: iommus,
      memory: [{ path: RISCV_MEMORY, line: 9 }],
      filter: { pasid: "none" },
      folder: "samples/riscv",
    });
    expect(trace.summary).toBeUndefined();
    const text = await textOf(trace);
    const file = join(folder, "both.ndjson");
    const args = [
      "import",
      RISCV,
      SMMU,
      "--host",
      RISCV_TRACE,
      "--memory",
      `${RISCV_MEMORY}@9`,
      "--pasid",
      "none",
    ];
    const ran = await cli([...args, "-o", file]);
    const written = readFileSync(file, "utf8");
    // The command's output lies elsewhere.
    const path = /(?<="path":")[^"]*linux-riscv-paging\.elf/g;
    expect(written.match(path)).toHaveLength(1);
    expect(text).toBe(written.replace(path, "linux-riscv-paging.elf"));
    const { summary } = trace;
    const all =
      summary!.lines - summary!.understood - Object.values(summary!.ignored).reduce((a, b) => a + b, 0);
    expect(ran.stderr).toContain(`${summary!.lines} lines: ${summary!.understood} understood, `);
    expect(ran.stderr).toContain(` ${all} of something else\nformats: ${summary!.formats.join(", ")}\n`);
    for (const [kind, count] of Object.entries(summary!.ignored).slice(0, 12))
      expect(ran.stderr).toContain(`\n  ${count} ${kind}\n`);
    for (const { severity, what, count, line, message } of summary!.lost)
      expect(ran.stderr).toContain(`\n${severity}: ${what}: ${count} from line ${line} on: ${message}\n`);
    expect(ran.stderr).toContain(`left out by the filter: ${summary!.leftOut} `);
    const kept = Object.values(summary!.records).reduce((a, b) => a + b, 0) - summary!.leftOut!;
    expect(records(text)).toHaveLength(1 + kept);
    expect(summary).toMatchObject({ broken: [], late: [] });
  });

  test("gives a trace that replay takes, with verdicts on what the log has observed", async () => {
    const trace = importLogs(log);
    const verdicts: unknown[] = [];
    for await (const record of replay(trace, { stats: false }))
      if (record.type === "outcome") verdicts.push(record.verdict);
    expect(verdicts).toEqual(new Array(12).fill("match"));
    expect(trace.summary).toMatchObject({ lines: 178, formats: ["qemu-smmuv3"], leftOut: undefined });
    expect(trace.summary!.records.dma).toBe(12);
  });

  test("merges logs by time, and reads those of an earlier time first", async () => {
    const part = (wanted: (i: number) => boolean) =>
      Buffer.from(`${lines.filter((_, i) => wanted(i)).join("\n")}\n`);
    const whole = body(await textOf(importLogs(log)));
    const merged = importLogs([part((i) => i % 2 === 1), part((i) => i % 2 === 0)]);
    expect(body(await textOf(merged))).toBe(whole);
    const booted = importLogs(
      part((i) => i >= 60),
      { boot: [part((i) => i < 60)] },
    );
    expect(body(await textOf(booted))).toBe(whole);
  });

  test("reads tables, and one format alone", async () => {
    const rows = Buffer.from("1,00:03.0,0x1000,MRd\n2,00:03.0,0x2000,MWr\n");
    const [, ...dma] = records(await textOf(importLogs(rows, { columns: "dev=2,addr=3,access=4" })));
    expect(dma.map(({ type, addr, access }) => ({ type, addr, access }))).toEqual([
      { type: "dma", addr: "0x1000", access: "r" },
      { type: "dma", addr: "0x2000", access: "w" },
    ]);
    expect(logFormats.map(({ name }) => name)).toContain("qemu-vtd");
    const other = importLogs(log, { from: ["qemu-vtd"] });
    expect(records(await textOf(other))).toHaveLength(1);
    expect(other.summary!.formats).toEqual([]);
  });

  test("says what broke off and what came too late", async () => {
    const path = join(folder, "m.raw");
    writeFileSync(path, Buffer.alloc(4096));
    const whole = readFileSync(join(ROOT, SMMU));
    const trace = importLogs(whole.subarray(0, whole.length / 2), { memory: [{ path, line: 99999 }] });
    expect(records(await textOf(trace)).at(-1)).toMatchObject({ type: "snapshot" });
    expect(trace.summary!.broken).toHaveLength(1);
    expect(trace.summary!.late).toEqual([`${path}@99999`]);
  });

  test("refuses what makes no sense, and closes the logs where it is left early", async () => {
    const wrong: readonly [unknown, object][] = [
      [[], {}],
      [[SMMU, SMMU], {}],
      [SMMU, { boot: [SMMU] }],
      [SMMU, { from: ["qemu-vdt"] }],
      [SMMU, { columns: "addr" }],
      [SMMU, { filter: { addr: "nowhere" } }],
    ];
    for (const [logs, options] of wrong)
      expect(() => importLogs(logs as never, options)).toThrow(
        expect.objectContaining({ name: "LibraryError", code: "argument" }),
      );
    await expect(textOf(importLogs("none.log"))).rejects.toSatisfy(isTraceError);
    await expect(textOf(importLogs(log, { memory: [{ path: "none.elf" }] }))).rejects.toMatchObject({
      code: "memory",
      message: expect.stringContaining("none.elf"),
    });
    let destroyed = false;
    const stream = {
      destroy() {
        destroyed = true;
      },
      async *[Symbol.asyncIterator]() {
        for (;;) yield log;
      },
    };
    for await (const chunk of importLogs(stream)) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect(destroyed).toBe(true);
  });
});
