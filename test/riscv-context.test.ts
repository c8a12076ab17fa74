import { describe, expect, it } from "vitest";
import { RiscvConfig } from "../walkers/riscv/config.ts";
import { RiscvDevice } from "../walkers/riscv/context.ts";
import { DEVICE_RULES, PROCESS_RULES } from "../walkers/riscv/index.ts";
import { brokenDeviceRule, brokenProcessRule } from "../walkers/riscv/rules.ts";
import {
  A,
  D,
  type DeviceWords,
  DPE,
  DTF,
  EN_ATS,
  EN_PRI,
  FULL,
  GADE,
  PDTV,
  PRPR,
  pointer,
  R,
  RiscvTable,
  SADE,
  SBE,
  SV32,
  SV39,
  SV48,
  SXL,
  T2GPA,
  TC_V,
  U,
  V,
} from "./support/riscv-builder.ts";
import {
  ALL_CAPABILITIES,
  CAP_END,
  CAP_MSI_FLAT,
  RiscvIommu,
  type RiscvOptions,
} from "./support/riscv-iommu.ts";

const without = (...bits: bigint[]) => bits.reduce((caps, bit) => caps & ~(1n << bit), ALL_CAPABILITIES);

describe("ddtp.iommu_mode", () => {
  it("Off refuses everything: cause 256", () => {
    const iommu = new RiscvIommu({ mode: 0n });
    expect(iommu.walk(1, 0x1000n)).toMatchObject({ result: "fault", code: 256, recorded: true, reads: 0 });
  });

  it("Bare passes everything, whatever the device", () => {
    const iommu = new RiscvIommu({ mode: 1n });
    expect(iommu.walk(0xffffff, 0xfedc_ba98_7654_3210n, { pasid: 5, access: "w" })).toMatchObject({
      result: "ok",
      pa: 0xfedc_ba98_7654_3210n,
      page: 0n,
      passthrough: true,
      perm: "rwx",
      domain: -1,
      reads: 0,
    });
  });

  it("a reserved mode allows nothing", () => {
    expect(new RiscvIommu({ mode: 7n }).walk(1, 0n).code).toBe(256);
  });

  const extended = ALL_CAPABILITIES;
  const base = ALL_CAPABILITIES & ~CAP_MSI_FLAT;
  it.each([
    ["1LVL, extended format", extended, 2n, 6, 1],
    ["1LVL, base format", base, 2n, 7, 1],
    ["2LVL, extended format", extended, 3n, 15, 2],
    ["2LVL, base format", base, 3n, 16, 2],
    ["3LVL, extended format", extended, 4n, 24, 3],
    ["3LVL, base format", base, 4n, 24, 3],
  ])("%s looks up its width of device_id, and not more", (_, capabilities, mode, bits, reads) => {
    const iommu = new RiscvIommu({ capabilities, mode });
    // Every index of the path differs from its neighbours', so that none can stand for another.
    const widest = 2 ** bits - 2;
    for (const id of [0, 1, widest, Math.floor(2 ** bits / 3)]) {
      iommu.device(id, { tc: TC_V });
      expect(iommu.walk(id, 0x1234n)).toMatchObject({ result: "ok", pa: 0x1234n, reads });
    }
    expect(iommu.walk(widest + 1, 0n)).toMatchObject({ code: 258, reason: "BAD_DEVICE_CONTEXT" });
    for (let bit = bits; bit < 32; bit++)
      expect(iommu.walk(2 ** bit, 0n)).toMatchObject({ code: 260, reason: "SOURCEID_INVALID", reads: 0 });
  });
});

