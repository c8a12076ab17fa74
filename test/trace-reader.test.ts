import { describe, expect, test } from "vitest";
import type { ByteSource } from "../parsers/trace/byte-source.ts";
import { type ReadOptions, readTrace } from "../parsers/trace/reader.ts";
import { TraceNames } from "../parsers/trace/records.ts";
import { LayoutSniffer } from "../parsers/trace/sniff.ts";
import { bytesSource, ChunkSource } from "../parsers/trace/source.ts";

/** Reads a trace and lists what its records say, one text each. */
function read(text: string | Uint8Array, options: ReadOptions & { step?: number } = {}) {
  return readFrom(bytesSource(typeof text === "string" ? Buffer.from(text) : text, options.step), options);
}

async function readFrom(source: ByteSource, options: ReadOptions) {
  const names = new TraceNames();
  const said: string[] = [];
  const totals = await readTrace(
    source,
    {
      dma(line, r) {
        const iommu = r.iommu < 0 ? "-" : names.iommus.text(r.iommu);
        const addr = (r.addrHi >>> 0).toString(16) + (r.addrLo >>> 0).toString(16).padStart(8, "0");
        said.push(`${line} dma ${iommu} ${names.devices.get(r.dev).text} ${addr} ${r.pasid} ${r.tsText()}`);
      },
      mem(line, r) {
        said.push(`${line} mem ${r.addrLo} ${Buffer.from(r.bytes.subarray(r.start, r.end))} ${r.byIommu}`);
      },
      record(line, r) {
        said.push(`${line} ${r.type}`);
      },
      unknown(line, type) {
        said.push(`${line} unknown ${type}`);
      },
      error(line, code, message) {
        said.push(`${line} ${code} ${message}`);
      },
    },
    { names, ...options },
  );
  return { said, lines: totals.lines };
}

const DMA = '{"type":"dma","dev":"00:03.0","addr":"0x1"}';
const DMA_SAID = "dma - 00:03.0 000000001 -1 ";

const MIXED = [
  '{"type":"header","format":"pasid-trace","version":1}',
  '{"type":"iommu","id":"dmar0","model":"intel","regs":{"cap":"0xfFfF"},"props":{"rps":true,"pasid_bits":20}}',
  "",
  '{"type":"dma","iommu":"dmar0","dev":"0000:00:03.0","addr":"0xfedcba9876543210","pasid":7,"ts":"12:30"}\r',
  '{"type":"mem","addr":"0x10","data":"0aFF","by":"iommu"}',
  " \t\r",
  '{"type":"dma","iommu":"dm\\u0061r0","dev":"0000:00:03.0","addr":"0x1","ts":1.50}',
  '{"type":"new-thing","x":1}',
  "not JSON",
  '{"type":"mark","label":"é😀"}',
].join("\n");
const MIXED_SAID = [
  "1 header",
  "2 iommu",
  '4 dma dmar0 0000:00:03.0 fedcba9876543210 7 "12:30"',
  "5 mem 16 0aFF true",
  "7 dma dmar0 0000:00:03.0 000000001 -1 1.50",
  "8 unknown new-thing",
  '9 json column 1: expected a value, found "n"',
  "10 mark",
];

