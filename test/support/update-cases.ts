/**
 * For every kind of entry: which changes of one in use are safe, and which are not. Each row is a pair of the same change
 * done rightly and wrongly, by raw words. README.md has the table.
 */

import { CD0, S2, STAGE1, STAGE2 } from "./table-cases/smmuv3.ts";
import type { Setup } from "./table-lint.ts";
import { mem } from "./table-lint.ts";

export interface UpdateCase {
  readonly kind: string;
  readonly change: string;
  readonly setup: Setup;
  /** The request that uses the entry: its PASID, or none. */
  readonly pasid?: number;
  readonly safe: readonly object[];
  readonly unsafe: readonly object[];
  readonly rule: string;
}

/** A record of 4 bytes: half of the smallest thing that IOMMUs read at once. */
const half = (address: bigint, value: number) => {
  const data = Buffer.alloc(4);
  data.writeUInt32LE(value);
  return { type: "mem", addr: `0x${address.toString(16)}`, data: data.toString("hex") };
};
const cmd = (...data: bigint[]) => ({
  type: "cmd",
  iommu: "iommu0",
  data: data.map((word) => `0x${word.toString(16)}`),
});
/** Both halves of a 64-bit word, one after the other. */
const halves = (address: bigint, word: bigint) => [
  half(address, Number(word & 0xffff_ffffn)),
  half(address + 4n, Number(word >> 32n)),
];

// ── VT-d ──

export const VTD_SYNC = [cmd(0x11n, 0n), cmd(0x37n, 0n), cmd(0x1_0000_0025n, 0xf000n)];
const FIRST = [0x49n, 1n, 0x3000n];
/** Root table at 0x8000, context table at 0x9000; device 00:03.0. PASID directory at 0x1000, PASID table at 0x2000. */
const vtd = (context: readonly bigint[], mode: bigint, at: string): Setup => ({
  model: "intel",
  regs: { rtaddr: 0x8000n | mode },
  props: { output_bits: 48 },
  memory: {
    "0x8000": [0x9001n],
    "0x9000": [],
    [at]: context,
    "0x1000": [0x2001n],
    "0x2000": FIRST,
    "0x3000": [],
    "0x4000": [],
    "0x5000": [],
  },
});
const LEGACY = vtd([0x3001n, 0x102n], 0n, "0x9180");
const SCALABLE = vtd([0x1001n], 0x400n, "0x9300");
/** T=0 (second level), PASIDE; AW 48 bits, DID 1; PTS 0, PASIDPTR 0x2000. */
const EXTENDED = vtd([0x3801n, 0x102n, 0x2000n, 0n], 0x800n, "0x9300");
const EXTENDED_PASIDS = { ...EXTENDED, memory: { ...EXTENDED.memory, "0x2000": [0x4001n] } };

