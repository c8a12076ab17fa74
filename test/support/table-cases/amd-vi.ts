import type { Setup } from "../table-lint.ts";
import type { Case } from "./case.ts";

// ── AMD-Vi: a device table of 128 entries at 0x8000, guest CR3 table at 0x10000 ──

const amd = (dte: readonly bigint[], more: Partial<Setup> = {}): Setup => ({
  model: "amd",
  regs: { dev_tab_base: 0x8000n },
  ...more,
  memory: { "0x8000": [], "0x8300": dte, "0x10000": [], "0x20000": [], "0x21000": [], ...more.memory },
});
/** V, TV, 4 levels at 0x20000, IR and IW. */
const DTE = 3n | (4n << 9n) | 0x20000n | (3n << 61n);
const GV = 1n << 55n;
/** V, TV, flat, guest tables by a one-level CR3 table at 0x10000: its address bits 14:12, 30:15 and 51:31. */
const FLAT_GUEST = 3n | (3n << 61n) | GV;
const GCR3_16 = 0x2n << 16n;

export const AMD: readonly Case[] = [
  {
    rule: "reserved-entry-bits",
    name: "AMD: bit 2 of a device table entry; bit 7 belongs to HAD",
    bad: amd([DTE | 4n]),
    good: amd([DTE | 0x80n]),
    says: { structure: "Device table entry", bits: "2", value: "0x4", index: 24, device: 0x18 },
  },
  {
    rule: "ignored-entry-bits",
    name: "AMD: bit 192, which belongs to interrupts; bit 207 is a field",
    bad: amd([DTE, 0n, 0n, 1n]),
    good: amd([DTE, 0n, 0n, 1n << 15n]),
    says: { bits: "192", value: "0x1" },
  },
  {
    rule: "illegal-encoding",
    name: "AMD: mode 7; without TV nobody looks",
    bad: amd([DTE | (7n << 9n)]),
    good: amd([(DTE | (7n << 9n)) & ~2n]),
    says: { field: "MODE", bits: "11:9", value: "0x7" },
  },
  {
    rule: "unsupported-encoding",
    name: "AMD: 6 levels where EFR.HATS says 5",
    bad: amd([DTE | (6n << 9n)], { props: { hats: 1 } }),
    good: amd([DTE | (5n << 9n)], { props: { hats: 1 } }),
    says: { field: "MODE", value: "0x6" },
  },
  {
    rule: "address-too-wide",
    name: "AMD: a host table beyond the physical addresses",
    bad: amd([DTE | (1n << 40n)], { props: { output_bits: 40 }, memory: { "0x10000020000": [] } }),
    good: amd([DTE | (1n << 39n)], { props: { output_bits: 40 }, memory: { "0x8000020000": [] } }),
    says: { field: "HPTROOT", value: "0x10000020000" },
  },
  {
    rule: "ineffective-field",
    name: "AMD: GV while guest translation is not enabled",
    bad: amd([FLAT_GUEST, GCR3_16], { regs: { dev_tab_base: 0x8000n, control: 1n } }),
    good: amd([FLAT_GUEST, GCR3_16], { regs: { dev_tab_base: 0x8000n, control: 0x10001n } }),
    says: { field: "GV", bits: "55" },
  },
  {
    rule: "pointer-outside-memory",
    name: "AMD: a guest CR3 that leads nowhere",
    bad: amd([FLAT_GUEST, GCR3_16], { memory: { "0x10018": [0x30001n] } }),
    good: amd([FLAT_GUEST, GCR3_16], { memory: { "0x10018": [0x20001n] } }),
    says: {
      structure: "Guest CR3 table entry",
      field: "GCR3",
      value: "0x30000",
      pasids: [3, 3],
      device: 0x18,
    },
  },
  {
    rule: "tag-reused",
    name: "AMD: one DomainID for two host tables",
    bad: amd([DTE, 9n], { memory: { "0x8320": [DTE + 0x1000n, 9n] } }),
    good: amd([DTE, 9n], { memory: { "0x8320": [DTE + 0x1000n, 10n] } }),
    says: { field: "DOMAINID", value: "0x9", device: 0x19 },
  },
  {
    rule: "unreachable-entry",
    name: "AMD: PASID 16 of a table of 4 bits",
    bad: amd([], {
      bind: { model: "amd", base: 0x10000n, pasidBits: 4 },
      memory: { "0x10080": [0x20001n] },
    }),
    good: amd([], {
      bind: { model: "amd", base: 0x10000n, pasidBits: 4 },
      memory: { "0x10078": [0x20001n] },
    }),
    says: { index: 16, pasids: [16, 16] },
  },
];