describe("lines", () => {
  test.each([1, 2, 3, 7, 64, 1 << 20])("come the same in chunks of %d bytes", async (step) => {
    expect(await read(MIXED, { step })).toEqual({ said: MIXED_SAID, lines: 10 });
    expect(await read(`\ufeff${MIXED}\n`, { step })).toEqual({ said: MIXED_SAID, lines: 10 });
  });

  test("longer than a chunk", async () => {
    const data = "ab".repeat(3_000_000);
    const { said } = await read(`${DMA}\n{"type":"mem","addr":"0x10","data":"${data}"}\n${DMA}`);
    expect(said).toEqual([`1 ${DMA_SAID}`, `2 mem 16 ${data} false`, `3 ${DMA_SAID}`]);
  });

  test.each([1000, 100_000, 5_000_000])(
    "beyond the limit are one error and not kept (%d bytes)",
    async (length) => {
      const long = `{"type":"mark","label":"${"x".repeat(length)}"}`;
      const { said, lines } = await read(`${DMA}\n${long}\n${DMA}\n${long}`, { maxLineBytes: 500 });
      const error = "json line: expected at most 500 bytes, found more";
      expect(said).toEqual([`1 ${DMA_SAID}`, `2 ${error}`, `3 ${DMA_SAID}`, `4 ${error}`]);
      expect(lines).toBe(4);
    },
  );

  test("that never end are the end of it", async () => {
    const start = Buffer.from(`${DMA}\n`);
    let given = 0;
    const zeros: ByteSource = {
      path: "/dev/zero",
      size: undefined,
      get consumed() {
        return given;
      },
      async read(target, at, length) {
        target.fill(0, at, at + length);
        if (given === 0) target.set(start, at);
        given += length;
        return length;
      },
      async close() {},
    };
    const { said, lines } = await readFrom(zeros, { maxLineBytes: 500 });
    expect(said).toEqual([
      `1 ${DMA_SAID}`,
      "2 json line: expected at most 500 bytes, found more",
      "2 io line: expected an end after 1073741824 bytes, found none; nothing after it is read",
    ]);
    expect(lines).toBe(1);
  });

  test("exactly as long as the limit are read, however they come", async () => {
    for (const step of [1, 1 << 20]) {
      expect((await read(`${DMA}\n${DMA}`, { step, maxLineBytes: DMA.length })).said).toHaveLength(2);
      expect((await read(`${DMA}\n${DMA}`, { step, maxLineBytes: DMA.length })).said[1]).toBe(
        `2 ${DMA_SAID}`,
      );
      expect((await read(`${DMA}\n`, { step, maxLineBytes: DMA.length - 1 })).said).toEqual([
        "1 json line: expected at most 42 bytes, found more",
      ]);
    }
  });

  test("many: all are read, and the caller can drain between chunks", async () => {
    const lines = Array.from(
      { length: 100_000 },
      (_, i) => `{"type":"mem","addr":"0x${i.toString(16)}","data":""}`,
    );
    const seen: number[] = [];
    const bytes: number[] = [];
    const text = Buffer.from(lines.join("\n"));
    await readTrace(
      bytesSource(text, 10_000),
      {
        dma() {},
        mem(line, r) {
          if (r.addrLo === line - 1) seen.push(line);
        },
        record() {},
        unknown() {},
        error() {},
      },
      {
        onChunk: async (read) => {
          await Promise.resolve();
          bytes.push(read);
        },
      },
    );
    expect(seen).toHaveLength(100_000);
    expect(bytes.at(-1)).toBe(text.length);
    expect(bytes).toEqual(bytes.toSorted((a, b) => a - b));
  });

  test.each(["", "\n", "\ufeff", " \n\n\t"])("none: no records and no error (%j)", async (text) => {
    expect((await read(text)).said).toEqual([]);
  });
});

