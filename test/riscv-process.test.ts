import { describe, expect, it } from "vitest";
import { RiscvConfig } from "../walkers/riscv/config.ts";
import { brokenProcessRule, PROCESS_RULES } from "../walkers/riscv/rules.ts";
import {
  A,
  D,
  DPE,
  DTF,
  FULL,
  PDTV,
  pointer,
  R,
  RiscvTable,
  SBE,
  SV32,
  SV39,
  SV48,
  SXL,
  TC_V,
  U,
  V,
} from "./support/riscv-builder.ts";
import { capabilitiesWithout, RiscvIommu, type RiscvOptions } from "./support/riscv-iommu.ts";

const ROOT = 0x9000_0000n;

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
      const { iommu, address } = setUp(0n, { capabilities: capabilitiesWithout(capability) });
      iommu.put(address + 8n, pointer(mode, ROOT));
      expect(iommu.walk(1, 0n, { pasid }).code).toBe(267);
    }
    const narrow = setUp(SXL, { capabilities: capabilitiesWithout(8n) });
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
    expect(Object.keys(PROCESS_RULES)).toHaveLength(4);
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
    iommu.device(1, { tc: TC_V | PDTV, iohgatp: pointer(8n, second.root), fsc: pointer(1n, guest) });
    iommu.process(host, 1, 9, V, 0n);
    second.map(0x7000n, 0x8000n);
    expect(iommu.walk(1, 0x7abcn, { pasid: 9 })).toMatchObject({ pa: 0x8abcn, reads: 1 + 3 + 1 + 3 });
    // A guest-page fault there reports the original access and the directory's guest address.
    iommu.device(1, { tc: TC_V | PDTV, iohgatp: pointer(8n, second.root), fsc: pointer(1n, guest + 4096n) });
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
      iohgatp: pointer(8n, second.root),
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
      iommu.device(1, { tc: TC_V | PDTV, iohgatp: pointer(8n, second.root), fsc: pointer(1n, directory) });
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
