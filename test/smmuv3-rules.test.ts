import { NO_PASID } from "../walkers/request.ts";
import { CD_RULES, L1CD_RULES } from "../walkers/smmuv3/rules-cd.ts";
import { L1STD_RULES, STE_RULES } from "../walkers/smmuv3/rules-ste.ts";
import {
  type Broken,
  CONFLICT,
  ILLEGAL,
  LACKS,
  type Structure,
  testRules,
  UNWALKED,
  WIDTH,
} from "./support/rule-cases.ts";
import type { Setup } from "./support/table-lint.ts";

/** IHI 0070, 6.3.1: both stages, VMSAv8-64, HTTU 2, HYP, ATS, ASID16, VMID16, CD2L. */
const IDR0 =
  3n | (2n << 2n) | (3n << 6n) | (1n << 9n) | (1n << 10n) | (1n << 12n) | (1n << 18n) | (1n << 19n);
const idr0 = (change: bigint) => ({ regs: { idr0: IDR0 ^ change } });
const STALL_NONE = idr0(1n << 24n);
const STALL_FORCE = idr0(2n << 24n);
/** OAS of 44 bits and all granules; those without 4, 16 and 64 KiB. */
const OAS_44 = { regs: { idr5: 0x74n } };
const NO_4K = { regs: { idr5: 0x65n } };
const NO_16K = { regs: { idr5: 0x55n } };
const NO_64K = { regs: { idr5: 0x35n } };

/** STE, doubleword 0: V, Config; stage 1 has its CD at 0x10000. */
const S1 = 0x1_000bn;
const S2 = 0xdn;
const NESTED = 0x1_000fn;
const EATS = (value: bigint) => value << 28n;
const STRW = (value: bigint) => value << 30n;
/** Doubleword 2: 40 bits from level 1, 4 KiB, S2PS of 48 bits, VMSAv8-64. */
const SHAPE = (24n << 32n) | (1n << 38n) | (5n << 48n) | (1n << 51n);
const AA64 = 1n << 51n;
const S2S = 1n << 57n;
const TABLE = 0x2_0000n;

/** CD, doubleword 0: 39 bits of 4 KiB, no TTB1, V, IPS of 48 bits, AA64, R, A. */
const CD = 25n | (1n << 30n) | (1n << 31n) | (5n << 32n) | (1n << 41n) | (3n << 45n);
const IPS = 7n << 32n;
const IPS_36 = 1n << 32n;
/** With TTB1 of 39 bits, its granule at 23:22. */
const HIGH = (CD ^ (1n << 30n)) | (25n << 16n);

const linear = (ste: readonly bigint[]): Setup => ({
  model: "arm-smmuv3",
  regs: { strtab_base: 0x8000n, strtab_base_cfg: 5n },
  memory: { "0x8000": [], "0x8600": ste, "0x10000": [], "0x11000": [], "0x20000": [] },
});
/** Two levels, SPLIT 6; stream 0x18 bypasses. */
const twoLevel: Setup = {
  model: "arm-smmuv3",
  regs: { strtab_base: 0x8000n, strtab_base_cfg: (1n << 16n) | (6n << 6n) | 8n },
  memory: { "0x8000": [], "0x9000": [], "0x9600": [9n] },
};
/** 2-level CD tables of 4 KiB leaves; CD 3 of the first. */
const substreams: Setup = linear([S1 | (1n << 4n) | (10n << 59n), 2n]);

const STRUCTURES = {
  "level 1 stream table descriptor": {
    rules: L1STD_RULES,
    at: 0x8000n,
    sound: [0x9007n],
    pasid: NO_PASID,
    setup: twoLevel,
  },
  "stream table entry": {
    rules: STE_RULES,
    at: 0x8600n,
    sound: [NESTED, 0n, SHAPE, TABLE],
    pasid: NO_PASID,
    setup: linear([]),
  },
  "level 1 context descriptor": {
    rules: L1CD_RULES,
    at: 0x1_0000n,
    sound: [0x1_1001n],
    pasid: 3,
    setup: { ...substreams, memory: { ...substreams.memory, "0x110c0": [CD, TABLE] } },
  },
  "context descriptor": {
    rules: CD_RULES,
    at: 0x1_0000n,
    sound: [CD, TABLE],
    pasid: NO_PASID,
    setup: linear([S1]),
  },
} satisfies Readonly<Record<string, Structure>>;

type More = Partial<Broken>;
const refused =
  (fault: string) =>
  (rule: number, words: readonly bigint[], says: string, more: More = {}): Broken => ({
    rule,
    words,
    fault,
    says,
    ...more,
  });
const ste = refused("C_BAD_STE");
const cd = refused("C_BAD_CD");
const streamId = refused("C_BAD_STREAMID");

