import type { Setup } from "../table-lint.ts";
import type { Case } from "./case.ts";

// ── SMMUv3: context descriptors at 0x10000, page tables at 0x20000 and 0x21000 ──

/** T0SZ 16, 4 KiB granule, no TTB1, valid, 48 bits, AA64, R, A. */
export const CD0 = 0x10n | (1n << 30n) | (1n << 31n) | (5n << 32n) | (1n << 41n) | (1n << 45n) | (1n << 46n);
const asid = (n: bigint) => n << 48n;

const arm = (words: readonly bigint[], more: Partial<Setup> = {}, at = "0x10000"): Setup => ({
  model: "arm-smmuv3",
  bind: { model: "arm-1lvl", base: 0x10000n, pasidBits: 1 },
  ...more,
  memory: { "0x10000": [], "0x20000": [], "0x21000": [], ...more.memory, [at]: words },
});

/** A linear stream table of 8 entries at 0x8000. */
const armRooted = (ste: readonly bigint[], more: Partial<Setup> = {}): Setup => ({
  model: "arm-smmuv3",
  regs: { strtab_base: 0x8000n, strtab_base_cfg: 3n },
  ...more,
  memory: {
    "0x8000": [],
    "0x80c0": ste,
    "0x10000": [CD0, 0x20000n],
    "0x20000": [],
    "0x21000": [],
    ...more.memory,
  },
});
export const STAGE1 = 0xbn;
export const STAGE2 = 0xdn;
/** S2T0SZ 24 (40 bits), S2SL0 1, 4 KiB granule, 48-bit output, AA64, R. */
export const S2 = (0x18n | (1n << 6n) | (5n << 16n) | (1n << 19n) | (1n << 26n)) << 32n;

const ROOT = { strtab_base: 0x8000n, strtab_base_cfg: 3n };

