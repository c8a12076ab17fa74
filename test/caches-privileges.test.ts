/** One cached translation serves requests of both privileges: what it grants to one says nothing of what it grants to the other. */
import { describe, expect, it } from "vitest";
import { type Format, Radix, Scenario, X86_64 } from "./support/cache-scenario.ts";
import { cdWords } from "./support/smmuv3-machine.ts";

const A = 0x1000_0000n;
const PAGE = 0x8000_0000n;
const PASID = 1;

interface Subject {
  readonly s: Scenario;
  readonly table: Radix;
  /** Leaves for `PAGE`, read and write: of user and privileged requests, or of privileged ones alone. */
  readonly both: bigint;
  readonly privileged: bigint;
  /** Code of a fault of a write that is not permitted. */
  readonly denied: bigint;
}

function bound(
  model: string,
  iommu: string,
  config: (s: Scenario) => { base: bigint; table: Radix } & { [more: string]: unknown },
): { s: Scenario; table: Radix } {
  const s = new Scenario(iommu, {});
  const { base, table, ...more } = config(s);
  s.add({
    type: "bind",
    iommu: "unit",
    dev: "00:03.0",
    config: { model, base_ptr: `0x${base.toString(16)}`, ...more },
  });
  return { s, table };
}

/** VT-d 5.10, 9.5 to 9.7: PASID directory and table; PGTT 001, SRE, FSPM 4 levels. P, R/W, U/S, A, D. */
function vtd(): Subject {
  const subject = bound("intel", "intel", (s) => {
    const table = new Radix(s, X86_64);
    const [base, entries] = [s.allocate(), s.allocate()];
    s.put(base, entries | 1n).put(entries + 64n, 0x41n, 1n, table.root | 1n);
    return { base, table, pasid_bits: 6 };
  });
  return { ...subject, both: PAGE | 0x67n, privileged: PAGE | 0x63n, denied: 0x81n };
}

/** AMD 48882, 2.2.6: one level of guest CR3 table, V in each entry. */
function amd(): Subject {
  const subject = bound("amd", "amd", (s) => {
    const table = new Radix(s, X86_64);
    const base = s.allocate();
    s.put(base + 8n, table.root | 1n);
    return { base, table, amd: { glx: 0 } };
  });
  return { ...subject, both: PAGE | 0x67n, privileged: PAGE | 0x63n, denied: 2n };
}

/** IHI 0070, 5.4, and DDI 0487, D8.4: AP[1] lets unprivileged requests in; PXN either way. AF, nG. */
function smmu(): Subject {
  const format: Format = {
    levels: 4,
    bits: 9,
    pageBits: 12,
    table: (next) => next | 3n,
    leaf: (pa) => pa | 0xc43n,
  };
  const subject = bound("arm-1lvl", "arm-smmuv3", (s) => {
    const table = new Radix(s, format);
    const base = s.allocate();
    const fields = { V: 1, AA64: 1, A: 1, R: 1, IPS: 5, EPD1: 1, T0SZ: 16, ASID: 5, TTB0: table.root };
    s.put(base + 64n, ...cdWords(fields));
    return { base, table, pasid_bits: 1 };
  });
  const never = 1n << 53n;
  return { ...subject, both: PAGE | never | 0xc43n, privileged: PAGE | never | 0xc03n, denied: 0x13n };
}

/** RISC-V IOMMU 1.0, 2.2.3: V, ENS and SUM; Sv39. Privileged specification, Sv39: U lets user requests in; no X. */
function riscv(): Subject {
  const ppn = (pa: bigint) => (pa >> 12n) << 10n;
  const format: Format = {
    levels: 3,
    bits: 9,
    pageBits: 12,
    table: (next) => ppn(next) | 1n,
    leaf: (pa) => ppn(pa) | 0xd7n,
  };
  const subject = bound("riscv", "riscv", (s) => {
    const table = new Radix(s, format);
    const base = s.allocate();
    s.put(base + 16n, 7n | (9n << 12n), (8n << 60n) | (table.root >> 12n));
    return { base, table, riscv: { mode: "PD8" } };
  });
  return { ...subject, both: ppn(PAGE) | 0xd7n, privileged: ppn(PAGE) | 0xc7n, denied: 15n };
}

describe.each([
  ["VT-d", vtd],
  ["AMD-Vi", amd],
  ["SMMUv3", smmu],
  ["RISC-V", riscv],
])("%s", (_, subject) => {
  const user = { dev: "00:03.0", pasid: PASID, addr: A, access: "w" } as const;
  const privileged = { ...user, priv: true };

  it("the user's right outlives a later use by a privileged request", async () => {
    const { s, table, ...leaf } = subject();
    s.put(table.entry(A), leaf.both);
    s.dma(user, PAGE);
    s.put(table.entry(A), leaf.privileged);
    const other = s.dma(privileged, PAGE);
    const old = s.dma(user, PAGE);
    const now = s.dma(user, { code: leaf.denied });
    const run = await s.run();
    expect([other, old, now].map((seq) => run.verdict(seq))).toEqual(["match", "stale", "match"]);
    expect(run.rules()).toEqual(["missing-invalidation"]);
  });

  it("a leaf that says the same to both is no other, although it was written", async () => {
    const { s, table, both } = subject();
    s.put(table.entry(A), both);
    s.dma(user, PAGE);
    s.put(table.entry(A), 0n).put(table.entry(A), both);
    s.dma(privileged, PAGE);
    const again = s.dma(user, { code: 1n });
    const run = await s.run();
    expect(run.verdict(again)).toBe("mismatch");
    expect(run.rules()).toEqual([]);
  });

  it("what denied the user is held, and may go on denying", async () => {
    const { s, table, ...leaf } = subject();
    s.put(table.entry(A), leaf.privileged);
    const first = s.dma(user, { code: leaf.denied });
    s.put(table.entry(A), leaf.both);
    const old = s.dma(user, { code: leaf.denied });
    const run = await s.run();
    expect([first, old].map((seq) => run.verdict(seq))).toEqual(["match", "stale"]);
  });
});