describe("locating a device context", () => {
  const path = () => {
    const iommu = new RiscvIommu({ mode: 4n });
    const address = iommu.device(0x12345, { tc: TC_V });
    // DDI[2] = 2, DDI[1] = 0x8d, DDI[0] = 5 of the extended format.
    return { iommu, address, root: iommu.ddt + 2n * 8n };
  };

  it("reads ddtp.PPN, DDI[2], DDI[1], DDI[0]", () => {
    const { iommu, address, root } = path();
    expect(iommu.walk(0x12345, 0n).result).toBe("ok");
    expect(address & 0xfffn).toBe(5n * 64n);
    expect(iommu.memory.read64(root)).not.toBe(0n);
  });

  it("257: a table outside memory is a hole, one beyond PAS is not even read", () => {
    const { iommu, root } = path();
    iommu.put(root, (0x7_0000_0000n >> 2n) | 1n);
    expect(iommu.walk(0x12345, 0n)).toMatchObject({
      code: 257,
      reason: "DEVICE_CONTEXT_FETCH",
      hole: true,
      entry: 0x7_0000_0000n + 0x8dn * 8n,
      recorded: true,
      reads: 2,
    });
    iommu.put(root, ((1n << 43n) << 10n) | 1n);
    iommu.state.props.set("pas", 50);
    iommu.reconfigure();
    expect(iommu.walk(0x12345, 0n)).toMatchObject({ code: 257, hole: false, reads: 1 });
    // The host's own address width overrides capabilities.PAS.
    iommu.state.props.set("output_bits", 56);
    iommu.reconfigure();
    expect(iommu.walk(0x12345, 0n)).toMatchObject({ code: 257, hole: true, reads: 2 });
  });

  it("258 and 259 of non-leaf entries: V, and each reserved bit", () => {
    const { iommu, root } = path();
    const entry = iommu.memory.read64(root);
    iommu.put(root, entry & ~1n);
    expect(iommu.walk(0x12345, 0n)).toMatchObject({ code: 258, entry: root, value: entry & ~1n });
    for (const bit of [1n, 9n, 54n, 63n]) {
      iommu.put(root, entry | (1n << bit));
      expect(iommu.walk(0x12345, 0n)).toMatchObject({ code: 259, entry: root });
    }
    // V comes before reserved bits.
    iommu.put(root, 2n);
    expect(iommu.walk(0x12345, 0n).code).toBe(258);
  });

  it("258 of the context: other bits do not matter then", () => {
    const { iommu } = path();
    const address = iommu.device(0x12345, { tc: ~1n, ta: ~0n });
    expect(iommu.walk(0x12345, 0n)).toMatchObject({ code: 258, entry: address, recorded: true });
  });

  it("everything is big-endian with fctl.BE", () => {
    for (const mode of [2n, 3n, 4n]) {
      const iommu = new RiscvIommu({ mode, fctl: 1n });
      iommu.device(0x21, { tc: TC_V, iohgatp: 0n, ta: 0x5n << 12n });
      expect(iommu.walk(0x21, 0x4321n)).toMatchObject({ result: "ok", pa: 0x4321n });
      // The same words in the other byte order are no context.
      iommu.put(iommu.deviceAddress(0x21), TC_V, false);
      expect(iommu.walk(0x21, 0x4321n).code).toBe(258);
    }
  });
});

/** A context that breaks one rule, the rule's number, and what the IOMMU lacks for it. */
interface Broken {
  readonly rule: number;
  readonly words: DeviceWords;
  readonly options?: RiscvOptions;
  /** The nearest context (or IOMMU) that keeps the rule. */
  readonly legal?: DeviceWords;
  readonly legalOptions?: RiscvOptions;
}

const ROOT = 0x9000_0000n;
const hgatp = (mode: bigint, root = ROOT) => pointer(mode, root);
const PDT = pointer(1n, ROOT);
const GXL = { fctl: 4n };
const fixed = (name: string) => ({ props: { [name]: false } });

