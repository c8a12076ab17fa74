import { describe, expect, it } from "vitest";
import { CONTEXT, chain, IOVA, legacyMachine, ROOT, SS, slot, VtdMachine } from "./support/vtd-machine.ts";

const HOLE = 0x7_0000_0000n;
/** CAP of a unit with 48-bit addresses, 3 and 4 levels, no large pages, 8-bit domain ids. */
const CAP_SMALL = 0x002f_0602n;

describe("legacy mode: root and context table", () => {
  it("takes the bus from bits 15:8 of the requester id, device and function from 7:0", () => {
    const m = new VtdMachine({ rtaddr: ROOT })
      .put(ROOT + 0xa50n, (CONTEXT + 0x1000n) | 1n, 0n)
      .put(CONTEXT + 0x1000n + 0xff0n, 0x9n, 0x1234_02n);
    expect(m.ask(IOVA, { device: 0xa5ff })).toMatchObject({
      result: "ok",
      model: "intel",
      pa: IOVA,
      passthrough: true,
      page: 0,
      perm: "rwx",
      domain: 0x1234,
      reads: 2,
    });
    expect(m.ask(IOVA, { device: 0xa4ff })).toMatchObject({ name: "LRT.2", entry: ROOT + 0xa40n, value: 0n });
    expect(m.ask(IOVA, { device: 0xa5fe })).toMatchObject({ name: "LCT.2", entry: CONTEXT + 0x1fe0n });
  });

  it("names the entry that could not be read", () => {
    const seen = new VtdMachine({ rtaddr: HOLE }).ask(IOVA);
    expect(seen).toEqual({
      result: "fault",
      model: "intel",
      name: "LRT.1",
      code: 8,
      reason: "DEVICE_CONTEXT_FETCH",
      entry: HOLE,
      hole: true,
      reads: 1,
    });
  });

  it("leaves out the bits of RTADDR_REG that are beyond the host address width", () => {
    const ask = (bit: bigint) =>
      legacyMachine({ rtaddr: ROOT | (1n << bit) }, { output_bits: 46 }).ask(IOVA, { device: 0x19 });
    expect(ask(46n)).toMatchObject({ name: "LCT.2" });
    expect(ask(45n)).toMatchObject({ name: "LRT.1", entry: ROOT | (1n << 45n) });
  });

  it.each([
    ["root bits 11:1", (m: VtdMachine) => m.put(ROOT, CONTEXT | 0x801n), "LRT.3"],
    ["root bits 127:64", (m: VtdMachine) => m.put(ROOT + 8n, 1n << 63n), "LRT.3"],
    [
      "root pointer beyond the host address width",
      (m: VtdMachine) => m.put(ROOT, CONTEXT | (1n << 46n) | 1n),
      "LRT.3",
    ],
    ["context bits 11:4", (m: VtdMachine) => m.put(CONTEXT + 0x180n, SS | 0x801n), "LCT.3"],
    ["context bit 71", (m: VtdMachine) => m.put(CONTEXT + 0x188n, 0x782n), "LCT.3"],
    ["context bits 127:88", (m: VtdMachine) => m.put(CONTEXT + 0x188n, 0x100_0702n), "LCT.3"],
    [
      "context pointer beyond the host address width",
      (m: VtdMachine) => m.put(CONTEXT + 0x180n, (1n << 51n) | 1n),
      "LCT.3",
    ],
  ])("%s are reserved", (_what, spoil, name) => {
    expect(spoil(legacyMachine({}, { output_bits: 46 })).ask(IOVA)).toMatchObject({ name });
  });

  it("ignores bits 70:67 of the context entry", () => {
    const m = legacyMachine().put(CONTEXT + 0x180n, 9n, 0x77an);
    expect(m.ask(IOVA)).toMatchObject({ result: "ok", passthrough: true });
  });

  it("reserves domain id bits beyond 2*ND + 4", () => {
    const m = legacyMachine({ cap: CAP_SMALL }).put(CONTEXT + 0x180n, 9n, 0xff02n);
    expect(m.ask(IOVA)).toMatchObject({ result: "ok", domain: 0xff });
    m.put(CONTEXT + 0x188n, 0x1_0002n);
    expect(m.ask(IOVA)).toMatchObject({ name: "LCT.3" });
  });

  it("knows the address widths that CAP.SAGAW reports, and no others", () => {
    const widths = (cap: bigint) =>
      [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n].filter(
        (aw) =>
          legacyMachine({ cap })
            .put(CONTEXT + 0x188n, aw)
            .ask(IOVA).name !== "LCT.4.1",
      );
    expect(widths(0x003f_1f06n)).toEqual([1n, 2n, 3n]);
    expect(widths(CAP_SMALL)).toEqual([1n, 2n]);
    expect(widths(0x003f_0806n)).toEqual([3n]);
  });

  it.each([
    ["second stage with device-TLB, without ECAP.DT", 0x5n, ~(1n << 2n)],
    ["pass-through, without ECAP.PT", 0x9n, ~(1n << 6n)],
  ])("TT %s is not supported", (_what, low, mask) => {
    const m = legacyMachine().put(CONTEXT + 0x180n, SS | low);
    expect(m.ask(IOVA).name).not.toBe("LCT.4.2");
    m.set({ ecap: 0x7fff_ffff_ffff_ffffn & mask });
    expect(m.ask(IOVA)).toMatchObject({ name: "LCT.4.2", code: 3 });
  });
});

