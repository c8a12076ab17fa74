/**
 * The command that a `missing-invalidation` finding asks for, with the words of each entry that a driver may change: it
 * is one that the IOMMU takes, and given right after the change, it is all that was owed.
 */
import { describe, expect, it } from "vitest";
import { decodeCommand, formatCommand } from "../parsers/commands/command.ts";
import type { Word64 } from "../walkers/registers.ts";
import type { IommuModel } from "../walkers/walker.ts";
import { gcr3Pieces } from "./support/amd-iommu.ts";
import { type Dma, type Format, Radix, Scenario } from "./support/cache-scenario.ts";
import { ALL_CAPABILITIES } from "./support/riscv-iommu.ts";
import { cdWords, type SteFields, steWords } from "./support/smmuv3-machine.ts";

const A = 0x1000_0000n;
/** Shares no table entry with A but the root's. */
const X = 0x4000_5000_0000n;
const OLD = 0x8000_0000n;
const NEW = 0x9000_0000n;
const LARGE = 0xc000_0000n;

/** One change that goes without its invalidation: which request notices, and what the finding asks for. */
interface Case {
  readonly s: Scenario;
  readonly request: Dma;
  /** Other requests that the change concerns as much. */
  readonly others?: readonly Dma[];
  change(): void;
  /** The command, or those that are owed one after the other. */
  readonly expected: string | readonly string[];
}

const x86 = (levels: number, table: bigint, leaf: bigint): Format => ({
  levels,
  bits: 9,
  pageBits: 12,
  table: (next) => next | table,
  leaf: (pa, level) => pa | leaf | (level > 1 ? 0x80n : 0n),
});

/** Second-stage tables that lead everything below 4 GiB to itself. */
function identity(table: Radix, except: readonly bigint[] = []): Radix {
  for (let gib = 0n; gib < 4n; gib++) if (!except.includes(gib)) table.map(gib << 30n, gib << 30n, 3);
  return table;
}

/** A page, a large page and a whole table that change; `dma` is what all requests have in common. */
function tableCases(
  make: () => { s: Scenario; table: Radix; dma: Omit<Dma, "addr"> },
  expected: { page: string; large: string; table: string },
): Record<string, () => Case> {
  return {
    "a page": () => {
      const { s, table, dma } = make();
      table.map(A, OLD);
      return { s, request: { ...dma, addr: A }, change: () => table.map(A, NEW), expected: expected.page };
    },
    "a large page": () => {
      const { s, table, dma } = make();
      table.map(A, LARGE, 2);
      return {
        s,
        request: { ...dma, addr: A + 0x1_3000n },
        others: [{ ...dma, addr: A + 0x15_7000n }],
        change: () => table.map(A, LARGE + 0x20_0000n, 2),
        expected: expected.large,
      };
    },
    "a table": () => {
      const { s, table, dma } = make();
      const neighbour = A + 0x7000n;
      table.map(A, OLD).map(neighbour, OLD + 0x1000n);
      const fresh = s.allocate();
      return {
        s,
        request: { ...dma, addr: A },
        others: [{ ...dma, addr: neighbour }],
        change: () => table.replaceTable(A, 2, fresh),
        expected: expected.table,
      };
    },
  };
}

// ── VT-d ──

const FS = x86(4, 0x27n, 0x67n);
const SS = x86(4, 3n, 3n);
const ROOT = 0x10_0000n;
const CONTEXTS = 0x10_1000n;
const DEV = "00:03.0";

function legacy() {
  const s = new Scenario("intel", { rtaddr: ROOT });
  const table = new Radix(s, SS);
  s.put(ROOT, CONTEXTS | 1n).put(CONTEXTS + 0x180n, table.root | 1n, (9n << 8n) | 2n);
  return { s, table, dma: { dev: DEV } };
}

