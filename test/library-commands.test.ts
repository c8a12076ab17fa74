import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  capabilities,
  check,
  decode,
  diff,
  explain,
  explainEntry,
  explainRecord,
  Iommu,
  inspect,
  isTraceError,
  LibraryError,
  Memory,
  structures,
} from "../pipeline/library/index.ts";
import { cli, FIXTURE, ROOT, records } from "./support/cli.ts";

const at = (path: string) => join(ROOT, path);
const INTEL = at("samples/intel/intel-11.1-fs-inval-s1.ndjson.gz");

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const value of values) out.push(value);
  return out;
}

/** As JSON has it: what is undefined is not there. */
const plain = (value: unknown) => JSON.parse(JSON.stringify(value));

describe("inspect", () => {
  test.each([
    ["samples/arm/arm-11.1-nested-4k-inval-1.ndjson.gz"],
    ["samples/riscv/riscv-ref-pd20-s1.ndjson.gz"],
  ])("gives the records of the command, ranges and faulty entries too: %s", async (path) => {
    const ran = await cli(["inspect", path, "--maps", "--faulty", "--json"]);
    expect(plain(await collect(inspect(at(path), { maps: true, faulty: true })))).toEqual(
      records(ran.stdout),
    );
  });

  test("takes a line, a filter and bounds", async () => {
    const some = await collect(inspect(INTEL, { at: 460, maps: true, limit: 1, filter: { dev: "*:04.*" } }));
    const ran = await cli([
      "inspect",
      INTEL,
      "--at",
      "460",
      "--maps",
      "--limit",
      "1",
      "--dev",
      "*:04.*",
      "--json",
    ]);
    expect(plain(some)).toEqual(records(ran.stdout));
    expect(some.filter(({ type }) => type === "map").length).toBeGreaterThan(0);
  });

  test("closes the trace where the loop is left, and refuses what makes no sense", async () => {
    for await (const record of inspect(INTEL)) {
      expect(record.type).toBe("iommu");
      break;
    }
    await expect(collect(inspect(INTEL, { filter: { addr: "nowhere" } }))).rejects.toBeInstanceOf(
      LibraryError,
    );
    await expect(collect(inspect(at("none")))).rejects.toSatisfy(isTraceError);
  });
});

describe("diff", () => {
  const a = readFileSync(FIXTURE, "utf8");
  const observed =
    '{"type":"dma","dev":"00:03.0","pasid":5,"addr":"0x7f0000000ff0","len":1,"access":"r","observed":{"result":"ok","pa":"0x1"}}';
  const b = `${a}${observed}\n`;

  test("gives differences, and what they come to at the end", async () => {
    const found = await collect(diff(Buffer.from(a), Buffer.from(b), { side: "walk" }));
    expect(found.map(({ type }) => type)).toEqual(["diff", "diff-summary"]);
    expect(found[0]).toMatchObject({
      class: "only-in-b",
      addr: "0x7f0000000ff0",
      line_b: b.trimEnd().split("\n").length,
    });
    expect(found[1]).toMatchObject({ differences: 1, by_class: { "only-in-b": 1 } });
    const expected = await collect(
      diff(Buffer.from(a), Buffer.from(b), { side: "walk", ignore: ["class=only-in-b"] }),
    );
    expect(expected).toHaveLength(1);
    expect(expected[0]).toMatchObject({ differences: 0 });
  });

  test("refuses options that make no sense, and closes what it has opened", async () => {
    for (const options of [
      { depth: "deep" },
      { align: "x" },
      { side: "both" },
      { ignore: ["x"] },
      { filter: { addr: "?" } },
    ])
      await expect(collect(diff(FIXTURE, FIXTURE, options as never))).rejects.toMatchObject({
        code: "argument",
      });
    await expect(collect(diff(FIXTURE, at("none")))).rejects.toSatisfy(isTraceError);
  });
});

