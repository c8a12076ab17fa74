import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LOG_FORMATS } from "../parsers/logs/registry.ts";
import { bytesSource } from "../parsers/trace/source.ts";
import { replayTrace } from "../pipeline/replay/run.ts";
import { ROOT } from "./support/cli.ts";
import { importLog, replayed } from "./support/logs.ts";

const FOLDER = join(ROOT, "samples/logs");
const texts = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".log.gz"))
  .sort()
  .map((name) => gunzipSync(readFileSync(join(FOLDER, name))).toString("latin1"));
const simple = readFileSync(join(FOLDER, "qemu-simple-v4.bin"));

/** What the trace's reader says against records that an importer made. */
async function complaints(log: string | Uint8Array): Promise<unknown[]> {
  const { texts: made } = importLog(log);
  const written = await replayed(made.join("\n"));
  return written.filter(({ type, code }) => type === "error" && code !== "range");
}

const SMMU = texts.find((text) => text.includes("smmuv3_translate_success"))!;

describe("logs that have been handled", () => {
  const plain = importLog(SMMU).texts;

  test("CRLF, colours and quotation marks change nothing", () => {
    const lines = SMMU.split("\n");
    expect(importLog(lines.join("\r\n")).texts).toEqual(plain);
    expect(importLog(lines.map((line) => `\u001b[1;31m${line}\u001b[0m`).join("\n")).texts).toEqual(plain);
    expect(importLog(lines.map((line) => `> ${line}`).join("\n")).texts).toEqual(plain);
  });

  test("lines of something else between them are counted, and nothing else", () => {
    const noise = "Nov 30 02:34:51 host systemd[1]: Started something with ümlauts \xff\xfe.";
    const lines = SMMU.trimEnd().split("\n");
    const mixed = lines.flatMap((line) => [line, noise, "", "\0\0\0"]).join("\n");
    const { texts: made, report } = importLog(Buffer.from(mixed, "latin1"));
    expect(made).toEqual(plain);
    expect(report.lines).toBe(4 * lines.length);
    expect(report.understood + report.ignored.total).toBe(lines.length);
  });

  test("two threads' lines may interleave", () => {
    const vtd = texts.find((text) => text.includes("vtd_iotlb_page_hit") && /^\d{4}-/.test(text))!;
    const lines = vtd.trimEnd().split("\n");
    const hit = lines.find((line) => line.includes("vtd_iotlb_page_hit"))!;
    const other = hit.replace("iova 0xfffff", "iova 0xffef0");
    const mixed = lines.flatMap((line) => [line, other]).join("\n");
    const answers = (log: string) => importLog(log).texts.filter((text) => text.startsWith('{"type":"dma"'));
    expect(answers(mixed)).toEqual(answers(vtd));
    expect(answers(vtd).length).toBe(8);
  });

  test("a log that begins late leaves out what it does not determine, and says how much", () => {
    const late = SMMU.split("\n").slice(80).join("\n");
    const from = late.split("\n").findIndex((line) => line.includes("smmuv3_translate_success"));
    const { texts: made, report } = importLog(late.split("\n").slice(from).join("\n"));
    expect(report.lost.get("tables-unknown")!.count).toBeGreaterThan(0);
    expect(made.some((text) => text.includes('"type":"loss"'))).toBe(true);
  });

  test("a line without an end takes no memory, and a long one is counted", () => {
    const long = `smmuv3_get_ste STE addr: 0x1${"0".repeat(100_000)}\n`;
    const { report } = importLog(`${long}${"x".repeat(3_000_000)}`);
    expect(report.ignored.counts.get("line that is too long")).toBe(1);
    expect(report.lines).toBe(2);
  });
});