/** RID_PASID 7; the PASID entry's types: 1 first stage, 2 second, 3 nested. */
function scalable(pasid: number, kind: 1 | 2 | 3) {
  const s = new Scenario("intel", { rtaddr: ROOT | 0x400n });
  const [directory, pasids] = [s.allocate(), s.allocate()];
  const first = new Radix(s, FS);
  const second = new Radix(s, SS);
  const entry = (fs: Radix) =>
    s.put(
      pasids + BigInt(pasid) * 64n,
      (kind === 1 ? 0n : second.root) | (BigInt(kind) << 6n) | 9n,
      9n,
      kind === 2 ? 0n : fs.root,
      0n,
    );
  s.put(ROOT, CONTEXTS | 1n).put(CONTEXTS + 0x18n * 32n, directory | 9n, 7n, 0n, 0n);
  s.put(directory, pasids | 1n);
  entry(first);
  return { s, first, second, entry, directory, dma: { dev: DEV, ...(pasid === 7 ? {} : { pasid }) } };
}

const INTEL: Record<string, () => Case> = {
  ...prefixed(
    "legacy",
    tableCases(legacy, {
      page: "IOTLB invalidate: page-selective, DID 9, addr 0x10000000, AM 0, IH 0",
      large: "IOTLB invalidate: page-selective, DID 9, addr 0x10000000, AM 9, IH 0",
      table: "IOTLB invalidate: page-selective, DID 9, addr 0x10000000, AM 9, IH 0",
    }),
  ),
  "legacy without PSI: a page": () => {
    const s = new Scenario("intel", { rtaddr: ROOT, cap: (0xen << 8n) | (47n << 16n) | 6n });
    const table = new Radix(s, SS).map(A, OLD);
    s.put(ROOT, CONTEXTS | 1n).put(CONTEXTS + 0x180n, table.root | 1n, (9n << 8n) | 2n);
    return {
      s,
      request: { dev: DEV, addr: A },
      change: () => table.map(A, NEW),
      expected: "IOTLB invalidate: domain-selective, DID 9",
    };
  },
  "legacy: a context entry": () => {
    const { s, table, dma } = legacy();
    table.map(A, OLD);
    const other = new Radix(s, SS).map(X, NEW);
    return {
      s,
      request: { ...dma, addr: X },
      change: () => s.put(CONTEXTS + 0x180n, other.root | 1n, (8n << 8n) | 2n),
      expected: "context-cache invalidate: device-selective, DID 9, SID 0x18, FM 0",
    };
  },
  ...prefixed(
    "first stage",
    tableCases(
      () => {
        const { s, first, dma } = scalable(5, 1);
        return { s, table: first, dma };
      },
      {
        page: "PASID-based-IOTLB invalidate: page-selective-within-PASID, DID 9, PASID 5, addr 0x10000000, AM 0, IH 0",
        large:
          "PASID-based-IOTLB invalidate: page-selective-within-PASID, DID 9, PASID 5, addr 0x10000000, AM 9, IH 0",
        table:
          "PASID-based-IOTLB invalidate: page-selective-within-PASID, DID 9, PASID 5, addr 0x10000000, AM 9, IH 0",
      },
    ),
  ),
  "first stage without PASID: a page": () => {
    const { s, first, dma } = scalable(7, 1);
    first.map(A, OLD);
    return {
      s,
      request: { ...dma, addr: A },
      change: () => first.map(A, NEW),
      expected:
        "PASID-based-IOTLB invalidate: page-selective-within-PASID, DID 9, PASID 7, addr 0x10000000, AM 0, IH 0",
    };
  },
  ...prefixed(
    "second stage of a PASID",
    tableCases(
      () => {
        const { s, second, dma } = scalable(5, 2);
        return { s, table: second, dma };
      },
      {
        page: "IOTLB invalidate: page-selective, DID 9, addr 0x10000000, AM 0, IH 0",
        large: "IOTLB invalidate: page-selective, DID 9, addr 0x10000000, AM 9, IH 0",
        table: "IOTLB invalidate: page-selective, DID 9, addr 0x10000000, AM 9, IH 0",
      },
    ),
  ),
  "nested: a page of the first stage": () => {
    const { s, first, second, dma } = scalable(5, 3);
    identity(second);
    first.map(A, OLD);
    return {
      s,
      request: { ...dma, addr: A },
      change: () => first.map(A, NEW),
      expected:
        "PASID-based-IOTLB invalidate: page-selective-within-PASID, DID 9, PASID 5, addr 0x10000000, AM 0, IH 0",
    };
  },
  "nested: a page of the second stage": () => {
    const { s, first, second, dma } = scalable(5, 3);
    identity(second, [2n]);
    second.map(OLD, OLD);
    first.map(A, OLD);
    return {
      s,
      request: { ...dma, addr: A },
      change: () => second.map(OLD, NEW),
      expected: "IOTLB invalidate: domain-selective, DID 9",
    };
  },
  "a PASID entry": () => {
    const { s, first, entry, dma } = scalable(5, 1);
    first.map(A, OLD);
    const other = new Radix(s, FS).map(X, NEW);
    return {
      s,
      request: { ...dma, addr: X },
      change: () => entry(other),
      expected: "PASID-cache invalidate: PASID-selective, DID 9, PASID 5",
    };
  },
  "a scalable-mode context entry": () => {
    const { s, first, dma } = scalable(5, 1);
    first.map(A, OLD);
    const [directory, pasids] = [s.allocate(), s.allocate()];
    const other = new Radix(s, FS).map(X, NEW);
    // Of another domain: the same tags must not mean two things.
    s.put(directory, pasids | 1n).put(pasids + 5n * 64n, 0x49n, 8n, other.root, 0n);
    return {
      s,
      request: { ...dma, addr: X },
      change: () => s.put(CONTEXTS + 0x18n * 32n, directory | 9n, 7n, 0n, 0n),
      expected: [
        "context-cache invalidate: device-selective, DID 0, SID 0x18, FM 0",
        "PASID-cache invalidate: PASID-selective, DID 9, PASID 5",
      ],
    };
  },
};