const BROKEN: readonly Broken[] = [
  ...[12n, 23n, 32n, 63n].map((bit) => ({ rule: 1, words: { tc: TC_V | (1n << bit) }, legal: { tc: TC_V } })),
  { rule: 1, words: { tc: TC_V, ta: 1n }, legal: { tc: TC_V, ta: 0xffff_f000n } },
  { rule: 1, words: { tc: TC_V, ta: 1n << 32n } },
  { rule: 1, words: { tc: TC_V, ta: 1n << 40n }, options: { capabilities: without(41n) }, legalOptions: {} },
  { rule: 1, words: { tc: TC_V, ta: 1n << 63n }, options: { capabilities: without(41n) }, legalOptions: {} },
  { rule: 1, words: { tc: TC_V, fsc: 1n << 44n }, legal: { tc: TC_V, fsc: 1n << 43n } },
  { rule: 1, words: { tc: TC_V | PDTV, fsc: 1n << 59n } },
  { rule: 1, words: { tc: TC_V, msiptp: 1n << 44n }, legal: { tc: TC_V, msiptp: 1n << 43n } },
  { rule: 1, words: { tc: TC_V, mask: 1n << 52n } },
  { rule: 1, words: { tc: TC_V, pattern: 1n << 63n } },
  { rule: 1, words: { tc: TC_V, last: 1n } },
  // MGPAW: 59 with Sv57x4, 50 with Sv48x4, 41 with Sv39x4, 34 with Sv32x4, else PAS; less the 12 of a page.
  { rule: 1, words: { tc: TC_V, mask: 1n << 47n }, legal: { tc: TC_V, mask: 1n << 46n } },
  {
    rule: 1,
    words: { tc: TC_V, pattern: 1n << 38n },
    options: { capabilities: without(19n) },
    legal: { tc: TC_V, pattern: 1n << 37n },
  },
  {
    rule: 1,
    words: { tc: TC_V, pattern: 1n << 29n },
    options: { capabilities: without(18n, 19n) },
    legal: { tc: TC_V, mask: 1n << 28n },
  },
  {
    rule: 1,
    words: { tc: TC_V, mask: 1n << 22n },
    options: { capabilities: without(17n, 18n, 19n) },
    legal: { tc: TC_V, mask: 1n << 21n },
  },
  {
    rule: 1,
    words: { tc: TC_V, mask: 1n << 44n },
    options: { capabilities: without(16n, 17n, 18n, 19n) },
    legal: { tc: TC_V, mask: 1n << 43n },
  },
  { rule: 2, words: { tc: TC_V | EN_ATS }, options: { capabilities: without(25n) }, legalOptions: {} },
  { rule: 3, words: { tc: TC_V | T2GPA, iohgatp: hgatp(8n) } },
  { rule: 4, words: { tc: TC_V | EN_PRI }, legal: { tc: TC_V | EN_ATS | EN_PRI } },
  { rule: 5, words: { tc: TC_V | EN_ATS | PRPR }, legal: { tc: TC_V | EN_ATS | EN_PRI | PRPR } },
  {
    rule: 6,
    words: { tc: TC_V | EN_ATS | T2GPA, iohgatp: hgatp(8n) },
    options: { capabilities: without(26n) },
    legalOptions: {},
  },
  { rule: 7, words: { tc: TC_V | EN_ATS | T2GPA } },
  ...[4n, 13n, 14n, 15n].map((mode) => ({ rule: 8, words: { tc: TC_V | PDTV, fsc: pointer(mode, ROOT) } })),
  ...(
    [
      [1n, 38n],
      [2n, 39n],
      [3n, 40n],
    ] as const
  ).map(([mode, capability]) => ({
    rule: 8,
    words: { tc: TC_V | PDTV, fsc: pointer(mode, ROOT) },
    options: { capabilities: without(capability) },
    legalOptions: {},
  })),
  ...[1n, 7n, 11n, 14n, 15n].map((mode) => ({ rule: 9, words: { tc: TC_V, fsc: pointer(mode, ROOT) } })),
  {
    rule: 9,
    words: { tc: TC_V | SXL, fsc: pointer(9n, ROOT) },
    legal: { tc: TC_V | SXL, fsc: pointer(8n, ROOT) },
  },
  ...(
    [
      [8n, 9n],
      [9n, 10n],
      [10n, 11n],
    ] as const
  ).map(([mode, capability]) => ({
    rule: 10,
    words: { tc: TC_V, fsc: pointer(mode, ROOT) },
    options: { capabilities: without(capability) },
    legalOptions: {},
  })),
  {
    rule: 11,
    words: { tc: TC_V | SXL, fsc: pointer(8n, ROOT) },
    options: { capabilities: without(8n) },
    legalOptions: {},
  },
  { rule: 12, words: { tc: TC_V | DPE }, legal: { tc: TC_V | PDTV | DPE, fsc: PDT } },
  ...[1n, 7n, 11n, 15n].map((mode) => ({ rule: 13, words: { tc: TC_V, iohgatp: hgatp(mode) } })),
  {
    rule: 13,
    words: { tc: TC_V | SXL, iohgatp: hgatp(9n) },
    options: GXL,
    legal: { tc: TC_V | SXL, iohgatp: hgatp(8n) },
  },
  ...(
    [
      [8n, 17n],
      [9n, 18n],
      [10n, 19n],
    ] as const
  ).map(([mode, capability]) => ({
    rule: 14,
    words: { tc: TC_V, iohgatp: hgatp(mode) },
    options: { capabilities: without(capability) },
    legalOptions: {},
  })),
  {
    rule: 15,
    words: { tc: TC_V | SXL, iohgatp: hgatp(8n) },
    options: { ...GXL, capabilities: without(16n) },
    legalOptions: GXL,
  },
  ...[2n, 13n, 14n].map((mode) => ({
    rule: 16,
    words: { tc: TC_V, iohgatp: hgatp(8n), msiptp: pointer(mode, ROOT) },
    legal: { tc: TC_V, iohgatp: hgatp(8n), msiptp: pointer(1n, ROOT) },
  })),
  ...[0x1000n, 0x2000n].map((off) => ({
    rule: 17,
    words: { tc: TC_V, iohgatp: hgatp(8n, ROOT + off) },
    legal: { tc: TC_V, iohgatp: hgatp(8n, ROOT + 0x4000n) },
  })),
  ...[SADE, GADE].map((bit) => ({
    rule: 18,
    words: { tc: TC_V | bit },
    options: { capabilities: without(24n) },
    legalOptions: {},
  })),
  {
    rule: 19,
    words: { tc: TC_V | SBE },
    options: { capabilities: ALL_CAPABILITIES & ~CAP_END },
    legal: { tc: TC_V },
    legalOptions: { capabilities: ALL_CAPABILITIES & ~CAP_END },
  },
  { rule: 20, words: { tc: TC_V }, options: GXL, legal: { tc: TC_V | SXL } },
  { rule: 20, words: { tc: TC_V | SXL }, options: fixed("gxl_writable"), legalOptions: {} },
  { rule: 21, words: { tc: TC_V | SBE }, options: fixed("be_writable"), legalOptions: {} },
  {
    rule: 21,
    words: { tc: TC_V },
    options: { ...fixed("be_writable"), fctl: 1n },
    legal: { tc: TC_V | SBE },
  },
  { rule: 23, words: { tc: TC_V, msiptp: pointer(1n, ROOT) } },
];