describe("lines that are damaged", () => {
  test.each([
    ["an operand that is no number", "0: s: CMD_TLBI_NH_ASID asid=0 vmid=0m"],
    ["a mask of two numbers", "0: s: TLB hit vaddr=0x8 amask=0xffff0xfff0 sid=0x5 paddr=0x0"],
    ["a number of 65 bits", "0: s: Got STE at 0x10000000000000000 [0]: 0x1"],
    [
      "a range that ends before it begins",
      "virtio_iommu_map domain=0 virt_start=0xffffd000 virt_end=0xfff phys_start=0x0 flags=1",
    ],
  ])("%s: ignored and counted", (_, line) => {
    const { texts: made, report } = importLog(line);
    expect(made).toEqual([]);
    expect(report.ignored.total).toBe(1);
  });

  test.each([
    "9@1.7:smmuv3_cmdq_opcode <--- SMMU_CID_TLBI_NH_ASID\n9@1.8:smmuv3_cmdq_tlbi_nh_asid asid=1",
    "9@1.7:smmuv3_cmdq_opcode <--- SMMU_CMD_TLBI_NH_ASID\n9@1.8:smmuv3_cmdq_tlbi_nh_asid asid=65536",
  ])("a command that no SMMU takes is lost, and said to be: %s", (log) => {
    const { texts: made, report } = importLog(`${log}\n9@1.9:smmuv3_cmdq_opcode <--- SMMU_CMD_SYNC`);
    expect(made.filter((text) => text.includes('"cmd"')).length).toBe(1);
    expect(report.lost.get("command-operands")!.count).toBe(1);
  });

  test("a tick with zeros before it is a number of JSON all the same", async () => {
    const answer = "1: s: TLB miss vaddr=0x1234 sid=0 ssid=0x3\n04: s: Translated vaddr 0x1234 to paddr 0x0";
    expect(importLog(answer).texts.at(-1)).toContain('"ts":4');
    expect(await complaints(answer)).toEqual([]);
  });

  test("a fault whose reason is no byte is no fault of VT-d", async () => {
    const { texts: made, report } = importLog("vtd_dmar_fault sid 0x10 fault -1 addr 0x1000 write 0");
    expect(made).toEqual([]);
    expect(report.ignored.total).toBe(1);
  });

  test("control characters in the name of an IOMMU: none in a record", async () => {
    const queue =
      "Base: 0x0\tHead: 8\tTail: 0\nIndex\tqw0\n0\t00000000000400f2\t00000000ffff1040\t0000000000000000\n";
    expect(await complaints(`Invalidation queue on IOMMU: dm\0r0\n${queue}`)).toEqual([]);
    const commands =
      "DeviceId QWORD[3]\n0000:00:02.0 0000000000000000 2000000002132013 0000000000000003 6000000000dba603 iom\u0007mu0\n" +
      "CMD Buffer Head Offset:2 Tail Offset:2\n0: 00000000 30000004 ffff4002 00000000\n";
    expect(await complaints(commands)).toEqual([]);
  });

  test("an entry with a large X in its 0X is an entry", () => {
    const rows =
      "Device 0000:00:02.0 @0xd000\nIOVA_PFN\tPML5E\n" +
      "0x00000000fffe0 |\t0X0000000000000000\t0x0000000002338403\t0x0000000002339403\t0x000000000233a403\t0x0000000002347003";
    const small = rows.replace("0X", "0x");
    expect(importLog(rows).texts).toEqual(importLog(small).texts);
  });
});

