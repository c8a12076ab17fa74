import type { Setup } from "../table-lint.ts";
import type { Case } from "./case.ts";

// ── VT-d: a bound PASID table, directory at 0x1000, PASIDs at 0x2000, page tables at 0x3000 and 0x4000 ──

const VTD_BOUND: Setup = {
  model: "intel",
  bind: { model: "intel", base: 0x1000n, pasidBits: 8 },
  props: { output_bits: 48 },
  memory: { "0x1000": [0x2001n], "0x2000": [], "0x3000": [], "0x4000": [] },
};
/** P, AW of 4 levels, first stage; DID 1; FSPTPTR 0x3000. */
export const FIRST = [0x49n, 1n, 0x3000n];
const vtd = (words: readonly bigint[], at = "0x2000", more: Partial<Setup> = {}): Setup => ({
  ...VTD_BOUND,
  ...more,
  memory: { ...VTD_BOUND.memory, ...more.memory, [at]: words },
});

/** The same from the root table: root 0x8000, context table 0x9000, device 00:03.0. */
const vtdRooted = (context: readonly bigint[], more: Partial<Setup> = {}): Setup => ({
  model: "intel",
  regs: { rtaddr: 0x8400n },
  props: { output_bits: 48 },
  ...more,
  memory: {
    "0x8000": [0x9001n],
    "0x9000": [],
    "0x9300": context,
    "0x1000": [0x2001n],
    "0x2000": FIRST,
    "0x3000": [],
    "0x4000": [],
    ...more.memory,
  },
});

export const SECOND = 0x89n;