describe("device-context configuration checks: cause 259", () => {
  it.each(BROKEN.map((broken, i) => ({ ...broken, i })))(
    "rule $rule, case $i",
    ({ rule, words, options, legal, legalOptions }) => {
      const iommu = new RiscvIommu(options);
      const address = iommu.device(3, words);
      expect(iommu.walk(3, 0x5000n)).toMatchObject({
        code: 259,
        reason: "BAD_DEVICE_CONTEXT",
        entry: address,
        recorded: true,
        stage: 0,
      });
      expect(brokenDeviceRule(iommu.lastDevice(), iommu.walker.config)).toBe(rule);
      if (legal === undefined && legalOptions === undefined) return;
      const allowed = new RiscvIommu(legalOptions ?? options);
      allowed.device(3, legal ?? words);
      expect(allowed.walk(3, 0x5000n).code).not.toBe(259);
    },
  );

  it("names the first broken rule in the specification's order", () => {
    const config = new RiscvConfig();
    config.ats = 0;
    config.amoHwad = 0;
    const device = new RiscvDevice();
    expect(brokenDeviceRule(device, config)).toBe(0);
    // From the last rule to the first: each one added takes over.
    const steps: [Partial<RiscvDevice>, number][] = [
      [{ msiMode: 1 }, 23],
      [{ sade: 1 }, 18],
      [{ secondMode: 8, secondFrame: 2 }, 17],
      [{ msiMode: 2 }, 16],
      [{ secondMode: 12 }, 13],
      [{ dpe: 1 }, 12],
      [{ fscMode: 3 }, 9],
      [{ pdtv: 1, fscMode: 4 }, 8],
      [{ prpr: 1 }, 2],
      [{ reserved: 1 }, 1],
    ];
    for (const [change, rule] of steps) {
      Object.assign(device, change);
      expect(brokenDeviceRule(device, config), JSON.stringify(change)).toBe(rule);
      expect(DEVICE_RULES[rule]).toBeTruthy();
    }
    expect(DEVICE_RULES).toHaveLength(24);
  });

  it("one bit fewer in MSI_FLAT moves the context's size", () => {
    const iommu = new RiscvIommu({ capabilities: ALL_CAPABILITIES & ~CAP_MSI_FLAT });
    iommu.device(2, { tc: TC_V });
    iommu.device(3, { tc: TC_V, ta: 1n });
    expect(iommu.walk(2, 0n).result).toBe("ok");
    expect(iommu.walk(3, 0n).code).toBe(259);
    expect(iommu.deviceAddress(3) - iommu.deviceAddress(2)).toBe(32n);
  });
});

