import { describe, expect, it } from "vitest";
import { BIND_RULES } from "../pipeline/findings/bind-rules.ts";
import { RULES } from "../pipeline/findings/registry.ts";
import {
  amdvi,
  findingsOf,
  intel,
  packed,
  riscv,
  ruleIds,
  smmu,
  type TestCase,
  type TestHost,
} from "./support/bind-question.ts";
import { TableMemory } from "./support/table-memory.ts";

type RuleId = keyof typeof BIND_RULES;

interface RuleCase {
  readonly rule: RuleId;
  readonly what: string;
  readonly hit: TestCase;
  /** Other rules that the hit breaks as well. */
  readonly also?: readonly RuleId[];
  /** Differs in one thing from the hit. */
  readonly miss: TestCase;
  /** Rules that the near miss breaks. */
  readonly missHas?: readonly RuleId[];
}

const BASE = 0x4000_0000n;

function vtd(fields: object = {}, host: TestHost = intel()): TestCase {
  return { request: { version: 1, model: "intel", base_ptr: "0x40000000", pasid_bits: 16, ...fields }, host };
}

function arm(fields: object = {}, host: TestHost = smmu()): TestCase {
  const request = {
    model: "PASID_TABLE_FORMAT_ARM_1LVL",
    base_ptr: "0x40000000",
    pasid_bits: 4,
    arm: { s1fmt: 0, s1dss: 0 },
  };
  return { request: { ...request, ...fields }, host };
}

function amd(fields: object = {}, host: TestHost = amdvi()): TestCase {
  return {
    request: { model: "amd", base_ptr: "0x40000000", pasid_bits: 9, amd: { glx: 0 }, ...fields },
    host,
  };
}

function rv(fields: object = {}, host: TestHost = riscv()): TestCase {
  const request = { model: "riscv", base_ptr: "0x40000000", pasid_bits: 8, riscv: { mode: "PD8" } };
  return { request: { ...request, ...fields }, host };
}

/** Second-stage schemes of 32-bit harts: Sv32x4 in capabilities, GXL in fctl. */
function gxl(): TestHost {
  const host = riscv();
  return {
    ...host,
    regs: { ...host.regs, capabilities: host.regs!.capabilities! | (1n << 16n), fctl: 4n },
  };
}

/** struct iommu_hwpt_vtd_s1: flags, pgtbl_addr, addr_width, __reserved. */
function vtdS1(flags = 0n, address = BASE, width = 48, reserved = 0, host = intel()): TestCase {
  return { request: packed([flags, 8], [address, 8], [width, 4], [reserved, 4]), host };
}

/** struct iommu_hwpt_arm_smmuv3: V, Config at 3:1, S1Fmt at 5:4, S1ContextPtr at 55:6, S1CDMax at 63:59. */
function ste(word0: bigint, word1 = 0n, host = smmu()): TestCase {
  return { request: packed([word0, 8], [word1, 8]), host };
}
const STAGE1 = 1n | (5n << 1n) | BASE;

/** Memory of `bytes` from the table on, with some 64-bit words in it. */
function memory(bytes: bigint, words: readonly (readonly [bigint, bigint])[] = []): TableMemory {
  const out = new TableMemory();
  out.ram(BASE, bytes);
  for (const [address, value] of words) out.write64(address, value);
  return out;
}

/** A valid CD (V at 31) with TTB1 disabled (EPD1 at 30), AA64 at 41, TG0 at 7:6, TTB0 in word 1. */
function cd(pasid: bigint, word0: bigint, ttb0 = 0x8000_0000n): readonly (readonly [bigint, bigint])[] {
  return [
    [BASE + 64n * pasid, word0 | (1n << 31n) | (1n << 30n)],
    [BASE + 64n * pasid + 8n, ttb0],
  ];
}
const AA64 = 1n << 41n;

const bound = (base: bigint, bytes: number, model = "intel", space = "") => [
  { dev: "00:04.0", base, bytes, model, space },
];
/** The directory of 16 PASID bits. */
const DIRECTORY_BYTES = 8 * 2 ** 10;