export const VTD: readonly Case[] = [
  {
    rule: "reserved-entry-bits",
    name: "VT-d: bit 10 of a PASID table entry, which is no field; bit 9 is one",
    bad: vtd([0x449n, 1n, 0x3000n]),
    good: vtd([0x249n, 1n, 0x3000n]),
    says: {
      structure: "VT-d scalable-mode PASID table entry",
      index: 0,
      bits: "10",
      value: "0x400",
      pasids: [0, 0],
    },
  },
  {
    rule: "reserved-entry-bits",
    name: "VT-d: a field of a capability that is missing",
    bad: vtd([0x49n, 1n | (1n << 24n), 0x3000n], "0x2000", { props: { sc: 0 } }),
    good: vtd([0x49n, 1n | (1n << 24n), 0x3000n], "0x2000", { props: { sc: 1 } }),
    says: { field: "PGSNP", bits: "88", value: "0x1", source: "VT-d 5.10, 9.6; 4.0, 9.6" },
  },
  {
    rule: "reserved-entry-bits",
    name: "VT-d: only the half of a root entry that is present counts",
    bad: vtdRooted([0x1001n], { memory: { "0x8000": [0x9003n, 0n] } }),
    good: vtdRooted([0x1001n], { memory: { "0x8000": [0x9001n, 2n] } }),
    says: { structure: "VT-d scalable-mode root entry", bits: "1" },
  },
  {
    rule: "address-too-wide",
    name: "VT-d: FSPTPTR beyond 48 bits",
    bad: vtd([0x49n, 1n, 0x1_0000_0000_3000n]),
    good: vtd([0x49n, 1n, 0x8000_0000_3000n], "0x2000", { memory: { "0x800000003000": [] } }),
    says: { field: "FSPTPTR", bits: "191:140", value: "0x1000000003000" },
  },
  {
    rule: "illegal-encoding",
    name: "VT-d: PGTT 5",
    bad: vtd([0x149n, 1n]),
    good: vtd([0x109n, 1n]),
    says: { field: "PGTT", bits: "8:6", value: "0x5", entry_addr: "0x2000" },
  },
  {
    rule: "illegal-encoding",
    name: "VT-d: AW 0 in a second-stage entry; a first-stage entry may have it",
    bad: vtd([0x81n | 0x3000n, 1n]),
    good: vtd([0x41n, 1n, 0x3000n]),
    says: { field: "AW", bits: "4:2", value: "0x0" },
  },
  {
    rule: "unsupported-encoding",
    name: "VT-d: 5-level first stage without CAP.FS5LP",
    bad: vtd([0x49n, 1n, 0x3004n], "0x2000", { props: { fs5lp: 0 } }),
    good: vtd([0x49n, 1n, 0x3004n], "0x2000", { props: { fs5lp: 1 } }),
    says: { field: "FSPM", value: "0x1" },
  },
  {
    rule: "conflicting-fields",
    name: "VT-d: PRE without DTE",
    bad: vtdRooted([0x1011n]),
    good: vtdRooted([0x1015n]),
    says: { field: "PRE", bits: "4", structure: "VT-d scalable-mode context entry", index: 24, device: 0x18 },
  },
  {
    rule: "conflicting-fields",
    name: "VT-d: RID_PASID beyond the directory, of 2^13 PASIDs by PDTS 0",
    bad: vtdRooted([0x1001n, 0x2000n]),
    good: vtdRooted([0x1001n, 0x1fffn]),
    says: { field: "RID_PASID", value: "0x2000" },
  },
  {
    rule: "pointer-outside-memory",
    name: "VT-d: FSPTPTR leads nowhere",
    bad: vtd([0x49n, 1n, 0x5000n]),
    good: vtd([0x49n, 1n, 0x3000n]),
    says: { field: "FSPTPTR", value: "0x5000" },
  },
  {
    rule: "pointer-outside-memory",
    name: "VT-d: the root table itself",
    bad: vtdRooted([0x1001n], { regs: { rtaddr: 0x6400n } }),
    good: vtdRooted([0x1001n]),
    says: { structure: "RTADDR_REG", field: "RTA", value: "0x6000" },
  },
  {
    rule: "reserved-domain-id",
    name: "VT-d: DID 0 with CAP.CM; 48-bit tables, first stage",
    bad: vtd([0x49n, 0n, 0x3000n], "0x2000", { regs: { cap: 0x2f_0486n } }),
    good: vtd([0x49n, 0n, 0x3000n], "0x2000", { regs: { cap: 0x2f_0406n } }),
    says: { field: "DID", bits: "79:64", value: "0x0" },
  },
  {
    rule: "tag-reused",
    name: "VT-d: one DID for two second stages",
    bad: vtd([0x3000n | SECOND, 5n, 0n, 0n, 0n, 0n, 0n, 0n, 0x4000n | SECOND, 5n]),
    good: vtd([0x3000n | SECOND, 5n, 0n, 0n, 0n, 0n, 0n, 0n, 0x3000n | SECOND, 5n]),
    says: { field: "DID", value: "0x5", index: 1, pasids: [1, 1] },
  },
  {
    rule: "tag-reused",
    name: "VT-d: PASIDs tell first stages of one DID apart, devices do not",
    bad: vtdRooted([0x1001n], {
      memory: { "0x9320": [0xa001n], "0xa000": [0xb001n], "0xb000": [0x49n, 1n, 0x4000n] },
    }),
    good: vtdRooted([0x1001n], {
      memory: { "0x2000": [...FIRST, 0n, 0n, 0n, 0n, 0n, 0x49n, 1n, 0x4000n] },
    }),
    says: { field: "DID", device: 0x19, pasids: [0, 0] },
  },
  {
    rule: "unreachable-entry",
    name: "VT-d: PASID 2 in a table of 1 bit",
    bad: vtd(FIRST, "0x2080", { bind: { model: "intel", base: 0x1000n, pasidBits: 1 } }),
    good: vtd(FIRST, "0x2040", { bind: { model: "intel", base: 0x1000n, pasidBits: 1 } }),
    says: { index: 2, pasids: [2, 2] },
  },
  {
    rule: "unreachable-entry",
    name: "VT-d: beyond ECAP.PSS, unless it is RID_PASID",
    bad: vtdRooted([0x1001n, 0n], { props: { pss: 0 }, memory: { "0x20c0": [0x49n, 2n, 0x3000n] } }),
    good: vtdRooted([0x1001n, 3n], { props: { pss: 0 }, memory: { "0x20c0": [0x49n, 2n, 0x3000n] } }),
    says: { index: 3, pasids: [3, 3] },
  },
  {
    rule: "illegal-encoding",
    name: "VT-d: AW 4 of a legacy context entry",
    bad: vtdRooted([], { regs: { rtaddr: 0x8000n }, memory: { "0x9180": [0x3001n, 0x104n] } }),
    good: vtdRooted([], { regs: { rtaddr: 0x8000n }, memory: { "0x9180": [0x3001n, 0x102n] } }),
    says: { structure: "VT-d context entry", field: "AW", bits: "66:64", value: "0x4", index: 24 },
  },
];
