import { describe, expect, it } from "vitest";
import { FULL, pointer, RiscvTable, SV39, SV48, V } from "./support/riscv-builder.ts";
import { RiscvIommu } from "./support/riscv-iommu.ts";

describe("bound process directories", () => {
  const bound = (extra = {}) => {
    const iommu = new RiscvIommu();
    const root = iommu.allocate(4096);
    const table = new RiscvTable(iommu.memory, SV48, { allocate: iommu.allocate });
    table.map(0x7f00_0000_3000n, 0x9000n);
    const config = {
      model: "riscv" as const,
      baseHi: Number(root >> 32n),
      baseLo: Number(root & 0xffff_ffffn) | 0,
      riscv: { mode: "PD17" },
      ...extra,
    };
    return { iommu, root, table, config, binding: iommu.walker.bind(config) };
  };

  it("start at base_ptr, with process_id 0 for requests without one", () => {
    const { iommu, root, table, binding } = bound();
    if (typeof binding === "string") throw new Error(binding);
    iommu.process(root, 2, 0, V | (4n << 12n), pointer(9n, table.root));
    iommu.process(root, 2, 0x1_ffff, V | (5n << 12n), pointer(9n, table.root));
    const addr = 0x7f00_0000_3210n;
    expect(iommu.walk(99, addr, { binding })).toMatchObject({ pa: 0x9210n, asid: 4, domain: -1, reads: 6 });
    expect(iommu.walk(99, addr, { binding, pasid: 0x1_ffff })).toMatchObject({ pa: 0x9210n, asid: 5 });
    expect(iommu.walk(99, addr, { binding, pasid: 1 })).toMatchObject({ code: 266, recorded: true });
    expect(iommu.walk(99, addr, { binding, pasid: 0x2_0000 })).toMatchObject({
      code: 260,
      reason: "PASID_INVALID",
    });
    // Nothing of the device directory is looked at, not even whether there is one.
    iommu.register("ddtp", 0n);
    iommu.reconfigure();
    expect(iommu.walk(99, addr, { binding }).pa).toBe(0x9210n);
    expect(iommu.walk(99, addr).code).toBe(256);
  });

  it("honour pasid_bits", () => {
    const { iommu, root, binding } = bound({ pasidBits: 9 });
    if (typeof binding === "string") throw new Error(binding);
    iommu.process(root, 2, 0x1ff, V, 0n);
    iommu.process(root, 2, 0x200, V, 0n);
    expect(iommu.walk(1, 5n, { binding, pasid: 0x1ff }).pa).toBe(5n);
    expect(iommu.walk(1, 5n, { binding, pasid: 0x200 })).toMatchObject({
      code: 260,
      reason: "PASID_INVALID",
    });
  });

  it("go through stage2 where it is given", () => {
    const { iommu, config } = bound();
    const second = new RiscvTable(iommu.memory, SV39, { x4: true, allocate: iommu.allocate });
    const host = iommu.allocate(4096);
    second.map(0x4000_0000n, host);
    iommu.process(host, 1, 3, V, 0n);
    second.map(0x5000n, 0x6000n);
    const stage2 = (levels?: number, root = second.root) => ({
      format: "riscv-x4",
      rootHi: Number(root >> 32n),
      rootLo: Number(root & 0xffff_ffffn) | 0,
      domain: 11,
      levels,
    });
    const binding = iommu.walker.bind({
      ...config,
      baseHi: 0,
      baseLo: 0x4000_0000,
      riscv: { mode: "PD8" },
      stage2: stage2(3),
    });
    if (typeof binding === "string") throw new Error(binding);
    expect(iommu.walk(1, 0x5123n, { binding, pasid: 3 })).toMatchObject({ pa: 0x6123n, domain: 11 });
    expect(iommu.walk(1, 0x6123n, { binding, pasid: 3 })).toMatchObject({ code: 21, stage: 2 });
    const wrong = (config2: object) => iommu.walker.bind({ ...config, ...config2 });
    expect(wrong({ stage2: stage2() })).toMatch(/stage2.levels must be 3, 4 or 5, not absent/);
    expect(wrong({ stage2: stage2(2) })).toMatch(/levels/);
    expect(wrong({ stage2: stage2(3, second.root + 4096n) })).toMatch(
      /stage2.root must be aligned to 16 KiB/,
    );
    expect(wrong({ stage2: { ...stage2(3), format: "vtd-ss" } })).toMatch(/riscv-x4/);
  });

  it("updates of A and D only where the host publishes httu", () => {
    const { iommu, root, table, binding } = bound();
    if (typeof binding === "string") throw new Error(binding);
    table.map(0x1000n, 0x2000n, 1, FULL & ~(1n << 6n));
    iommu.process(root, 2, 0, V, pointer(9n, table.root));
    expect(iommu.walk(1, 0x1000n, { binding })).toMatchObject({ code: 13, reason: "ACCESS" });
    iommu.state.props.set("httu", true);
    iommu.reconfigure();
    expect(iommu.walk(1, 0x1000n, { binding })).toMatchObject({ pa: 0x2000n });
  });

  it("a capability that the mode needs is still needed", () => {
    const { iommu, binding } = bound();
    if (typeof binding === "string") throw new Error(binding);
    iommu.state.props.set("pd17", false);
    iommu.reconfigure();
    expect(iommu.walk(1, 0x1000n, { binding }).code).toBe(259);
  });

  it("bad configurations are refused in words", () => {
    const { iommu, config } = bound();
    const wrong = (change: object) => iommu.walker.bind({ ...config, ...change });
    expect(wrong({ model: "intel" })).toBe("a RISC-V IOMMU has no intel PASID tables");
    expect(wrong({ riscv: { mode: "PD9" } })).toBe("riscv.mode must be PD8, PD17 or PD20, not PD9");
    expect(wrong({ riscv: undefined })).toMatch(/not absent/);
    expect(wrong({ baseLo: 0x123 })).toBe("base_ptr must be aligned to 4 KiB");
    expect(wrong({ baseHi: 1 << 24 })).toBe("base_ptr is beyond 56 address bits");
    expect(wrong({ baseHi: (1 << 24) - 1 })).toBeTypeOf("object");
  });
});