describe("explain and decode", () => {
  test("say what a fault means", async () => {
    const [fault] = explain("intel", 0x71);
    expect(fault).toMatchObject({ name: "SFS.2", code: 0x71, reasons: ["PTE_FETCH"] });
    expect(fault!.causes.length).toBeGreaterThan(1);
    expect(explain("intel", "sfs.2")).toEqual([fault]);
    const all = records((await cli(["explain", "arm", "--json"])).stdout);
    expect(
      explain("arm-smmuv3")
        .map(({ name }) => name)
        .sort(),
    ).toEqual(all.map(({ name }) => name).sort());
    expect(() => explain("intel", 0x7777)).toThrow(
      "expected a code or a name of a fault of intel, found 30583",
    );
    expect(() => explain("vtd" as never)).toThrow("model: expected one of intel, ");
  });

  test("take a fault record apart", async () => {
    const words = ["0x1d00000010", "0x900000000", "0x7f001000", "0"];
    const [record, ...faults] = records(
      (await cli(["explain", "arm", "--event", ...words, "--json"])).stdout,
    );
    const explained = explainRecord("arm-smmuv3", words.map(BigInt));
    expect(explained).toMatchObject({ code: Number(record.code), structure: record.structure });
    expect(explained.fields.map(({ name }) => name)).toEqual(Object.keys(record.fields));
    expect(explained.faults.map(({ name, causes }) => ({ name, causes }))).toEqual(
      faults.map(({ name, causes }) => ({ name, causes })),
    );
    expect(() => explainRecord("arm-smmuv3", [1n])).toThrow("words: expected 4, found 1");
  });

  test("take a table entry apart", () => {
    const entry = explainEntry("intel", "vt-d scalable-mode pasid table entry", [0x4009n, 0x11n]);
    const value = (name: string) => entry.fields.find((field) => field.name === name)!.value;
    expect([value("P"), value("DID")]).toEqual([1n, 0x11n]);
    expect(structures("intel")).toContain(entry.structure);
    expect(() => explainEntry("intel", "nothing", [1n])).toThrow("structure: expected one of VT-d ");
    expect(() => explainEntry("intel", entry.structure, [2n ** 64n])).toThrow(
      "words[0]: expected a 64-bit number",
    );
  });

  test("say what a command does", async () => {
    const [expected] = records((await cli(["decode", "vtd", "0x50022", "0", "--json"])).stdout);
    const command = decode("intel", [0x50022n, 0n]);
    expect(command).toMatchObject({
      name: expected.name,
      text: expected.text,
      covers: expected.covers,
      problems: expected.problems,
    });
    expect(decode("intel", [0xa000_0000_0000_0000n], "CCMD_REG")).toMatchObject({
      name: "CCMD_REG",
      problems: [],
    });
    expect(() => decode("intel", [1n], "rtaddr")).toThrow("register: expected one of ");
  });
});

describe("capabilities and check", () => {
  const trace = at("samples/bind/entry-update.ndjson");

  test("say what a host can do, and an Iommu takes it", async () => {
    const { iommus, problems } = await capabilities(INTEL);
    const [expected] = records((await cli(["caps", INTEL, "--json"])).stdout);
    expect(problems).toEqual([]);
    const [iommu] = iommus;
    expect(iommu).toMatchObject({ id: expected.iommu, model: "intel" });
    expect(plain({ ...iommu!.limits })).toMatchObject({
      pasidBits: expected.limits.pasid_bits,
      nested: expected.limits.nested,
    });
    expect(
      Object.entries(iommu!.registers).map(([name, value]) => [name, `0x${value.toString(16)}`]),
    ).toEqual(
      expect.arrayContaining(
        Object.entries(expected.registers).map(([name, register]) => [
          name,
          (register as { value: string }).value,
        ]),
      ),
    );
    const { registers, props } = iommu!;
    expect(
      new Iommu(iommu!.model, new Memory(), { registers, props }).walk({ device: "00:01.0", address: 0n })
        .result,
    ).toBeDefined();
    await expect(capabilities(at("README.md"))).rejects.toThrow();
    expect((await capabilities(trace)).iommus).toHaveLength(1);
  });

  test("find what speaks against a binding", () => {
    const config = { model: "intel", base_ptr: "0x48000040" };
    const findings = check(config, { model: "intel" });
    expect(findings.map(({ rule }) => rule.id)).toEqual(["bind-base-alignment"]);
    expect(check({ ...config, base_ptr: "0x48000000" }, { model: "intel" })).toEqual([]);
    expect(check(Buffer.from(JSON.stringify(config)), { model: "intel" })).toEqual(findings);
    const empty = new Memory();
    expect(check({ ...config, base_ptr: "0x48000000" }, { model: "intel" }, empty).length).toBeGreaterThan(0);
    expect(() => check({ model: "none" }, { model: "intel" })).toThrow(LibraryError);
  });
});
