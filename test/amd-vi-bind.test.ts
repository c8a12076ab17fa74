import { describe, expect, it } from "vitest";
import type { Binding } from "../walkers/request.ts";
import type { PasidTableConfig, Stage2Config } from "../walkers/walker.ts";
import { AmdIommu, EFR_ALL, EVENT_LOG_EN, GT_EN, IOMMU_EN, IR, IW, RW, US } from "./support/amd-iommu.ts";
import { Gcr3Tables, GuestTables, guestSpace, systemSpace, V1Tables } from "./support/amd-tables.ts";

const GVA = 0x1234_5678_9abcn;
const DEVICE = 0x99;

function config(base: bigint, more: Partial<PasidTableConfig> = {}): PasidTableConfig {
  return { model: "amd", baseHi: Number(base >> 32n), baseLo: Number(BigInt.asIntN(32, base)), ...more };
}

function bound(iommu: AmdIommu, from: PasidTableConfig): Binding {
  const binding = iommu.walker.bind(from);
  if (typeof binding === "string") throw new Error(binding);
  iommu.engine.drop();
  return binding;
}

describe("a bound device", () => {
  it.each([
    [0, 4],
    [1, 5],
    [2, 4],
    [2, 5],
  ] as const)("GLX %i, %i levels: starts at the guest CR3 table", (glx, levels) => {
    const iommu = new AmdIommu();
    const space = systemSpace(iommu);
    const gcr3 = new Gcr3Tables(iommu, space, glx);
    const guest = new GuestTables(iommu, space, levels);
    gcr3.set(0, guest);
    gcr3.set(5, guest);
    guest.map(GVA, 0x7000n, 12, RW | US);
    const binding = bound(iommu, config(gcr3.root, { amd: { glx, paging_levels: levels } }));
    const ok = { pa: 0x7abcn, domain: -1, reads: glx + 1 + levels, passthrough: false };
    expect(iommu.ask(DEVICE, GVA, { binding, pasid: 5 })).toMatchObject(ok);
    // Without PASID, PASID 0.
    expect(iommu.ask(DEVICE, GVA, { binding })).toMatchObject(ok);
    expect(iommu.ask(DEVICE, GVA, { binding, pasid: 6 })).toMatchObject({
      code: 0x2,
      reason: "PASID_INVALID",
    });
    expect(iommu.ask(DEVICE, 0xfee0_0000n, { binding, access: "w" }).result).toBe("msi");
  });

  it("is walked although the IOMMU is off or has no guest translation, and by 4 levels unless told", () => {
    const iommu = new AmdIommu({ control: EVENT_LOG_EN, efr: EFR_ALL & ~(1n << 4n) });
    const gcr3 = new Gcr3Tables(iommu, systemSpace(iommu), 0);
    const guest = new GuestTables(iommu, systemSpace(iommu), 4);
    gcr3.set(1, guest);
    guest.map(GVA, 0x7000n, 21, RW | US);
    const binding = bound(iommu, config(gcr3.root));
    expect(iommu.ask(DEVICE, GVA, { binding, pasid: 1 })).toMatchObject({ pa: 0x18_9abcn, page: 0x20_0000n });
  });

  it("pasid_bits, the table's size and the IOMMU's own limit bound the PASID", () => {
    const iommu = new AmdIommu();
    const space = systemSpace(iommu);
    const gcr3 = new Gcr3Tables(iommu, space, 1);
    const guest = new GuestTables(iommu, space, 4);
    guest.map(GVA, 0x7000n, 12, RW | US);
    const reach = (binding: Binding) => {
      let bits = 0;
      while (bits < 20) {
        gcr3.set(2 ** bits, guest);
        iommu.engine.drop();
        if (iommu.ask(DEVICE, GVA, { binding, pasid: 2 ** bits }).result !== "ok") break;
        bits++;
      }
      return bits;
    };
    expect(reach(bound(iommu, config(gcr3.root, { amd: { glx: 1 } })))).toBe(18);
    expect(reach(bound(iommu, config(gcr3.root, { amd: { glx: 1 }, pasidBits: 12 })))).toBe(12);
    expect(reach(bound(iommu, config(gcr3.root, { amd: { glx: 1 }, pasidBits: 20 })))).toBe(18);
    iommu.set({}, { pasid_bits: 7 });
    expect(reach(bound(iommu, config(gcr3.root, { amd: { glx: 1 }, pasidBits: 12 })))).toBe(7);
    const one = bound(iommu, config(gcr3.root, { amd: { glx: 1 }, pasidBits: 0 }));
    expect(iommu.ask(DEVICE, GVA, { binding: one, pasid: 1 })).toMatchObject({
      reason: "PASID_INVALID",
      reads: 0,
    });
  });

  it("has a second stage where one is given, GCR3 table and guest tables included", () => {
    // GCR3TRPMode of the control register is the device table's affair: off here.
    const iommu = new AmdIommu({ control: IOMMU_EN | EVENT_LOG_EN | GT_EN });
    for (const mode of [3, 4, 6]) {
      const host = new V1Tables(iommu, mode);
      const space = guestSpace(iommu, host, 0x60_0000_0000n);
      const gcr3 = new Gcr3Tables(iommu, space, 1);
      const guest = new GuestTables(iommu, space, 4);
      gcr3.set(9, guest);
      guest.map(GVA, 0x61_0000_0000n, 12, RW | US);
      host.map(0x61_0000_0000n, 0x4_3000n, 12);
      const stage2: Stage2Config = {
        format: "amdv1",
        rootHi: Number(host.root >> 32n),
        rootLo: Number(host.root),
        levels: mode,
        domain: 0x77,
      };
      const binding = bound(iommu, config(gcr3.root, { amd: { glx: 1 }, stage2 }));
      expect(iommu.ask(DEVICE, GVA, { binding, pasid: 9 })).toMatchObject({
        pa: 0x4_3abcn,
        domain: 0x77,
        reads: (2 + 4) * (mode + 1) + mode,
      });
      host.map(0x61_0000_0000n, 0x4_3000n, 12, IR & ~IW);
      expect(iommu.ask(DEVICE, GVA, { binding, pasid: 9, access: "w" })).toMatchObject({
        code: 0x2,
        stage: 2,
        reason: "PERMISSION",
        faultAddr: 0x61_0000_0abcn,
      });
    }
  });
});