const VTD: UpdateCase[] = [
  {
    kind: "VT-d root entry",
    change: "another context table",
    setup: LEGACY,
    safe: [mem(0x8000n, 0xa001n)],
    unsafe: halves(0x8000n, 0x1_0000_a001n),
    rule: "changed-while-valid",
  },
  {
    kind: "VT-d scalable-mode root entry",
    change: "one half and the other: they are entries of their own",
    setup: SCALABLE,
    safe: [mem(0x8000n, 0xa001n), mem(0x8008n, 0xb001n)],
    unsafe: halves(0x8000n, 0x1_0000_a001n),
    rule: "changed-while-valid",
  },
  {
    kind: "VT-d context entry",
    change: "another domain and table: by one store of 16 bytes",
    setup: LEGACY,
    safe: [mem(0x9180n, 0x4001n, 0x202n), ...VTD_SYNC],
    unsafe: [mem(0x9188n, 0x202n), mem(0x9180n, 0x4001n), ...VTD_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "VT-d context entry",
    change: "removed: P first, the rest after the invalidation",
    setup: LEGACY,
    safe: [mem(0x9180n, 0x3000n), ...VTD_SYNC, mem(0x9188n, 0n), mem(0x9180n, 0n)],
    unsafe: [mem(0x9188n, 0n), mem(0x9180n, 0n), ...VTD_SYNC],
    rule: "removed-while-valid",
  },
  {
    kind: "VT-d scalable-mode context entry",
    change: "RID_PASID with the directory: by one store of 16 bytes",
    setup: SCALABLE,
    safe: [mem(0x9300n, 0x1009n, 1n), ...VTD_SYNC],
    unsafe: [mem(0x9300n, 0x1009n), mem(0x9308n, 1n), ...VTD_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "VT-d scalable-mode PASID directory entry",
    change: "another PASID table",
    setup: SCALABLE,
    safe: [mem(0x1000n, 0x5001n), ...VTD_SYNC],
    unsafe: [...halves(0x1000n, 0x1_0000_5001n), ...VTD_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "VT-d scalable-mode PASID table entry",
    change: "another table and domain: through P=0, an invalidation and a wait",
    setup: SCALABLE,
    safe: [
      mem(0x2000n, 0x48n),
      ...VTD_SYNC,
      mem(0x2008n, 2n),
      mem(0x2010n, 0x4000n),
      mem(0x2000n, 0x49n),
      ...VTD_SYNC,
    ],
    unsafe: [mem(0x2000n, 0x48n), mem(0x2008n, 2n), mem(0x2010n, 0x4000n), mem(0x2000n, 0x49n), ...VTD_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "VT-d scalable-mode PASID table entry",
    change: "SSADE alone, in use; a table of the stage that is not in use",
    setup: SCALABLE,
    safe: [mem(0x2000n, 0x249n), mem(0x2000n, 0x5249n), ...VTD_SYNC],
    unsafe: [mem(0x2010n, 0x4000n), mem(0x2008n, 2n), ...VTD_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "VT-d scalable-mode PASID table entry",
    change: "removed: not as a whole",
    setup: SCALABLE,
    safe: [mem(0x2000n, 0x48n), ...VTD_SYNC, mem(0x2000n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n)],
    unsafe: [mem(0x2000n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n), ...VTD_SYNC],
    rule: "removed-while-valid",
  },
  {
    kind: "VT-d scalable-mode PASID table entry",
    change: "made: P last",
    setup: SCALABLE,
    safe: [mem(0x2050n, 0x3000n), mem(0x2048n, 1n), mem(0x2040n, 0x49n), ...VTD_SYNC],
    unsafe: [mem(0x2040n, 0x49n), mem(0x2048n, 1n), mem(0x2050n, 0x3000n), ...VTD_SYNC],
    rule: "valid-before-complete",
  },
  {
    kind: "VT-d extended context entry",
    change: "second level (bytes 0 to 15) and PASID table (16 to 31)",
    setup: EXTENDED,
    safe: [mem(0x9300n, 0x4801n, 0x202n), ...VTD_SYNC],
    unsafe: [mem(0x9300n, 0x4801n, 0x202n, 0x5000n, 0n), ...VTD_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "VT-d extended-mode PASID entry",
    change: "another first level",
    setup: EXTENDED_PASIDS,
    pasid: 0,
    safe: [mem(0x2000n, 0x5001n), ...VTD_SYNC],
    unsafe: [...halves(0x2000n, 0x1_0000_5001n), ...VTD_SYNC],
    rule: "changed-while-valid",
  },
];

// ── SMMUv3 ──

const SMMU_SYNC = [cmd(0x4n, 0x1fn), cmd(0x46n, 0n)];
/** A linear stream table at 0x8000, context descriptors at 0x10000. */
const arm = (ste: readonly bigint[], cd: readonly bigint[] = [CD0, 0x20000n]): Setup => ({
  model: "arm-smmuv3",
  regs: { strtab_base: 0x8000n, strtab_base_cfg: 5n },
  memory: {
    "0x8000": [],
    "0x8600": ste,
    "0x10000": cd,
    "0x12000": [CD0, 0x20000n],
    "0x20000": [],
    "0x21000": [],
  },
});
const ONE_STAGE = arm([0x10000n | STAGE1, 0n, 0n, 0n]);
/** A 2-level stream table of 6 bits: streams 0 to 63 by the descriptor at 0x8000. */
const TWO_LEVELS: Setup = {
  ...ONE_STAGE,
  regs: { strtab_base: 0x8000n, strtab_base_cfg: 0x10188n },
  memory: { ...ONE_STAGE.memory, "0x8000": [0xa006n], "0xa000": [], "0xa600": [0x10000n | STAGE1] },
};
/** S1CDMax 7, 2-level with leaves of 4 KiB; streams without substream use substream 0. */
const SUBSTREAMS = arm([0x10000n | STAGE1 | 0x10n | (7n << 59n), 2n], [0x12001n]);

const SMMU: UpdateCase[] = [
  {
    kind: "SMMUv3 level 1 stream table descriptor",
    change: "another level 2 table",
    setup: TWO_LEVELS,
    safe: [mem(0x8000n, 0xc006n), ...SMMU_SYNC],
    unsafe: [...halves(0x8000n, 0x1_0000_c006n), ...SMMU_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "SMMUv3 stream table entry",
    change: "stage 1 to stage 2: words that stage 1 does not use, an invalidation, then Config",
    setup: ONE_STAGE,
    safe: [mem(0x8610n, S2, 0x20000n), ...SMMU_SYNC, mem(0x8600n, STAGE2), ...SMMU_SYNC],
    unsafe: [mem(0x8610n, S2, 0x20000n), mem(0x8600n, STAGE2), ...SMMU_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "SMMUv3 stream table entry",
    change: "abort to stage 2 in place: Config last",
    setup: arm([1n]),
    safe: [mem(0x8610n, S2, 0x20000n), ...SMMU_SYNC, mem(0x8600n, STAGE2), ...SMMU_SYNC],
    unsafe: [mem(0x8600n, STAGE2), mem(0x8610n, S2, 0x20000n), ...SMMU_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "SMMUv3 stream table entry",
    change: "two words in use: through V=0, with an invalidation and a wait",
    setup: ONE_STAGE,
    safe: [
      mem(0x8600n, 0n),
      ...SMMU_SYNC,
      mem(0x8608n, 1n << 27n),
      mem(0x8600n, 0x10000n | STAGE1),
      ...SMMU_SYNC,
    ],
    unsafe: [mem(0x8600n, 0x12000n | STAGE1), mem(0x8608n, 1n << 27n), ...SMMU_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "SMMUv3 stream table entry",
    change: "removed: V first, the rest after the invalidation",
    setup: arm([STAGE2, 0n, S2, 0x20000n]),
    safe: [mem(0x8600n, 0n), ...SMMU_SYNC, mem(0x8610n, 0n, 0n), ...SMMU_SYNC],
    unsafe: [mem(0x8600n, 0n), mem(0x8610n, 0n, 0n), ...SMMU_SYNC],
    rule: "removed-while-valid",
  },
  {
    kind: "SMMUv3 level 1 context descriptor",
    change: "another level 2 table",
    setup: SUBSTREAMS,
    safe: [mem(0x10000n, 0x13001n), ...SMMU_SYNC],
    unsafe: [...halves(0x10000n, 0x1_0001_3001n), ...SMMU_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "SMMUv3 context descriptor",
    change: "the ASID alone; the ASID and the table",
    setup: ONE_STAGE,
    safe: [mem(0x10000n, CD0 | (5n << 48n)), ...SMMU_SYNC],
    unsafe: [mem(0x10000n, CD0 | (5n << 48n)), mem(0x10008n, 0x21000n), ...SMMU_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "SMMUv3 context descriptor",
    change: "a table whose walks are disabled; one that is in use, in the same record as the ASID",
    setup: ONE_STAGE,
    safe: [mem(0x10010n, 0x21000n), mem(0x10000n, CD0 | (5n << 48n)), ...SMMU_SYNC],
    unsafe: [mem(0x10000n, CD0 | (5n << 48n), 0x21000n), ...SMMU_SYNC],
    rule: "changed-while-valid",
  },
];

// ── AMD-Vi ──

const AMD_SYNC = [cmd(0x8n << 60n, 0n), cmd(0x1n << 60n, 0n)];
const HOST = 3n | (4n << 9n) | 0x20000n | (3n << 61n);
/** TV, flat, guest tables by a one-level CR3 table at 0x10000. */
const GUEST = 3n | (3n << 61n) | (1n << 55n);
const GCR3 = 0x2n << 16n;
const FIVE_LEVELS = 1n << 54n;
const amd = (dte: readonly bigint[]): Setup => ({
  model: "amd",
  regs: { dev_tab_base: 0x8000n },
  memory: {
    "0x8000": [],
    "0x8300": dte,
    "0x10000": [0x20001n],
    "0x20000": [],
    "0x21000": [],
    "0x22000": [],
  },
});

const AMD: UpdateCase[] = [
  {
    kind: "AMD device table entry",
    change: "another host table and domain: by one store of 16 bytes",
    setup: amd([HOST, 1n]),
    safe: [mem(0x8300n, HOST ^ 0x1000n, 2n), ...AMD_SYNC],
    unsafe: [mem(0x8308n, 2n), mem(0x8300n, HOST ^ 0x1000n), ...AMD_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "AMD device table entry",
    change: "guest tables come: the upper half first",
    setup: amd([HOST, 1n]),
    safe: [mem(0x8310n, FIVE_LEVELS, 0n), mem(0x8300n, GUEST, GCR3), ...AMD_SYNC],
    unsafe: [mem(0x8300n, GUEST, GCR3), mem(0x8310n, FIVE_LEVELS, 0n), ...AMD_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "AMD device table entry",
    change: "guest tables go: the lower half first",
    setup: amd([GUEST, GCR3, FIVE_LEVELS, 0n]),
    safe: [mem(0x8300n, HOST, 1n), mem(0x8310n, 0n, 0n), ...AMD_SYNC],
    unsafe: [mem(0x8310n, 0n, 0n), mem(0x8300n, HOST, 1n), ...AMD_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "AMD device table entry",
    change: "guest tables of other levels: through V=0",
    setup: amd([GUEST, GCR3, 0n, 0n]),
    safe: [
      mem(0x8300n, 0n, 0n),
      ...AMD_SYNC,
      mem(0x8310n, FIVE_LEVELS, 0n),
      mem(0x8300n, GUEST, GCR3 | 2n),
      ...AMD_SYNC,
    ],
    unsafe: [mem(0x8310n, FIVE_LEVELS, 0n), mem(0x8300n, GUEST, GCR3 | 2n), ...AMD_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "AMD device table entry",
    change: "removed: the half with V first, or all in one record",
    setup: amd([GUEST, GCR3, FIVE_LEVELS, 0n]),
    safe: [mem(0x8300n, 0n, 0n, 0n, 0n), ...AMD_SYNC],
    unsafe: [mem(0x8310n, 0n, 0n), mem(0x8300n, 0n, 0n), ...AMD_SYNC],
    rule: "removed-while-valid",
  },
  {
    kind: "AMD guest CR3 table entry",
    change: "another guest table",
    setup: amd([GUEST, GCR3]),
    pasid: 0,
    safe: [mem(0x10000n, 0x21001n), ...AMD_SYNC],
    unsafe: [...halves(0x10000n, 0x1_0002_1001n), ...AMD_SYNC],
    rule: "changed-while-valid",
  },
];

// ── RISC-V ──

const RISCV_SYNC = [cmd(0x3n, 0n), cmd(0x2n, 0n)];
const SV39 = 8n << 60n;
const riscv = (dc: readonly bigint[], more: Partial<Setup> = {}): Setup => ({
  model: "riscv",
  regs: { ddtp: 0x2002n },
  props: { msi_flat: 0 },
  ...more,
  memory: {
    "0x8000": [],
    "0x8300": dc,
    "0x10000": [1n, SV39 | 0x20n],
    "0x20000": [],
    "0x24000": [],
    ...more.memory,
  },
});
const NESTED = [1n, SV39 | 0x20n, 0n, SV39 | 0x24n];
const EXTENDED_DC = riscv([], {
  props: { msi_flat: 1 },
  memory: { "0x8300": [], "0x8600": [...NESTED, 0n, 0n, 0n, 0n] },
});
/** PDTV, PD17: the directory at 0x10000 leads to the one at 0x12000. */
const PD17 = riscv([0x21n, 0n, 0n, (2n << 60n) | 0x10n], {
  memory: { "0x10000": [0x4801n], "0x12000": [1n, SV39 | 0x20n] },
});

const RISCV: UpdateCase[] = [
  {
    kind: "RISC-V non-leaf DDT entry",
    change: "another directory",
    setup: {
      ...riscv([]),
      regs: { ddtp: 0x2003n },
      memory: { ...riscv([]).memory, "0x8000": [0x2801n], "0xa000": [], "0xa300": NESTED },
    },
    safe: [mem(0x8000n, 0x2c01n), ...RISCV_SYNC],
    unsafe: [...halves(0x8000n, 0x1_0000_2c01n), ...RISCV_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "RISC-V base-format device context",
    change: "first stage and PSCID: through V=0, an invalidation and a fence",
    setup: riscv(NESTED),
    safe: [
      mem(0x8300n, 0n),
      ...RISCV_SYNC,
      mem(0x8310n, 5n << 12n),
      mem(0x8318n, SV39 | 0x20n),
      mem(0x8300n, 1n),
      ...RISCV_SYNC,
    ],
    unsafe: [mem(0x8310n, 5n << 12n), mem(0x8318n, SV39 | 0x20n), ...RISCV_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "RISC-V extended-format device context",
    change: "MSI fields that are off; MSI fields and the mode",
    setup: EXTENDED_DC,
    safe: [mem(0x8628n, 0xfn, 0x30n), mem(0x8600n, 0x11n), ...RISCV_SYNC],
    unsafe: [mem(0x8628n, 0xfn, 0x30n), mem(0x8620n, (1n << 60n) | 0x24n), ...RISCV_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "RISC-V non-leaf PDT entry",
    change: "another directory",
    setup: PD17,
    pasid: 0,
    safe: [mem(0x10000n, 0x4c01n), ...RISCV_SYNC],
    unsafe: [...halves(0x10000n, 0x1_0000_4c01n), ...RISCV_SYNC],
    rule: "changed-while-valid",
  },
  {
    kind: "RISC-V process context",
    change: "the first stage alone; with the PSCID",
    setup: PD17,
    pasid: 0,
    safe: [mem(0x12008n, SV39 | 0x24n), ...RISCV_SYNC],
    unsafe: [mem(0x12000n, 1n | (5n << 12n)), mem(0x12008n, SV39 | 0x24n), ...RISCV_SYNC],
    rule: "changed-while-valid",
  },
];

export const UPDATE_CASES: readonly UpdateCase[] = [...VTD, ...SMMU, ...AMD, ...RISCV];
