import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostsOfJson } from "../parsers/caps/caps-json.ts";
import { type HostCapabilities, stateOf } from "../parsers/caps/host.ts";
import { limitsOf } from "../parsers/caps/host-limits.ts";
import { hostOfHwInfo } from "../parsers/caps/hw-info.ts";
import { openCapabilities } from "../parsers/caps/open-caps.ts";
import { supportedTables } from "../pipeline/bind-check/tables.ts";
import type { IommuModel } from "../walkers/models.ts";
import { VENDORS } from "../walkers/registry.ts";
import { packed } from "./support/bind-question.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pasid-caps-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, contents: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, contents);
  return path;
}

async function open(path: string): Promise<HostCapabilities> {
  const opened = await openCapabilities(path);
  if (typeof opened === "string") throw new Error(opened);
  return opened;
}

/** Fields of a register that are not zero. */
function fieldsOf(model: IommuModel, register: string, value: bigint): Record<string, number> {
  const layout = VENDORS[model].host.registers[register]!;
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, value, true);
  const fields = layout.decode(view, 0).filter((field) => field.value !== 0n);
  return Object.fromEntries(fields.map((field) => [field.name, Number(field.value)]));
}

describe("registers of real machines, field by field", () => {
  it("CAP and ECAP of a laptop", () => {
    expect(fieldsOf("intel", "cap", 0xd2008c40660462n)).toEqual({
      ND: 2,
      PLMR: 1,
      PHMR: 1,
      SAGAW: 4,
      MGAW: 38,
      ZLR: 1,
      FRO: 64,
      SSLPS: 3,
      PSI: 1,
      MAMV: 18,
      DWD: 1,
      DRD: 1,
    });
    expect(fieldsOf("intel", "ecap", 0x19e2ff0505en)).toMatchObject({
      QI: 1,
      DT: 1,
      PT: 1,
      IRO: 80,
      MHMV: 15,
      ECS: 1,
      NEST: 1,
      PRS: 1,
      PSS: 19,
      PASID: 1,
    });
  });

  it("EFR of a server, whose kernel prints PPR X2APIC NX GT IA GA PC", () => {
    expect(fieldsOf("amd", "efr", 0x58f77ef22294aden)).toMatchObject({
      PPRSUP: 1,
      XTSUP: 1,
      NXSUP: 1,
      GTSUP: 1,
      IASUP: 1,
      GASUP: 1,
      PCSUP: 1,
      HATS: 2,
      GLXSUP: 1,
      PASMAX: 15,
      USSUP: 1,
    });
    expect(fieldsOf("amd", "pci_cap", 0x190b640fn)).toEqual({
      CAPID: 15,
      CAPPTR: 0x64,
      CAPTYPE: 3,
      CAPREV: 1,
      IOTLBSUP: 1,
      EFRSUP: 1,
      CAPEXT: 1,
    });
  });

  it("IDR0 to IDR5 and IIDR, bit by bit", () => {
    expect(fieldsOf("arm-smmuv3", "idr0", 0x0d74_c89fn)).toMatchObject({
      S1P: 1,
      S2P: 1,
      TTF: 3,
      COHACC: 1,
      HTTU: 2,
    });
    expect(fieldsOf("arm-smmuv3", "idr1", (20n << 6n) | 32n)).toEqual({ SIDSIZE: 32, SSIDSIZE: 20 });
    expect(fieldsOf("arm-smmuv3", "idr2", 0x3ffn)).toEqual({ BA_VATOS: 0x3ff });
    expect(fieldsOf("arm-smmuv3", "idr5", 0x75n)).toEqual({ OAS: 5, GRAN4K: 1, GRAN16K: 1, GRAN64K: 1 });
    expect(fieldsOf("arm-smmuv3", "iidr", 0x4832_143bn)).toEqual({
      Implementer: 0x43b,
      Revision: 1,
      Variant: 2,
      ProductID: 0x483,
    });
  });
});

