import { NO_PASID } from "../walkers/request.ts";
import { DDT_ENTRY_RULES, DEVICE_RULES, PDT_ENTRY_RULES, PROCESS_RULES } from "../walkers/riscv/rules.ts";
import {
  type Broken,
  CONFLICT,
  ILLEGAL,
  LACKS,
  RESERVED,
  type Structure,
  testRules,
} from "./support/rule-cases.ts";
import type { Setup } from "./support/table-lint.ts";

/** Every capability of 1.0, PAS of 56 bits; bits are those of the register. */
const ALL =
  0x10n |
  (0xfn << 8n) |
  (3n << 14n) |
  (0xfn << 16n) |
  (0x7fn << 21n) |
  (56n << 32n) |
  (7n << 38n) |
  (1n << 41n);
const without = (...bits: bigint[]) => ({
  regs: { capabilities: bits.reduce((all, bit) => all & ~(1n << bit), ALL) },
});
const GXL = { fctl: 4n };

const MODE = (mode: bigint, ppn = 0x20n) => (mode << 60n) | ppn;
/** tc: V, EN_ATS, EN_PRI, T2GPA, PDTV, PRPR, SADE, DPE, SBE, SXL. */
const V = 1n;
const [ATS, PRI, T2GPA, PDTV, PRPR, SADE, DPE, SBE, SXL] = [1n, 2n, 3n, 5n, 6n, 8n, 9n, 10n, 11n].map(
  (bit) => 1n << bit,
) as [bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint];

const MEMORY = { "0x8000": [], "0x9000": [], "0x10000": [], "0x11000": [], "0x20000": [] };
/** 1LVL directory of extended contexts at 0x8000: that of device 0x18 is at 0x8600. */
const one = (memory: Setup["memory"]): Setup => ({
  model: "riscv",
  regs: { capabilities: ALL, fctl: 0n, ddtp: (8n << 10n) | 2n },
  memory: { ...MEMORY, ...memory },
});
/** 2LVL: the 6 low bits of a device_id are the leaf's. */
const two: Setup = {
  ...one({ "0x9600": [V] }),
  regs: { capabilities: ALL, fctl: 0n, ddtp: (8n << 10n) | 3n },
};
/** PD17 at 0x10000, its first leaf at 0x11000. */
const processes: Setup = one({ "0x8600": [V | PDTV, 0n, 0n, MODE(2n, 0x10n)], "0x10000": [0x4401n] });

const STRUCTURES = {
  "non-leaf DDT entry": {
    rules: DDT_ENTRY_RULES,
    at: 0x8000n,
    sound: [0x2401n],
    pasid: NO_PASID,
    setup: two,
  },
  "device context": {
    rules: DEVICE_RULES,
    // How wide RCID and MCID are is in no register.
    never: [22],
    at: 0x8600n,
    sound: [V, 0n, 5n << 12n, MODE(8n)],
    pasid: NO_PASID,
    setup: one({}),
  },
  "non-leaf PDT entry": {
    rules: PDT_ENTRY_RULES,
    at: 0x10000n,
    sound: [0x4401n],
    pasid: 3,
    setup: processes,
  },
  "process context": {
    rules: PROCESS_RULES,
    at: 0x11030n,
    sound: [V | (5n << 12n), MODE(8n)],
    pasid: 3,
    setup: processes,
  },
} satisfies Readonly<Record<string, Structure>>;

const refused =
  (fault: string) =>
  (rule: number, words: readonly bigint[], says: string, more: Partial<Broken> = {}): Broken => ({
    rule,
    words,
    fault,
    says,
    ...more,
  });
const ddt = refused("DDT entry misconfigured");
const pdt = refused("PDT entry misconfigured");
const x4 = MODE(8n);
/** fctl.GXL: tc.SXL has to be 1, too. */
const narrow = (...bits: bigint[]) => ({ regs: { ...without(...bits).regs, ...GXL } });

const BROKEN: Readonly<Record<keyof typeof STRUCTURES, readonly Broken[]>> = {
  "non-leaf DDT entry": [
    ddt(1, [0x2403n], `${RESERVED} 1`),
    ddt(1, [0x2401n | (1n << 54n)], `${RESERVED} 54`),
  ],
  "device context": [
    ddt(1, [V | (1n << 12n)], `${RESERVED} 12`),
    ddt(1, [V, 0n, 1n << 40n], `${RESERVED} RCID`, without(41n)),
    ddt(2, [V | ATS], `${LACKS} EN_ATS`, without(25n)),
    ddt(3, [V | T2GPA, x4], `${CONFLICT} T2GPA`),
    ddt(4, [V | PRI], `${CONFLICT} EN_PRI`),
    ddt(5, [V | ATS | PRPR], `${CONFLICT} PRPR`),
    ddt(6, [V | ATS | T2GPA, x4], `${LACKS} T2GPA`, without(26n)),
    ddt(7, [V | ATS | T2GPA], `${CONFLICT} T2GPA`),
    ddt(8, [V | PDTV, 0n, 0n, MODE(1n)], `${LACKS} fsc_MODE`, without(38n)),
    ddt(9, [V, 0n, 0n, MODE(7n)], `${ILLEGAL} fsc_MODE`),
    ddt(10, [V, 0n, 0n, MODE(9n)], `${LACKS} fsc_MODE`, without(10n)),
    ddt(11, [V | SXL, 0n, 0n, MODE(8n)], `${LACKS} fsc_MODE`, without(8n)),
    ddt(12, [V | DPE], `${CONFLICT} DPE`),
    ddt(13, [V, MODE(7n)], `${ILLEGAL} iohgatp_MODE`),
    ddt(14, [V, MODE(9n)], `${LACKS} iohgatp_MODE`, without(18n)),
    ddt(15, [V | SXL, x4], `${LACKS} iohgatp_MODE`, narrow(16n)),
    ddt(16, [V, x4, 0n, 0n, MODE(2n)], `${ILLEGAL} msiptp_MODE`),
    ddt(17, [V, MODE(8n, 0x21n)], `${ILLEGAL} iohgatp_PPN`),
    ddt(18, [V | SADE], `${LACKS} SADE`, without(24n)),
    ddt(19, [V | SBE], `${LACKS} SBE`, without(27n)),
    ddt(20, [V], `${LACKS} SXL`, narrow()),
    ddt(21, [V | SBE], `${LACKS} SBE`, { props: { be_writable: false } }),
    ddt(23, [V, 0n, 0n, 0n, MODE(1n)], `${CONFLICT} msiptp_MODE`, { props: { spec_release: 20260222 } }),
  ],
  "non-leaf PDT entry": [pdt(1, [0x4403n], `${RESERVED} 1`)],
  "process context": [
    pdt(1, [V | 8n], `${RESERVED} 3`),
    pdt(2, [V, MODE(7n)], `${ILLEGAL} fsc_MODE`),
    pdt(3, [V, MODE(9n)], `${LACKS} fsc_MODE`, without(10n)),
    pdt(4, [V, MODE(8n)], `${LACKS} fsc_MODE`, {
      ...without(8n),
      memory: { "0x8600": [V | PDTV | SXL, 0n, 0n, MODE(2n, 0x10n)] },
    }),
  ],
};

testRules("RISC-V", STRUCTURES, BROKEN, /misconfigured/);
