import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AmdIommu } from "./support/amd-iommu.ts";
import { agree, enumerate, type Requester } from "./support/inspection.ts";
import {
  AMD_V1,
  ARM,
  type EntryWords,
  fillRandomly,
  type Random,
  RISCV,
  RISCV32,
  randomOf,
  VTD_SECOND,
  X86,
} from "./support/random-tables.ts";
import { PDTV, pointer, SXL, TC_V } from "./support/riscv-builder.ts";
import { ALL_CAPABILITIES, RiscvIommu } from "./support/riscv-iommu.ts";
import { CONTEXT, Machine, stage2Of } from "./support/smmuv3-machine.ts";
import type { TableMemory } from "./support/table-memory.ts";
import {
  AW4,
  FIRST,
  legacyMachine,
  NEST,
  pasidEntry,
  SECOND,
  SS,
  scalableMachine,
} from "./support/vtd-machine.ts";

/** First-stage tables, in one 2 MiB block of the address space that they are in. */
const FIRST_TABLES = 0x40_0000n;
/** Second-stage tables. */
const SECOND_TABLES = 0x1_0000_0000n;
/** Where the second stage puts the block that the first-stage tables are in. */
const SHIFT = 0x2_0000_0000n;
/** Addresses that leaves map. */
const LIMIT = 1n << 26n;
const TABLES = 6;
const WALKS = 2500;
const RUNS = 12;

function addresses(first: bigint, bytes: number): bigint[] {
  return Array.from({ length: TABLES }, (_, i) => first + BigInt(i * bytes));
}

/** First-stage tables, physical. */
function flatFirst(memory: TableMemory, format: EntryWords, random: Random, bytes = 4096): bigint {
  const tables = addresses(FIRST_TABLES, bytes);
  fillRandomly(memory, format, tables, bytes, LIMIT, random);
  return tables[0]!;
}

/**
 * First-stage tables at guest addresses FIRST_TABLES, and second-stage tables that map their block, page by page, to
 * SHIFT beyond it, but for some pages; and other guest addresses at random.
 * @param top level of the second stage's root, levels counted down to 1
 */
function nested(
  memory: TableMemory,
  first: EntryWords,
  second: EntryWords,
  top: number,
  random: Random,
  bytes = 4096,
  pointTo = (table: bigint, _level: number) => second.table(table, () => 0),
): { first: bigint; second: bigint } {
  const guest = addresses(FIRST_TABLES, bytes);
  const physical = guest.map((address) => address + SHIFT);
  fillRandomly(memory, first, physical, bytes, LIMIT, random);
  // The words written name physical tables where they should name guest ones.
  for (const table of physical)
    for (let at = 0n; at < BigInt(bytes); at += 8n) {
      const word = memory.read64(table + at);
      const shifted = first === RISCV ? SHIFT >> 2n : SHIFT;
      const target = first === RISCV ? (word >> 10n) << 12n : word & 0xf_ffff_f000n;
      if (physical.includes(target)) memory.write64(table + at, word - shifted);
    }
  const host = addresses(SECOND_TABLES, 0x4000);
  fillRandomly(memory, second, host.slice(3), 4096, LIMIT, random);
  for (const table of host.slice(0, 3)) memory.ram(table, 0x4000n);
  let root = host[0]!;
  // Tables from the root down to level 2 that lead guest addresses below 1 GiB there.
  for (let level = top; level > 2; level--) {
    const below = level === 3 ? host[1]! : SECOND_TABLES + 0x10_0000n + BigInt(level) * 0x1000n;
    memory.write64(root, pointTo(below, level));
    root = below;
  }
  for (let i = 0; i < 32; i++) {
    const kind = random(4);
    const big = BigInt(i) << 21n;
    if (kind === 1) memory.write64(host[1]! + BigInt(i * 8), pointTo(host[3 + random(3)]!, 2));
    else if (kind > 1) memory.write64(host[1]! + BigInt(i * 8), second.block(big));
  }
  memory.write64(host[1]! + (FIRST_TABLES >> 21n) * 8n, pointTo(host[2]!, 2));
  for (let i = 0n; i < 512n; i++)
    if (random(12) !== 0) memory.write64(host[2]! + i * 8n, second.page(FIRST_TABLES + SHIFT + (i << 12n)));
  return { first: guest[0]!, second: host[0]! };
}

