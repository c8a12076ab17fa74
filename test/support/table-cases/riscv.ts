import type { Setup } from "../table-lint.ts";
import type { Case } from "./case.ts";

// ── RISC-V: one page of base-format device contexts at 0x8000, process contexts at 0x10000 ──

const riscv = (dc: readonly bigint[], more: Partial<Setup> = {}): Setup => ({
  model: "riscv",
  regs: { ddtp: 0x2002n },
  ...more,
  props: { msi_flat: 0, ...more.props },
  memory: { "0x8000": [], "0x8060": dc, "0x10000": [], "0x20000": [], "0x24000": [], ...more.memory },
});
/** The same page, of extended-format contexts. */
const extended = (dc: readonly bigint[]): Setup =>
  riscv([], { props: { msi_flat: 1 }, memory: { "0x8060": [], "0x80c0": dc } });
/** V, PDTV; second stage Bare; PD8 at 0x10000. */
const PD8 = [0x21n, 0n, 0n, (1n << 60n) | 0x10n];
/** V, PSCID; Sv39 at 0x20000. */
const pc = (pscid: bigint, root = 0x20n) => [1n | (pscid << 12n), (8n << 60n) | root];
/** V; Sv39x4 at 0x20000 with a GSCID; Sv39 Bare. */
const second = (gscid: bigint, root = 0x20n) => [1n, (8n << 60n) | (gscid << 44n) | root, 0n, 0n];

export const RISCV: readonly Case[] = [
  {
    rule: "reserved-entry-bits",
    name: "RISC-V: bit 12 of a device context; bit 24 is custom",
    bad: riscv([PD8[0]! | (1n << 12n), ...PD8.slice(1)]),
    good: riscv([PD8[0]! | (1n << 24n), ...PD8.slice(1)]),
    says: { structure: "Base-format device context", bits: "12", index: 3, device: 3 },
  },
  {
    rule: "illegal-encoding",
    name: "RISC-V: fsc.MODE 7 of a process context",
    bad: riscv(PD8, { memory: { "0x10020": [1n, (7n << 60n) | 0x20n] } }),
    good: riscv(PD8, { memory: { "0x10020": pc(0n) } }),
    says: { structure: "Process context", field: "fsc_MODE", value: "0x7", pasids: [2, 2], device: 3 },
  },
  {
    rule: "unsupported-encoding",
    name: "RISC-V: Sv48 where the IOMMU has Sv39 alone",
    bad: riscv(PD8, { props: { sv48: 0 }, memory: { "0x10020": [1n, (9n << 60n) | 0x20n] } }),
    good: riscv(PD8, { props: { sv48: 1 }, memory: { "0x10020": [1n, (9n << 60n) | 0x20n] } }),
    says: { field: "fsc_MODE", value: "0x9" },
  },
  {
    rule: "conflicting-fields",
    name: "RISC-V: EN_PRI without EN_ATS",
    bad: riscv([PD8[0]! | 4n, ...PD8.slice(1)]),
    good: riscv([PD8[0]! | 6n, ...PD8.slice(1)]),
    says: { field: "EN_PRI", bits: "2" },
  },
  {
    rule: "address-too-wide",
    name: "RISC-V: a first stage beyond capabilities.PAS",
    bad: riscv(PD8, { props: { pas: 40 }, memory: { "0x10020": pc(0n, 1n << 28n), "0x10000000000": [] } }),
    good: riscv(PD8, { props: { pas: 40 }, memory: { "0x10020": pc(0n, 1n << 27n), "0x8000000000": [] } }),
    says: { field: "fsc_PPN", value: "0x10000000000" },
  },
  {
    rule: "pointer-outside-memory",
    name: "RISC-V: a process directory that leads nowhere",
    bad: riscv([0x21n, 0n, 0n, (1n << 60n) | 0x50n]),
    good: riscv(PD8),
    says: { field: "fsc_PPN", value: "0x50000" },
  },
  {
    rule: "pointer-outside-memory",
    name: "RISC-V: an MSI page table that leads nowhere, in an extended-format context",
    bad: extended([1n, (8n << 60n) | 0x20n, 0n, 0n, (1n << 60n) | 0x50n]),
    good: extended([1n, (8n << 60n) | 0x20n, 0n, 0n, (1n << 60n) | 0x24n]),
    says: { structure: "Extended-format device context", field: "msiptp_PPN", value: "0x50000", index: 3 },
  },
  {
    rule: "illegal-encoding",
    name: "RISC-V: a second stage that is not aligned to 16 KiB",
    bad: riscv(second(1n, 0x21n), { memory: { "0x21000": [] } }),
    good: riscv(second(1n, 0x24n)),
    says: { field: "iohgatp_PPN", value: "0x21000" },
  },
  {
    rule: "tag-reused",
    name: "RISC-V: one GSCID for two second stages",
    bad: riscv(second(6n), { memory: { "0x8080": second(6n, 0x24n) } }),
    good: riscv(second(6n), { memory: { "0x8080": second(6n) } }),
    says: { field: "GSCID", value: "0x6", device: 4 },
  },
  {
    rule: "tag-reused",
    name: "RISC-V: one PSCID for two first stages",
    bad: riscv(PD8, { memory: { "0x10000": [...pc(3n), ...pc(3n, 0x24n)] } }),
    good: riscv(PD8, { memory: { "0x10000": [...pc(3n), ...pc(4n, 0x24n)] } }),
    says: { field: "PSCID", value: "0x3", pasids: [1, 1] },
  },
  {
    rule: "unreachable-entry",
    name: "RISC-V: a non-leaf entry beyond the 3 bits that PD20's root resolves",
    bad: riscv([0x21n, 0n, 0n, (3n << 60n) | 0x10n], { memory: { "0x10040": [0x8001n] } }),
    good: riscv([0x21n, 0n, 0n, (3n << 60n) | 0x10n], { memory: { "0x10038": [0x8001n] } }),
    says: { structure: "Non-leaf PDT entry", index: 8 },
  },
];