describe("a configuration that cannot be used", () => {
  const stage2 = { format: "amdv1", rootHi: 0, rootLo: 0x1000, levels: 4 };
  it.each([
    ["model", { model: "intel" as const }, "intel"],
    ["glx", { amd: { glx: 3 } }, "amd.glx: expected 0 to 2, found 3"],
    ["paging_levels", { amd: { paging_levels: 3 } }, "amd.paging_levels: expected 4 or 5, found 3"],
    ["pasid_bits", { pasidBits: 21 }, "pasid_bits: expected 0 to 20, found 21"],
    ["base_ptr alignment", { baseLo: 0x800 }, "base_ptr"],
    ["base_ptr width", { baseHi: 0x10_0000 }, "base_ptr"],
    [
      "stage2.format",
      { stage2: { ...stage2, format: "vtd-ss" } },
      "stage2.format: expected amdv1, found vtd-ss",
    ],
    ["stage2.levels", { stage2: { ...stage2, levels: 7 } }, "stage2.levels: expected 1 to 6, found 7"],
    ["no stage2.levels", { stage2: { ...stage2, levels: undefined } }, "stage2.levels"],
    ["stage2.root", { stage2: { ...stage2, rootLo: 0x1008 } }, "stage2.root"],
  ])("%s", (_, more, message) => {
    expect(new AmdIommu().walker.bind(config(0x1000n, more))).toContain(message);
  });
});