const CASES: readonly RuleCase[] = [
  { rule: "bind-version", what: "version 2", hit: vtd({ version: 2 }), miss: vtd({ version: 1 }) },
  {
    rule: "bind-bytes-small",
    what: "16 bytes end before pasid_bits of the older layout",
    hit: vtd({ bytes: 16, model: undefined }),
    miss: vtd({ bytes: 17, model: undefined }),
  },
  {
    rule: "bind-bytes-large",
    what: "33 bytes are more than any layout has",
    hit: vtd({ bytes: 33 }),
    miss: vtd({ bytes: 32 }),
  },
  {
    rule: "bind-bytes-large",
    what: "64 bytes have fields that are not there",
    hit: amd({ bytes: 64, amd: undefined }),
    miss: amd({ bytes: 64 }),
  },
  {
    rule: "bind-bytes-large",
    what: "32 bytes said, 27 passed",
    hit: {
      request: packed([1, 4], [32, 4], [4, 4], [0, 4], [BASE, 8], [16, 1], [0, 1], [0, 1]),
      host: intel(),
    },
    miss: {
      request: packed([1, 4], [27, 4], [4, 4], [0, 4], [BASE, 8], [16, 1], [0, 1], [0, 1]),
      host: intel(),
    },
  },
  {
    rule: "bind-bytes-fields",
    what: "24 bytes have no model",
    hit: vtd({ bytes: 24 }),
    miss: vtd({ bytes: 25 }),
  },
  {
    rule: "bind-bytes-fields",
    what: "an Arm table's fields end at 27 bytes",
    hit: arm({ bytes: 26 }),
    miss: arm({ bytes: 27 }),
  },
  {
    rule: "bind-bytes-fields",
    what: "32 bytes have a model",
    hit: vtd({ bytes: 32, model: undefined }),
    miss: vtd({ bytes: 24, model: undefined }),
  },
  { rule: "bind-reserved", what: "__reserved", hit: vtdS1(0n, BASE, 48, 1), miss: vtdS1() },
  { rule: "bind-reserved", what: "bit 3 of flags", hit: vtdS1(8n), miss: vtdS1(7n) },
  { rule: "bind-reserved", what: "STE bit 56", hit: ste(STAGE1 | (1n << 56n)), miss: ste(STAGE1) },
  {
    rule: "bind-reserved",
    what: "STE.STRW is the host's",
    hit: ste(STAGE1, 2n << 30n),
    miss: ste(STAGE1, 1n << 28n),
  },
  {
    rule: "bind-model-unknown",
    what: "another name",
    hit: vtd({ model: "PASID_TABLE_FORMAT_POWER" }),
    miss: vtd({ model: "PASID_TABLE_FORMAT_INTEL" }),
  },
  {
    rule: "bind-model-unknown",
    what: "the number after the last enumerator",
    hit: { request: packed([1, 4], [32, 4], [5, 4], [0, 4], [BASE, 8], [16, 8]), host: intel() },
    miss: { request: packed([1, 4], [32, 4], [4, 4], [0, 4], [BASE, 8], [16, 8]), host: intel() },
  },
  { rule: "bind-model-mismatch", what: "TypeA on TypeB", hit: arm({}, intel()), miss: arm() },
  {
    rule: "bind-model-mismatch",
    what: "HOST is whatever the host walks",
    hit: vtd({}, amdvi()),
    miss: vtd({ model: "PASID_TABLE_FORMAT_HOST" }, amdvi()),
    missHas: ["bind-pasid-bits-format"],
  },
  {
    rule: "bind-model-mismatch",
    what: "a VT-d page table on an SMMU",
    hit: vtdS1(0n, BASE, 48, 0, smmu()),
    miss: vtdS1(),
  },
  {
    rule: "bind-model-mismatch",
    what: "an STE on VT-d",
    hit: ste(STAGE1, 0n, intel()),
    miss: ste(STAGE1),
  },
  {
    rule: "bind-foreign-fields",
    what: "Arm's fields in an Intel configuration",
    hit: vtd({ arm: { s1fmt: 0 } }),
    miss: vtd({ intel: { rid_pasid: 0 } }),
  },
  {
    rule: "bind-levels",
    what: "a 1-level table of 2 levels",
    hit: arm({ arm: { s1fmt: 1 } }),
    miss: arm({ arm: { s1fmt: 0 } }),
  },
  {
    rule: "bind-levels",
    what: "a 2-level table of 1 level",
    hit: arm({ model: "arm-2lvl", arm: { s1fmt: 0 } }),
    miss: arm({ model: "arm-2lvl", arm: { s1fmt: 1 } }),
  },
  {
    rule: "bind-levels",
    what: "the reserved format",
    hit: arm({ arm: { s1fmt: 3 } }),
    miss: arm({ arm: { s1fmt: 0 } }),
  },
  {
    rule: "bind-levels",
    what: "the reserved format in an STE with substreams",
    hit: ste(STAGE1 | (3n << 4n) | (4n << 59n)),
    miss: ste(STAGE1 | (3n << 4n)),
  },
  {
    rule: "bind-format-missing",
    what: "the leaf size",
    hit: arm({ model: "arm-2lvl", arm: undefined }),
    miss: arm({ model: "arm-2lvl", arm: { s1fmt: 2 } }),
  },
  {
    rule: "bind-format-missing",
    what: "the directory's mode",
    hit: rv({ riscv: undefined }),
    miss: rv({ riscv: { mode: "PD8" } }),
  },
  {
    rule: "bind-format-unsupported",
    what: "no scalable mode",
    hit: vtd({}, intel([43])),
    miss: vtd({}, intel([29])),
  },
  {
    rule: "bind-format-unsupported",
    what: "no extended mode",
    hit: vtd({ model: "intel-ecs" }),
    miss: vtd({ model: "intel-ecs" }, { ...intel(), props: { ecs: 1 } }),
  },
  {
    rule: "bind-format-unsupported",
    what: "no 2-level tables",
    hit: arm({ model: "arm-2lvl", arm: { s1fmt: 1 } }, smmu({ idr0: 0x1_148bn })),
    miss: arm({ model: "arm-2lvl", arm: { s1fmt: 1 } }, smmu({ idr0: 0x9_148bn })),
  },
  {
    rule: "bind-format-unsupported",
    what: "no stage 1",
    hit: arm({}, smmu({ idr0: 0x8_1489n })),
    miss: arm({}, smmu({ idr0: 0x8_148bn })),
  },
  {
    rule: "bind-format-unsupported",
    what: "three levels where GLXSup says two",
    hit: amd({ amd: { glx: 2 } }, amdvi(0xf_0000_5810n)),
    miss: amd({ amd: { glx: 1 } }, amdvi(0xf_0000_5810n)),
  },
  {
    rule: "bind-format-unsupported",
    what: "PD20",
    hit: rv({ riscv: { mode: "PD20" } }, riscv([40])),
    miss: rv({ riscv: { mode: "PD17" } }, riscv([40])),
  },
  {
    rule: "bind-no-pasid",
    what: "ssid_bits 0",
    hit: arm({}, { model: "arm-smmuv3", props: { ssid_bits: 0 } }),
    miss: arm({}, { model: "arm-smmuv3", props: { ssid_bits: 4 } }),
  },
  { rule: "bind-no-pasid", what: "ECAP.PASID 0", hit: vtd({}, intel([40])), miss: vtd({}, intel([42])) },
  {
    rule: "bind-no-pasid",
    what: "no GTSup",
    hit: amd({}, amdvi(0xf_0000_9800n)),
    also: ["bind-format-unsupported"],
    miss: amd({}, amdvi(0xf_0000_9810n)),
  },
  { rule: "bind-pasid-bits-zero", what: "0", hit: vtd({ pasid_bits: 0 }), miss: vtd({ pasid_bits: 1 }) },
  {
    rule: "bind-pasid-bits-host",
    what: "SSIDSIZE is 16",
    hit: arm({ pasid_bits: 17 }),
    miss: arm({ pasid_bits: 16 }),
  },
  {
    rule: "bind-pasid-bits-host",
    what: "the property overrides PSS",
    hit: vtd({ pasid_bits: 16 }, { ...intel(), props: { pasid_bits: 15 } }),
    miss: vtd({ pasid_bits: 15 }, { ...intel(), props: { pasid_bits: 15 } }),
  },
  {
    rule: "bind-pasid-bits-host",
    what: "S1CDMax",
    hit: ste(STAGE1 | (17n << 59n)),
    miss: ste(STAGE1 | (16n << 59n)),
  },
  {
    rule: "bind-pasid-bits-format",
    what: "one level of 9 bits",
    hit: amd({ pasid_bits: 10 }),
    miss: amd({ pasid_bits: 9 }),
  },
  {
    rule: "bind-pasid-bits-format",
    what: "two levels of 9 bits",
    hit: amd({ pasid_bits: 19, amd: { glx: 1 } }, amdvi(0x1f_0000_9810n)),
    miss: amd({ pasid_bits: 18, amd: { glx: 1 } }, amdvi(0x1f_0000_9810n)),
  },
  {
    rule: "bind-pasid-bits-format",
    what: "PD8 has 8 bits",
    hit: rv({ pasid_bits: 9 }),
    miss: rv({ pasid_bits: 8 }),
  },
  {
    rule: "bind-pasid-bits-format",
    what: "a PASID has 20 bits",
    hit: vtd({ pasid_bits: 21 }),
    also: ["bind-pasid-bits-host"],
    miss: vtd({ pasid_bits: 20 }),
  },
  {
    rule: "bind-rid-pasid",
    what: "beyond the table",
    hit: vtd({ pasid_bits: 4, intel: { rid_pasid: 16 } }),
    miss: vtd({ pasid_bits: 4, intel: { rid_pasid: 15 } }),
  },
  {
    rule: "bind-rid-pasid",
    what: "without RPS",
    hit: vtd({ intel: { rid_pasid: 1 } }, intel([49])),
    miss: vtd({ intel: { rid_pasid: 0 } }, intel([49])),
  },
  {
    rule: "bind-base-alignment",
    what: "VT-d: 4 KiB",
    hit: vtd({ base_ptr: "0x40000040" }),
    miss: vtd({ base_ptr: "0x40001000" }),
  },
  {
    rule: "bind-base-alignment",
    what: "AMD: 4 KiB",
    hit: amd({ base_ptr: "0x40000800" }),
    miss: amd({ base_ptr: "0x40001000" }),
  },
  {
    rule: "bind-base-alignment",
    what: "RISC-V: a page",
    hit: rv({ base_ptr: "0x40000fc0" }),
    miss: rv({ base_ptr: "0x40003000" }),
  },
  {
    rule: "bind-base-alignment",
    what: "a linear table of 16 CDs: its size, 1 KiB",
    hit: arm({ base_ptr: "0x40000200" }),
    miss: arm({ base_ptr: "0x40000400" }),
  },
  {
    rule: "bind-base-alignment",
    what: "64 level 1 descriptors: their size, 512 bytes",
    hit: arm({ model: "arm-2lvl", arm: { s1fmt: 1 }, pasid_bits: 12, base_ptr: "0x40000100" }),
    miss: arm({ model: "arm-2lvl", arm: { s1fmt: 1 }, pasid_bits: 12, base_ptr: "0x40000200" }),
  },
  {
    rule: "bind-base-alignment",
    what: "one level 1 descriptor: 64 bytes",
    hit: arm({ model: "arm-2lvl", arm: { s1fmt: 2 }, pasid_bits: 10, base_ptr: "0x40000020" }),
    miss: arm({ model: "arm-2lvl", arm: { s1fmt: 2 }, pasid_bits: 10, base_ptr: "0x40000040" }),
  },
  {
    rule: "bind-base-alignment",
    what: "a page table of iommufd",
    hit: vtdS1(0n, BASE + 0x800n),
    miss: vtdS1(0n, BASE + 0x1000n),
  },
  {
    rule: "bind-base-range",
    what: "IDR5.OAS is 48 bits",
    hit: arm({ base_ptr: "0x1000000000000" }),
    miss: arm({ base_ptr: "0xfffffffffc00" }),
  },
  {
    rule: "bind-base-range",
    what: "the end is beyond output_bits",
    hit: vtd({ base_ptr: "0x7ffffff000" }, { ...intel(), props: { output_bits: 39 } }),
    miss: vtd({ base_ptr: "0x7fffffe000" }, { ...intel(), props: { output_bits: 39 } }),
  },
  {
    rule: "bind-base-range",
    what: "the input of a second stage of three levels is 39 bits",
    hit: vtd({ base_ptr: "0x8000000000", stage2: { format: "vtd-ss", root: "0x1000", levels: 3 } }),
    miss: vtd({ base_ptr: "0x8000000000", stage2: { format: "vtd-ss", root: "0x1000", levels: 4 } }),
  },
  {
    rule: "bind-base-range",
    what: "a page table beyond MGAW",
    hit: vtdS1(0n, 1n << 57n),
    miss: vtdS1(0n, 1n << 56n),
  },
  {
    rule: "bind-s1dss-reserved",
    what: "3",
    hit: arm({ arm: { s1fmt: 0, s1dss: 3 } }),
    miss: arm({ arm: { s1fmt: 0, s1dss: 2 } }),
  },
  {
    rule: "bind-s1dss-ignored",
    what: "without substreams",
    hit: arm({ pasid_bits: 0, arm: { s1fmt: 0, s1dss: 1 } }),
    also: ["bind-pasid-bits-zero"],
    miss: arm({ pasid_bits: 0, arm: { s1fmt: 0, s1dss: 0 } }),
    missHas: ["bind-pasid-bits-zero"],
  },
  {
    rule: "bind-ste-config",
    what: "stage 2 is the host's",
    hit: ste(1n | (6n << 1n)),
    miss: ste(1n | (4n << 1n)),
  },
  {
    rule: "bind-ste-config",
    what: "split-stage ATS",
    hit: ste(STAGE1, 2n << 28n),
    miss: ste(STAGE1, 1n << 28n),
  },
  {
    rule: "bind-flag-unsupported",
    what: "SRE without SRS",
    hit: vtdS1(1n, BASE, 48, 0, intel([31])),
    miss: vtdS1(2n, BASE, 48, 0, intel([31])),
  },
  {
    rule: "bind-flag-unsupported",
    what: "EAFE without EAFS",
    hit: vtdS1(2n, BASE, 48, 0, intel([34])),
    miss: vtdS1(1n, BASE, 48, 0, intel([34])),
  },
  {
    rule: "bind-flag-unsupported",
    what: "S1STALLD where nothing stalls",
    hit: ste(STAGE1, 1n << 27n, smmu({ idr0: 0x108_148bn })),
    miss: ste(STAGE1, 1n << 27n, smmu({ idr0: 0x008_148bn })),
  },
  {
    rule: "bind-flag-unsupported",
    what: "EATS without ATS",
    hit: ste(STAGE1, 1n << 28n, smmu({ idr0: 0x8_108bn })),
    miss: ste(STAGE1, 1n << 28n, smmu({ idr0: 0x8_148bn })),
  },
  {
    rule: "bind-nested-unsupported",
    what: "VT-d without NEST",
    hit: vtd({ stage2: { format: "vtd-ss", root: "0x1000" } }, intel([26])),
    miss: vtd({}, intel([26])),
  },
  {
    rule: "bind-nested-unsupported",
    what: "a page table of iommufd without NEST",
    hit: vtdS1(0n, BASE, 48, 0, intel([26])),
    miss: vtdS1(0n, BASE, 48, 0, intel([25])),
  },
  {
    rule: "bind-nested-unsupported",
    what: "an SMMU without stage 2",
    hit: ste(STAGE1, 0n, smmu({ idr0: 0x8_148an })),
    miss: ste(STAGE1, 0n, smmu({ idr0: 0x8_148bn })),
  },
  {
    rule: "bind-nested-unsupported",
    what: "AMD without GCR3TRPMode",
    hit: amd(
      { stage2: { format: "amdv1", root: "0x1000", levels: 4 } },
      { ...amdvi(), props: { gcr3trpmodesup: 0 } },
    ),
    miss: amd({ stage2: { format: "amdv1", root: "0x1000", levels: 4 } }),
  },
  {
    rule: "bind-nested-unsupported",
    what: "RISC-V without a second stage",
    hit: rv({ stage2: { format: "riscv-x4", root: "0x4000", levels: 3 } }, riscv([17, 18])),
    miss: rv({ stage2: { format: "riscv-x4", root: "0x4000", levels: 3 } }, riscv([18])),
  },
  {
    rule: "bind-nested-unsupported",
    what: "RISC-V without Sv39x4",
    hit: rv({ stage2: { format: "riscv-x4", root: "0x4000", levels: 3 } }, riscv([17])),
    miss: rv({ stage2: { format: "riscv-x4", root: "0x4000", levels: 4 } }, riscv([17])),
  },
  {
    rule: "bind-nested-unsupported",
    what: "RISC-V with fctl.GXL and Sv39x4",
    hit: rv({ stage2: { format: "riscv-x4", root: "0x4000", levels: 3 } }, gxl()),
    miss: rv({ stage2: { format: "riscv-x4", root: "0x4000", levels: 2 } }, gxl()),
  },
  {
    rule: "bind-base-range",
    what: "RISC-V beyond the 41 bits of Sv39x4",
    hit: rv({ base_ptr: "0x20000000000", stage2: { format: "riscv-x4", root: "0x4000" } }, riscv([18])),
    miss: rv({ base_ptr: "0x1fffffff000", stage2: { format: "riscv-x4", root: "0x4000" } }, riscv([18])),
  },
  {
    rule: "bind-pgtable-format",
    what: "VMSAv8-32 where TTF has VMSAv8-64 alone",
    hit: { ...arm(), memory: memory(0x1000n, cd(3n, 0n)) },
    miss: { ...arm(), memory: memory(0x1000n, cd(3n, AA64)) },
  },
  {
    rule: "bind-pgtable-format",
    what: "VMSAv8-64 where pgtable_format has v7s alone",
    hit: {
      ...arm({}, { ...smmu(), props: { pgtable_format: ["v7s"] } }),
      memory: memory(0x1000n, cd(3n, AA64)),
    },
    miss: {
      ...arm({}, { ...smmu(), props: { pgtable_format: ["v7s", "lpae-64"] } }),
      memory: memory(0x1000n, cd(3n, AA64)),
    },
  },
  {
    rule: "bind-pgtable-format",
    what: "a 16 KiB granule",
    hit: { ...arm(), memory: memory(0x1000n, cd(3n, AA64 | (2n << 6n))) },
    miss: { ...arm(), memory: memory(0x1000n, cd(3n, AA64 | (1n << 6n))) },
  },
  {
    rule: "bind-pgtable-format",
    what: "five levels of a first stage without FS5LP",
    hit: {
      ...vtd({}, intel([], [60])),
      memory: memory(0x3000n, [
        [BASE, (BASE + 0x2000n) | 1n],
        [BASE + 0x2000n, 1n | (1n << 6n)],
        [BASE + 0x2010n, 0x8000_0004n],
      ]),
    },
    miss: {
      ...vtd({}, intel([], [60])),
      memory: memory(0x3000n, [
        [BASE, (BASE + 0x2000n) | 1n],
        [BASE + 0x2000n, 1n | (1n << 6n)],
        [BASE + 0x2010n, 0x8000_0000n],
      ]),
    },
  },
  {
    rule: "bind-pgtable-format",
    what: "a width that no first stage has",
    hit: vtdS1(0n, BASE, 39),
    miss: vtdS1(0n, BASE, 57),
  },
  {
    rule: "bind-pgtable-format",
    what: "57 bits without FS5LP",
    hit: vtdS1(0n, BASE, 57, 0, intel([], [60])),
    miss: vtdS1(0n, BASE, 48, 0, intel([], [60])),
  },
  {
    rule: "bind-pgtable-format",
    what: "five guest levels where GATS says four",
    hit: amd({ amd: { glx: 0, paging_levels: 5 } }, amdvi(0xf_0000_8810n)),
    miss: amd({ amd: { glx: 0, paging_levels: 4 } }, amdvi(0xf_0000_8810n)),
  },
  {
    rule: "bind-pgtable-format",
    what: "Sv57 in a process context",
    hit: {
      ...rv(),
      memory: memory(0x1000n, [
        [BASE, 1n],
        [BASE + 8n, (10n << 60n) | 0x8_0000n],
      ]),
    },
    miss: {
      ...rv(),
      memory: memory(0x1000n, [
        [BASE, 1n],
        [BASE + 8n, (9n << 60n) | 0x8_0000n],
      ]),
    },
  },
  {
    rule: "bind-extent-hole",
    what: "the second page of a directory",
    hit: { ...vtd(), memory: memory(0x1000n) },
    miss: { ...vtd(), memory: memory(0x2000n) },
  },
  {
    rule: "bind-overlap-binding",
    what: "its second page is another's first",
    hit: { ...vtd(), others: bound(BASE + 0x1000n, DIRECTORY_BYTES) },
    miss: { ...vtd(), others: bound(BASE + 0x2000n, DIRECTORY_BYTES) },
  },
  {
    rule: "bind-overlap-binding",
    what: "the same place as a table of another format",
    hit: { ...vtd(), others: bound(BASE, DIRECTORY_BYTES, "intel-ecs") },
    miss: { ...vtd(), others: bound(BASE, DIRECTORY_BYTES, "intel") },
  },
  {
    rule: "bind-overlap-binding",
    what: "the same addresses of the same guest",
    hit: { ...vtd(), others: bound(BASE + 0x1000n, DIRECTORY_BYTES, "intel", "") },
    miss: { ...vtd(), others: bound(BASE + 0x1000n, DIRECTORY_BYTES, "intel", "0x1000") },
  },
  {
    rule: "bind-overlap-own",
    what: "a directory entry points to the directory",
    hit: { ...vtd(), memory: memory(0x3000n, [[BASE + 8n, (BASE + 0x1000n) | 1n]]) },
    miss: { ...vtd(), memory: memory(0x3000n, [[BASE + 8n, (BASE + 0x2000n) | 1n]]) },
  },
  {
    rule: "bind-overlap-own",
    what: "a guest CR3 is the table of guest CR3s",
    hit: { ...amd(), memory: memory(0x2000n, [[BASE + 8n, BASE | 1n]]) },
    miss: { ...amd(), memory: memory(0x2000n, [[BASE + 8n, (BASE + 0x1000n) | 1n]]) },
  },
  {
    rule: "bind-overlap-own",
    what: "TTB0 is a context descriptor",
    hit: { ...arm(), memory: memory(0x1000n, cd(3n, AA64, BASE + 0x3c0n)) },
    miss: { ...arm(), memory: memory(0x1000n, cd(3n, AA64, BASE + 0x400n)) },
  },
];

describe("rules on bindings", () => {
  it.each(CASES)("$rule: $what", ({ rule, hit, also = [] }) => {
    expect(ruleIds(hit).sort()).toEqual([rule, ...also].sort());
  });

  it.each(CASES)("not $rule: next to $what", ({ miss, missHas = [] }) => {
    expect(ruleIds(miss)).toEqual(missHas);
  });

  it("each has an input that breaks it", () => {
    const covered = new Set<string>(CASES.map(({ rule }) => rule));
    expect(Object.keys(BIND_RULES).filter((id) => !covered.has(id))).toEqual([]);
  });

  it("each is registered, with a sentence and a source", () => {
    const registered = new Set(RULES.map(({ id }) => id));
    for (const { id, text, source } of Object.values(BIND_RULES)) {
      expect(registered).toContain(id);
      expect(text).toMatch(/^[A-Z].*\.$/);
      expect(source).not.toBe("");
    }
  });

  it("messages say the field, what was expected and what was found", () => {
    for (const { hit } of CASES) {
      for (const { message } of findingsOf(hit)) {
        expect(message).toMatch(/: expected .+/);
        expect(message.length).toBeLessThan(240);
      }
    }
  });
});