const long = "z".repeat(100);
describe("work", () => {
  test.each([
    ["blanks", `${" ".repeat(20_000)}${DMA}\n`],
    ["blank lines", `${"\r\n".repeat(10_000)}${DMA}\n`],
    ["one long line", `{"type":"mark","label":"${"x".repeat(20_000)}"}\n`],
    ["a document", `{\n"type":"mark","label":"${"x".repeat(20_000)}"}\n`],
  ])("the layout of %s is found by a few looks at each byte, however it comes", (_, text) => {
    const bytes = Buffer.from(`${text}\n`);
    let looks = 0;
    const counting = (target: Uint8Array): Uint8Array =>
      new Proxy(target, {
        get(of, key) {
          looks++;
          const value = Reflect.get(of, key);
          if (key === "subarray") return (...range: number[]) => of.subarray(...range);
          return typeof value === "function" ? value.bind(of) : value;
        },
      });
    const sniffer = new LayoutSniffer();
    let length = 0;
    for (; length < text.length; length++)
      if (sniffer.sniff(counting(bytes), length, false) !== undefined) break;
    expect(sniffer.sniff(counting(bytes), text.length, true)).toBe(
      text.startsWith("{\n") ? "document" : "lines",
    );
    expect(looks).toBeLessThan(12 * text.length);
  });

  test.each([
    ["lines", `${DMA}\n`.repeat(400)],
    ["a document", `[${Array(400).fill(DMA).join(",\n")}]`],
  ])("other work gets in while records of %s take their time", async (_, text) => {
    const order: number[] = [];
    await readTrace(bytesSource(Buffer.from(text)), {
      dma(line) {
        if (line === 1) setImmediate(() => order.push(0));
        order.push(line);
        const end = performance.now() + 1;
        while (performance.now() < end);
      },
      mem() {},
      record() {},
      unknown() {},
      error(line, code, message) {
        throw new Error(`${line} ${code} ${message}`);
      },
    });
    expect(order).toHaveLength(401);
    expect(order.indexOf(0)).toBeLessThan(300);
  });
});

