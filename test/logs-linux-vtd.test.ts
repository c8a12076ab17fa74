import { describe, expect, it } from "vitest";
import { vtdDumpLine, xenDumpLine } from "../parsers/logs/linux-vtd-dump.ts";
import { vtdFaultLine } from "../parsers/logs/linux-vtd-fault.ts";
import { vtdUnitLines } from "../parsers/logs/linux-vtd-unit.ts";

const device = (name: string) => expect.objectContaining({ name });

describe("a VT-d fault line of each kernel", () => {
  const fault = (text: string) => vtdFaultLine(text);

  it("up to 4.2: two lines, the reason on the second", () => {
    expect(fault("DMAR:[DMA Write] Request device [02:00.0] fault addr fff00000 ")).toEqual({
      kind: "vtd-fault",
      access: "w",
      pasid: undefined,
      device: { name: "02:00.0", segment: undefined, requester: 0x200 },
      addr: 0xfff00000n,
      code: undefined,
      text: "",
    });
    expect(fault("DMAR:[fault reason 05] PTE Write access is not set")).toEqual({
      kind: "vtd-reason",
      code: 5,
      text: "PTE Write access is not set",
    });
  });

  it("4.3 to 4.20: one line, a decimal reason, no PASID", () => {
    expect(
      fault(
        "DMAR: [DMA Read] Request device [00:1f.7] fault addr 0 [fault reason 12] non-zero reserved fields in PTE",
      ),
    ).toMatchObject({ access: "r", pasid: undefined, addr: 0n, code: 12, device: { requester: 0xff } });
  });

  it("5.0 to 5.13: a PASID behind the device, of which ffffffff is none, and a decimal reason", () => {
    const text = (pasid: string, reason: string) =>
      `DMAR: [DMA Read] Request device [6a:01.0] PASID ${pasid} fault addr 7fe0c9943000 [fault reason ${reason}] SM: x`;
    expect(fault(text("ffffffff", "113"))).toMatchObject({ pasid: undefined, code: 0x71 });
    expect(fault(text("2", "58"))).toMatchObject({ pasid: 2, code: 0x3a, addr: 0x7fe0c9943000n });
    expect(fault(text("fffff", "06"))).toMatchObject({ pasid: 0xfffff, code: 6 });
  });

  it("5.14-rc: 0x before every number of the device", () => {
    expect(
      fault(
        "DMAR: [DMA Read NO_PASID] Request device [0x00:0x02.0] fault addr 0x70ad5000 [fault reason 0x07] Next page table ptr is invalid",
      ),
    ).toMatchObject({ device: { name: "00:02.0", requester: 0x10 }, code: 7, addr: 0x70ad5000n });
  });

  it("5.15 to 7.0: NO_PASID or a hex PASID in the bracket, and a hex reason", () => {
    expect(
      fault(
        "DMAR: [DMA Write PASID 0x5] Request device [02:00.0] fault addr 0xff000 [fault reason 0x58] SM: Error attempting to access PASID Table Entry",
      ),
    ).toMatchObject({ access: "w", pasid: 5, code: 0x58 });
    expect(
      fault("DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0x0 [fault reason 0x71] SM: y"),
    ).toMatchObject({ pasid: undefined, code: 0x71 });
  });

  it("7.2: with the segment", () => {
    expect(
      fault(
        "DMAR: [DMA Read NO_PASID] Request device [0001:02:00.0] fault addr 0x1000 [fault reason 0x06] z",
      ),
    ).toMatchObject({ device: { name: "0001:02:00.0", segment: 1, requester: 0x200 } });
  });

  it("Xen: two lines, a hex reason", () => {
    expect(
      fault(
        "[VT-D]DMAR:[DMA Read] Request device [0000:00:02.0] fault addr 39b5845000, iommu reg = ffff82c00021d000",
      ),
    ).toMatchObject({ access: "r", addr: 0x39b5845000n, code: undefined, device: device("0000:00:02.0") });
    expect(fault("[VT-D]DMAR: reason 0c - non-zero reserved fields in PTE")).toEqual({
      kind: "vtd-reason",
      code: 0xc,
      text: "non-zero reserved fields in PTE",
    });
  });

  it("a decimal reason and a hex one of the same digits differ", () => {
    const code = (reason: string) => vtdFaultLine(`DMAR:[fault reason ${reason}] x`);
    expect(code("96")).toMatchObject({ code: 0x60 });
    expect(code("0x96")).toMatchObject({ code: 0x96 });
    expect(code("300")).toBeUndefined();
    expect(code("5a")).toBeUndefined();
  });

  it("an interrupt that was refused is no DMA", () => {
    expect(
      vtdFaultLine(
        "DMAR: [INTR-REMAP] Request device [f0:1f.7] fault index 0x8100 [fault reason 0x25] Blocked a compatibility format interrupt request",
      ),
    ).toMatchObject({ kind: "vtd-interrupt-fault", index: 0x8100n, code: 0x25 });
    expect(vtdFaultLine("INTR-REMAP: Request device [[00:1f.7] fault index 24")).toMatchObject({
      kind: "vtd-interrupt-fault",
      code: undefined,
    });
  });

  it("the fault status register", () => {
    expect(vtdFaultLine("DMAR: DRHD: handling fault status reg 43")).toEqual({
      kind: "vtd-status",
      value: 0x43,
    });
  });

  it.each([
    "DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr",
    "DMAR: [DMA Read NO_PASID] Request device [00:02.9] fault addr 0x1000",
    "DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0x10000000000000000 [fault reason 0x06] x",
    "DMAR: [DMA Read PASID 0x100000] Request device [00:02.0] fault addr 0x1000 [fault reason 0x06] x",
    "DMAR: DRHD: handling fault status reg",
  ])("nothing is made of a torn or impossible line: %s", (text) => {
    expect(vtdFaultLine(text)).toBeUndefined();
  });
});

