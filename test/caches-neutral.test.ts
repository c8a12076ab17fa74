import { describe, expect, it } from "vitest";
import { Scenario } from "./support/cache-scenario.ts";

const DEV = "00:03.0";
const ADDR = 0x7f00_1000n;
const OLD = 0x234_5000n;
const NEW = 0x666_6000n;
const LEAF = 0x2_3008n;
const PASID = 5;
/** What the PASID's entry calls the address space, where it names one: not the same number. */
const ASID = 9;

interface Machine {
  readonly regs: Readonly<Record<string, bigint>>;
  /** Tables down to LEAF, word by word. */
  readonly tables: readonly (readonly [bigint, ...bigint[]])[];
  readonly leaf: (pa: bigint) => bigint;
  readonly domain?: number;
  readonly byAsid: boolean;
}

/** Three levels above the leaf at 0x2_0000, x86-64 or VMSAv8-64. */
const above = (low: bigint): Machine["tables"] => [
  [0x2_0000n, 0x2_1000n | low],
  [0x2_1008n, 0x2_2000n | low],
  [0x2_2fc0n, 0x2_3000n | low],
];

const MACHINES: Readonly<Record<string, Machine>> = {
  // Scalable mode: root, context and PASID directory, PASID entry with PGTT 1 and DID 7 (VT-d 5.10, 9.2 to 9.6).
  intel: {
    regs: { rtaddr: 0x1400n },
    tables: [
      [0x1000n, 0x2001n],
      [0x2300n, 0x4009n],
      [0x4000n, 0x5001n],
      [0x5140n, 0x41n, 7n, 0x2_0000n],
      ...above(7n),
    ],
    leaf: (pa) => pa | 7n,
    domain: 7,
    byAsid: false,
  },
  // STE Config 5, S1CDMax 3; CD 5 with T0SZ 16, EPD1, V, IPS 5, AA64, R, A, ASET, ASID 9 (IHI 0070, 5.2 and 5.4).
  "arm-smmuv3": {
    regs: { strtab_base: 0x4_0000n, strtab_base_cfg: 8n },
    tables: [
      [0x4_0600n, 0x1_0000n | (3n << 59n) | 0xbn, 2n],
      [0x1_0140n, (9n << 48n) | (7n << 45n) | (1n << 41n) | (5n << 32n) | (3n << 30n) | 16n, 0x2_0000n],
      ...above(3n),
    ],
    leaf: (pa) => pa | 0xc43n,
    domain: 0,
    byAsid: true,
  },
  // DTE V, TV, GV, GIOV, IR, IW, DomainID 7, one level of GCR3 (AMD 48882, 2.2.2.1 and 2.2.6).
  amd: {
    regs: { dev_tab_base: 0x1000n },
    tables: [
      [0x1300n, (0x3n << 61n) | (3n << 54n) | 3n, (2n << 16n) | 7n],
      [0x1_0028n, 0x2_0001n],
      ...above(7n),
    ],
    leaf: (pa) => pa | 7n,
    domain: 7,
    byAsid: false,
  },
  // DC with PDTV and PD8; process context 5 with PSCID 9 and Sv39 (RISC-V IOMMU 1.0, 2.1 to 2.3).
  riscv: {
    regs: { ddtp: 0x402n },
    tables: [
      [0x1600n, 0x21n, 0n, 0n, (1n << 60n) | 0x10n],
      [0x1_0050n, 0x9001n, (8n << 60n) | 0x20n],
      [0x2_0008n, 0x8801n],
      [0x2_2fc0n, 0x8c01n],
    ],
    leaf: (pa) => ((pa >> 12n) << 10n) | 0xd7n,
    byAsid: true,
  },
};

/** What becomes of a recorded answer from the old entry after a neutral invalidation. */
async function verdictAfter(model: string, fields: object) {
  const { regs, tables, leaf } = MACHINES[model]!;
  const s = new Scenario(model, regs);
  for (const [addr, ...words] of tables) s.put(addr, ...words);
  const request = { dev: DEV, addr: ADDR, pasid: PASID };
  s.put(LEAF, leaf(OLD));
  const first = s.dma(request, OLD);
  s.put(LEAF, leaf(NEW)).inv({ cache: "iotlb", ...fields });
  const seq = s.dma(request, OLD);
  const run = await s.run();
  expect(run.verdict(first)).toBe("match");
  return { verdict: run.verdict(seq), redundant: run.of("stats")[0]!.redundant_invalidations ?? 0 };
}

const COVERED = { verdict: "stale-after-invalidation", redundant: 0 };

describe.each(Object.keys(MACHINES))("a neutral invalidation of %s's translations", (model) => {
  const { domain, byAsid } = MACHINES[model]!;
  const both = { pasid: PASID, asid: ASID, ...(domain === undefined ? {} : { domain }) };
  const page = { granularity: "page", addr: "0x7f001000" };

  it.each([
    ["PASID and ASID", { granularity: "pasid", ...both }],
    ["a page of PASID and ASID", { ...page, ...both }],
    ["the PASID", { granularity: "pasid", pasid: PASID }],
    ["the PASID of the device", { granularity: "pasid", pasid: PASID, dev: DEV }],
    ["a page of the PASID", { ...page, pasid: PASID }],
    ["the page", page],
  ])("covers by %s", async (_, fields) => {
    expect(await verdictAfter(model, fields)).toEqual(COVERED);
  });

  it.each([
    ["another PASID, though it has the ASID's number", { granularity: "pasid", pasid: ASID }],
    ["the PASID of another device", { granularity: "pasid", pasid: PASID, dev: "00:04.0" }],
    ["another page of the PASID", { granularity: "page", addr: "0x7f002000", ...both }],
  ])("does not cover by %s", async (_, fields) => {
    expect((await verdictAfter(model, fields)).verdict).toBe("stale");
  });

  // VT-d and AMD tag by PASID.
  if (!byAsid) return;
  it("covers by the ASID alone, and not by another that has the PASID's number", async () => {
    expect(await verdictAfter(model, { granularity: "pasid", asid: ASID })).toEqual(COVERED);
    expect((await verdictAfter(model, { granularity: "pasid", asid: PASID })).verdict).toBe("stale");
  });
});