describe("process_id", () => {
  const directory = (mode: bigint, tc = 0n) => {
    const iommu = new RiscvIommu();
    const root = iommu.allocate(4096);
    iommu.device(1, { tc: TC_V | PDTV | tc, fsc: pointer(mode, root) });
    return { iommu, root };
  };

  it("260 with PDTV = 0", () => {
    const iommu = new RiscvIommu();
    iommu.device(1, { tc: TC_V });
    expect(iommu.walk(1, 0n, { pasid: 0 })).toMatchObject({ code: 260, reason: "PASID_INVALID" });
    expect(iommu.walk(1, 0n).result).toBe("ok");
  });

  it.each([
    ["PD8", 1n, 8, 1],
    ["PD17", 2n, 17, 2],
    ["PD20", 3n, 20, 3],
  ])("%s looks up its width and not more", (_, mode, bits, levels) => {
    const { iommu, root } = directory(mode);
    const widest = 2 ** bits - 1;
    for (const pasid of [0, 1, widest, Math.floor(2 ** bits / 3)]) {
      iommu.process(root, levels, pasid, V | (BigInt(pasid) << 12n), 0n);
      expect(iommu.walk(1, 0xabc_def0n, { pasid })).toMatchObject({ pa: 0xabc_def0n, reads: 1 + levels });
    }
    expect(iommu.walk(1, 0n, { pasid: widest - 1 })).toMatchObject({ code: 266, reason: "PASID_INVALID" });
    for (let bit = bits; bit < 21; bit++)
      expect(iommu.walk(1, 0n, { pasid: 2 ** bit })).toMatchObject({ code: 260, reason: "PASID_INVALID" });
  });

  it("Bare directory: no first stage, with or without one", () => {
    const { iommu } = directory(0n);
    expect(iommu.walk(1, 0x77n, { pasid: 0xfffff, priv: true })).toMatchObject({
      pa: 0x77n,
      passthrough: true,
    });
    expect(iommu.walk(1, 0x77n)).toMatchObject({ pa: 0x77n, passthrough: true });
  });

  it("requests without one: DPE chooses process_id 0, else there is no first stage", () => {
    for (const dpe of [0n, DPE]) {
      const { iommu, root } = directory(1n, dpe);
      const table = new RiscvTable(iommu.memory, SV39, { allocate: iommu.allocate });
      table.map(0x4000n, 0x5000n);
      iommu.process(root, 1, 0, V | (42n << 12n), pointer(8n, table.root));
      const expected = dpe
        ? { pa: 0x5000n, asid: 42, reads: 5 }
        : { pa: 0x4000n, asid: -1, passthrough: true };
      expect(iommu.walk(1, 0x4000n)).toMatchObject(expected);
      // Supervisor privilege goes with a process_id only, so ENS = 0 is no obstacle.
      expect(iommu.walk(1, 0x4000n, { priv: true })).toMatchObject(expected);
    }
  });

  it("a host's pasid_bits bounds what is accepted", () => {
    const { iommu, root } = directory(2n);
    iommu.process(root, 2, 0x3ff, V, 0n);
    iommu.process(root, 2, 0x400, V, 0n);
    expect(iommu.walk(1, 0n, { pasid: 0x400 }).result).toBe("ok");
    iommu.state.props.set("pasid_bits", 10);
    iommu.reconfigure();
    expect(iommu.walk(1, 0n, { pasid: 0x3ff }).result).toBe("ok");
    expect(iommu.walk(1, 0n, { pasid: 0x400 })).toMatchObject({ code: 260, reason: "PASID_INVALID" });
  });
});

