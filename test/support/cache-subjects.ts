/** One device of each vendor with one stage of tables, and the commands that drop what is held of two of its pages. */
import { type Format, Radix, Scenario, VTD_SECOND, x86 } from "./cache-scenario.ts";
import { ALL_CAPABILITIES } from "./riscv-iommu.ts";
import { cdWords, steWords } from "./smmuv3-machine.ts";

export const A = 0x1000_0000n;
export const NEIGHBOUR = 0x1000_7000n;

export interface Subject {
  readonly s: Scenario;
  readonly table: Radix;
  readonly format: Format;
  readonly dev: string;
  /** Drops the page's translation alone, and with everything above it. */
  leaf(): void;
  all(): void;
  complete(): void;
}

function vtd(): Subject {
  const format = VTD_SECOND;
  const s = new Scenario("intel", { rtaddr: 0x10_0000n });
  const table = new Radix(s, format);
  s.put(0x10_0000n, 0x10_1001n).put(0x10_1180n, table.root | 1n, (9n << 8n) | 2n);
  return {
    s,
    table,
    format,
    dev: "00:03.0",
    leaf: () => s.cmd(0x9_0032n, A | 0x40n).cmd(0x9_0032n, NEIGHBOUR | 0x40n),
    all: () => s.cmd(0x9_0032n, A),
    complete: () => s.cmd(0x25n, 0n),
  };
}

export function smmu(): Subject {
  const format: Format = {
    ...x86(3n, 0xc43n),
    leaf: (pa, level) => pa | (level === 1 ? 0xc43n : 0xc41n),
  };
  const s = new Scenario("arm-smmuv3", { strtab_base: 0x1_0000n, strtab_base_cfg: 8n });
  const table = new Radix(s, format);
  const cd = s.allocate(64n);
  s.put(0x1_0040n, ...steWords({ V: 1, Config: 5, S1ContextPtr: cd, S2VMID: 1 }));
  const fields = { V: 1, AA64: 1, A: 1, R: 1, IPS: 5, EPD1: 1, T0SZ: 16, ASID: 5, TTB0: table.root };
  s.put(cd, ...cdWords(fields));
  const va = 0x12n | (1n << 32n) | (5n << 48n);
  return {
    s,
    table,
    format,
    dev: "sid:1",
    leaf: () => s.cmd(va, A | 1n).cmd(va, NEIGHBOUR | 1n),
    all: () => s.cmd(va, A),
    complete: () => s.cmd(0x46n, 0n),
  };
}

function amd(): Subject {
  const rights = 3n << 61n;
  const format: Format = {
    levels: 4,
    bits: 9,
    pageBits: 12,
    table: (next, level) => next | (BigInt(level - 1) << 9n) | 1n | rights,
    leaf: (pa) => pa | 1n | rights,
  };
  const s = new Scenario("amd", { dev_tab_base: 0x10_0001n });
  const table = new Radix(s, format);
  s.put(0x10_0020n, 3n | (4n << 9n) | table.root | rights, 7n, 0n, 0n);
  const pages = (3n << 60n) | (7n << 32n);
  return {
    s,
    table,
    format,
    dev: "devid:1",
    leaf: () => s.cmd(pages, A).cmd(pages, NEIGHBOUR),
    all: () => s.cmd(pages, A | 2n),
    complete: () => s.cmd(1n << 60n, 0n),
  };
}

function riscv(): Subject {
  const format: Format = {
    levels: 3,
    bits: 9,
    pageBits: 12,
    table: (next) => ((next >> 12n) << 10n) | 1n,
    leaf: (pa) => ((pa >> 12n) << 10n) | 0xdfn,
  };
  const capabilities = ALL_CAPABILITIES | (1n << 42n);
  const s = new Scenario("riscv", { capabilities, fctl: 0n, ddtp: ((0x10_0000n >> 12n) << 10n) | 2n });
  const table = new Radix(s, format);
  s.put(0x10_0040n, 1n, 0n, 5n << 12n, (8n << 60n) | (table.root >> 12n));
  const at = (addr: bigint) => (addr >> 12n) << 10n;
  const vma = 1n | (1n << 10n) | (1n << 32n) | (5n << 12n);
  return {
    s,
    table,
    format,
    dev: "did:1",
    leaf: () => s.cmd(vma, at(A)).cmd(vma, at(NEIGHBOUR)),
    all: () => s.cmd(vma | (1n << 34n), at(A)),
    complete: () => s.cmd(2n, 0n),
  };
}

export const SUBJECTS: [string, () => Subject][] = [
  ["VT-d", vtd],
  ["SMMUv3", smmu],
  ["AMD-Vi", amd],
  ["RISC-V", riscv],
];