const BROKEN: Readonly<Record<keyof typeof STRUCTURES, readonly Broken[]>> = {
  "level 1 stream table descriptor": [
    streamId(1, [0x900cn], `${ILLEGAL} Span`),
    streamId(2, [0x9008n], `${CONFLICT} Span`),
  ],
  "stream table entry": [
    ste(1, [S1], `${LACKS} Config`, idr0(2n)),
    ste(2, [S2, 0n, SHAPE, TABLE], `${LACKS} Config`, idr0(1n)),
    ste(3, [S1, EATS(2n)], `${CONFLICT} EATS`),
    ste(4, [NESTED, EATS(2n), SHAPE | S2S, TABLE], `${CONFLICT} EATS`),
    ste(5, [NESTED, EATS(2n), SHAPE, TABLE], `${LACKS} EATS`, idr0(1n << 11n)),
    ste(6, [S1, EATS(3n) | STRW(2n)], `${CONFLICT} EATS`, { regs: { idr3: 1n << 15n } }),
    ste(7, [S2, EATS(1n), SHAPE | S2S, TABLE], `${CONFLICT} EATS`),
    ste(8, [S1, STRW(1n)], `${ILLEGAL} STRW`),
    ste(8, [S1, STRW(3n)], `${ILLEGAL} STRW`),
    ste(9, [S2, 0n, SHAPE | 0x100n, TABLE], `${LACKS} S2VMID`, idr0(1n << 18n)),
    ste(10, [S1, 1n << 27n], `${LACKS} S1STALLD`, STALL_NONE),
    ste(11, [S1 | (9n << 59n), 2n], `${LACKS} S1CDMax`, { regs: { idr1: (8n << 6n) | 16n } }),
    ste(12, [S1 | (7n << 59n) | (1n << 4n), 2n], `${LACKS} S1Fmt`, idr0(1n << 19n)),
    ste(13, [S1 | (1n << 44n)], `${WIDTH} S1ContextPtr`, OAS_44),
    ste(14, [S2, 0n, SHAPE | S2S, TABLE], `${LACKS} S2S`, STALL_NONE),
    ste(15, [S2, 0n, SHAPE, TABLE], `${LACKS} S2S`, STALL_FORCE),
    ste(16, [S2, 0n, SHAPE ^ AA64, TABLE], `${LACKS} S2AA64`),
    ste(17, [S2, 0n, SHAPE ^ AA64, TABLE], `${UNWALKED} S2AA64`, idr0(1n << 2n)),
    ste(18, [S2, 0n, SHAPE | (1n << 56n), TABLE], `${LACKS} S2HA`, idr0(3n << 6n)),
    ste(19, [S2, 0n, SHAPE | (1n << 55n), TABLE], `${LACKS} S2HD`, idr0(2n << 6n)),
    ste(20, [S2, 0n, SHAPE | (1n << 59n), TABLE], `${CONFLICT} S2HAFT`),
    ste(21, [S2, 0n, SHAPE | (1n << 52n), TABLE], `${LACKS} S2ENDI`, idr0(2n << 21n)),
    ste(22, [S2, 0n, SHAPE | (3n << 46n), TABLE], `${ILLEGAL} S2TG`),
    ste(23, [S2, 0n, SHAPE, TABLE], `${LACKS} S2TG`, NO_4K),
    ste(24, [S2, 0n, SHAPE & ~(7n << 48n), 1n << 32n], `${WIDTH} S2TTB`),
    ste(25, [S2, 0n, SHAPE ^ ((24n ^ 15n) << 32n), TABLE], `${ILLEGAL} S2T0SZ`),
    ste(26, [S2, 0n, SHAPE | (3n << 38n) | (1n << 46n), TABLE], `${ILLEGAL} S2SL0`),
    // 48 bits from level 2.
    ste(27, [S2, 0n, (16n << 32n) | (5n << 48n) | AA64, TABLE], `${CONFLICT} S2SL0`),
  ],
  "level 1 context descriptor": [
    refused("C_BAD_SUBSTREAMID")(1, [(1n << 44n) | 1n], `${WIDTH} L2Ptr`, OAS_44),
  ],
  "context descriptor": [
    cd(1, [CD | (1n << 44n), TABLE], `${CONFLICT} S`, { memory: { "0x8600": [S1, 1n << 27n] } }),
    cd(2, [CD ^ (1n << 46n), TABLE], `${LACKS} A`, idr0(1n << 26n)),
    cd(3, [CD | (1n << 44n), TABLE], `${LACKS} S`, STALL_NONE),
    cd(4, [CD, TABLE], `${LACKS} S`, STALL_FORCE),
    cd(5, [CD | (1n << 15n), TABLE], `${LACKS} ENDI`, idr0(2n << 21n)),
    cd(6, [CD ^ (1n << 41n), TABLE], `${LACKS} AA64`),
    cd(7, [CD ^ (1n << 41n), TABLE], `${UNWALKED} AA64`, idr0(1n << 2n)),
    cd(8, [CD | (1n << 43n), TABLE], `${LACKS} HA`, idr0(3n << 6n)),
    cd(9, [CD | (1n << 42n), TABLE], `${LACKS} HD`, idr0(2n << 6n)),
    cd(10, [CD, TABLE | 8n], `${CONFLICT} HAFT`),
    cd(11, [CD | (0x100n << 48n), TABLE], `${LACKS} ASID`, idr0(1n << 12n)),
    cd(12, [CD | (3n << 6n), TABLE], `${ILLEGAL} TG0`),
    cd(13, [CD | (2n << 6n), TABLE], `${LACKS} TG0`, NO_16K),
    cd(14, [CD ^ 25n ^ 15n, TABLE], `${ILLEGAL} T0SZ`),
    cd(15, [(CD & ~IPS) | IPS_36, 1n << 36n], `${WIDTH} TTB0`),
    cd(16, [HIGH, TABLE, TABLE], `${ILLEGAL} TG1`),
    cd(17, [HIGH | (3n << 22n), TABLE, TABLE], `${LACKS} TG1`, NO_64K),
    cd(18, [(HIGH ^ ((25n ^ 15n) << 16n)) | (2n << 22n), TABLE, TABLE], `${ILLEGAL} T1SZ`),
    cd(19, [(HIGH & ~IPS) | IPS_36 | (2n << 22n), TABLE, 1n << 36n], `${WIDTH} TTB1`),
  ],
};

testRules("SMMUv3", STRUCTURES, BROKEN, /C_BAD/);
