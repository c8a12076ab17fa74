import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { listedPaths } from "../cli/path-list.ts";
import { logOf } from "../parsers/bind/input-file.ts";
import { readRequest } from "../parsers/bind/read-request.ts";
import { openCapabilities } from "../parsers/caps/open-caps.ts";
import { onlyTrace } from "../parsers/recognize.ts";
import { bytesSource } from "../parsers/trace/source.ts";
import { cli, FIXTURE, temporaryFolder } from "./support/cli.ts";
import { tarOf } from "./support/tar-writer.ts";

const MARK = '{"type":"mark","label":"a"}\n';

/** What a source gives once it has been recognised, or why it is refused. */
async function recognised(content: string | Uint8Array, step?: number): Promise<string> {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  try {
    const source = await onlyTrace(bytesSource(bytes, step));
    const out = Buffer.alloc(bytes.length + 1);
    let fill = 0;
    for (let n = 1; n > 0; fill += n) n = await source.read(out, fill, out.length - fill);
    return Buffer.compare(out.subarray(0, fill), bytes) === 0 ? "trace" : "changed";
  } catch (error) {
    return (error as Error).message.replace(/^.*found /, "");
  }
}

describe("a file that is no trace", () => {
  test.each([
    ["an ELF file", "\x7fELF\x02\x01\x01\0", "an ELF file"],
    ["xz", Buffer.from("fd377a585a00", "hex"), "xz data: decompress it first"],
    ["bzip2", "BZh91AY&SY", "bzip2 data: decompress it first"],
    ["a zip", "PK\x03\x04", "a zip archive: unpack it first"],
    ["a memory dump", "EMiL\x01\0\0\0", "a LiME memory dump"],
    ["text", "hello\nworld\n", 'text that begins with "hello"'],
    ["text of one line", "hello", 'text that begins with "hello"'],
    ["other bytes", Buffer.from([0, 1, 2, 255]), "other bytes"],
    ["JSON of another kind", '{\n  "name": "x",\n  "type": "module"\n}\n', "JSON without a record"],
    ["an array of something", "[1,2,3]", "JSON without a record"],
    ["a log of JSON", '{"level":"info"}\n'.repeat(3), "JSON without a record"],
    [
      "our own output",
      '{"type":"stats","model":"intel"}\n{"type":"summary","lines":1}\n',
      "the output of a replay",
    ],
    ["our own output from a mark on", '{"type":"mark","line":3,"label":"a"}\n', "the output of a replay"],
    [
      "what inspect wrote",
      '{"type":"iommu","iommu":"d","model":"intel","table":{}}\n',
      "the output of a replay",
    ],
    ["what explain wrote", '{"type":"fault","vendor":"intel","code":"0x71"}\n', "the output of a replay"],
    ["what caps wrote", '{"type":"caps","name":"d"}\n', "the output of a replay"],
    ["a table of ours", "trace,line,seq,ts\n", "a table that a replay wrote"],
    ["a Parquet table", "PAR1\x15\x04", "a Parquet table"],
    ["a report of ours", "<!doctype html>\n<html>", "an HTML page"],
    ["a packet capture", Buffer.from("d4c3b2a102000400", "hex"), "a packet capture (pcap)"],
    ["a picture", Buffer.from("89504e470d0a1a0a", "hex"), "a PNG picture"],
    ["an archive", tarOf([{ name: "dmar0/intel-iommu/cap", data: "1" }]), "caps reads one of sysfs"],
    [
      "a configuration that looks like an array",
      "[package]\nname = 'x'\n",
      'text that begins with "[package]"',
    ],
    ["a dictionary of Python's", "{'type': 'dma'}\n", "text that begins with"],
    ["a text with a record in it", `${"a line\n".repeat(40)}${MARK}`, 'text that begins with "a line"'],
  ])("%s is called what it is", async (_, content, found) => {
    for (const step of [undefined, 1]) expect(await recognised(content, step)).toContain(found);
  });

  test.each([
    ["nothing", ""],
    ["blank lines", "\n \n"],
    ["a record", MARK],
    ["a record behind broken lines", `not JSON\n{"type":\n\n${MARK}`],
    ["a record of unknown type", '{"type":"x-ats","dev":"00:03.0"}\n'],
    ["a byte order mark", `\ufeff${MARK}`],
    ["an iommu record without its id", '{"type":"iommu","model":"intel","regs":{}}\n'],
    ["a fault record without its device", '{"type":"fault","addr":"0x0"}\n'],
    ["a pretty-printed record", '{\n  "type": "mark",\n  "label": "a"\n}\n'],
    ["an array of records", `[\n  ${MARK}]\n`],
    ["a record whose type comes late", `{"label":"${"x".repeat(200_000)}","type":"mark"}\n`],
  ])("%s is a trace, byte for byte", async (_, content) => {
    for (const step of [undefined, 7]) expect(await recognised(content, step)).toBe("trace");
  });

  test("the output of a replay will do where two are compared; nothing else will", async () => {
    const open = (text: string) => onlyTrace(bytesSource(Buffer.from(text)), true);
    await expect(open('{"type":"outcome","line":1}\n')).resolves.toBeDefined();
    await expect(open("hello\n")).rejects.toThrow("expected a trace or the output of a replay");
  });

  test.each([
    [MARK, "a trace: it can be replayed as it is"],
    ['{"type":"outcome","line":1}\n', "the output of a replay"],
    ["\x7fELF\x02\x01\x01\0", "an ELF file"],
  ])("as a log: %j", async (text, found) => {
    await expect(logOf(bytesSource(Buffer.from(text, "latin1")))).rejects.toThrow(
      `expected a log, found ${found}`,
    );
  });

  test("a log that begins like a table of ACPI", async () => {
    const text = Buffer.from("DMAR: [DMA Read NO_PASID] Request device [00:1f.2] fault addr 0x1000\n");
    await expect(logOf(bytesSource(text))).resolves.toBeDefined();
    await expect(logOf(bytesSource(Buffer.from("DMAR\x98\0\0\0\x01", "latin1")))).rejects.toThrow(
      "an ACPI DMAR table",
    );
  });

  test("as a configuration, as capabilities and as a list of paths", async () => {
    const picture = Buffer.from("89504e470d0a1a0a0000000d49484452", "hex");
    expect(readRequest(picture)).toContain("found a PNG picture");
    const path = join(temporaryFolder(), "input");
    const listed = (bytes: string | Uint8Array) => {
      writeFileSync(path, bytes);
      return () => listedPaths("--files-from", path);
    };
    writeFileSync(path, picture);
    expect(await openCapabilities(path)).toContain("found a PNG picture");
    expect(await listed("a\r\n\nb c")()).toEqual(["a", "b c"]);
    await expect(listed(picture)()).rejects.toThrow("a byte that no path has in line 3");
    await expect(listed("x".repeat(5000))()).rejects.toThrow("more than 4096 characters in line 1");
    await expect(listedPaths("--files-from", "/dev/zero")).rejects.toThrow("bytes or more");
  });

  test("the beginning is looked at a bounded number of times, however it comes", async () => {
    const text = `{"label":"${"x".repeat(20_000)}`;
    const looks = vi.spyOn(Buffer.prototype, "toString");
    await recognised(text, 1);
    expect(looks.mock.calls.filter(([encoding]) => encoding === "latin1").length).toBeLessThan(400);
    looks.mockRestore();
  });

  test("one message on standard error, exit status 2; from a pipe, too, and for each command", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "text");
    writeFileSync(path, "hello\n".repeat(100));
    const message = (name: string) =>
      `pasid-replay: ${name}: expected a trace (records of JSON, one a line), found text that begins with "hello"\n`;
    for (const args of [[path], ["inspect", path], ["walk", path, "--line", "1"]])
      expect(await cli(args)).toMatchObject({ status: 2, stdout: "", stderr: message(path) });
    const input = readFileSync(path);
    expect(await cli(["-"], { input })).toMatchObject({
      status: 2,
      stdout: "",
      stderr: message("standard input"),
    });
    const output = execFileSync("node", ["dist/cli/main.js", FIXTURE]);
    expect((await cli(["-"], { input: output })).stderr).toContain("found the output of a replay");
  });
});