describe("lines of a VT-d table dump", () => {
  it.each([
    [
      "DMAR: Dump dmar1 table entries for IOVA 0x1026a4000",
      { kind: "dump-begin", iommu: "dmar1", addr: 0x1026a4000n },
    ],
    [
      "DMAR: root entry: 0x0000000127f42001",
      { kind: "dump-root", scalable: false, lo: 0x127f42001n, hi: undefined },
    ],
    [
      "DMAR: scalable mode root entry: hi 0x0000000102448001, low 0x0000000101b3e001",
      { kind: "dump-root", scalable: true, lo: 0x101b3e001n, hi: 0x102448001n },
    ],
    [
      "DMAR: context entry: hi 0x0000000000001502, low 0x000000012d8ab001",
      { kind: "dump-context", lo: 0x12d8ab001n, hi: 0x1502n },
    ],
    ["DMAR: pasid dir entry: 0x0000000101b4e001", { kind: "dump-directory", value: 0x101b4e001n }],
    ["DMAR: pasid table entry[2]: 0x0000000000fd3000", { kind: "dump-pasid", index: 2, value: 0xfd3000n }],
    [
      "DMAR: pte level: 4, pte value: 0x0000000002d47403",
      { kind: "dump-entry", level: 4, value: 0x2d47403n },
    ],
    ["DMAR: PTE not present at level 2", { kind: "dump-hidden", level: 2 }],
    ["DMAR: page table not present at level 3", { kind: "dump-end", absent: "page table" }],
    ["DMAR: root table is not present", { kind: "dump-end", absent: "root table" }],
    ["DMAR: context table is not present", { kind: "dump-end", absent: "context table" }],
    ["DMAR: pasid directory table is not present", { kind: "dump-end", absent: "pasid directory table" }],
    ["DMAR: pasid table is not present", { kind: "dump-end", absent: "pasid table" }],
    ["DMAR: legacy mode page table is not present", { kind: "dump-end", absent: "legacy mode page table" }],
    [
      "DMAR: scalable mode page table is not present",
      { kind: "dump-end", absent: "scalable mode page table" },
    ],
  ] as const)("Linux: %s", (text, expected) => {
    expect(vtdDumpLine(text)).toEqual(expected);
  });

  it.each([
    [
      "print_vtd_entries: iommu #0 dev 0000:00:02.0 gmfn ea0c4f",
      { kind: "dump-begin-xen", iommu: "0", device: device("0000:00:02.0"), addr: 0xea0c4f000n },
    ],
    [
      "print_vtd_entries: iommu ffff830243a5e960 dev 0000:00:02.0 gmfn 0",
      { kind: "dump-begin-xen", iommu: "ffff830243a5e960", device: device("0000:00:02.0"), addr: 0n },
    ],
    [
      "    root_entry[00] = 46e129001",
      { kind: "dump-root", scalable: false, lo: 0x46e129001n, hi: undefined },
    ],
    ["    context[10] = 2_46e128001", { kind: "dump-context", lo: 0x46e128001n, hi: 2n }],
    ["    l4[000] = 46e11b003", { kind: "dump-entry", level: 4, value: 0x46e11b003n }],
    ["    l3[03a] = 0", { kind: "dump-entry", level: 3, value: 0n }],
    ["    l3[03a] not present", { kind: "dump-end", absent: "l3" }],
  ] as const)("Xen: %s", (text, expected) => {
    expect(xenDumpLine(text)).toEqual(expected);
  });

  it("a number that is cut is not taken", () => {
    expect(vtdDumpLine("DMAR: pasid table entry[2]: 0x0000000000fd3")).toBeUndefined();
    expect(vtdDumpLine("DMAR: context entry: hi 0x0000000000001502, low 0x0000")).toBeUndefined();
  });
});