describe("legacy mode: second stage", () => {
  it.each([3, 4, 5])("walks %i levels to a 4 KiB page", (levels) => {
    const iova = levels === 3 ? 0x7f_fedc_b123n : levels === 4 ? 0xfedc_ba98_7123n : 0x1fe_dcba_9876_5123n;
    const m = legacyMachine().put(CONTEXT + 0x188n, 0x700n | BigInt(levels - 2));
    chain(m, SS, levels, iova, 3n, 0xa_bcde_f000n | 3n);
    expect(m.ask(iova, { access: "w" })).toEqual({
      result: "ok",
      model: "intel",
      pa: 0xa_bcde_f123n,
      page: 4096,
      perm: "rw-",
      domain: 7,
      reads: 2 + levels,
    });
  });

  it.each([
    [2, 0x8_0020_0000n, 0x20_0000],
    [3, 0x8_4000_0000n, 0x4000_0000],
  ])("a leaf at level %i", (level, page, size) => {
    const m = legacyMachine();
    chain(m, SS, 4, IOVA, 3n, page | 0x83n, level);
    const offset = IOVA % BigInt(size);
    expect(m.ask(IOVA)).toMatchObject({ pa: page + offset, page: size, reads: 2 + 5 - level });
  });

  it("addresses end at the smaller of MGAW and the context entry's width", () => {
    const m = legacyMachine({ cap: 0x0026_0e06n }); // MGAW 39
    chain(m, SS, 4, (1n << 39n) - 1n, 3n, 0x1000n | 3n);
    expect(m.ask((1n << 39n) - 1n)).toMatchObject({ pa: 0x1fffn });
    expect(m.ask(1n << 39n)).toMatchObject({ name: "LGN.1.1", code: 4, stage: 2 });
    expect(m.ask(1n << 39n).entry).toBeUndefined();
    m.set({ cap: 0x003f_0e06n }).put(CONTEXT + 0x188n, 0x701n); // MGAW 64, three levels
    expect(m.ask(1n << 39n)).toMatchObject({ name: "LGN.1.1" });
    expect(m.ask(1n << 63n)).toMatchObject({ name: "LGN.1.1" });
  });

  it("rights are those of every level, and the entry that lacks them is to blame", () => {
    const m = legacyMachine();
    const leaf = chain(m, SS, 4, IOVA, 3n, 0x66_6003n);
    const upper = SS + 0x1000n + slot(3, IOVA);
    m.put(upper, (SS + 0x2000n) | 1n);
    expect(m.ask(IOVA)).toMatchObject({ result: "ok", perm: "r--" });
    for (const access of ["w", "rw"] as const)
      expect(m.ask(IOVA, { access })).toMatchObject({
        name: "LGN.2",
        reason: "PERMISSION",
        stage: 2,
        level: 3,
        entry: upper,
        value: (SS + 0x2000n) | 1n,
      });
    m.put(upper, (SS + 0x2000n) | 3n).put(leaf, 0x66_6002n);
    expect(m.ask(IOVA, { access: "w" })).toMatchObject({ result: "ok", perm: "-w-" });
    for (const access of ["r", "rw"] as const)
      expect(m.ask(IOVA, { access })).toMatchObject({
        name: "LGN.3",
        level: 1,
        entry: leaf,
        value: 0x66_6002n,
      });
  });

  it("an entry that permits nothing is a plain translation fault, by the access", () => {
    const m = legacyMachine();
    const leaf = chain(m, SS, 4, IOVA, 3n, 0x66_6004n);
    const absent = { reason: "PTE_FETCH", stage: 2, level: 1, entry: leaf, value: 0x66_6004n };
    expect(m.ask(IOVA)).toMatchObject({ name: "LGN.3", ...absent });
    expect(m.ask(IOVA, { access: "w" })).toMatchObject({ name: "LGN.2", ...absent });
    expect(m.ask(IOVA, { access: "rw" })).toMatchObject({ name: "LGN.2", ...absent });
  });

  it("execution is not asked for without PASID: it is a read", () => {
    const m = legacyMachine();
    chain(m, SS, 4, IOVA, 3n, 0x66_6001n);
    expect(m.ask(IOVA, { access: "x" })).toMatchObject({ result: "ok", perm: "r--" });
  });

  it.each([
    ["an unreadable top table", 4, HOLE, "LCT.4.3", "PGD_FETCH"],
    ["an unreadable lower table", 3, HOLE, "LSS.1", "WALK_EABT"],
  ])("%s", (_what, level, table, name, reason) => {
    const m = legacyMachine();
    if (level === 4) m.put(CONTEXT + 0x180n, table | 1n);
    else m.put(SS + slot(4, IOVA), table | 3n);
    expect(m.ask(IOVA)).toMatchObject({
      name,
      reason,
      stage: 2,
      level,
      hole: true,
      entry: table + slot(level, IOVA),
    });
  });

  it.each([
    ["bit 11 of a table entry", 3, (SS + 0x2000n) | 0x803n],
    ["PS at level 4", 4, (SS + 0x1000n) | 0x83n],
    ["bits 20:12 of a 2 MiB page", 2, 0x1000n | 0x83n],
    ["bits 29:12 of a 1 GiB page", 3, 0x2000_0000n | 0x83n],
    ["bit 62", 1, 0x4000_0000_0000_0003n],
    ["address bits beyond the host address width", 1, (1n << 46n) | 3n],
  ])("%s is reserved", (_what, level, word) => {
    const m = legacyMachine({}, { output_bits: 46 });
    const at = chain(m, SS, 4, IOVA, 3n, word, level);
    expect(m.ask(IOVA)).toMatchObject({ name: "LSS.2", reason: "BAD_PTE", level, entry: at, value: word });
  });

  it("ignores bits 63, 61:52, 10:2", () => {
    const m = legacyMachine({}, { output_bits: 46 });
    chain(m, SS, 4, IOVA, 3n, 0xbff0_0000_0066_677fn);
    expect(m.ask(IOVA)).toMatchObject({ result: "ok", pa: 0x66_6890n });
  });

  it("large pages need CAP.SSLPS, and SNP needs ECAP.SC", () => {
    const large = (cap: bigint, level: number) => {
      const m = legacyMachine({ cap });
      chain(m, SS, 4, IOVA, 3n, 0x4000_0083n, level);
      return m.ask(IOVA).name ?? "ok";
    };
    const sslps = (n: bigint) => 0x002f_0606n | (n << 34n);
    expect([2, 3].map((level) => large(sslps(0n), level))).toEqual(["LSS.2", "LSS.2"]);
    expect([2, 3].map((level) => large(sslps(1n), level))).toEqual(["ok", "LSS.2"]);
    expect([2, 3].map((level) => large(sslps(3n), level))).toEqual(["ok", "ok"]);
    const m = legacyMachine();
    chain(m, SS, 4, IOVA, 3n, 0x66_6803n);
    expect(m.ask(IOVA)).toMatchObject({ result: "ok" });
    m.set({ ecap: 0x44n });
    expect(m.ask(IOVA)).toMatchObject({ name: "LSS.2" });
  });

  it("properties override the registers, also by the older names", () => {
    const m = legacyMachine({ cap: 0x002f_0606n });
    chain(m, SS, 4, IOVA, 3n, 0x83n, 2);
    expect(m.ask(IOVA).name).toBe("LSS.2");
    expect(m.set({}, { sslps: 1 }).ask(IOVA).result).toBe("ok");
    m.state.props.clear();
    expect(m.set({}).ask(IOVA).name).toBe("LSS.2");
    expect(m.set({}, { sllps: 3 }).ask(IOVA).result).toBe("ok");
  });

  it("a reserved bit deeper down comes before a right that an upper entry withholds", () => {
    const m = legacyMachine();
    chain(m, SS, 4, IOVA, 3n, 0x4000_0000_0000_0003n);
    m.put(SS + slot(4, IOVA), (SS + 0x1000n) | 1n);
    expect(m.ask(IOVA, { access: "w" })).toMatchObject({ name: "LSS.2", level: 1 });
  });
});

