import { describe, expect, test } from "vitest";
import { meant } from "../parsers/trace/unknown-names.ts";
import { replay, type StreamOptions } from "../pipeline/library/index.ts";
import { IOMMU_MODELS } from "../walkers/models.ts";
import { isRegister } from "../walkers/register-names.ts";
import { VENDORS } from "../walkers/registry.ts";

// biome-ignore lint/suspicious/noExplicitAny: tests look into records of all types
type Any = any;

async function run(lines: readonly (object | string)[], options: StreamOptions = {}): Promise<Any[]> {
  const text = lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`).join("");
  const out: Any[] = [];
  for await (const record of replay(Buffer.from(text), options)) out.push(record);
  return out;
}

const IOMMU = { type: "iommu", id: "d", model: "intel", regs: { rtaddr: "0x1000", gsts: "0x0" } };
const dma = (more: object = {}) => ({ type: "dma", iommu: "d", dev: "00:03.0", addr: "0x5000", ...more });
const warnings = (out: readonly Any[]) => out.filter((r) => r.rule === "unknown-name");

describe("what a name was most likely meant to be", () => {
  const known = [
    "type",
    "dev",
    "addr",
    "iommu",
    "pasid",
    "len",
    "access",
    "priv",
    "at",
    "seq",
    "ts",
    "observed",
  ];
  test.each([
    ["adress", "addr"],
    ["address", "addr"],
    ["adr", "addr"],
    ["length", "len"],
    ["device", "dev"],
    ["devs", "dev"],
    ["PASID", "pasid"],
    ["pasdi", "pasid"],
    ["io-mmu", "iommu"],
    ["acces", "access"],
    ["obsreved", "observed"],
    ["sequence", "seq"],
    ["translated", "at"],
  ])("%s: %s", (name, near) => expect(meant(name, known)).toBe(near));
  // Names that recorders write beside the contract's.
  test.each(["label", "qemu_deviation", "id", "kind", "level", "h4", "comment", "event", "tag"])(
    "%s: none of them",
    (name) => expect(meant(name, known)).toBeUndefined(),
  );
  test.each(["size", "msi", "pbmt", "iotval2", "event"])("%s of observed: none", (name) =>
    expect(
      meant(name, ["result", "pa", "code", "reason", "stage", "class", "ipa", "flags", "recorded"]),
    ).toBeUndefined(),
  );
  test("a name of a megabyte is none", () => expect(meant("a".repeat(1 << 20), known)).toBeUndefined());
});

describe("names that nothing here knows", () => {
  test("a misspelt field is one warning with its count, on either path of reading", async () => {
    const plain = JSON.stringify(dma({ acces: "w", label: "x" }));
    const escaped = plain.replace("00:03.0", "00:03\\u002e0");
    const out = await run([
      IOMMU,
      plain,
      escaped,
      plain,
      dma({ observed: { result: "ok", pa: "0x5000", resaon: "X", event: "1" } }),
    ]);
    expect(warnings(out)).toMatchObject([
      {
        line: 2,
        severity: "warning",
        count: 3,
        message: expect.stringMatching(/^dma\.acces: .*did you mean access\?$/),
      },
      {
        line: 5,
        count: 1,
        message: expect.stringMatching(/^dma\.observed\.resaon: .*did you mean reason\?$/),
      },
    ]);
    expect(out.at(-1)).toMatchObject({
      unknown_names: { "dma.acces": 3, "dma.observed.resaon": 1 },
      errors: 0,
    });
    expect(out.filter((r) => r.type === "outcome")).toHaveLength(4);
  });

  test("fields of any other name are ignored, as the contract says", async () => {
    const out = await run([
      IOMMU,
      dma({ label: "x", n: 1 }),
      dma({ label: "y" }),
      { type: "mem", addr: "0x0", data: "00", kind: "pte" },
    ]);
    expect(warnings(out)).toEqual([]);
    expect(out.at(-1)).not.toHaveProperty("unknown_names");
  });

  test("a misspelt field within a configuration, and a name out of an object's prototype", async () => {
    const config = { model: "intel", base_ptr: "0x1000", pasid_bit: 5, intel: { rid_pasids: 1 } };
    const out = await run([
      IOMMU,
      { type: "bind", dev: "00:03.0", config },
      '{"type":"mark","label":"a","__proto__":1,"valueOf":2}',
    ]);
    expect(Object.keys(out.at(-1).unknown_names)).toEqual([
      "bind.config.pasid_bit",
      "bind.config.intel.rid_pasids",
    ]);
  });

  test("a register that its IOMMU does not have, and a property that is close to one", async () => {
    const iommu = {
      ...IOMMU,
      regs: { rtadr: "0x1000", xyz: "0x0", iqa: "0x0" },
      props: { pasidbits: 5, rps: true, vendor_thing: 1 },
    };
    const out = await run([
      iommu,
      { type: "reg", iommu: "d", name: "IDR0", value: "0x0" },
      { type: "reg", iommu: "d", name: "FECTL_REG", value: "0x0" },
    ]);
    expect(out.at(-1).unknown_names).toEqual({
      "iommu.regs.rtadr": 1,
      "iommu.regs.xyz": 1,
      "iommu.props.pasidbits": 1,
      "reg.idr0": 1,
    });
    expect(warnings(out)[0].message).toContain("did you mean rtaddr?");
  });

  test("strict: each is an error, and so is a record of unknown type", async () => {
    const lines = [
      IOMMU,
      dma(),
      dma({ label: "x" }),
      { type: "dmaa", dev: "00:03.0" },
      { type: "reg", iommu: "d", name: "gsst", value: "0x0" },
      dma({ observed: { result: "ok", pa: "0x5000", event: "as the contract allows" } }),
      dma({ observed: { result: "ok", pa: "0x5000", resaon: "X" } }),
    ];
    const out = await run(lines, { strict: true });
    expect(out.filter((r) => r.type === "error").map((r) => [r.line, r.code, r.message])).toEqual([
      [3, "schema", 'dma: expected known fields, found "label"'],
      [4, "schema", 'type: expected a known record type, found "dmaa"; did you mean dma?'],
      [5, "schema", 'reg: expected known names, found "gsst"; did you mean gsts?'],
      [7, "schema", 'dma.observed: expected known fields, found "resaon"; did you mean reason?'],
    ]);
    expect(out.filter((r) => r.type === "outcome").map((r) => r.line)).toEqual([2, 6]);
  });

  test("a reason that no fault has", async () => {
    const fault = (reason: string) => ({ result: "fault", reason });
    const lines = [
      IOMMU,
      dma({ observed: fault("PTE_FECH") }),
      dma({ observed: fault("PTE_FECH") }),
      dma({ observed: fault("PERMISSION") }),
      { type: "fault", dev: "00:03.0", reason: "constructor" },
    ];
    const out = await run(lines);
    expect(out.at(-1)).toMatchObject({
      unknown_names: { "dma.observed.reason.PTE_FECH": 2, "fault.reason.constructor": 1 },
      errors: 0,
    });
    expect(warnings(out)[0].message).toMatch(/did you mean PTE_FETCH\?$/);
    const strict = (await run(lines, { strict: true })).filter((r) => r.type === "error");
    expect(strict.map((r) => r.line)).toEqual([2, 3, 5]);
    expect(strict[0].message).toMatch(
      /^dma.observed.reason: expected one of .*found "PTE_FECH"; did you mean PTE_FETCH/,
    );
  });

  test("the registers of the contract are known", () => {
    const contract = {
      intel: "cap ecap rtaddr gsts",
      "arm-smmuv3": "idr0 idr1 idr3 idr5 cr0 gbpa strtab_base strtab_base_cfg aidr",
      amd: "efr efr2 control dev_tab_base",
      riscv: "capabilities fctl ddtp",
    };
    for (const model of IOMMU_MODELS)
      for (const name of contract[model].split(" "))
        expect(isRegister(VENDORS[model].registerNames, name)).toBe(true);
  });
});

test("an IOMMU whose root register nobody gave says so once, where that matters", async () => {
  const unrooted = { ...IOMMU, regs: { gsts: "0x80000000" } };
  const out = await run([
    unrooted,
    dma(),
    dma(),
    { type: "reg", iommu: "d", name: "rtaddr", value: "0x1000" },
    dma(),
  ]);
  expect(out.filter((r) => r.rule === "no-root-register")).toMatchObject([{ line: 2, iommu: "d" }]);
  const disabled = await run([{ ...IOMMU, regs: { gsts: "0x0" } }, dma()]);
  expect(disabled.filter((r) => r.rule === "no-root-register")).toEqual([]);
  const bound = [{ type: "bind", dev: "00:03.0", config: { model: "intel", base_ptr: "0x1000" } }, dma()];
  expect((await run([unrooted, ...bound])).filter((r) => r.rule === "no-root-register")).toEqual([]);
});