const V1_READ_WRITE = 3n << 61n;
const RISCV_USER = 1n << 1n;

const TARGETS: Readonly<Record<string, (random: Random) => Requester>> = {
  "VT-d legacy, second stage": (random) => {
    const m = legacyMachine({}, { output_bits: 46 });
    fillRandomly(m.memory, VTD_SECOND, addresses(SS, 4096), 4096, LIMIT, random);
    return { walker: m.walker, device: 0x18 };
  },
  "VT-d legacy, 39-bit second stage that reaches the interrupt range": (random) => {
    const m = legacyMachine();
    m.put(0x10_1000n + 0x180n, SS | 1n, 0x0701n);
    fillRandomly(m.memory, VTD_SECOND, addresses(SS, 4096), 4096, 1n << 33n, random);
    // 1 GiB from 3 GiB on, as input and as output.
    m.put(SS + 24n, 0xc000_0083n).put(SS + 32n, 0xc000_0083n);
    return { walker: m.walker, device: 0x18 };
  },
  "VT-d first stage, 4 levels": (random) => {
    const m = scalableMachine(pasidEntry(FIRST, 1n), { rtaddr: 0x10_0400n });
    const root = flatFirst(m.memory, X86, random);
    m.put(0x10_3000n + 64n + 16n, root | 1n);
    return { walker: m.walker, device: 0x18, pasid: 1 };
  },
  "VT-d first stage, 5 levels, without PASID": (random) => {
    const m = scalableMachine(pasidEntry(FIRST));
    m.put(0x10_3000n + 16n, flatFirst(m.memory, X86, random) | 4n);
    return { walker: m.walker, device: 0x18 };
  },
  "VT-d scalable, second stage": (random) => {
    const m = scalableMachine(pasidEntry(SECOND));
    fillRandomly(m.memory, VTD_SECOND, addresses(SS, 4096), 4096, LIMIT, random);
    return { walker: m.walker, device: 0x18, pasid: 1 };
  },
  "VT-d nested": (random) => {
    const m = scalableMachine(pasidEntry(NEST, 1n));
    const roots = nested(m.memory, X86, VTD_SECOND, 4, random);
    m.put(0x10_3000n + 64n, roots.second | AW4 | NEST | 1n, 9n, roots.first | 1n);
    return { walker: m.walker, device: 0x18, pasid: 1 };
  },
  "AMD host tables, 4 levels": (random) => {
    const iommu = new AmdIommu();
    const tables = addresses(FIRST_TABLES, 4096);
    fillRandomly(iommu.memory, AMD_V1, tables, 4096, LIMIT, random);
    iommu.hostDevice(3, tables[0]!, 4);
    return { walker: iommu.walker, device: 3 };
  },
  "AMD host tables, 6 levels, and an exclusion range": (random) => {
    const iommu = new AmdIommu({ excl_base: 0x20_0003n, excl_limit: 0x3f_f000n });
    const tables = addresses(FIRST_TABLES, 4096);
    fillRandomly(iommu.memory, AMD_V1, tables, 4096, LIMIT, random);
    iommu.hostDevice(3, tables[0]!, 6);
    return { walker: iommu.walker, device: 3 };
  },
  "AMD host tables where HyperTransport has its range, and SysMgt forwards": (random) => {
    const iommu = new AmdIommu({ efr2: 0n });
    const tables = addresses(FIRST_TABLES, 4096);
    fillRandomly(iommu.memory, AMD_V1, tables, 4096, LIMIT, random);
    // 512 GiB to 1 TiB are one page.
    iommu.memory.write64(tables[0]! + 8n, 0x80_0000_0000n | 1n | V1_READ_WRITE);
    iommu.hostDevice(3, tables[0]!, 4);
    iommu.memory.write64(iommu.dteAddress(3) + 8n, 7n | (1n << 40n));
    return { walker: iommu.walker, device: 3 };
  },
  "AMD guest tables": (random) => {
    const iommu = new AmdIommu();
    const root = flatFirst(iommu.memory, X86, random);
    const gcr3 = iommu.table();
    iommu.memory.write64(gcr3 + 8n, root | 1n);
    iommu.guestDevice(3, gcr3, 0);
    return { walker: iommu.walker, device: 3, pasid: 1 };
  },
  "AMD nested": (random) => {
    const iommu = new AmdIommu({}, {});
    const point = (table: bigint, level: number) => table | 1n | (BigInt(level - 1) << 9n) | V1_READ_WRITE;
    const roots = nested(iommu.memory, X86, AMD_V1, 4, random, 4096, point);
    // The guest CR3 table is in the first page of the tables' block that the second stage surely maps.
    iommu.memory.write64(
      SECOND_TABLES + 0x8000n + 511n * 8n,
      (FIRST_TABLES + SHIFT + 0x1f_f000n) | 1n | V1_READ_WRITE,
    );
    iommu.memory.write64(FIRST_TABLES + SHIFT + 0x1f_f000n + 8n, roots.first | 1n);
    iommu.guestDevice(3, FIRST_TABLES + 0x1f_f000n, 0, { mode: 4, root: roots.second });
    return { walker: iommu.walker, device: 3, pasid: 1 };
  },
  "RISC-V Sv39, with a process directory": (random) => {
    const iommu = new RiscvIommu();
    const root = flatFirst(iommu.memory, RISCV, random);
    const directory = iommu.allocate(4096);
    iommu.process(directory, 1, 1, 1n | RISCV_USER, pointer(8n, root));
    iommu.device(1, { tc: TC_V | PDTV, fsc: pointer(1n, directory) });
    return { walker: iommu.walker, device: 1, pasid: 1 };
  },
  "RISC-V Sv57": (random) => {
    const iommu = new RiscvIommu();
    iommu.device(1, { tc: TC_V, fsc: pointer(10n, flatFirst(iommu.memory, RISCV, random)) });
    return { walker: iommu.walker, device: 1 };
  },
  "RISC-V Sv32": (random) => {
    const iommu = new RiscvIommu({ fctl: 4n });
    iommu.device(1, { tc: TC_V | SXL, fsc: pointer(8n, flatFirst(iommu.memory, RISCV32, random)) });
    return { walker: iommu.walker, device: 1 };
  },
  "RISC-V Sv32x4": (random) => {
    const iommu = new RiscvIommu({ fctl: 4n });
    const tables = addresses(FIRST_TABLES, 0x4000);
    fillRandomly(iommu.memory, RISCV32, tables, 0x4000, LIMIT, random);
    iommu.device(1, { tc: TC_V | SXL, iohgatp: pointer(8n, tables[0]!) });
    return { walker: iommu.walker, device: 1 };
  },
  "RISC-V Sv48x4, with interrupt files": (random) => {
    const iommu = new RiscvIommu();
    const tables = addresses(FIRST_TABLES, 0x4000);
    fillRandomly(iommu.memory, RISCV, tables, 0x4000, LIMIT, random);
    const files = iommu.allocate(4096);
    for (let i = 0n; i < 8n; i++) iommu.put(files + 16n * i, [0n, 7n, 0x1407n, 3n][random(4)]!);
    const msi = { msiptp: pointer(1n, files), mask: 0x105n, pattern: BigInt(random(2 ** 12)) };
    iommu.device(1, { tc: TC_V, iohgatp: pointer(9n, tables[0]!), ...msi });
    return { walker: iommu.walker, device: 1 };
  },
  "RISC-V nested": (random) => {
    const iommu = new RiscvIommu({ capabilities: ALL_CAPABILITIES });
    const roots = nested(iommu.memory, RISCV, RISCV, 3, random);
    iommu.device(1, { tc: TC_V, iohgatp: pointer(8n, roots.second), fsc: pointer(9n, roots.first) });
    return { walker: iommu.walker, device: 1 };
  },
  "Arm stage 1, both halves": (random) => {
    const m = new Machine();
    const root = flatFirst(m.memory, ARM, random);
    m.ste({ Config: 5, S1ContextPtr: CONTEXT });
    const halves = { T0SZ: 16, TTB0: root, T1SZ: 25, TG1: 2, TTB1: root + 4096n };
    m.cd({ V: 1, AA64: 1, A: 1, R: 1, IPS: 6, ...halves });
    return { walker: m.walker, device: 0 };
  },
  "Arm stage 1, 16 KiB granule, with SubstreamID": (random) => {
    const m = new Machine();
    const root = flatFirst(m.memory, ARM, random, 0x4000);
    m.ste({ Config: 5, S1ContextPtr: CONTEXT, S1CDMax: 2 });
    m.cd({ V: 1, AA64: 1, A: 1, R: 1, IPS: 6, EPD1: 1, T0SZ: 17, TG0: 2, TTB0: root }, CONTEXT + 64n);
    return { walker: m.walker, device: 0, pasid: 1 };
  },
  "Arm stage 2, concatenated tables": (random) => {
    const m = new Machine();
    const tables = addresses(FIRST_TABLES, 0x1_0000);
    fillRandomly(m.memory, ARM, tables, 0x1_0000, LIMIT, random);
    const stage2 = { S2T0SZ: 64 - 42, S2TG: 0, S2SL0: 1, S2PS: 6, S2AA64: 1, S2R: 1, S2TTB: tables[0]! };
    m.ste({ Config: 6, ...stage2 });
    return { walker: m.walker, device: 0 };
  },
  "Arm nested": (random) => armNested(random, 0, 4096, 16),
  "Arm nested, 64 KiB granule over 4 KiB": (random) => armNested(random, 1, 0x1_0000, 22),
};