describe("translation off, and the interrupt address range", () => {
  it("without TES the address is the output, and no table is read", () => {
    const m = legacyMachine({ gsts: 0x4000_0000n });
    expect(m.ask(0xffff_ffff_ffff_f123n, { access: "w", pasid: 5 })).toEqual({
      result: "ok",
      model: "intel",
      pa: 0xffff_ffff_ffff_f123n,
      page: 0,
      perm: "rwx",
      passthrough: true,
      reads: 0,
    });
    expect(m.ask(0xfee0_0000n)).toMatchObject({ result: "ok", pa: 0xfee0_0000n });
    expect(m.ask(0xfee0_0000n, { access: "w" })).toMatchObject({ result: "msi" });
    m.set({ gsts: 0x8000_0000n });
    expect(m.ask(IOVA, { access: "w", pasid: 5 })).toMatchObject({ name: "RTA.2" });
  });

  it.each([0xfee0_0000n, 0xfeef_ffffn])(
    "%s: a write is an interrupt, anything else is refused",
    (address) => {
      const m = legacyMachine();
      expect(m.ask(address, { access: "w" })).toEqual({ result: "msi", model: "intel", reads: 0 });
      for (const access of ["r", "rw", "x"] as const)
        expect(m.ask(address, { access })).toMatchObject({ name: "29h", code: 0x29, reads: 0 });
    },
  );

  it.each([0xfedf_ffffn, 0xfef0_0000n, 0x1_fee0_0000n])("%s is memory", (address) => {
    const m = legacyMachine().put(CONTEXT + 0x180n, 9n);
    expect(m.ask(address, { access: "w" })).toMatchObject({ result: "ok", pa: address });
  });

  it.each([
    [0xfedf_f000n, "ok"],
    [0xfee0_0000n, "LGN.4"],
    [0xfeef_f000n, "LGN.4"],
    [0xfef0_0000n, "ok"],
    [0x1_fee0_0000n, "ok"],
  ])("an output at %s: %s", (page, result) => {
    const m = legacyMachine();
    chain(m, SS, 4, IOVA, 3n, page | 3n);
    const seen = m.ask(IOVA);
    expect(seen.name ?? seen.result).toBe(result);
  });

  it("a large page across the range is refused only where the address itself falls into it", () => {
    const m = legacyMachine();
    chain(m, SS, 4, 0x4000_0000n, 3n, 0xc000_0083n, 3);
    expect(m.ask(0x7edf_ffffn)).toMatchObject({ result: "ok", pa: 0xfedf_ffffn });
    expect(m.ask(0x7ee0_0000n)).toMatchObject({ name: "LGN.4" });
  });
});