describe("what the registers come to", () => {
  const limits = (model: IommuModel, regs: Record<string, bigint>) => limitsOf(model, stateOf(regs));

  it("nothing known: everything is there", () => {
    for (const model of ["intel", "arm-smmuv3", "amd", "riscv"] as const) {
      const all = limits(model, {});
      expect(all.pasidBits).toBe(20);
      expect(all.noNesting).toBe("");
      expect([...all.lacking]).toEqual([]);
    }
  });

  it("a server's EFR: 16 PASID bits, two levels of guest CR3 tables", () => {
    const server = limits("amd", { efr: 0x58f77ef22294aden, efr2: 0n });
    expect(server).toMatchObject({ pasidBits: 16, outputBits: 52 });
    expect(server.noNesting).toContain("GCR3TRPMode is 0");
    expect([...server.formats]).toEqual(["x86-64"]);
  });

  it("the alignment of a table's address follows from its model", () => {
    const alignments = (model: IommuModel, regs: Record<string, bigint>) =>
      supportedTables(model, limits(model, regs)).map((format) => [format.model, ...format.alignment]);
    expect(alignments("intel", {})).toEqual([
      ["intel", 4096, 4096],
      ["intel-ecs", 4096, 4096],
    ]);
    expect(alignments("arm-smmuv3", { idr1: 10n << 6n })).toEqual([
      ["arm-1lvl", 64, 2 ** 16],
      ["arm-2lvl", 64, 64],
    ]);
    expect(alignments("amd", {})).toEqual([["amd", 4096, 4096]]);
    expect(alignments("riscv", {})).toEqual([["riscv", 4096, 4096]]);
  });

  it("RISC-V: the widest process directory", () => {
    expect(limits("riscv", { capabilities: 1n << 38n }).pasidBits).toBe(8);
    expect(limits("riscv", { capabilities: 3n << 38n }).pasidBits).toBe(17);
    expect(limits("riscv", { capabilities: 0n }).pasidBits).toBe(0);
  });

  it("RISC-V: the widest second stage", () => {
    const bits = (capabilities: bigint, fctl = 0n) => limits("riscv", { capabilities, fctl }).secondInputBits;
    expect([1n << 17n, 3n << 17n, 7n << 17n, 15n << 16n].map((caps) => bits(caps))).toEqual([41, 50, 59, 59]);
    expect(bits(15n << 16n, 4n)).toBe(34); // GXL
    expect(limits("riscv", { capabilities: 14n << 16n, fctl: 4n }).noNesting).toContain("Sv32x4");
  });
});