// ── SMMUv3 ──

const STREAMS = 0x1_0000n;
const arm = (bits: number, pageBits: number, levels: number, flags: bigint): Format => ({
  levels,
  bits,
  pageBits,
  table: (next) => next | 3n,
  leaf: (pa, level) => pa | (level === 1 ? 3n : 1n) | flags,
});
// AF, AP[1], nG; AF and S2AP.
const S1 = arm(9, 12, 4, 0xc40n);
const S1_GLOBAL = arm(9, 12, 4, 0x440n);
const S2 = arm(9, 12, 3, 0x4c0n);
const STAGE2: SteFields = { S2T0SZ: 25, S2TG: 0, S2SL0: 1, S2PS: 5, S2AA64: 1, S2R: 1 };

function stream(ste: SteFields, format: Format, regs: Readonly<Record<string, bigint>> = {}) {
  const s = new Scenario("arm-smmuv3", { strtab_base: STREAMS, strtab_base_cfg: 8n, ...regs });
  const table = new Radix(s, format);
  const second = new Radix(s, S2);
  const at = s.allocate(64n);
  const cd = (to: Radix) =>
    s.put(
      at,
      ...cdWords({ V: 1, AA64: 1, A: 1, R: 1, IPS: 5, EPD1: 1, T0SZ: 16, TBI0: 1, ASID: 5, TTB0: to.root }),
    );
  const config = (more: SteFields = {}) =>
    s.put(
      STREAMS + 64n,
      ...steWords({
        V: 1,
        Config: 5,
        S1ContextPtr: at,
        S2VMID: 3,
        S2TTB: second.root,
        ...STAGE2,
        ...ste,
        ...more,
      }),
    );
  cd(table);
  config();
  return { s, table, second, cd, config, dma: { dev: "sid:1" } };
}

const armCases = (name: string, ste: SteFields, format: Format, page: string, table: string, cr2?: bigint) =>
  prefixed(
    name,
    tableCases(() => stream(ste, format, cr2 === undefined ? {} : { cr2 }), {
      page: `${page} addr 0x10000000`,
      large: `${page} addr 0x10013000`,
      table,
    }),
  );

