import { describe, expect, it } from "vitest";
import { RiscvConfig } from "../walkers/riscv/config.ts";
import { RiscvDevice } from "../walkers/riscv/context.ts";
import { brokenDeviceRule, DEVICE_RULES } from "../walkers/riscv/rules.ts";
import {
  type DeviceWords,
  DPE,
  EN_ATS,
  EN_PRI,
  GADE,
  PDTV,
  PRPR,
  pointer,
  SADE,
  SBE,
  SXL,
  T2GPA,
  TC_V,
} from "./support/riscv-builder.ts";
import {
  ALL_CAPABILITIES,
  CAP_END,
  CAP_MSI_FLAT,
  capabilitiesWithout,
  RiscvIommu,
  type RiscvOptions,
} from "./support/riscv-iommu.ts";

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
/** A release in which rule 23 stands. */
const LATER = { props: { spec_release: 20260222 } };
const fixed = (name: string) => ({ props: { [name]: false } });

const BROKEN: readonly Broken[] = [
  ...[12n, 23n, 32n, 63n].map((bit) => ({ rule: 1, words: { tc: TC_V | (1n << bit) }, legal: { tc: TC_V } })),
  { rule: 1, words: { tc: TC_V, ta: 1n }, legal: { tc: TC_V, ta: 0xffff_f000n } },
  { rule: 1, words: { tc: TC_V, ta: 1n << 32n } },
  {
    rule: 1,
    words: { tc: TC_V, ta: 1n << 40n },
    options: { capabilities: capabilitiesWithout(41n) },
    legalOptions: {},
  },
  {
    rule: 1,
    words: { tc: TC_V, ta: 1n << 63n },
    options: { capabilities: capabilitiesWithout(41n) },
    legalOptions: {},
  },
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
    options: { capabilities: capabilitiesWithout(19n) },
    legal: { tc: TC_V, pattern: 1n << 37n },
  },
  {
    rule: 1,
    words: { tc: TC_V, pattern: 1n << 29n },
    options: { capabilities: capabilitiesWithout(18n, 19n) },
    legal: { tc: TC_V, mask: 1n << 28n },
  },
  {
    rule: 1,
    words: { tc: TC_V, mask: 1n << 22n },
    options: { capabilities: capabilitiesWithout(17n, 18n, 19n) },
    legal: { tc: TC_V, mask: 1n << 21n },
  },
  {
    rule: 1,
    words: { tc: TC_V, mask: 1n << 44n },
    options: { capabilities: capabilitiesWithout(16n, 17n, 18n, 19n) },
    legal: { tc: TC_V, mask: 1n << 43n },
  },
  {
    rule: 2,
    words: { tc: TC_V | EN_ATS },
    options: { capabilities: capabilitiesWithout(25n) },
    legalOptions: {},
  },
  { rule: 3, words: { tc: TC_V | T2GPA, iohgatp: hgatp(8n) } },
  { rule: 4, words: { tc: TC_V | EN_PRI }, legal: { tc: TC_V | EN_ATS | EN_PRI } },
  { rule: 5, words: { tc: TC_V | EN_ATS | PRPR }, legal: { tc: TC_V | EN_ATS | EN_PRI | PRPR } },
  {
    rule: 6,
    words: { tc: TC_V | EN_ATS | T2GPA, iohgatp: hgatp(8n) },
    options: { capabilities: capabilitiesWithout(26n) },
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
    options: { capabilities: capabilitiesWithout(capability) },
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
    options: { capabilities: capabilitiesWithout(capability) },
    legalOptions: {},
  })),
  {
    rule: 11,
    words: { tc: TC_V | SXL, fsc: pointer(8n, ROOT) },
    options: { capabilities: capabilitiesWithout(8n) },
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
    options: { capabilities: capabilitiesWithout(capability) },
    legalOptions: {},
  })),
  {
    rule: 15,
    words: { tc: TC_V | SXL, iohgatp: hgatp(8n) },
    options: { ...GXL, capabilities: capabilitiesWithout(16n) },
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
    options: { capabilities: capabilitiesWithout(24n) },
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
  { rule: 23, words: { tc: TC_V, msiptp: pointer(1n, ROOT) }, options: LATER, legalOptions: {} },
  {
    rule: 23,
    words: { tc: TC_V, msiptp: pointer(1n, ROOT) },
    options: LATER,
    legalOptions: { props: { spec_release: 20250828 } },
  },
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
    config.release = 20260222;
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
    expect(Object.keys(DEVICE_RULES)).toHaveLength(23);
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