describe("a bad line says what is wrong", () => {
  test.each([
    // Not JSON.
    [
      '{"type":"dma","dev":"00:0',
      "json column 26: expected the string's closing quote, found the end of the line",
    ],
    ['{"type":"dma",', "json column 15: expected a field name, found the end of the line"],
    ['{"type":"dma"', 'json column 14: expected "," or "}", found the end of the line'],
    ['{"type" "dma"}', 'json column 9: expected ":", found "\\""'],
    ['{"type":"dma","a":01}', 'json column 20: expected "," or "}", found "1"'],
    ['{"type":"dma","a":1.}', 'json column 21: expected a digit, found "}"'],
    ['{"type":"dma","a":tru}', 'json column 19: expected a value, found "t"'],
    ['{"type":"dma","a":"\\x"}', 'json column 21: expected an escape, found "x"'],
    ['{"type":"dma","a":"\\u12g4"}', 'json column 24: expected 4 hex digits after \\u, found "g"'],
    ['{"type":"dma","a":[1,]}', 'json column 22: expected a value, found "]"'],
    ['{"type":"dma"},', 'json column 15: expected the end of the line after the record, found ","'],
    ["{'type':'dma'}", 'json column 2: expected a field name or "}", found "\'"'],
    ['\0{"type":"dma"}', 'json column 1: expected a value, found "\\u0000"'],
    ['{"type":"d\0ma"}', 'json column 11: expected no control character in a string, found "\\u0000"'],
    // No record.
    ["17", "schema record: expected an object, found 17"],
    ['"dma"', 'schema record: expected an object, found "dma"'],
    ["null", "schema record: expected an object, found null"],
    ["{}", 'schema type: expected a record type such as "dma", found nothing'],
    ['{"type":5}', 'schema type: expected a record type such as "dma", found 5'],
    // dma.
    [
      '{"type":"dma","addr":"0x1"}',
      'schema dma.dev: expected "[ssss:]bb:dd.f", "sid:<n>", "did:<n>" or "devid:<n>", found nothing',
    ],
    [
      '{"type":"dma","dev":"00:03.0"}',
      'schema dma.addr: expected "0x" and 1 to 16 hex digits, found nothing',
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":4096}',
      'schema dma.addr: expected "0x" and 1 to 16 hex digits, found 4096',
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"4096"}',
      'schema dma.addr: expected "0x" and 1 to 16 hex digits, found "4096"',
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x"}',
      'schema dma.addr: expected "0x" and 1 to 16 hex digits, found "0x"',
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x12345678901234567"}',
      'range dma.addr: expected "0x" and 1 to 16 hex digits, found "0x12345678901234567" (17 digits)',
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x1","pasid":1048576}',
      "range dma.pasid: expected an integer 0 to 1048575, found 1048576",
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x1","pasid":-1}',
      "range dma.pasid: expected an integer 0 to 1048575, found -1",
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x1","pasid":"7"}',
      'schema dma.pasid: expected an integer 0 to 1048575, found "7"',
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x1","pasid":null}',
      "schema dma.pasid: expected an integer 0 to 1048575, found null",
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x1","len":-64}',
      "range dma.len: expected an integer 1 to 4294967295, found -64",
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x1","len":0}',
      "range dma.len: expected an integer 1 to 4294967295, found 0",
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x1","len":4294967296}',
      "range dma.len: expected an integer 1 to 4294967295, found 4294967296",
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x1","len":1.5}',
      "schema dma.len: expected an integer 1 to 4294967295, found 1.5",
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x1","access":"rx"}',
      'schema dma.access: expected "r", "w", "rw" or "x", found "rx"',
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x1","priv":1}',
      "schema dma.priv: expected true or false, found 1",
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x1","iommu":""}',
      'schema dma.iommu: expected a string that is not empty, found ""',
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x1","seq":9007199254740992}',
      "range dma.seq: expected an integer -9007199254740991 to 9007199254740991, found 9007199254740992",
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x1","observed":"ok"}',
      'schema dma.observed: expected an object, found "ok"',
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x1","observed":{}}',
      'schema dma.observed.result: expected "ok", "fault" or "msi", found nothing',
    ],
    [
      '{"type":"dma","dev":"00:03.0","addr":"0x1","observed":{"result":"fault","stage":3}}',
      "range dma.observed.stage: expected an integer 1 to 2, found 3",
    ],
    // Devices.
    [
      '{"type":"unbind","dev":"00:20.0"}',
      'range unbind.dev: expected "[ssss:]bb:dd.f", "sid:<n>", "did:<n>" or "devid:<n>", found "00:20.0"',
    ],
    [
      '{"type":"unbind","dev":"00:1f.8"}',
      'range unbind.dev: expected "[ssss:]bb:dd.f", "sid:<n>", "did:<n>" or "devid:<n>", found "00:1f.8"',
    ],
    [
      '{"type":"unbind","dev":"devid:65536"}',
      'range unbind.dev: expected "[ssss:]bb:dd.f", "sid:<n>", "did:<n>" or "devid:<n>", found "devid:65536"',
    ],
    [
      '{"type":"unbind","dev":"sid:0x100000000"}',
      'range unbind.dev: expected "[ssss:]bb:dd.f", "sid:<n>", "did:<n>" or "devid:<n>", found "sid:0x100000000"',
    ],
    [
      '{"type":"unbind","dev":"nvme0"}',
      'schema unbind.dev: expected "[ssss:]bb:dd.f", "sid:<n>", "did:<n>" or "devid:<n>", found "nvme0"',
    ],
    // Others.
    ['{"type":"header","format":"pasid-trace","version":2}', "range header.version: expected 1, found 2"],
    [
      '{"type":"header","format":"qemu","version":1}',
      'schema header.format: expected "pasid-trace", found "qemu"',
    ],
    [
      '{"type":"iommu","id":"a","model":"virtio"}',
      'schema iommu.model: expected "intel", "arm-smmuv3", "amd" or "riscv", found "virtio"',
    ],
    [
      '{"type":"iommu","id":"a","model":"amd","regs":{"efr":7}}',
      'schema iommu.regs.efr: expected "0x" and 1 to 16 hex digits, found 7',
    ],
    [
      '{"type":"iommu","id":"a","model":"amd","props":{"btm":null}}',
      "schema iommu.props.btm: expected a number, true, false, a string or an array of strings, found null",
    ],
    [
      '{"type":"mem","addr":"0x1","data":"0x12"}',
      'schema mem.data: expected hex digits without "0x", found "0x12"',
    ],
    [
      '{"type":"mem","addr":"0x1","data":"123"}',
      "schema mem.data: expected an even number of hex digits, found 3 digits",
    ],
    [
      '{"type":"cmd","iommu":"a","data":["0x1"]}',
      "schema cmd.data: expected an array of 2 to 4, found an array of 1",
    ],
    [
      '{"type":"cmd","iommu":"a","data":["0x1",2]}',
      'schema cmd.data[1]: expected "0x" and 1 to 16 hex digits, found 2',
    ],
    [
      '{"type":"bind","dev":"00:03.0","config":{"model":"intel","base_ptr":"0x1","pasid_bits":256}}',
      "range bind.config.pasid_bits: expected an integer 0 to 255, found 256",
    ],
    [
      '{"type":"bind","dev":"00:03.0","config":{"model":"amd","base_ptr":"0x1","amd":{"glx":3}}}',
      "range bind.config.amd.glx: expected an integer 0 to 2, found 3",
    ],
    [
      '{"type":"bind","dev":"00:03.0","config":{"model":"amd"}}',
      'schema bind.config.base_ptr: expected "0x" and 1 to 16 hex digits, found nothing',
    ],
    [
      '{"type":"bind","dev":"00:03.0","config":{"model":"riscv","base_ptr":"0x0","riscv":{"mode":"PD9"}}}',
      'schema bind.config.riscv.mode: expected "PD8", "PD17" or "PD20", found "PD9"',
    ],
    [
      '{"type":"snapshot","path":"a","format":"vmss"}',
      'schema snapshot.format: expected "auto", "elf", "raw", "lime" or "kdump", found "vmss"',
    ],
    [
      '{"type":"inv","cache":"tlb","granularity":"page"}',
      'schema inv.cache: expected "all", "context", "pasid", "iotlb" or "devtlb", found "tlb"',
    ],
    // What is found is shown in short, on one line.
    [
      `{"type":"dma","dev":"00:03.0","addr":"${long}"}`,
      `schema dma.addr: expected "0x" and 1 to 16 hex digits, found "${"z".repeat(37)}…"`,
    ],
    [
      '{"type":"dma","dev":"a\\u0000\\u202e\\n\\u001b[1m","addr":"0x1"}',
      'schema dma.dev: expected "[ssss:]bb:dd.f", "sid:<n>", "did:<n>" or "devid:<n>", found "a\\u0000\\u202e\\u000a\\u001b[1m"',
    ],
  ])("%j", async (line, message) => {
    // In a trace, so that the line is not the first, and the next one is read.
    const { said } = await read(`${DMA}\n${line}\n${DMA}`);
    expect(said).toEqual([`1 ${DMA_SAID}`, `2 ${message}`, `3 ${DMA_SAID}`]);
  });

  test("that is not UTF-8", async () => {
    const bad = Buffer.from('{"type":"mark","label":"é_"}');
    bad[bad.indexOf("_") - 1] = 0x28;
    const { said } = await read(Buffer.concat([Buffer.from(`${DMA}\n`), bad, Buffer.from(`\n${DMA}`)]));
    expect(said).toEqual([
      `1 ${DMA_SAID}`,
      "2 json column 25: expected UTF-8, found other bytes",
      `3 ${DMA_SAID}`,
    ]);
  });

  test("that nests 100,000 deep", async () => {
    const deep = `{"type":"mark","label":"x","a":${"[".repeat(100_000)}`;
    expect((await read(`${DMA}\n${deep}\n${deep}${"]".repeat(100_000)}}`)).said).toEqual([
      `1 ${DMA_SAID}`,
      '2 json column 100032: expected a value or "]", found the end of the line',
      "3 mark",
    ]);
  });

  test("in the first line too", async () => {
    expect((await read(`{"type":"dma",\n${DMA}`)).said).toEqual([
      "1 json column 15: expected a field name, found the end of the line",
      `2 ${DMA_SAID}`,
    ]);
  });
});