const ARM: Record<string, () => Case> = {
  ...armCases("stage 1", {}, S1, "CMD_TLBI_NH_VA VMID 3 ASID 5", "CMD_TLBI_NH_ASID VMID 3 ASID 5"),
  ...armCases("global", {}, S1_GLOBAL, "CMD_TLBI_NH_VAA VMID 3", "CMD_TLBI_NH_ALL VMID 3"),
  ...armCases("EL2", { STRW: 2 }, S1, "CMD_TLBI_EL2_VAA", "CMD_TLBI_EL2_ALL", 0n),
  ...armCases("EL2-E2H", { STRW: 2 }, S1, "CMD_TLBI_EL2_VA ASID 5", "CMD_TLBI_EL2_ALL", 1n),
  "stage 1: a page under a tagged address": () => {
    const { s, table, dma } = stream({}, S1);
    table.map(A, OLD);
    return {
      s,
      request: { ...dma, addr: A | (0x5an << 56n) },
      change: () => table.map(A, NEW),
      expected: "CMD_TLBI_NH_VA VMID 3 ASID 5 addr 0x10000000",
    };
  },
  ...prefixed(
    "stage 2",
    tableCases(
      () => {
        const { s, second, dma } = stream({ Config: 6 }, S1);
        return { s, table: second, dma };
      },
      {
        page: "CMD_TLBI_S2_IPA VMID 3 addr 0x10000000",
        large: "CMD_TLBI_S2_IPA VMID 3 addr 0x10013000",
        table: "CMD_TLBI_S12_VMALL VMID 3",
      },
    ),
  ),
  "nested: a page of stage 1": () => {
    const { s, table, second, dma } = stream({ Config: 7 }, S1);
    identity(second);
    table.map(A, OLD);
    return {
      s,
      request: { ...dma, addr: A },
      change: () => table.map(A, NEW),
      expected: "CMD_TLBI_NH_VA VMID 3 ASID 5 addr 0x10000000",
    };
  },
  "nested: a page of stage 2": () => {
    const { s, table, second, dma } = stream({ Config: 7 }, S1);
    identity(second, [2n]);
    second.map(OLD, OLD);
    table.map(A, OLD);
    return {
      s,
      request: { ...dma, addr: A },
      change: () => second.map(OLD, NEW),
      expected: "CMD_TLBI_S12_VMALL VMID 3",
    };
  },
  "a CD": () => {
    const { s, table, cd, dma } = stream({}, S1);
    table.map(A, OLD);
    const other = new Radix(s, S1).map(X, NEW);
    return {
      s,
      request: { ...dma, addr: X },
      change: () => cd(other),
      expected: "CMD_CFGI_CD SID 0x1 SSID 0x0",
    };
  },
  "an STE": () => {
    const { s, table, config, dma } = stream({}, S1);
    table.map(A, OLD);
    return {
      s,
      request: { ...dma, addr: X },
      change: () => config({ Config: 4 }),
      expected: "CMD_CFGI_STE SID 0x1",
    };
  },
};

// ── AMD-Vi ──

const DEVICES = 0x10_0000n;
const RIGHTS = 3n << 61n;
const V1: Format = {
  levels: 4,
  bits: 9,
  pageBits: 12,
  table: (next, level) => next | (BigInt(level - 1) << 9n) | 1n | RIGHTS,
  leaf: (pa) => pa | 1n | RIGHTS,
};