describe("locating a process context", () => {
  const setUp = (tc = 0n, options: RiscvOptions = {}) => {
    const iommu = new RiscvIommu(options);
    const root = iommu.allocate(4096);
    iommu.device(1, { tc: TC_V | PDTV | tc, fsc: pointer(3n, root) });
    const big = (tc & SBE) !== 0n;
    const address = iommu.process(root, 3, 0x6_0304, V, 0n, big);
    return { iommu, root: root + 3n * 8n, address, big };
  };
  const pasid = 0x6_0304;

  it("265: hole, and beyond PAS", () => {
    const { iommu, root } = setUp(DTF);
    iommu.put(root, (0x66_0000_0000n >> 2n) | 1n);
    expect(iommu.walk(1, 0n, { pasid })).toMatchObject({
      code: 265,
      reason: "PASID_FETCH",
      hole: true,
      entry: 0x66_0000_0018n,
      recorded: false,
      stage: 0,
    });
    iommu.state.props.set("output_bits", 38);
    iommu.reconfigure();
    expect(iommu.walk(1, 0n, { pasid })).toMatchObject({ code: 265, hole: false, reads: 2 });
  });

  it("266 and 267 of non-leaf entries", () => {
    const { iommu, root } = setUp();
    const entry = iommu.memory.read64(root);
    iommu.put(root, entry & ~1n);
    expect(iommu.walk(1, 0n, { pasid })).toMatchObject({ code: 266, entry: root });
    for (const bit of [1n, 9n, 54n, 63n]) {
      iommu.put(root, entry | (1n << bit));
      expect(iommu.walk(1, 0n, { pasid })).toMatchObject({
        code: 267,
        reason: "BAD_PASID_ENTRY",
        entry: root,
      });
    }
  });

  it("266 and 267 of the context", () => {
    const { iommu, address } = setUp();
    const put = (ta: bigint, fsc: bigint) => {
      iommu.put(address, ta);
      iommu.put(address + 8n, fsc);
      return iommu.walk(1, 0n, { pasid });
    };
    expect(put(~1n, ~0n)).toMatchObject({ code: 266, entry: address });
    for (const bit of [3n, 11n, 32n, 63n]) expect(put(V | (1n << bit), 0n).code).toBe(267);
    for (const bit of [44n, 59n]) expect(put(V, 1n << bit).code).toBe(267);
    for (const mode of [1n, 7n, 11n, 15n]) expect(put(V, mode << 60n).code).toBe(267);
    expect(put(V | 0xffff_f006n, (1n << 44n) - 1n).result).toBe("ok");
  });

  it("267 for a scheme that capabilities or SXL does not have", () => {
    for (const [mode, capability] of [
      [8n, 9n],
      [9n, 10n],
      [10n, 11n],
    ] as const) {
      const { iommu, address } = setUp(0n, { capabilities: without(capability) });
      iommu.put(address + 8n, pointer(mode, ROOT));
      expect(iommu.walk(1, 0n, { pasid }).code).toBe(267);
    }
    const narrow = setUp(SXL, { capabilities: without(8n) });
    narrow.iommu.put(narrow.address + 8n, pointer(8n, ROOT));
    expect(narrow.iommu.walk(1, 0n, { pasid }).code).toBe(267);
    const wide = setUp(SXL);
    wide.iommu.put(wide.address + 8n, pointer(9n, ROOT));
    expect(wide.iommu.walk(1, 0n, { pasid }).code).toBe(267);
  });

  it("names the first broken rule", () => {
    const config = new RiscvConfig();
    config.sv48 = 0;
    config.sv32 = 0;
    expect(brokenProcessRule(9, 1, 0, config)).toBe(1);
    expect(brokenProcessRule(7, 0, 0, config)).toBe(2);
    expect(brokenProcessRule(9, 0, 0, config)).toBe(3);
    expect(brokenProcessRule(8, 0, 1, config)).toBe(4);
    expect(brokenProcessRule(8, 0, 0, config)).toBe(0);
    expect(PROCESS_RULES).toHaveLength(5);
  });

  it("is big-endian with tc.SBE, whatever fctl.BE", () => {
    for (const fctl of [0n, 1n])
      for (const sbe of [0n, SBE]) {
        const { iommu, address, big } = setUp(sbe, { fctl });
        expect(iommu.walk(1, 0x9n, { pasid })).toMatchObject({ result: "ok", pa: 0x9n });
        iommu.put(address, V, !big);
        expect(iommu.walk(1, 0x9n, { pasid }).code).toBe(266);
      }
  });

  it("lies at guest addresses where there is a second stage", () => {
    const iommu = new RiscvIommu();
    const second = new RiscvTable(iommu.memory, SV39, { x4: true, allocate: iommu.allocate });
    const host = iommu.allocate(4096);
    const guest = 0x1_2345_6000n;
    second.map(guest, host);
    iommu.device(1, { tc: TC_V | PDTV, iohgatp: hgatp(8n, second.root), fsc: pointer(1n, guest) });
    iommu.process(host, 1, 9, V, 0n);
    second.map(0x7000n, 0x8000n);
    expect(iommu.walk(1, 0x7abcn, { pasid: 9 })).toMatchObject({ pa: 0x8abcn, reads: 1 + 3 + 1 + 3 });
    // A guest-page fault there reports the original access and the directory's guest address.
    iommu.device(1, { tc: TC_V | PDTV, iohgatp: hgatp(8n, second.root), fsc: pointer(1n, guest + 4096n) });
    for (const [access, code] of [
      ["r", 21],
      ["w", 23],
      ["rw", 23],
      ["x", 20],
    ] as const)
      expect(iommu.walk(1, 0n, { pasid: 9, access })).toMatchObject({
        code,
        stage: 2,
        level: 1,
        reason: "PTE_FETCH",
        faultAddr: guest + 4096n + 9n * 16n,
        flags: 1,
      });
    // An access fault below the directory is the directory's.
    second.set(guest + (1n << 30n), 3, (0x55_0000_0000n >> 2n) | V);
    iommu.device(1, {
      tc: TC_V | PDTV,
      iohgatp: hgatp(8n, second.root),
      fsc: pointer(1n, guest + (1n << 30n)),
    });
    expect(iommu.walk(1, 0n, { pasid: 9, access: "w" })).toMatchObject({ code: 265, stage: 2, hole: true });
  });

  it("needs read permission there, and not the request's", () => {
    const iommu = new RiscvIommu();
    const second = new RiscvTable(iommu.memory, SV39, { x4: true, allocate: iommu.allocate });
    const host = iommu.allocate(4096);
    iommu.process(host, 1, 9, V, 0n);
    second.map(0x6000n, host, 1, V | R | U | A);
    second.map(0x7000n, host, 1, V | (1n << 3n) | U | A);
    second.map(0x8000n, 0x8000n, 1, FULL);
    const walk = (directory: bigint) => {
      iommu.device(1, { tc: TC_V | PDTV, iohgatp: hgatp(8n, second.root), fsc: pointer(1n, directory) });
      return iommu.walk(1, 0x8000n, { pasid: 9, access: "w" });
    };
    expect(walk(0x6000n).result).toBe("ok");
    expect(walk(0x7000n)).toMatchObject({ code: 23, reason: "PERMISSION" });
  });
});

