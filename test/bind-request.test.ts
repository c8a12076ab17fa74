import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as C_STRUCTURES from "../parsers/bind/c-structures.ts";
import { readRequest } from "../parsers/bind/read-request.ts";
import { stateOf } from "../parsers/caps/host.ts";
import { checkBind } from "../pipeline/bind-check/check-bind.ts";
import { Layout } from "../walkers/layout.ts";
import { BIND_RULES } from "../walkers/pasid-tables/bind-rules.ts";
import { VENDORS } from "../walkers/registry.ts";
import { SEVERITIES } from "../walkers/tables/rule.ts";
import {
  amdvi,
  answerOf,
  bytesOf,
  intel,
  packed,
  riscv,
  ruleIds,
  smmu,
  type TestHost,
} from "./support/bind-question.ts";
import { TableMemory } from "./support/table-memory.ts";

const hexBytes = (digits: string) => Buffer.from(digits.replace(/\s/g, ""), "hex");

describe("the C bytes of pasid_table_config", () => {
  // version 1, bytes 32, PASID_TABLE_FORMAT_ARM_2LVL, padding, base_ptr 0x1234567890abcd00, 16 bits, s1fmt 1, s1dss 2.
  const WITH_MODEL = "01000000 20000000 02000000 00000000 00cdab9078563412 10 01 02 0000000000";
  // version 1, bytes 24, base_ptr, 20 bits.
  const WITHOUT_MODEL = "01000000 18000000 0060453412000000 14 00000000000000";

  it("with model", () => {
    expect(readRequest(hexBytes(WITH_MODEL))).toEqual({
      kind: "pasid_table_config",
      version: 1,
      bytes: 32,
      passed: 32,
      model: "arm-2lvl",
      base: 0x1234_5678_90ab_cd00n,
      pasidBits: 16,
      arm: { s1fmt: 1, s1dss: 2 },
    });
  });

  it("the older layout, told by its bytes", () => {
    expect(readRequest(hexBytes(WITHOUT_MODEL))).toEqual({
      kind: "pasid_table_config",
      version: 1,
      bytes: 24,
      passed: 24,
      base: 0x12_3445_6000n,
      pasidBits: 20,
    });
  });

  it("as hex digits with space between them, and behind a byte order mark", () => {
    const digits = WITH_MODEL.match(/[0-9a-f]{2}/g)!.join(" ");
    expect(readRequest(Buffer.from(`\ufeff${digits}\n`))).toEqual(readRequest(hexBytes(WITH_MODEL)));
    expect(readRequest(Buffer.from(WITH_MODEL.toUpperCase()))).toEqual(readRequest(hexBytes(WITH_MODEL)));
  });

  it.each([
    [26, { s1fmt: 1 }],
    [27, { s1fmt: 1, s1dss: 2 }],
    [25, undefined],
  ])("with bytes %i the Arm fields that are there are %o", (bytes, arm) => {
    const raw = hexBytes(WITH_MODEL);
    raw[4] = bytes;
    const request = readRequest(raw);
    expect(request).toMatchObject({ bytes, model: "arm-2lvl" });
    expect((request as { arm?: object }).arm).toEqual(arm);
  });

  it("for another model the bytes behind pasid_bits are padding, unless something is in them", () => {
    const raw = hexBytes(WITH_MODEL);
    raw[8] = 4;
    expect(readRequest(raw)).toMatchObject({ model: "intel", arm: { s1fmt: 1, s1dss: 2 } });
    raw[25] = 0;
    raw[26] = 0;
    expect(readRequest(raw)).not.toHaveProperty("arm");
  });

  it("what is too short says so", () => {
    expect(readRequest(hexBytes(WITH_MODEL).subarray(0, 20))).toContain("expected the 32 bytes");
    expect(readRequest(hexBytes(WITH_MODEL).subarray(0, 12))).toContain("found 12 bytes");
    expect(readRequest(new Uint8Array(0))).toContain("found nothing");
    expect(readRequest(Buffer.from("  \n"))).toContain("white space");
    expect(readRequest(Buffer.from("hello"))).toContain("other text");
    expect(readRequest(Buffer.from("abc"))).toContain("other text");
    expect(readRequest(Buffer.from('{"model":'))).toContain("breaks off");
  });
});