function amd(kind: "host" | "guest" | "nested") {
  const s = new Scenario("amd", { dev_tab_base: DEVICES | 1n });
  const [host, guest, table] = [new Radix(s, V1), new Radix(s, FS), s.allocate()];
  const dte = (to: Radix) => {
    const [low, high] = kind === "host" ? [0n, 0n] : gcr3Pieces(table);
    const mode = kind === "guest" ? 0n : (4n << 9n) | to.root;
    const gv = kind === "host" ? 0n : 1n << 55n;
    s.put(DEVICES + 32n, 3n | mode | low | gv | RIGHTS, 7n | high, 0n, 0n);
  };
  const gcr3 = (to: Radix) => s.put(table + 5n * 8n, to.root | 1n);
  dte(host);
  gcr3(guest);
  return { s, host, guest, dte, gcr3, dma: { dev: "devid:1", ...(kind === "host" ? {} : { pasid: 5 }) } };
}

const AMD: Record<string, () => Case> = {
  ...prefixed(
    "host",
    tableCases(
      () => {
        const { s, host, dma } = amd("host");
        return { s, table: host, dma };
      },
      {
        page: "INVALIDATE_IOMMU_PAGES DomainID 0x7 addr 0x10000000 PDE",
        large: "INVALIDATE_IOMMU_PAGES DomainID 0x7 addr 0x100ff000 S PDE",
        table: "INVALIDATE_IOMMU_PAGES DomainID 0x7 addr 0x100ff000 S PDE",
      },
    ),
  ),
  ...prefixed(
    "guest",
    tableCases(
      () => {
        const { s, guest, dma } = amd("guest");
        return { s, table: guest, dma };
      },
      {
        page: "INVALIDATE_IOMMU_PAGES DomainID 0x7 PASID 0x5 GN addr 0x10000000 PDE",
        large: "INVALIDATE_IOMMU_PAGES DomainID 0x7 PASID 0x5 GN addr 0x100ff000 S PDE",
        table: "INVALIDATE_IOMMU_PAGES DomainID 0x7 PASID 0x5 GN addr 0x100ff000 S PDE",
      },
    ),
  ),
  "nested: a page of the guest": () => {
    const { s, host, guest, dma } = amd("nested");
    identity(host);
    guest.map(A, OLD);
    return {
      s,
      request: { ...dma, addr: A },
      change: () => guest.map(A, NEW),
      expected: "INVALIDATE_IOMMU_PAGES DomainID 0x7 PASID 0x5 GN addr 0x10000000 PDE",
    };
  },
  "nested: a page of the host": () => {
    const { s, host, guest, dma } = amd("nested");
    identity(host, [2n]);
    host.map(OLD, OLD);
    guest.map(A, OLD);
    return {
      s,
      request: { ...dma, addr: A },
      change: () => host.map(OLD, NEW),
      expected: "INVALIDATE_IOMMU_PAGES DomainID 0x7 addr 0x7ffffffffffff000 S PDE",
    };
  },
  "a guest CR3 table entry": () => {
    const { s, guest, gcr3, dma } = amd("guest");
    guest.map(A, OLD);
    const other = new Radix(s, FS).map(X, NEW);
    return {
      s,
      request: { ...dma, addr: X },
      change: () => gcr3(other),
      expected: "INVALIDATE_IOMMU_PAGES DomainID 0x7 PASID 0x5 GN addr 0x7ffffffffffff000 S PDE",
    };
  },
  "a device table entry": () => {
    const { s, host, dte, dma } = amd("host");
    host.map(A, OLD);
    const other = new Radix(s, V1).map(X, NEW);
    return {
      s,
      request: { ...dma, addr: X },
      change: () => dte(other),
      expected: "INVALIDATE_DEVTAB_ENTRY DeviceID 0x1",
    };
  },
};

// ── RISC-V ──

const sv39 = (flags: bigint, topBits = 0): Format => ({
  levels: 3,
  bits: 9,
  pageBits: 12,
  topBits,
  table: (next) => ((next >> 12n) << 10n) | 1n,
  leaf: (pa) => ((pa >> 12n) << 10n) | flags,
});

