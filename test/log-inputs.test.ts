import { linkSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { runCommandLine } from "../cli/command-line.ts";
import { explainLogs } from "../cli/explain-log/explain-logs.ts";
import { importFiles } from "../cli/import-files.ts";
import { logJson } from "../cli/render/log-json.ts";
import { logText } from "../cli/render/log-text.ts";
import { LOG_FORMATS } from "../parsers/logs/registry.ts";
import { temporaryFolder } from "./support/cli.ts";
import { tarOf } from "./support/tar-writer.ts";

const folder = temporaryFolder();
const KERNEL = "samples/logs/linux-6.1-vtd.log.gz";
const QEMU = "samples/logs/qemu-11.1-smmuv3.log.gz";

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function imported(path: string, memory: readonly { path: string; line?: number }[] = []) {
  let text = "";
  const write = async (data: string | Uint8Array) => {
    text += data;
  };
  const options = { formats: LOG_FORMATS, hosts: [], memory, boot: [], outputPath: join(folder, "t.ndjson") };
  const report = await importFiles([path], { write }, options);
  return { report, records: text.trimEnd().split("\n").slice(1) };
}

describe("a log", () => {
  const plain = gunzipSync(readFileSync(KERNEL));
  const utf16 = Buffer.from(`\ufeff${plain.toString("utf8")}`, "utf16le");

  test.each([
    ["little", utf16],
    ["big", Buffer.from(utf16).swap16()],
  ])("in UTF-16, %s endian, is what it is in UTF-8", async (order, bytes) => {
    const whole = await imported(KERNEL);
    expect(whole.records.length).toBeGreaterThan(3);
    expect((await imported(file(`${order}.log`, bytes))).records).toEqual(whole.records);
  });

  test("in an archive is not read as text", async () => {
    const archive = file("debugfs.tar", tarOf([{ name: "dmar_translation_struct", data: plain }]));
    await expect(imported(archive)).rejects.toThrow("expected a log, found a tar archive: unpack it");
  });

  test("of a format only by lines that are of it", async () => {
    const monitor = file(
      "monitor.txt",
      "address-space: smmu-memory-view\n    0000000009050000-000000000906ffff (prio 0, i/o): arm-smmuv3\n",
    );
    expect((await imported(monitor)).report.formats).toEqual([]);
  });

  test("that ends before its memory was taken is said to", async () => {
    const memory = file("m.raw", Buffer.alloc(4096));
    const { report, records } = await imported(KERNEL, [{ path: memory, line: 9999 }]);
    expect(report.late).toEqual([`${memory}@9999`]);
    expect(records.at(-1)).toContain('"snapshot"');
  });
});

describe("wrong use of import and others", () => {
  const log = file("some.log", "[    0.1] DMAR: x\n");
  const memory = file("mem.raw", Buffer.alloc(4096));
  linkSync(log, join(folder, "same.log"));
  mkdirSync(join(folder, "sub"));

  test.each([
    [["import", log, log], `expected each log once, found ${log} twice`],
    [["import", log, join(folder, "same.log")], "same.log, which is"],
    [["import", log, "--boot", log], "expected each log once"],
    [["import", log, "--memory", `${memory}@-1`], 'expected FILE, FILE@LINE or FILE@BYTESB, found "@-1"'],
    [["import", log, "--memory", `${memory}@1x`], 'found "@1x" behind the file'],
    [
      ["replay", log, "--base-folder", join(folder, "none")],
      "--base-folder: expected a folder, found no such folder",
    ],
    [["inspect", log, "--base-folder", log], "--base-folder: expected a folder, found a file"],
    [["decode", "vtd", "--register", "nope", "0x1"], "ccmd; iotlb)"],
    [["decode", "vtd", "--register", "iva", "0x1"], "iva says nothing by itself: expected iotlb"],
    [["decode", "arm", "--register", "iva", "0x1"], "expected the name of a register"],
  ])("%j", async (words, message) => {
    await expect(runCommandLine(words)).rejects.toThrow(message);
  });
});

describe("explain of an emulator's log", () => {
  test("groups the requests that fault, and says where they are shown", async () => {
    const explained = await explainLogs([QEMU]);
    const text = logText([QEMU], explained);
    expect(text).toContain(
      "178 lines, 3 faults of 1 kind\n\n1. sid:0x28 (Arm SMMUv3, smmuv3): 3 faults, lines 162 to 176\n",
    );
    expect(text).toContain(
      "  read at 0x1000 (page), without PASID\n  F_TRANSLATION (0x10), stage 1 level 0\n",
    );
    expect(text).toContain(`  failing entry at 0x44ade000: 0x0\n  pasid-replay walk ${QEMU} --line 162\n`);
    const records = logJson([QEMU], explained)
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(records.at(-1)).toMatchObject({ type: "logs", faults: 3 });
    expect(records[0]).toMatchObject({ dev: "sid:0x28", count: 3, code: "0x10", addresses: ["0x1000"] });
  });
});