describe("declarations", () => {
  const layouts: readonly Layout[] = [
    ...Object.values(C_STRUCTURES).filter((declared) => declared instanceof Layout),
    ...Object.values(VENDORS).flatMap(({ host }) => [
      ...Object.values(host.registers),
      ...(host.hwInfo === null ? [] : [host.hwInfo.layout]),
    ]),
  ];

  it.each(layouts.map((layout) => [layout.name, layout] as const))(
    "%s: fields lie in it, apart",
    (_name, layout) => {
      const taken = new Set<number>();
      for (const field of layout.names()) {
        for (const [high, low] of layout.fields[field]!.parts) {
          expect(high).toBeLessThan(layout.bytes * 8);
          for (let bit = low; bit <= high; bit++) {
            expect(taken.has(bit)).toBe(false);
            taken.add(bit);
          }
        }
      }
    },
  );
});

describe("iommufd's structures", () => {
  const wordsOf = (request: unknown) => {
    const { view } = request as { view: DataView };
    return Array.from({ length: view.byteLength / 8 }, (_, i) => view.getBigUint64(8 * i, true));
  };

  it("iommu_hwpt_vtd_s1", () => {
    const raw = hexBytes("0500000000000000 0060453412000000 39000000 00000000");
    const json = Buffer.from('{"flags":5,"pgtbl_addr":"0x1234456000","addr_width":57}');
    for (const request of [readRequest(raw), readRequest(json)]) {
      expect(request).toMatchObject({ kind: "iommu_hwpt", owner: "intel" });
      expect(wordsOf(request)).toEqual([5n, 0x12_3445_6000n, 57n]);
    }
    const reserved = readRequest(Buffer.from('{"pgtbl_addr":0,"addr_width":48,"__reserved":3}'));
    expect(wordsOf(reserved)).toEqual([0n, 0n, 48n | (3n << 32n)]);
  });

  it("iommu_hwpt_arm_smmuv3 is two words of an STE", () => {
    const raw = packed([0x8000_0000_4000_004bn, 8], [2n, 8]);
    const json = Buffer.from('{"ste":["0x800000004000004b","0x2"]}');
    for (const request of [readRequest(raw), readRequest(json)]) {
      expect(request).toMatchObject({ kind: "iommu_hwpt", owner: "arm-smmuv3" });
      expect(wordsOf(request)).toEqual([0x8000_0000_4000_004bn, 2n]);
    }
    expect(readRequest(Buffer.from('{"ste":["0x1"]}'))).toContain("ste: expected an array of 2");
  });

  it("an STE that is not valid aborts, whatever else is in it", () => {
    const request = packed([0xffff_ffff_ffff_fffen, 8], [0xffff_ffff_ffff_ffffn, 8]);
    expect(ruleIds({ request, host: smmu() })).toEqual([]);
  });

  it("an STE's table is checked as a bound one: 2^8 CDs at an address aligned to 64 bytes alone", () => {
    const word = 1n | (5n << 1n) | (8n << 59n);
    expect(ruleIds({ request: packed([word | 0x4000_0040n, 8], [0n, 8]), host: smmu() })).toEqual([
      "bind-base-alignment",
    ]);
    expect(ruleIds({ request: packed([word | 0x4000_4000n, 8], [0n, 8]), host: smmu() })).toEqual([]);
  });
});

describe("JSON", () => {
  it("takes a bind record, with its second stage inside or beside", () => {
    const config = { model: "INTEL", base_ptr: "0X0000000040000000", pasid_bits: 9 };
    const record = { type: "bind", dev: "00:03.0", config, stage2: { format: "vtd-ss", root: "0x1000" } };
    expect(readRequest(bytesOf(record))).toEqual({
      kind: "pasid_table_config",
      model: "intel",
      base: 0x4000_0000n,
      pasidBits: 9,
      parent: { format: "vtd-ss", root: 0x1000n },
    });
  });

  it.each([
    ["PASID_TABLE_FORMAT_ARM_2LVL", "arm-2lvl"],
    ["arm-2lvl", "arm-2lvl"],
    [2, "arm-2lvl"],
    ["_INTEL_ECS", undefined],
    ["PASID_TABLE_FORMAT_INTEL_ECS", "intel-ecs"],
  ])("model %s is %s", (model, expected) => {
    const request = readRequest(bytesOf({ model, base_ptr: "0x0" }));
    expect((request as { model?: string }).model).toBe(expected);
  });

  it.each([
    [[], "expected a JSON object"],
    [{}, "expected the fields"],
    [{ cap: "0x0" }, "found cap"],
    [{ base_ptr: "4000" }, 'base_ptr: expected "0x"'],
    [{ base_ptr: "0x0", pasid_bits: 256 }, "pasid_bits: expected an integer 0 to 255"],
    [{ base_ptr: "0x0", arm: { s1fmt: -1 } }, "arm.s1fmt: expected an integer"],
    [{ base_ptr: "0x0", model: true }, "model: expected an enumerator"],
    [{ pgtbl_addr: "0x0" }, "addr_width: expected"],
  ])("%j is refused", (value, message) => {
    expect(readRequest(bytesOf(value))).toContain(message);
  });
});