describe("halves of surrogate pairs", () => {
  test("a name with one is the same name, escaped or not, in a record of any type", async () => {
    const iommu = '{"type":"iommu","id":"a\\ud800","model":"intel"}';
    const dma = '{"type":"dma","iommu":"a\\ud800","dev":"00:03.0","addr":"0x1"}';
    const plain = '{"type":"dma","iommu":"a\ufffd","dev":"00:03.0","addr":"0x1"}';
    const names = new TraceNames();
    const ids: string[] = [];
    await readTrace(
      bytesSource(Buffer.from(`${iommu}\n${dma}\n${plain}\n`)),
      {
        dma: (_, r) => ids.push(names.iommus.text(r.iommu)),
        record: (_, r) => ids.push(r.type === "iommu" ? r.id : ""),
        mem() {},
        unknown() {},
        error() {},
      },
      { names },
    );
    expect(ids).toEqual(["a\ufffd", "a\ufffd", "a\ufffd"]);
  });

  test("a pair that two chunks of text share is one character", async () => {
    const text = '{"type":"unknown😀"}\n';
    for (let cut = 0; cut <= text.length; cut++) {
      async function* chunks() {
        yield text.slice(0, cut);
        yield text.slice(cut);
      }
      const { said } = await readFrom(new ChunkSource("chunks", chunks(), () => {}), {});
      expect(said).toEqual(["1 unknown unknown😀"]);
    }
    async function* half() {
      yield '{"type":"\ud83d';
    }
    expect((await readFrom(new ChunkSource("half", half(), () => {}), {})).said[0]).toMatch(/^1 json /);
  });
});

