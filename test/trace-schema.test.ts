import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, expectTypeOf, test } from "vitest";
import { inputSchema } from "../parsers/trace/input-schema.ts";
import { readTrace } from "../parsers/trace/reader.ts";
import type { RecordOf } from "../parsers/trace/schema.ts";
import { bytesSource } from "../parsers/trace/source.ts";

const ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false });
const validate = ajv.compile(inputSchema());

/** The error that the reader gives a record, or "". */
async function refusal(record: unknown): Promise<string> {
  let out = "";
  await readTrace(bytesSource(Buffer.from(JSON.stringify(record))), {
    dma() {},
    mem() {},
    record() {},
    unknown() {},
    error: (_, code, message) => {
      out = `${code} ${message}`;
    },
  });
  return out;
}

const config = {
  version: 1,
  bytes: 64,
  model: "PASID_TABLE_FORMAT_AMD",
  base_ptr: "0x16f3000",
  pasid_bits: 9,
  amd: { glx: 0, paging_levels: 5 },
  arm: { s1fmt: 1, s1dss: 2 },
  intel: { rid_pasid: 3 },
  riscv: { mode: "PD20" },
  stage2: { format: "vmsav8-64", root: "0x1000", t0sz: 24, granule: 4, domain: 7, levels: 3 },
};

/** One record of each type, with every field that the contract gives it. */
const COMPLETE: Record<string, unknown>[] = [
  { type: "header", format: "pasid-trace", version: 1, producer: "qemu 11.1.2", comment: "seed 1" },
  {
    type: "iommu",
    id: "smmu0",
    model: "arm-smmuv3",
    regs: { idr0: "0xd44101b", strtab_base: "0x40000000483d0000" },
    props: { output_bits: 48, btm: true, pgtable_format: ["vmsav8-64"], httu: "none" },
  },
  { type: "reg", iommu: "smmu0", name: "cr0", value: "0xC" },
  { type: "ram", addr: "0x100000000", size: "0x180000000" },
  { type: "snapshot", path: "mem0.elf", format: "elf", base: "0x0" },
  { type: "mem", addr: "0x10080e8", data: "0192000100008060", by: "iommu" },
  { type: "bind", dev: "02:05.1", iommu: "amdvi0", config },
  { type: "unbind", dev: "devid:0x18", iommu: "amdvi0" },
  {
    type: "dma",
    dev: "0000:00:09.0",
    addr: "0xbb60380",
    iommu: "dmar0",
    pasid: 1048575,
    len: 4294967295,
    access: "rw",
    priv: true,
    seq: 0,
    ts: "12.5",
    observed: {
      result: "fault",
      pa: "0x1",
      code: "0x73",
      reason: "PERMISSION",
      stage: 2,
      class: "TT",
      ipa: "0x2",
      flags: "0x0",
      recorded: false,
      event: "13",
    },
  },
  { type: "cmd", iommu: "amdvi0", data: ["0x2000000000000020", "0x0"] },
  {
    type: "inv",
    iommu: "i",
    cache: "iotlb",
    granularity: "page",
    domain: 1,
    asid: 2,
    pasid: 3,
    dev: "sid:7",
    addr: "0x1000",
    size: "0x1000",
    leaf: true,
  },
  {
    type: "fault",
    dev: "did:0xabc",
    addr: "0x1",
    iommu: "i",
    pasid: 1,
    access: "x",
    code: "0xd",
    reason: "ACCESS",
    seq: 5,
    ts: 1.5,
  },
  { type: "flush", iommu: "i", addr: "0x1000", size: "0x40" },
  {
    type: "map",
    dev: "00:03.0",
    iommu: "i",
    domain: 1,
    addr: "0x1000",
    size: "0x1000",
    pa: "0x2000",
    access: "rw",
    ts: 1.5,
    assumed: ["access"],
  },
  {
    type: "unmap",
    dev: "00:03.0",
    iommu: "i",
    domain: 1,
    addr: "0x1000",
    size: "0x1000",
    ts: 2,
    assumed: [],
  },
  {
    type: "loss",
    what: "events",
    severity: "error",
    count: 3,
    first_line: 7,
    message: "3 events were dropped",
  },
  { type: "mark", label: "unmap" },
];

