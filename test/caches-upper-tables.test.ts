/**
 * Tables above the entries of devices and PASIDs: some invalidations reach the entry alone, and what an IOMMU keeps of
 * the table above leads it to the old one again.
 */
import { describe, expect, it } from "vitest";
import { type Format, Radix, Scenario } from "./support/cache-scenario.ts";
import { cdWords, steWords } from "./support/smmuv3-machine.ts";

const A = 0x1000_0000n;
const OLD = 0x8000_0000n;
const NEW = 0x9000_0000n;

interface Change {
  readonly s: Scenario;
  readonly request: { readonly dev: string; readonly pasid?: number };
  /** Another table is put in the place of the one that leads to the entry. */
  change(): void;
  /** What is owed for the translations that were made. */
  rest(): void;
}

const SMMU_LEAF: Format = {
  levels: 4,
  bits: 9,
  pageBits: 12,
  table: (next) => next | 3n,
  leaf: (pa) => pa | 0xc43n,
};
const SYNC = [0x46n, 0n] as const;

/** Both have 2-level tables; the L1 stream table descriptor or the L1 CD of stream 5, SubstreamID 3, is changed. */
function smmu(of: "stream table" | "CDs"): Change {
  const s = new Scenario("arm-smmuv3", { strtab_base: 0x1_0000n, strtab_base_cfg: 0x1_0188n });
  const cds = [OLD, NEW].map((page, i) => {
    const [leaves, table] = [s.allocate(), new Radix(s, SMMU_LEAF).map(A, page)];
    const cd = { V: 1, AA64: 1, A: 1, R: 1, IPS: 5, EPD1: 1, T0SZ: 16, TTB0: table.root };
    s.put(leaves + 3n * 64n, ...cdWords({ ...cd, ASID: 5 + i }));
    const l1 = s.allocate();
    s.put(l1, leaves | 1n);
    return { leaves, l1 };
  });
  const stes = cds.map(({ l1 }) => {
    const table = s.allocate();
    const ste = { V: 1, Config: 5, S1Fmt: 1, S1CDMax: 7, S1ContextPtr: l1 };
    s.put(table + 5n * 64n, ...steWords(ste));
    return table;
  });
  s.put(0x1_0000n, stes[0]! | 7n);
  return {
    s,
    request: { dev: "sid:5", pasid: 3 },
    change: () => (of === "CDs" ? s.put(cds[0]!.l1, cds[1]!.leaves | 1n) : s.put(0x1_0000n, stes[1]! | 7n)),
    // NH_ALL.
    rest: () => s.cmd(0x10n, 0n).cmd(...SYNC),
  };
}

const SV39: Format = {
  levels: 3,
  bits: 9,
  pageBits: 12,
  table: (next) => ((next >> 12n) << 10n) | 1n,
  leaf: (pa) => ((pa >> 12n) << 10n) | 0xdfn,
};
const pointer = (mode: bigint, at: bigint) => (mode << 60n) | (at >> 12n);

/** 2LVL device directory, PD17 process directory; base-format contexts; device 5, process_id 9. */
function riscv(of: "devices" | "processes"): Change {
  const s = new Scenario("riscv", {
    capabilities: 0x1f2_c7fe_4e10n & ~(1n << 22n),
    fctl: 0n,
    ddtp: ((0x10_0000n >> 12n) << 10n) | 3n,
  });
  const made = [OLD, NEW].map((page, i) => {
    const [processes, root, devices] = [s.allocate(), s.allocate(), s.allocate()];
    const first = new Radix(s, SV39).map(A, page);
    s.put(processes + 9n * 16n, 1n | (BigInt(i) << 12n), pointer(8n, first.root));
    s.put(root, SV39.table(processes, 2));
    s.put(devices + 5n * 32n, 0x21n, 0n, 0n, pointer(2n, root));
    return { processes, root, devices };
  });
  s.put(0x10_0000n, SV39.table(made[0]!.devices, 2));
  return {
    s,
    request: { dev: "did:5", pasid: 9 },
    change: () =>
      of === "processes"
        ? s.put(made[0]!.root, SV39.table(made[1]!.processes, 2))
        : s.put(0x10_0000n, SV39.table(made[1]!.devices, 2)),
    // IOTINVAL.VMA of all, IOFENCE.C.
    rest: () => s.cmd(1n, 0n).cmd(2n, 0n),
  };
}

const DID5 = (1n << 33n) | (5n << 40n);
/** What is changed, a command that leaves the table above, and one that does not: which is owed. */
const CASES: [string, () => Change, [bigint, bigint], [bigint, bigint], string][] = [
  [
    "L1 stream table descriptor, IHI 0070 4.3.1: CFGI_STE with Leaf",
    () => smmu("stream table"),
    [3n | (5n << 32n), 1n],
    [3n | (5n << 32n), 0n],
    "CMD_CFGI_STE SID 0x5",
  ],
  [
    "L1 CD, 4.3.3: CFGI_CD with Leaf",
    () => smmu("CDs"),
    [5n | (3n << 12n) | (5n << 32n), 1n],
    [5n | (3n << 12n) | (5n << 32n), 0n],
    "CMD_CFGI_CD SID 0x5 SSID 0x3",
  ],
  [
    "non-leaf DDT entry, Guidelines for invalidations: DV=1",
    () => riscv("devices"),
    [3n | DID5, 0n],
    [3n, 0n],
    "IODIR.INVAL_DDT",
  ],
  [
    "non-leaf PDT entry: INVAL_PDT",
    () => riscv("processes"),
    [3n | (1n << 7n) | (9n << 12n) | DID5, 0n],
    [3n | DID5, 0n],
    "IODIR.INVAL_DDT DID 0x5",
  ],
];

describe("a table above the entry has changed", () => {
  it.each(CASES)("%s does not reach it", async (_name, make, leaf, whole, owed) => {
    const { s, request, change, rest } = make();
    const ask = (pa: bigint) => s.dma({ ...request, addr: A }, pa);
    ask(OLD);
    change();
    s.cmd(...leaf);
    rest();
    const between = ask(OLD);
    s.cmd(...whole);
    rest();
    const after = ask(OLD);
    const run = await s.run();
    expect([between, after].map((seq) => run.verdict(seq))).toEqual(["stale", "stale-after-invalidation"]);
    expect(run.of("finding")).toMatchObject([{ rule: "late-invalidation", command: owed }]);
  });

  it.each(CASES)("%s: not where nothing is wrong above it", async (_name, make, leaf) => {
    const { s, request, rest } = make();
    s.dma({ ...request, addr: A }, OLD);
    s.cmd(...leaf);
    rest();
    s.dma({ ...request, addr: A }, OLD);
    expect((await s.run()).rules()).toEqual([]);
  });
});