export const ARM: readonly Case[] = [
  {
    rule: "ignored-entry-bits",
    name: "SMMUv3: bit 120 of a CD, which is RES0; bit 122 is PnCH",
    bad: arm([CD0, 0x20000n | (1n << 56n)]),
    good: arm([CD0, 0x20000n | (1n << 58n)]),
    says: { structure: "SMMUv3 context descriptor", bits: "120" },
  },
  {
    rule: "ignored-entry-bits",
    name: "SMMUv3: SHCFG without IDR1.ATTR_TYPES_OVR, where it is RES0",
    bad: armRooted([STAGE2, 1n << 44n, S2, 0x20000n], { regs: { ...ROOT, idr1: 0x410n } }),
    good: armRooted([STAGE2, 1n << 44n, S2, 0x20000n], { regs: { ...ROOT, idr1: 0x8000410n } }),
    says: { structure: "SMMUv3 stream table entry", field: "SHCFG", bits: "109:108", value: "0x1" },
  },
  {
    rule: "ignored-entry-bits",
    name: "SMMUv3: HAFT of a CD with IDR0.HTTU 2, which is not 3",
    bad: arm([CD0 | (1n << 43n), 0x20008n], { regs: { idr0: 0x9en } }),
    good: arm([CD0 | (1n << 43n), 0x20008n], { regs: { idr0: 0xden } }),
    says: { structure: "SMMUv3 context descriptor", field: "HAFT", bits: "67", value: "0x1" },
  },
  {
    rule: "misaligned-table",
    name: "SMMUv3: TTB0 is not aligned to its 4 KiB",
    bad: arm([CD0, 0x20010n]),
    good: arm([CD0, 0x20000n]),
    says: { field: "TTB0", value: "0x20010" },
  },
  {
    rule: "ineffective-field",
    name: "SMMUv3: HD without HA",
    bad: arm([CD0 | (1n << 42n), 0x20000n]),
    good: arm([CD0 | (3n << 42n), 0x20000n]),
    says: { field: "HD", bits: "42" },
  },
  {
    rule: "ineffective-field",
    name: "SMMUv3: EATS 3, full ATS with DPT checks, without IDR3.DPT",
    bad: armRooted([0x10000n | STAGE1, 3n << 28n]),
    good: armRooted([0x10000n | STAGE1, 3n << 28n], { props: { dpt: 1 } }),
    says: { field: "EATS", bits: "93:92", value: "0x3" },
  },
  {
    rule: "conflicting-fields",
    name: "SMMUv3: EATS 3 in a stream of EL2",
    bad: armRooted([0x10000n | STAGE1, (3n << 28n) | (2n << 30n)], { props: { dpt: 1 } }),
    good: armRooted([0x10000n | STAGE1, (1n << 28n) | (2n << 30n)], { props: { dpt: 1 } }),
    says: { field: "EATS", value: "0x3" },
  },
  {
    rule: "not-modelled",
    name: "SMMUv3: permission indirection of a bound table, of an SMMU that has it",
    bad: arm([CD0, 0x20000n, 1n << 59n], { props: { s1pi: 1 } }),
    good: arm([CD0, 0x20000n, 1n << 59n]),
    says: { field: "PIE", bits: "187" },
  },
  {
    rule: "not-modelled",
    name: "SMMUv3: permission indirection where both STE and CD enable it",
    bad: armRooted([0x10000n | STAGE1, 1n << 24n], {
      props: { s1pi: 1 },
      memory: { "0x10000": [CD0, 0x20000n, 1n << 59n] },
    }),
    good: armRooted([0x10000n | STAGE1, 0n], {
      props: { s1pi: 1 },
      memory: { "0x10000": [CD0, 0x20000n, 1n << 59n] },
    }),
    says: { field: "PIE" },
  },
  {
    rule: "not-modelled",
    name: "SMMUv3: stage 2 permission indirection",
    bad: armRooted([STAGE2, 0n, S2 | (1n << 60n), 0x20000n], { props: { s2pi: 1 } }),
    good: armRooted([STAGE2, 0n, S2 | (1n << 60n), 0x20000n]),
    says: { field: "S2PIE", bits: "188" },
  },
  {
    rule: "not-modelled",
    name: "SMMUv3: stage 2 permission overlays",
    bad: armRooted([STAGE2, 0n, S2 | (1n << 61n), 0x20000n], { props: { s2po: 1 } }),
    good: armRooted([STAGE2, 0n, S2 | (1n << 61n), 0x20000n]),
    says: { field: "S2POE", bits: "189" },
  },
  {
    rule: "illegal-encoding",
    name: "SMMUv3: TG0 3",
    bad: arm([CD0 | (3n << 6n), 0x20000n]),
    good: arm([CD0 | (1n << 6n), 0x20000n]),
    says: { field: "TG0", value: "0x3", source: "IHI 0070, 5.4.2" },
  },
  {
    rule: "illegal-encoding",
    name: "SMMUv3: T0SZ beyond 48",
    bad: arm([CD0 + 0x21n, 0x20000n]),
    good: arm([CD0 + 0x17n, 0x20000n]),
    says: { field: "T0SZ", value: "0x31" },
  },
  {
    rule: "unsupported-encoding",
    name: "SMMUv3: an ASID of 16 bits without IDR0.ASID16",
    bad: arm([CD0 | asid(0x100n), 0x20000n], { props: { asid16: 0 } }),
    good: arm([CD0 | asid(0xffn), 0x20000n], { props: { asid16: 0 } }),
    says: { field: "ASID", bits: "63:48", value: "0x100" },
  },
  {
    rule: "unsupported-encoding",
    name: "SMMUv3: stage 2 without IDR0.S2P",
    bad: armRooted([STAGE2, 0n, S2, 0x20000n], { props: { s2p: 0 } }),
    good: armRooted([STAGE2, 0n, S2, 0x20000n], { props: { s2p: 1 } }),
    says: { structure: "SMMUv3 stream table entry", field: "Config", value: "0x6", index: 3, device: 3 },
  },
  {
    rule: "conflicting-fields",
    name: "SMMUv3: a CD that stalls under STE.S1STALLD",
    bad: armRooted([0x10000n | STAGE1, 1n << 27n], { memory: { "0x10000": [CD0 | (1n << 44n), 0x20000n] } }),
    good: armRooted([0x10000n | STAGE1], { memory: { "0x10000": [CD0 | (1n << 44n), 0x20000n] } }),
    says: { structure: "SMMUv3 context descriptor", field: "S", device: 3 },
  },
  {
    rule: "conflicting-fields",
    name: "SMMUv3: a start level that does not fit the input size",
    bad: armRooted([STAGE2, 0n, S2 & ~(1n << 38n), 0x20000n]),
    good: armRooted([STAGE2, 0n, S2, 0x20000n]),
    says: { field: "S2SL0", value: "0x0" },
  },
  {
    rule: "conflicting-fields",
    name: "SMMUv3: a span beyond SPLIT",
    bad: armRooted([], {
      regs: { strtab_base: 0x8000n, strtab_base_cfg: 0x10188n },
      memory: { "0x8000": [0x40008n], "0x40000": [] },
    }),
    good: armRooted([], {
      regs: { strtab_base: 0x8000n, strtab_base_cfg: 0x10188n },
      memory: { "0x8000": [0x40007n], "0x40000": [], "0x80c0": [] },
    }),
    says: { structure: "SMMUv3 level 1 stream table descriptor", field: "Span", value: "0x8", device: -1 },
  },
  {
    rule: "address-too-wide",
    name: "SMMUv3: TTB0 beyond IPS of 32 bits",
    bad: arm([CD0 & ~(7n << 32n), 0x1_0000_0000n], { memory: { "0x100000000": [] } }),
    good: arm([CD0 & ~(7n << 32n), 0xffff_f000n], { memory: { "0xfffff000": [] } }),
    says: { field: "TTB0", value: "0x100000000" },
  },
  {
    rule: "address-too-wide",
    name: "SMMUv3: S1ContextPtr beyond the output address size",
    bad: armRooted([(1n << 44n) | STAGE1], {
      props: { output_bits: 44 },
      memory: { "0x100000000000": [CD0, 0x20000n] },
    }),
    good: armRooted([(1n << 43n) | STAGE1], {
      props: { output_bits: 44 },
      memory: { "0x80000000000": [CD0, 0x20000n] },
    }),
    says: { field: "S1ContextPtr", value: "0x100000000000" },
  },
  {
    rule: "pointer-outside-memory",
    name: "SMMUv3: S1ContextPtr leads nowhere",
    bad: armRooted([0x50000n | STAGE1]),
    good: armRooted([0x10000n | STAGE1]),
    says: { field: "S1ContextPtr", value: "0x50000" },
  },
  {
    rule: "tag-reused",
    name: "SMMUv3: one ASID for two TTB0",
    bad: arm([CD0 | asid(7n), 0x20000n, 0n, 0n, 0n, 0n, 0n, 0n, CD0 | asid(7n), 0x21000n]),
    good: arm([CD0 | asid(7n), 0x20000n, 0n, 0n, 0n, 0n, 0n, 0n, CD0 | asid(8n), 0x21000n]),
    says: { field: "ASID", value: "0x7", pasids: [1, 1] },
  },
  {
    rule: "tag-reused",
    name: "SMMUv3: one VMID for two stages 2",
    bad: armRooted([STAGE2, 0n, S2 | 4n, 0x20000n], {
      memory: { "0x8100": [STAGE2, 0n, S2 | 4n, 0x22000n], "0x22000": [] },
    }),
    good: armRooted([STAGE2, 0n, S2 | 4n, 0x20000n], {
      memory: { "0x8100": [STAGE2, 0n, S2 | 4n, 0x20000n] },
    }),
    says: { field: "S2VMID", value: "0x4", device: 4 },
  },
  {
    rule: "unreachable-entry",
    name: "SMMUv3: a CD beyond S1CDMax in a leaf table of 4 KiB",
    bad: arm(
      [CD0, 0x20000n],
      {
        bind: { model: "arm-2lvl", base: 0x30000n, pasidBits: 5, arm: { s1fmt: 1 } },
        memory: { "0x30000": [0x10001n] },
      },
      "0x10800",
    ),
    good: arm(
      [CD0, 0x20000n],
      {
        bind: { model: "arm-2lvl", base: 0x30000n, pasidBits: 5, arm: { s1fmt: 1 } },
        memory: { "0x30000": [0x10001n] },
      },
      "0x107c0",
    ),
    says: { index: 32, pasids: [32, 32] },
  },
];