describe("the JSON Schema of input records", () => {
  test.each(COMPLETE)("takes what the reader takes: $type", async (record) => {
    expect(await refusal(record)).toBe("");
    expect(validate(record), ajv.errorsText(validate.errors)).toBe(true);
  });

  test("describes every type once, and no other", () => {
    expect(Object.keys(inputSchema().$defs as object).sort()).toEqual(
      COMPLETE.map((record) => record.type).sort(),
    );
    for (const type of ["new-thing", "constructor", "__proto__"]) expect(validate({ type, x: 1 })).toBe(true);
    expect(validate({})).toBe(false);
    expect(validate([])).toBe(false);
  });

  test("describes every field of each type", () => {
    const definitions = inputSchema().$defs as Record<string, { properties: object }>;
    for (const record of COMPLETE)
      for (const field of Object.keys(record))
        expect(Object.keys(definitions[record.type as string]!.properties)).toContain(field);
  });

  test("agrees with the reader on records with one thing wrong", async () => {
    const odd = fc.oneof(
      fc.constantFrom<unknown>(
        null,
        true,
        0,
        -1,
        1,
        2,
        3,
        6,
        7,
        20,
        255,
        256,
        1.5,
        1048575,
        1048576,
        2 ** 32 - 1,
        2 ** 32,
        2 ** 53,
        "",
        "0x",
        "0x0",
        "0xG",
        "0x12345678901234567",
        "1234",
        "0X1F",
        "00:03.0",
        "00:20.0",
        "0:03.0",
        "sid:1",
        "r",
        "amd",
        "host",
        "PASID_TABLE_FORMAT_HOST",
        "abc",
        "ok",
        {},
        [],
        ["0x1"],
        ["0x1", "0x2"],
        ["0x1", 2],
        { result: "ok" },
        undefined,
      ),
      fc.string(),
    );
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...COMPLETE),
        fc.nat(),
        fc.nat(),
        odd,
        async (record, at, inner, value) => {
          const changed = structuredClone(record);
          const fields = Object.keys(changed).filter((key) => key !== "type");
          const field = fields[at % fields.length]!;
          const child = changed[field];
          const grandchildren = typeof child === "object" && child !== null ? Object.keys(child) : [];
          const target =
            inner % 3 > 0 && grandchildren.length > 0 ? (child as Record<string, unknown>) : changed;
          const name = target === changed ? field : grandchildren[inner % grandchildren.length]!;
          target[name] = value;
          // A field that is undefined is not in the text.
          const parsed: unknown = JSON.parse(JSON.stringify(changed));
          const message = await refusal(parsed);
          if (message !== "") refused++;
          expect(validate(parsed), `${JSON.stringify(parsed)}: ${message}`).toBe(message === "");
        },
      ),
      { numRuns: 3000 },
    );
    expect(refused).toBeGreaterThan(500);
  });

  test("refuses less than the reader only where a pattern cannot count", async () => {
    const record = { type: "unbind", dev: "devid:65536" };
    expect(validate(record)).toBe(true);
    expect(await refusal(record)).toMatch(/^range unbind.dev/);
  });
});

test("the types of records come from the same declaration", () => {
  type Bind = RecordOf<"bind">;
  expectTypeOf<Bind["type"]>().toEqualTypeOf<"bind">();
  expectTypeOf<Bind["config"]["model"]>().toEqualTypeOf<
    "host" | "arm-1lvl" | "arm-2lvl" | "amd" | "intel" | "intel-ecs" | "riscv"
  >();
  expectTypeOf<RecordOf<"inv">["cache"]>().toEqualTypeOf<"all" | "context" | "pasid" | "iotlb" | "devtlb">();
  expectTypeOf<RecordOf<"mark">>().toEqualTypeOf<{ readonly type: "mark" } & { readonly label: string }>();
  expectTypeOf<Required<RecordOf<"dma">>["pasid"]>().toEqualTypeOf<number>();
});