describe("the kernel list's own cases", () => {
  it("a pointer aligned to 64 bytes is right for SMMUv3 and wrong for VT-d", () => {
    const fields = { base_ptr: "0x40000040", pasid_bits: 0 };
    expect(ruleIds({ request: { model: "arm-1lvl", ...fields }, host: smmu() })).toEqual([
      "bind-pasid-bits-zero",
    ]);
    expect(ruleIds({ request: { model: "intel", ...fields }, host: intel() })).toEqual([
      "bind-pasid-bits-zero",
      "bind-base-alignment",
    ]);
  });

  it("a TypeA table on a TypeB IOMMU is said to be one, and nothing else is made of it", () => {
    const request = { model: "arm-2lvl", base_ptr: "0xfffffffffffffff1", pasid_bits: 200, arm: { s1fmt: 0 } };
    for (const host of [intel(), amdvi(), riscv()])
      expect(ruleIds({ request, host })).toEqual(["bind-model-mismatch"]);
  });

  it.each([
    ["intel", intel()],
    ["intel-ecs", { ...intel(), props: { ecs: 1 } }],
    ["arm-1lvl", smmu()],
    ["arm-2lvl", smmu()],
    ["amd", amdvi()],
    ["riscv", riscv()],
  ] as [string, TestHost][])("an all-zero table of model %s is no finding", (model, host) => {
    const memory = new TableMemory();
    memory.ram(0x4000_0000n, 0x1_0000n);
    const bits = { amd: 9, riscv: 8 }[model] ?? 10;
    const extra = { "arm-2lvl": { arm: { s1fmt: 2, s1dss: 0 } }, riscv: { riscv: { mode: "PD8" } } }[model];
    const request = { version: 1, bytes: 32, model, base_ptr: "0x40000000", pasid_bits: bits, ...extra };
    expect(ruleIds({ request, host, memory })).toEqual([]);
  });

  it("ssid_bits absent, with the other properties there: no PASIDs", () => {
    const request = { model: "arm-1lvl", base_ptr: "0x40000000", pasid_bits: 4 };
    expect(
      ruleIds({ request, host: { model: "arm-smmuv3", props: { ssid_bits: 0, asid_bits: 16 } } }),
    ).toEqual(["bind-no-pasid"]);
  });

  it("gives the table's place, for the bindings that follow", () => {
    const request = { model: "amd", base_ptr: "0x40000000", pasid_bits: 9 };
    expect(answerOf({ request, host: amdvi() }).table).toEqual({
      dev: "00:03.0",
      base: 0x4000_0000n,
      bytes: 4096,
      model: "amd",
      space: "",
    });
  });
});

describe("tables of several levels", () => {
  const BASE = 0x4000_0000n;

  it("finds the format of the last PASID of a 2-level Arm table of 4 KiB leaves", () => {
    const memory = new TableMemory();
    memory.ram(BASE, 0x1000n);
    memory.write64(BASE + 15n * 8n, 0x5000_0001n);
    memory.write64(0x5000_0000n + 63n * 64n, (1n << 31n) | (1n << 30n));
    memory.write64(0x5000_0000n + 63n * 64n + 8n, 0x6000_0000n);
    const request = { model: "arm-2lvl", base_ptr: "0x40000000", pasid_bits: 10, arm: { s1fmt: 1 } };
    const { findings } = answerOf({ request, host: smmu(), memory });
    expect(findings.map(({ rule, pasid }) => [rule.id, pasid])).toEqual([["bind-pgtable-format", 1023]]);
  });

  it("finds the one of PASID 2^17 + 300 in a three-level process directory", () => {
    const memory = new TableMemory();
    memory.ram(BASE, 0x1000n);
    memory.write64(BASE + 8n, (0x5_0000n << 10n) | 1n);
    memory.write64(0x5000_0000n + 8n, (0x5_0001n << 10n) | 1n);
    memory.write64(0x5000_1000n + 44n * 16n, 1n);
    memory.write64(0x5000_1000n + 44n * 16n + 8n, (10n << 60n) | 0x8_0000n);
    const request = { model: "riscv", base_ptr: "0x40000000", pasid_bits: 20, riscv: { mode: "PD20" } };
    const { findings } = answerOf({ request, host: riscv(), memory });
    expect(findings.map(({ rule, pasid }) => [rule.id, pasid])).toEqual([
      ["bind-pgtable-format", 2 ** 17 + 300],
    ]);
  });

  it("finds a loop in the third level of guest CR3 tables", () => {
    const memory = new TableMemory();
    memory.ram(BASE, 0x1000n);
    memory.write64(BASE + 3n * 8n, 0x5000_0001n);
    memory.write64(0x5000_0000n + 5n * 8n, BASE | 1n);
    const request = { model: "amd", base_ptr: "0x40000000", pasid_bits: 20, amd: { glx: 2 } };
    const host = amdvi(0x13_0000_9810n);
    const { findings } = answerOf({ request, host, memory });
    expect(findings.map(({ rule }) => rule.id)).toEqual(["bind-overlap-own"]);
    expect(findings[0]!.message).toContain("0x50000028");
  });

  it("a directory that points to itself everywhere ends", () => {
    const memory = new TableMemory();
    for (let i = 0n; i < 512n; i++) memory.write64(BASE + i * 8n, BASE | 1n);
    const request = { model: "amd", base_ptr: "0x40000000", pasid_bits: 20, amd: { glx: 2 } };
    expect(ruleIds({ request, host: amdvi(0x13_0000_9810n), memory })).toEqual(["bind-overlap-own"]);
  });
});