function armNested(random: Random, granule: number, bytes: number, t0sz: number): Requester {
  const m = new Machine();
  const roots = nested(m.memory, ARM, ARM, 3, random, bytes);
  // The context descriptor is in the tables' block, in a page that stage 2 surely maps.
  const cd = FIRST_TABLES + 0x1f_f000n;
  m.memory.write64(SECOND_TABLES + 0x8000n + 511n * 8n, ARM.page(cd + SHIFT));
  m.memory.ram(cd + SHIFT, 4096n);
  m.cd(
    { V: 1, AA64: 1, A: 1, R: 1, IPS: 6, EPD1: 1, T0SZ: t0sz, TG0: granule, TTB0: roots.first },
    cd + SHIFT,
  );
  const tables = { shape: { granule: 12, inputBits: 39, startLevel: 1 }, root: roots.second };
  m.ste({ Config: 7, S1ContextPtr: cd, ...stage2Of(tables as Parameters<typeof stage2Of>[0]) });
  return { walker: m.walker, device: 0 };
}

describe("every range and every gap is what the walker says of its addresses", () => {
  test.each(Object.keys(TARGETS))("%s", (name) => {
    let ranges = 0;
    let faulty = 0;
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = randomOf(seed);
        const who = TARGETS[name]!(random);
        const found = enumerate(who, WALKS);
        agree(who, found, random);
        ranges += found.ranges.length;
        faulty += found.ranges.filter((range) => range.faulty).length;
      }),
      { numRuns: RUNS, seed: 1 },
    );
    // The tables are worth it: they hold something, and something wrong.
    expect(ranges).toBeGreaterThan(20);
    expect(faulty).toBeGreaterThan(0);
  });
});