describe("what the VT-d driver says of a unit", () => {
  it("capabilities, of old kernels too", () => {
    const regs = {
      kind: "vtd-unit",
      iommu: "dmar0",
      base: 0xfed90000n,
      cap: 0xd2008c22260206n,
      ecap: 0xf00f4an,
    };
    const tail = "0: reg_base_addr fed90000 ver 1:0 cap d2008c22260206 ecap f00f4a";
    expect(vtdUnitLines(`DMAR: dmar${tail}`)).toEqual([regs]);
    expect(vtdUnitLines(`dmar: IOMMU ${tail}`)).toEqual([regs]);
  });

  it("address width, reserved regions, kdump", () => {
    expect(vtdUnitLines("DMAR: Host address width 39")).toEqual([{ kind: "vtd-address-width", bits: 39 }]);
    expect(vtdUnitLines("DMAR: RMRR base: 0x0000007cd80000 end: 0x0000007f7fffff")).toEqual([
      { kind: "vtd-reserved-region", base: 0x7cd80000n, end: 0x7f7fffffn },
    ]);
    expect(vtdUnitLines("DMAR: Copied translation tables from previous kernel for dmar5")).toEqual([
      { kind: "vtd-copied-tables", iommu: "dmar5" },
    ]);
  });

  it("each queue error, and the descriptors beside it", () => {
    expect(vtdUnitLines("DMAR: VT-d detected Invalidation Queue Error: Reason f")).toEqual([
      { kind: "vtd-queue-error", error: "queue", detail: 0xf },
    ]);
    expect(vtdUnitLines("DMAR: VT-d detected Invalidation Time-out Error: SID ffff")).toEqual([
      { kind: "vtd-queue-error", error: "time-out", detail: 0xffff },
    ]);
    expect(vtdUnitLines("DMAR: VT-d detected Invalidation Completion Error: SID 3a00")).toEqual([
      { kind: "vtd-queue-error", error: "completion", detail: 0x3a00 },
    ]);
    expect(
      vtdUnitLines("DMAR: QI HEAD: PASID-based IOTLB Invalidation qw0 = 0x30036, qw1 = 0xfffdf040"),
    ).toEqual([
      {
        kind: "vtd-descriptor",
        where: "head",
        name: "PASID-based IOTLB Invalidation",
        words: [0x30036n, 0xfffdf040n],
      },
    ]);
    expect(
      vtdUnitLines("DMAR: QI PRIOR: Device-TLB Invalidation qw0 = 0x5300530000000003, ..."),
    ).toMatchObject([{ where: "prior", words: [0x5300530000000003n] }]);
    expect(vtdUnitLines("DMAR: VT-d detected invalid descriptor: qw0 = 52, qw1 = 0")).toMatchObject([
      { where: "invalid", words: [0x52n, 0n] },
    ]);
    expect(vtdUnitLines("DMAR: Invalidation Completion Error (ICE) cleared")).toEqual([
      { kind: "vtd-queue-cleared", error: "completion" },
    ]);
  });

  it("several on one line: the kernel prints no line break behind an error", () => {
    expect(
      vtdUnitLines(
        "DMAR: VT-d detected Invalidation Queue Error: Reason f DMAR: QI HEAD: UNKNOWN qw0 = 0x0, qw1 = 0x0",
      ).map(({ kind }) => kind),
    ).toEqual(["vtd-queue-error", "vtd-descriptor"]);
  });
});