function riscv(kind: "first" | "second" | "nested" | "process", flags = 0xdfn) {
  const s = new Scenario("riscv", {
    capabilities: ALL_CAPABILITIES | (3n << 42n),
    fctl: 0n,
    ddtp: ((DEVICES >> 12n) << 10n) | 2n,
  });
  const [first, second, directory] = [new Radix(s, sv39(flags)), new Radix(s, sv39(0xdfn, 2)), s.allocate()];
  const dc = (to: Radix) => {
    const iohgatp =
      kind === "first" || kind === "process" ? 0n : (8n << 60n) | (3n << 44n) | (second.root >> 12n);
    const fsc = kind === "process" ? (1n << 60n) | (directory >> 12n) : (8n << 60n) | (to.root >> 12n);
    const tc = kind === "process" ? 0x21n : 1n;
    const ta = kind === "process" ? 0n : 5n << 12n;
    s.put(DEVICES + 64n, tc, iohgatp, ta, kind === "second" ? 0n : fsc, 0n, 0n, 0n, 0n);
  };
  const pc = (to: Radix) => s.put(directory + 9n * 16n, 1n | (5n << 12n), (8n << 60n) | (to.root >> 12n));
  dc(first);
  pc(first);
  return { s, first, second, dc, pc, dma: { dev: "did:1", ...(kind === "process" ? { pasid: 9 } : {}) } };
}
/** Sv39 addresses: X does not fit. */
const X39 = 0x20_5000_0000n;

const RISCV: Record<string, () => Case> = {
  ...prefixed(
    "first stage",
    tableCases(
      () => {
        const { s, first, dma } = riscv("first");
        return { s, table: first, dma };
      },
      {
        page: "IOTINVAL.VMA PSCID 0x5 addr 0x10000000",
        large: "IOTINVAL.VMA PSCID 0x5 addr 0x10013000",
        table: "IOTINVAL.VMA PSCID 0x5",
      },
    ),
  ),
  "first stage: a global page": () => {
    const { s, first, dma } = riscv("first", 0xffn);
    first.map(A, OLD);
    return {
      s,
      request: { ...dma, addr: A },
      change: () => first.map(A, NEW),
      expected: "IOTINVAL.VMA addr 0x10000000",
    };
  },
  ...prefixed(
    "second stage",
    tableCases(
      () => {
        const { s, second, dma } = riscv("second");
        return { s, table: second, dma };
      },
      {
        page: "IOTINVAL.GVMA GSCID 0x3 addr 0x10000000",
        large: "IOTINVAL.GVMA GSCID 0x3 addr 0x10013000",
        table: "IOTINVAL.GVMA GSCID 0x3",
      },
    ),
  ),
  "nested: a page of the first stage": () => {
    const { s, first, second, dma } = riscv("nested");
    identity(second);
    first.map(A, OLD);
    return {
      s,
      request: { ...dma, addr: A },
      change: () => first.map(A, NEW),
      expected: "IOTINVAL.VMA GSCID 0x3 PSCID 0x5 addr 0x10000000",
    };
  },
  "nested: a page of the second stage": () => {
    const { s, first, second, dma } = riscv("nested");
    identity(second, [2n]);
    second.map(OLD, OLD);
    first.map(A, OLD);
    return {
      s,
      request: { ...dma, addr: A },
      change: () => second.map(OLD, NEW),
      expected: "IOTINVAL.GVMA GSCID 0x3",
    };
  },
  "a process context": () => {
    const { s, first, pc, dma } = riscv("process");
    first.map(A, OLD);
    const other = new Radix(s, sv39(0xdfn)).map(X39, NEW);
    return {
      s,
      request: { ...dma, addr: X39 },
      change: () => pc(other),
      expected: "IODIR.INVAL_PDT DID 0x1 PID 0x9",
    };
  },
  "a device context": () => {
    const { s, first, dc, dma } = riscv("first");
    first.map(A, OLD);
    const other = new Radix(s, sv39(0xdfn)).map(X39, NEW);
    return {
      s,
      request: { ...dma, addr: X39 },
      change: () => dc(other),
      expected: "IODIR.INVAL_DDT DID 0x1",
    };
  },
};