describe("whatever is given", () => {
  const hosts = [intel(), smmu(), amdvi(), riscv()].map(({ model, regs }) => ({
    model,
    state: stateOf(regs!),
  }));
  const memory = new TableMemory();
  for (let i = 0n; i < 0x400n; i++) memory.write64(i * 8n, i * 0x9e37_79b9_7f4a_7c15n);
  const known = new Set(Object.keys(BIND_RULES));

  /** Either a sentence, or findings by known rules, on every IOMMU. */
  function survives(bytes: Uint8Array): void {
    const request = readRequest(bytes);
    if (typeof request === "string") {
      if (!/expected .*found/s.test(request)) throw new Error(request);
      return;
    }
    for (const { model, state } of hosts) {
      const others = [{ dev: "00:04.0", base: 0x1000n, bytes: 8192, model: "intel", space: "" }];
      const question = { request, model, state, memory, others, dev: "00:03.0", maxEntries: 512 };
      for (const { rule, message } of checkBind(question).findings)
        if (!known.has(rule.id) || !SEVERITIES.includes(rule.severity) || !message.includes("expected"))
          throw new Error(`${rule.id}: ${message}`);
    }
  }

  it("random bytes give a sentence or findings", () => {
    fc.assert(fc.property(fc.uint8Array({ minLength: 0, maxLength: 48 }), survives), { numRuns: 1000 });
  });

  it("mutated structures give a sentence or findings", () => {
    const seeds = [
      hexBytes("01000000 20000000 02000000 00000000 0010000000000000 10 01 02 0000000000"),
      hexBytes("01000000 18000000 0010000000000000 14 00000000000000"),
      hexBytes("0500000000000000 0010000000000000 39000000 00000000"),
      packed([0x8000_0000_0000_100bn, 8], [2n, 8]),
    ];
    const mutation = fc.record({
      seed: fc.nat(seeds.length - 1),
      flips: fc.array(fc.tuple(fc.nat(31), fc.nat(255)), { maxLength: 6 }),
      length: fc.nat(40),
    });
    fc.assert(
      fc.property(mutation, ({ seed, flips, length }) => {
        const bytes = new Uint8Array(length < 8 ? seeds[seed]!.length : length);
        bytes.set(seeds[seed]!.subarray(0, bytes.length));
        for (const [at, value] of flips) if (at < bytes.length) bytes[at] = value;
        survives(bytes);
      }),
      { numRuns: 1000 },
    );
  });

  it("JSON of any kind gives a sentence or findings", () => {
    const number = fc.oneof(fc.integer({ min: -1, max: 300 }), fc.double());
    const config = fc.record(
      {
        version: number,
        bytes: number,
        model: fc.oneof(
          fc.constantFrom("intel", "arm-1lvl", "arm-2lvl", "amd", "riscv", "host"),
          fc.string(),
        ),
        base_ptr: fc.oneof(
          fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map((n) => `0x${n.toString(16)}`),
          fc.jsonValue(),
        ),
        pasid_bits: number,
        arm: fc.oneof(fc.record({ s1fmt: number, s1dss: number }), fc.jsonValue()),
        amd: fc.record({ glx: fc.nat(255), paging_levels: fc.nat(9) }),
        riscv: fc.record({ mode: fc.constantFrom("PD8", "PD17", "PD20", "PD9") }),
        stage2: fc.record({ levels: fc.nat(255), t0sz: fc.nat(255) }),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(config, fc.jsonValue()), (value) =>
        survives(Buffer.from(JSON.stringify(value) ?? "null")),
      ),
      { numRuns: 1000 },
    );
  });
});