describe("where capabilities come from", () => {
  const CAP = { cap: "0xd2008c40660462", ecap: "0x19e2ff0505e" };
  const hexOf = (host: HostCapabilities["hosts"][number], name: string) =>
    host.state.registers.get(name)!.lo >>> 0;

  it("registers as JSON, under their names or iommufd's", async () => {
    for (const value of [
      CAP,
      { flags: 0, cap_reg: CAP.cap, ecap_reg: CAP.ecap },
      { model: "intel", regs: CAP, props: { nest: 0 } },
      [CAP],
    ]) {
      const { hosts } = await open(file("caps.json", JSON.stringify(value)));
      expect(hosts).toHaveLength(1);
      expect(hosts[0]!.model).toBe("intel");
      expect(hexOf(hosts[0]!, "ecap")).toBe(0x2ff0_505e);
    }
  });

  it("idr as an array", () => {
    const value = { flags: 0, __reserved: 0, idr: [1, "0x2", 3, 4, 5, 6], iidr: 7, aidr: "0x8" };
    const { hosts } = hostsOfJson(value) as HostCapabilities;
    expect(hosts[0]!.model).toBe("arm-smmuv3");
    expect(Object.fromEntries([...hosts[0]!.state.registers].map(([name, { lo }]) => [name, lo]))).toEqual({
      idr0: 1,
      idr1: 2,
      idr2: 3,
      idr3: 4,
      idr4: 5,
      idr5: 6,
      iidr: 7,
      aidr: 8,
    });
  });

  it.each([
    [
      "vtd",
      "intel",
      packed([1, 4], [0, 4], [0xd2008c40660462n, 8], [0x19e2ff0505en, 8]),
      "ecap",
      0x2ff0_505e,
    ],
    [
      "arm",
      "arm-smmuv3",
      packed(...Array.from({ length: 10 }, (_, i) => [0x1111 * i, 4] as const)),
      "idr5",
      0x1111 * 7,
    ],
    ["amd", "amd", packed([0x58f77ef22294aden, 8], [8, 8]), "efr2", 8],
  ])("the bytes of iommu_hw_info_%s, raw and hex", async (name, model, bytes, register, low) => {
    for (const contents of [
      bytes,
      Buffer.from(bytes)
        .toString("hex")
        .replace(/(.{8})/g, "$1\n"),
    ]) {
      const { hosts } = await open(file(`${name}.bin`, contents));
      expect(hosts[0]!.model).toBe(model);
      expect(hexOf(hosts[0]!, register)).toBe(low);
    }
  });

  it("a trace's iommu and reg records up to its first request", async () => {
    const lines = [
      { type: "iommu", id: "a", model: "intel", regs: CAP },
      { type: "iommu", id: "b", model: "arm-smmuv3", props: { ssid_bits: 3 } },
      { type: "reg", iommu: "a", name: "ecap", value: "0xf050da" },
      { type: "dma", dev: "00:03.0", addr: "0x0" },
      { type: "reg", iommu: "a", name: "ecap", value: "0x0" },
    ];
    const { hosts, problems } = await open(file("t.ndjson", lines.map((l) => JSON.stringify(l)).join("\n")));
    expect(problems).toEqual([]);
    expect(hosts.map(({ id }) => id)).toEqual(["a", "b"]);
    expect(hexOf(hosts[0]!, "ecap")).toBe(0xf0_50da);
    expect(limitsOf("arm-smmuv3", hosts[1]!.state).pasidBits).toBe(3);
  });

  it("a trace of one record, and one with a record that cannot be used", async () => {
    const one = await open(file("one.ndjson", '{"type":"iommu","id":"x","model":"amd"}\n'));
    expect(one.hosts.map(({ model }) => model)).toEqual(["amd"]);
    const bad = await open(
      file(
        "bad.ndjson",
        '{"type":"iommu","id":"x","model":"amd"}\n{"type":"iommu","id":"y","model":"via"}\n',
      ),
    );
    expect(bad.problems.join()).toContain("line 2: iommu.model: expected");
  });

  it.each([
    ["", "found nothing"],
    ["hello", "found other text"],
    ["[]", "found an empty array"],
    ["7", "expected a JSON object"],
    ["{}", "found no field"],
    ['{"rtaddr":"0x0"}', "expected a model, or registers by name"],
    ['{"model":"via"}', "model: expected"],
    ['{"cap":"12"}', 'cap: expected "0x"'],
    ['{"cap":', "line 1: "],
    ['{"type":"mark","label":"x"}', "found none"],
    ["00".repeat(30), "found 30 bytes"],
  ])("%j is told what is wrong with it", async (contents, message) => {
    expect(await openCapabilities(file("wrong", contents))).toContain(message);
  });

  it("a file that is not there is", async () => {
    await expect(openCapabilities(join(folder, "missing"))).rejects.toThrow(
      "expected capabilities of IOMMUs, found no such file",
    );
  });

  it("any bytes and any JSON are a sentence or an IOMMU", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const host = hostOfHwInfo(bytes);
        if (typeof host === "string") expect(host).toMatch(/expected .*found/);
        else limitsOf(host.model, host.state);
      }),
      { numRuns: 500 },
    );
    const registers = fc.record(
      { cap: fc.jsonValue(), efr: fc.jsonValue(), idr: fc.jsonValue(), props: fc.jsonValue() },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(registers, fc.jsonValue()), (value) => {
        const hosts = hostsOfJson(value);
        if (typeof hosts === "string") expect(hosts).toMatch(/expected .*found/s);
        else for (const { model, state } of hosts.hosts) limitsOf(model, state);
      }),
      { numRuns: 500 },
    );
  });
});