function prefixed(name: string, cases: Record<string, () => Case>): Record<string, () => Case> {
  return Object.fromEntries(Object.entries(cases).map(([key, make]) => [`${name}: ${key}`, make]));
}

// A completion each: invalidation wait, CMD_SYNC, COMPLETION_WAIT, IOFENCE.C.
const COMPLETE: Readonly<Record<IommuModel, readonly bigint[]>> = {
  intel: [0x25n, 0n, 0n, 0n],
  "arm-smmuv3": [0x46n, 0n],
  amd: [1n << 60n, 0n],
  riscv: [2n, 0n],
};

const VENDORS: [IommuModel, Record<string, () => Case>][] = [
  ["intel", INTEL],
  ["arm-smmuv3", ARM],
  ["amd", AMD],
  ["riscv", RISCV],
];

/** Uses all, changes what the case changes, gives commands, and uses all again. */
async function run(make: () => Case, advice: readonly (readonly bigint[])[], model: IommuModel) {
  const { s, request, others = [], change, expected } = make();
  const all = [request, ...others];
  s.dma({ ...request, addr: A });
  for (const dma of all) s.dma(dma);
  change();
  for (const words of advice) s.cmd(...words).cmd(...COMPLETE[model]);
  const seqs = all.map((dma) => s.dma(dma));
  return { result: await s.run(), seqs, expected: [expected].flat() };
}

const wordOf = (text: string): Word64 => {
  const value = BigInt(text);
  return { hi: Number(BigInt.asIntN(32, value >> 32n)), lo: Number(BigInt.asIntN(32, value)) };
};

describe.each(VENDORS)("%s: the command that was owed", (model, cases) => {
  it.each(Object.entries(cases))("%s", async (_name, make) => {
    const { expected } = await run(make, [], model);
    const advice: bigint[][] = [];
    for (const text of expected) {
      const { result, seqs } = await run(make, advice, model);
      expect(seqs.map((seq) => result.verdict(seq))).toEqual(seqs.map(() => "hazard"));
      const [finding] = result.of("finding");
      expect(finding).toMatchObject({ rule: "missing-invalidation", command: text });
      expect(result.of("finding")).toHaveLength(1);
      const data = finding!.data as string[];
      const command = decodeCommand(model, data.map(wordOf));
      expect(formatCommand(command)).toBe(text);
      expect(command.problems).toEqual([]);
      advice.push(data.map(BigInt));
    }
    const { result, seqs } = await run(make, advice, model);
    expect(result.rules()).toEqual([]);
    expect(seqs.map((seq) => result.verdict(seq))).toEqual(seqs.map(() => ""));
  });
});

describe("an invalidation that nothing waits for", () => {
  // Everything: IOTLB global, CMD_TLBI_NSNH_ALL, INVALIDATE_IOMMU_ALL, IOTINVAL.VMA.
  it.each<[IommuModel, readonly bigint[], string]>([
    ["intel", [0x12n, 0n], "invalidation wait"],
    ["arm-smmuv3", [0x30n, 0n], "CMD_SYNC"],
    ["amd", [8n << 60n, 0n], "COMPLETION_WAIT"],
    ["riscv", [1n, 0n], "IOFENCE.C"],
  ])("%s: the finding names what was to follow", async (model, words, completion) => {
    const complete = COMPLETE[model].slice(0, 2);
    const s = new Scenario(model, {});
    s.cmd(...complete).cmd(...words);
    const issued = s.lines.length;
    const [finding, ...more] = (await s.cmd(...words).run()).of("finding");
    expect(finding).toMatchObject({ rule: "missing-completion", issued_line: issued });
    expect(finding!.message).toContain(
      `2 invalidations from line ${issued} on: expected a completion (${completion})`,
    );
    expect(more).toEqual([]);
    const waited = new Scenario(model, {});
    waited
      .cmd(...complete)
      .cmd(...words)
      .cmd(...words)
      .cmd(...complete);
    expect((await waited.run()).of("finding")).toEqual([]);
  });
});
