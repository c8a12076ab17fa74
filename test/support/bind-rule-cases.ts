/** For each rule on bindings, configurations that break it, each with one next to it that does not. */
import type { BIND_RULES } from "../../walkers/pasid-tables/bind-rules.ts";
import {
  AA64,
  amd,
  arm,
  BASE,
  bound,
  cd,
  DIRECTORY_BYTES,
  gxl,
  memory,
  rv,
  STAGE1,
  ste,
  vtd,
  vtdS1,
} from "./bind-configurations.ts";
import { amdvi, intel, packed, riscv, smmu, type TestCase } from "./bind-question.ts";

export type BindRuleId = keyof typeof BIND_RULES;

/** What breaks the rule, a configuration that does, and one that differs from it in that thing alone. */
export type RuleCase = readonly [
  what: string,
  hit: TestCase,
  miss: TestCase,
  /** Other rules that the two break. */
  others?: { readonly hitToo?: readonly BindRuleId[]; readonly missToo?: readonly BindRuleId[] },
];

export const BIND_RULE_CASES: { readonly [Rule in BindRuleId]: readonly RuleCase[] } = {
  "bind-version": [["version 2", vtd({ version: 2 }), vtd({ version: 1 })]],
  "bind-bytes-small": [
    [
      "16 bytes end before pasid_bits of the older layout",
      vtd({ bytes: 16, model: undefined }),
      vtd({ bytes: 17, model: undefined }),
    ],
  ],
  "bind-bytes-large": [
    ["33 bytes are more than any layout has", vtd({ bytes: 33 }), vtd({ bytes: 32 })],
    ["64 bytes have fields that are not there", amd({ bytes: 64, amd: undefined }), amd({ bytes: 64 })],
    [
      "32 bytes said, 27 passed",
      {
        request: packed([1, 4], [32, 4], [4, 4], [0, 4], [BASE, 8], [16, 1], [0, 1], [0, 1]),
        host: intel(),
      },
      {
        request: packed([1, 4], [27, 4], [4, 4], [0, 4], [BASE, 8], [16, 1], [0, 1], [0, 1]),
        host: intel(),
      },
    ],
  ],
  "bind-bytes-fields": [
    ["24 bytes have no model", vtd({ bytes: 24 }), vtd({ bytes: 25 })],
    ["an Arm table's fields end at 27 bytes", arm({ bytes: 26 }), arm({ bytes: 27 })],
    ["32 bytes have a model", vtd({ bytes: 32, model: undefined }), vtd({ bytes: 24, model: undefined })],
  ],
  "bind-reserved": [
    ["__reserved", vtdS1(0n, BASE, 48, 1), vtdS1()],
    ["bit 3 of flags", vtdS1(8n), vtdS1(7n)],
    ["STE bit 56", ste(STAGE1 | (1n << 56n)), ste(STAGE1)],
    ["STE.STRW is the host's", ste(STAGE1, 2n << 30n), ste(STAGE1, 1n << 28n)],
  ],
  "bind-model-unknown": [
    ["another name", vtd({ model: "PASID_TABLE_FORMAT_POWER" }), vtd({ model: "PASID_TABLE_FORMAT_INTEL" })],
    [
      "the number after the last enumerator",
      { request: packed([1, 4], [32, 4], [5, 4], [0, 4], [BASE, 8], [16, 8]), host: intel() },
      { request: packed([1, 4], [32, 4], [4, 4], [0, 4], [BASE, 8], [16, 8]), host: intel() },
    ],
  ],
  "bind-model-mismatch": [
    ["TypeA on TypeB", arm({}, intel()), arm()],
    [
      "HOST is whatever the host walks",
      vtd({}, amdvi()),
      vtd({ model: "PASID_TABLE_FORMAT_HOST" }, amdvi()),
      { missToo: ["bind-pasid-bits-format"] },
    ],
    ["a VT-d page table on an SMMU", vtdS1(0n, BASE, 48, 0, smmu()), vtdS1()],
    ["an STE on VT-d", ste(STAGE1, 0n, intel()), ste(STAGE1)],
  ],
  "bind-foreign-fields": [
    ["Arm's fields in an Intel configuration", vtd({ arm: { s1fmt: 0 } }), vtd({ intel: { rid_pasid: 0 } })],
  ],
  "bind-levels": [
    ["a 1-level table of 2 levels", arm({ arm: { s1fmt: 1 } }), arm({ arm: { s1fmt: 0 } })],
    [
      "a 2-level table of 1 level",
      arm({ model: "arm-2lvl", arm: { s1fmt: 0 } }),
      arm({ model: "arm-2lvl", arm: { s1fmt: 1 } }),
    ],
    ["the reserved format", arm({ arm: { s1fmt: 3 } }), arm({ arm: { s1fmt: 0 } })],
    [
      "the reserved format in an STE with substreams",
      ste(STAGE1 | (3n << 4n) | (4n << 59n)),
      ste(STAGE1 | (3n << 4n)),
    ],
  ],
  "bind-format-missing": [
    [
      "the leaf size",
      arm({ model: "arm-2lvl", arm: undefined }),
      arm({ model: "arm-2lvl", arm: { s1fmt: 2 } }),
    ],
    ["the directory's mode", rv({ riscv: undefined }), rv({ riscv: { mode: "PD8" } })],
  ],
  "bind-format-unsupported": [
    ["no scalable mode", vtd({}, intel([43])), vtd({}, intel([29]))],
    [
      "no extended mode",
      vtd({ model: "intel-ecs" }),
      vtd({ model: "intel-ecs" }, { ...intel(), props: { ecs: 1 } }),
    ],
    [
      "no 2-level tables",
      arm({ model: "arm-2lvl", arm: { s1fmt: 1 } }, smmu({ idr0: 0x1_148bn })),
      arm({ model: "arm-2lvl", arm: { s1fmt: 1 } }, smmu({ idr0: 0x9_148bn })),
    ],
    ["no stage 1", arm({}, smmu({ idr0: 0x8_1489n })), arm({}, smmu({ idr0: 0x8_148bn }))],
    [
      "three levels where GLXSup says two",
      amd({ amd: { glx: 2 } }, amdvi(0xf_0000_5810n)),
      amd({ amd: { glx: 1 } }, amdvi(0xf_0000_5810n)),
    ],
    ["PD20", rv({ riscv: { mode: "PD20" } }, riscv([40])), rv({ riscv: { mode: "PD17" } }, riscv([40]))],
  ],
  "bind-no-pasid": [
    [
      "ssid_bits 0",
      arm({}, { model: "arm-smmuv3", props: { ssid_bits: 0 } }),
      arm({}, { model: "arm-smmuv3", props: { ssid_bits: 4 } }),
    ],
    ["ECAP.PASID 0", vtd({}, intel([40])), vtd({}, intel([42]))],
    [
      "no GTSup",
      amd({}, amdvi(0xf_0000_9800n)),
      amd({}, amdvi(0xf_0000_9810n)),
      { hitToo: ["bind-format-unsupported"] },
    ],
  ],
  "bind-pasid-bits-zero": [["0", vtd({ pasid_bits: 0 }), vtd({ pasid_bits: 1 })]],
  "bind-pasid-bits-host": [
    ["SSIDSIZE is 16", arm({ pasid_bits: 17 }), arm({ pasid_bits: 16 })],
    [
      "the property overrides PSS",
      vtd({ pasid_bits: 16 }, { ...intel(), props: { pasid_bits: 15 } }),
      vtd({ pasid_bits: 15 }, { ...intel(), props: { pasid_bits: 15 } }),
    ],
    ["S1CDMax", ste(STAGE1 | (17n << 59n)), ste(STAGE1 | (16n << 59n))],
  ],
  "bind-pasid-bits-format": [
    ["one level of 9 bits", amd({ pasid_bits: 10 }), amd({ pasid_bits: 9 })],
    [
      "two levels of 9 bits",
      amd({ pasid_bits: 19, amd: { glx: 1 } }, amdvi(0x1f_0000_9810n)),
      amd({ pasid_bits: 18, amd: { glx: 1 } }, amdvi(0x1f_0000_9810n)),
    ],
    ["PD8 has 8 bits", rv({ pasid_bits: 9 }), rv({ pasid_bits: 8 })],
    [
      "a PASID has 20 bits",
      vtd({ pasid_bits: 21 }),
      vtd({ pasid_bits: 20 }),
      { hitToo: ["bind-pasid-bits-host"] },
    ],
  ],
  "bind-rid-pasid": [
    [
      "beyond the table",
      vtd({ pasid_bits: 4, intel: { rid_pasid: 16 } }),
      vtd({ pasid_bits: 4, intel: { rid_pasid: 15 } }),
    ],
    [
      "without RPS",
      vtd({ intel: { rid_pasid: 1 } }, intel([49])),
      vtd({ intel: { rid_pasid: 0 } }, intel([49])),
    ],
  ],
  "bind-base-alignment": [
    ["VT-d: 4 KiB", vtd({ base_ptr: "0x40000040" }), vtd({ base_ptr: "0x40001000" })],
    ["AMD: 4 KiB", amd({ base_ptr: "0x40000800" }), amd({ base_ptr: "0x40001000" })],
    ["RISC-V: a page", rv({ base_ptr: "0x40000fc0" }), rv({ base_ptr: "0x40003000" })],
    [
      "a linear table of 16 CDs: its size, 1 KiB",
      arm({ base_ptr: "0x40000200" }),
      arm({ base_ptr: "0x40000400" }),
    ],
    [
      "64 level 1 descriptors: their size, 512 bytes",
      arm({ model: "arm-2lvl", arm: { s1fmt: 1 }, pasid_bits: 12, base_ptr: "0x40000100" }),
      arm({ model: "arm-2lvl", arm: { s1fmt: 1 }, pasid_bits: 12, base_ptr: "0x40000200" }),
    ],
    [
      "one level 1 descriptor: 64 bytes",
      arm({ model: "arm-2lvl", arm: { s1fmt: 2 }, pasid_bits: 10, base_ptr: "0x40000020" }),
      arm({ model: "arm-2lvl", arm: { s1fmt: 2 }, pasid_bits: 10, base_ptr: "0x40000040" }),
    ],
    ["a page table of iommufd", vtdS1(0n, BASE + 0x800n), vtdS1(0n, BASE + 0x1000n)],
  ],
  "bind-base-range": [
    ["IDR5.OAS is 48 bits", arm({ base_ptr: "0x1000000000000" }), arm({ base_ptr: "0xfffffffffc00" })],
    [
      "the end is beyond output_bits",
      vtd({ base_ptr: "0x7ffffff000" }, { ...intel(), props: { output_bits: 39 } }),
      vtd({ base_ptr: "0x7fffffe000" }, { ...intel(), props: { output_bits: 39 } }),
    ],
    [
      "the input of a second stage of three levels is 39 bits",
      vtd({ base_ptr: "0x8000000000", stage2: { format: "vtd-ss", root: "0x1000", levels: 3 } }),
      vtd({ base_ptr: "0x8000000000", stage2: { format: "vtd-ss", root: "0x1000", levels: 4 } }),
    ],
    ["a page table beyond MGAW", vtdS1(0n, 1n << 57n), vtdS1(0n, 1n << 56n)],
    [
      "RISC-V beyond the 41 bits of Sv39x4",
      rv({ base_ptr: "0x20000000000", stage2: { format: "riscv-x4", root: "0x4000" } }, riscv([18])),
      rv({ base_ptr: "0x1fffffff000", stage2: { format: "riscv-x4", root: "0x4000" } }, riscv([18])),
    ],
  ],
  "bind-s1dss-reserved": [["3", arm({ arm: { s1fmt: 0, s1dss: 3 } }), arm({ arm: { s1fmt: 0, s1dss: 2 } })]],
  "bind-s1dss-ignored": [
    [
      "without substreams",
      arm({ pasid_bits: 0, arm: { s1fmt: 0, s1dss: 1 } }),
      arm({ pasid_bits: 0, arm: { s1fmt: 0, s1dss: 0 } }),
      { hitToo: ["bind-pasid-bits-zero"], missToo: ["bind-pasid-bits-zero"] },
    ],
  ],
  "bind-ste-config": [
    ["stage 2 is the host's", ste(1n | (6n << 1n)), ste(1n | (4n << 1n))],
    ["split-stage ATS", ste(STAGE1, 2n << 28n), ste(STAGE1, 1n << 28n)],
  ],
  "bind-flag-unsupported": [
    ["SRE without SRS", vtdS1(1n, BASE, 48, 0, intel([31])), vtdS1(2n, BASE, 48, 0, intel([31]))],
    ["EAFE without EAFS", vtdS1(2n, BASE, 48, 0, intel([34])), vtdS1(1n, BASE, 48, 0, intel([34]))],
    [
      "S1STALLD where nothing stalls",
      ste(STAGE1, 1n << 27n, smmu({ idr0: 0x108_148bn })),
      ste(STAGE1, 1n << 27n, smmu({ idr0: 0x008_148bn })),
    ],
    [
      "EATS without ATS",
      ste(STAGE1, 1n << 28n, smmu({ idr0: 0x8_108bn })),
      ste(STAGE1, 1n << 28n, smmu({ idr0: 0x8_148bn })),
    ],
  ],
  "bind-nested-unsupported": [
    [
      "VT-d without NEST",
      vtd({ stage2: { format: "vtd-ss", root: "0x1000" } }, intel([26])),
      vtd({}, intel([26])),
    ],
    [
      "a page table of iommufd without NEST",
      vtdS1(0n, BASE, 48, 0, intel([26])),
      vtdS1(0n, BASE, 48, 0, intel([25])),
    ],
    [
      "an SMMU without stage 2",
      ste(STAGE1, 0n, smmu({ idr0: 0x8_148an })),
      ste(STAGE1, 0n, smmu({ idr0: 0x8_148bn })),
    ],
    [
      "AMD without GCR3TRPMode",
      amd(
        { stage2: { format: "amdv1", root: "0x1000", levels: 4 } },
        { ...amdvi(), props: { gcr3trpmodesup: 0 } },
      ),
      amd({ stage2: { format: "amdv1", root: "0x1000", levels: 4 } }),
    ],
    [
      "RISC-V without a second stage",
      rv({ stage2: { format: "riscv-x4", root: "0x4000", levels: 3 } }, riscv([17, 18])),
      rv({ stage2: { format: "riscv-x4", root: "0x4000", levels: 3 } }, riscv([18])),
    ],
    [
      "RISC-V without Sv39x4",
      rv({ stage2: { format: "riscv-x4", root: "0x4000", levels: 3 } }, riscv([17])),
      rv({ stage2: { format: "riscv-x4", root: "0x4000", levels: 4 } }, riscv([17])),
    ],
    [
      "RISC-V with fctl.GXL and Sv39x4",
      rv({ stage2: { format: "riscv-x4", root: "0x4000", levels: 3 } }, gxl()),
      rv({ stage2: { format: "riscv-x4", root: "0x4000", levels: 2 } }, gxl()),
    ],
  ],
  "bind-pgtable-format": [
    [
      "VMSAv8-32 where TTF has VMSAv8-64 alone",
      { ...arm(), memory: memory(0x1000n, cd(3n, 0n)) },
      { ...arm(), memory: memory(0x1000n, cd(3n, AA64)) },
    ],
    [
      "VMSAv8-64 where pgtable_format has v7s alone",
      {
        ...arm({}, { ...smmu(), props: { pgtable_format: ["v7s"] } }),
        memory: memory(0x1000n, cd(3n, AA64)),
      },
      {
        ...arm({}, { ...smmu(), props: { pgtable_format: ["v7s", "lpae-64"] } }),
        memory: memory(0x1000n, cd(3n, AA64)),
      },
    ],
    [
      "a 16 KiB granule",
      { ...arm(), memory: memory(0x1000n, cd(3n, AA64 | (2n << 6n))) },
      { ...arm(), memory: memory(0x1000n, cd(3n, AA64 | (1n << 6n))) },
    ],
    [
      "five levels of a first stage without FS5LP",
      {
        ...vtd({}, intel([], [60])),
        memory: memory(0x3000n, [
          [BASE, (BASE + 0x2000n) | 1n],
          [BASE + 0x2000n, 1n | (1n << 6n)],
          [BASE + 0x2010n, 0x8000_0004n],
        ]),
      },
      {
        ...vtd({}, intel([], [60])),
        memory: memory(0x3000n, [
          [BASE, (BASE + 0x2000n) | 1n],
          [BASE + 0x2000n, 1n | (1n << 6n)],
          [BASE + 0x2010n, 0x8000_0000n],
        ]),
      },
    ],
    ["a width that no first stage has", vtdS1(0n, BASE, 39), vtdS1(0n, BASE, 57)],
    [
      "57 bits without FS5LP",
      vtdS1(0n, BASE, 57, 0, intel([], [60])),
      vtdS1(0n, BASE, 48, 0, intel([], [60])),
    ],
    [
      "five guest levels where GATS says four",
      amd({ amd: { glx: 0, paging_levels: 5 } }, amdvi(0xf_0000_8810n)),
      amd({ amd: { glx: 0, paging_levels: 4 } }, amdvi(0xf_0000_8810n)),
    ],
    [
      "Sv57 in a process context",
      {
        ...rv(),
        memory: memory(0x1000n, [
          [BASE, 1n],
          [BASE + 8n, (10n << 60n) | 0x8_0000n],
        ]),
      },
      {
        ...rv(),
        memory: memory(0x1000n, [
          [BASE, 1n],
          [BASE + 8n, (9n << 60n) | 0x8_0000n],
        ]),
      },
    ],
  ],
  "bind-extent-hole": [
    [
      "the second page of a directory",
      { ...vtd(), memory: memory(0x1000n) },
      { ...vtd(), memory: memory(0x2000n) },
    ],
  ],
  "bind-overlap-binding": [
    [
      "its second page is another's first",
      { ...vtd(), others: bound(BASE + 0x1000n, DIRECTORY_BYTES) },
      { ...vtd(), others: bound(BASE + 0x2000n, DIRECTORY_BYTES) },
    ],
    [
      "the same place as a table of another format",
      { ...vtd(), others: bound(BASE, DIRECTORY_BYTES, "intel-ecs") },
      { ...vtd(), others: bound(BASE, DIRECTORY_BYTES, "intel") },
    ],
    [
      "the same addresses of the same guest",
      { ...vtd(), others: bound(BASE + 0x1000n, DIRECTORY_BYTES, "intel", "") },
      { ...vtd(), others: bound(BASE + 0x1000n, DIRECTORY_BYTES, "intel", "0x1000") },
    ],
  ],
  "bind-overlap-own": [
    [
      "a directory entry points to the directory",
      { ...vtd(), memory: memory(0x3000n, [[BASE + 8n, (BASE + 0x1000n) | 1n]]) },
      { ...vtd(), memory: memory(0x3000n, [[BASE + 8n, (BASE + 0x2000n) | 1n]]) },
    ],
    [
      "a guest CR3 is the table of guest CR3s",
      { ...amd(), memory: memory(0x2000n, [[BASE + 8n, BASE | 1n]]) },
      { ...amd(), memory: memory(0x2000n, [[BASE + 8n, (BASE + 0x1000n) | 1n]]) },
    ],
    [
      "TTB0 is a context descriptor",
      { ...arm(), memory: memory(0x1000n, cd(3n, AA64, BASE + 0x3c0n)) },
      { ...arm(), memory: memory(0x1000n, cd(3n, AA64, BASE + 0x400n)) },
    ],
  ],
};