describe("tc.DTF", () => {
  it("suppresses the record of translation faults, and of those only", () => {
    const iommu = new RiscvIommu();
    const table = new RiscvTable(iommu.memory, SV48, { allocate: iommu.allocate });
    iommu.device(1, { tc: TC_V | DTF, fsc: pointer(9n, table.root) });
    expect(iommu.walk(1, 0x1000n)).toMatchObject({ code: 13, recorded: false });
    expect(iommu.walk(1, 0x1000n, { pasid: 1 })).toMatchObject({ code: 260, recorded: false });
    iommu.device(1, { tc: TC_V, fsc: pointer(9n, table.root) });
    expect(iommu.walk(1, 0x1000n)).toMatchObject({ code: 13, recorded: true });
    // A context that is not valid or not legal has no say.
    iommu.device(1, { tc: TC_V | DTF | (1n << 63n) });
    expect(iommu.walk(1, 0x1000n)).toMatchObject({ code: 259, recorded: true });
    iommu.device(1, { tc: DTF });
    expect(iommu.walk(1, 0x1000n)).toMatchObject({ code: 258, recorded: true });
  });
});

describe("ENS and SUM", () => {
  const OTHER = V | R | (1n << 2n) | (1n << 3n) | A | D;
  const walks = (ta: bigint, entry: bigint) => {
    const iommu = new RiscvIommu();
    const root = iommu.allocate(4096);
    const table = new RiscvTable(iommu.memory, SV32, { allocate: iommu.allocate });
    table.map(0x1000n, 0x2000n, 1, entry);
    iommu.device(1, { tc: TC_V | PDTV | SXL, fsc: pointer(1n, root) });
    iommu.process(root, 1, 7, V | ta, pointer(8n, table.root));
    return (["r", "w", "x"] as const).map((access) => {
      const out = iommu.walk(1, 0x1000n, { pasid: 7, priv: true, access });
      return out.code ?? out.perm;
    });
  };
  const ENS = 2n;
  const SUM = 4n;

  it("260 without ENS, before the page tables", () => {
    expect(walks(0n, 0n)).toEqual([260, 260, 260]);
    expect(walks(SUM, FULL)).toEqual([260, 260, 260]);
  });

  it("supervisor pages: all rights; user pages: with SUM, but never to execute", () => {
    expect(walks(ENS, OTHER)).toEqual(["rwx", "rwx", "rwx"]);
    expect(walks(ENS, FULL)).toEqual([13, 15, 12]);
    expect(walks(ENS | SUM, FULL)).toEqual(["rw-", "rw-", 12]);
  });
});