describe("what is legal", () => {
  test.each([
    [
      '{"type":"bind","dev":"00:03.0","config":{"model":"PASID_TABLE_FORMAT_ARM_2LVL","base_ptr":"0x1","pasid_bits":30}}',
      { model: "arm-2lvl", pasid_bits: 30 },
    ],
    [
      '{"type":"bind","dev":"00:03.0","config":{"model":"PASID_TABLE_FORMAT_INTEL_ECS","base_ptr":"0x1"}}',
      { model: "intel-ecs" },
    ],
    ['{"type":"bind","dev":"00:03.0","config":{"model":"host","base_ptr":"0x1"}}', { model: "host" }],
    [
      '{"type":"bind","dev":"00:03.0","config":{"model":"amd","base_ptr":"0x1"},"stage2":{"format":"amdv1","root":"0x2000"}}',
      { stage2: { format: "amdv1", root: { hi: 0, lo: 0x2000 } } },
    ],
  ])("%s", async (line, config) => {
    const records: unknown[] = [];
    await readTrace(bytesSource(Buffer.from(line)), {
      dma() {},
      mem() {},
      record: (_, r) => records.push(r),
      unknown() {},
      error: (_, code, message) => records.push(`${code} ${message}`),
    });
    expect(records).toMatchObject([{ type: "bind", config }]);
  });

  test("64-bit values are exact, whatever their case and padding", async () => {
    const values: unknown[] = [];
    await readTrace(
      bytesSource(
        Buffer.from(
          '{"type":"cmd","iommu":"i","data":["0xFEDCBA9876543210","0x0000000080000001","0x100000000","0x0"]}\n{"type":"inv","cache":"all","granularity":"global","size":4294967296}',
        ),
      ),
      {
        dma() {},
        mem() {},
        record: (_, r) => values.push(r.type === "cmd" ? r.data : r.type === "inv" ? r.size : r),
        unknown() {},
        error: (_, code, message) => values.push(`${code} ${message}`),
      },
    );
    expect(values).toEqual([
      [
        { hi: 0xfedcba98 | 0, lo: 0x76543210 },
        { hi: 0, lo: 0x80000001 | 0 },
        { hi: 1, lo: 0 },
        { hi: 0, lo: 0 },
      ],
      { hi: 1, lo: 0 },
    ]);
  });

  test("a field given twice counts as the last one", async () => {
    expect((await read('{"type":"dma","dev":"00:03.0","addr":7,"addr":"0x1"}')).said).toEqual([
      `1 ${DMA_SAID}`,
    ]);
    expect((await read('{"type":"dma","dev":"00:03.0","addr":"0x1","addr":7}')).said[0]).toContain("found 7");
  });
});