describe("whatever becomes of a log", () => {
  const anyLog = fc.constantFrom(...texts);

  test("cut anywhere, at both ends: no record that the trace's reader refuses", async () => {
    await fc.assert(
      fc.asyncProperty(
        anyLog,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(2000),
        async (log, at, length) => {
          const from = Math.floor(at * log.length);
          expect(await complaints(log.slice(from, from + length))).toEqual([]);
        },
      ),
      { numRuns: 60, seed: 1 },
    );
  });

  test("with bytes changed, lines swapped, doubled and torn together: the same", async () => {
    const change = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      kind: fc.constantFrom("byte", "drop", "double", "join", "swap", "digits", "number"),
      byte: fc.nat(255),
    });
    await fc.assert(
      fc.asyncProperty(anyLog, fc.array(change, { minLength: 1, maxLength: 40 }), async (log, changes) => {
        const lines = log.split("\n");
        for (const { at, kind, byte } of changes) {
          const i = Math.floor(at * (lines.length - 1));
          const line = lines[i]!;
          const p = Math.floor(line.length / 2);
          if (kind === "byte") lines[i] = line.slice(0, p) + String.fromCharCode(byte) + line.slice(p + 1);
          else if (kind === "drop") lines.splice(i, 1);
          else if (kind === "double") lines.splice(i, 0, line);
          else if (kind === "join") lines.splice(i, 2, line.slice(0, p) + (lines[i + 1] ?? ""));
          else if (kind === "digits") lines[i] = line.replace(/0x[0-9a-f]+/, "0xffffffffffffffff");
          else if (kind === "number") {
            // One of the line's numbers becomes a large one, a negative one or none.
            const numbers = [...line.matchAll(/0x[0-9a-f]+|\b\d+\b/g)].slice(2);
            const number = numbers[byte % (numbers.length || 1)];
            const other = ["0xffffffffffffffff", "4294967296", "-1", "0x", "99999999999999999999"][byte % 5]!;
            if (number !== undefined)
              lines[i] = line.slice(0, number.index) + other + line.slice(number.index + number[0].length);
          } else if (i + 1 < lines.length) [lines[i], lines[i + 1]] = [lines[i + 1]!, line];
        }
        expect(await complaints(Buffer.from(lines.join("\n"), "latin1"))).toEqual([]);
      }),
      { numRuns: 80, seed: 2 },
    );
  });

  test("QEMU's binary, cut or with bytes changed: it is read as far as it makes sense", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(simple.length),
        fc.nat(simple.length - 1),
        fc.nat(255),
        async (cut, at, byte) => {
          const bytes = Buffer.from(simple);
          if (at >= 16) bytes[at] = byte;
          expect(await complaints(bytes.subarray(0, Math.max(cut, 16)))).toEqual([]);
        },
      ),
      { numRuns: 150, seed: 3 },
    );
  });

  test("bytes at random are not taken for a log", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 3000 }), async (bytes) => {
        expect(importLog(bytes).texts).toEqual([]);
        await replayTrace(bytesSource(bytes), { write() {} });
      }),
      { numRuns: 100, seed: 4 },
    );
  });
});

describe("what an input is taken for", () => {
  test("text about nothing that is known, as long as a log may be: one error that says so", async () => {
    const lines = 5000;
    const records = await replayed("usb 1-1: new device\n".repeat(lines));
    expect(records.filter(({ type }) => type === "error")).toEqual([
      {
        type: "error",
        line: lines,
        code: "schema",
        message: `expected a pasid-trace, or a log with lines about an IOMMU, found ${lines} lines of neither`,
      },
    ]);
  });

  test("a trace whose first lines are broken is a trace", async () => {
    const records = await replayed('rubbish\n{"type":"mark","label":"here"}\nmore\nand more\nand more\n');
    expect(records[0]).toMatchObject({ type: "error", line: 1, code: "json" });
    expect(records[1]).toMatchObject({ type: "mark", line: 2 });
  });

  test("a log whose lines of interest come late, compressed", async () => {
    const log = `${"kernel: usb 1-1: something else\n".repeat(5000)}${SMMU}`;
    const records = await replayed(Buffer.from(log));
    expect(records.at(-1)).toMatchObject({
      type: "summary",
      lines: 5000 + SMMU.trimEnd().split("\n").length,
    });
    expect(records.at(-1).verdicts.match).toBeGreaterThan(5);
    expect(gzipSync(log).length).toBeLessThan(log.length);
  });

  test("every format has a name of its own, and needles of three characters or more", () => {
    expect(new Set(LOG_FORMATS.map(({ name }) => name)).size).toBe(LOG_FORMATS.length);
    for (const { needles } of LOG_FORMATS)
      for (const needle of needles) expect(needle).toMatch(/^[ -~]{3,}$/);
  });
});
