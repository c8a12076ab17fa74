import { describe, expect, it } from "vitest";
import { amdViContinuation, amdViLine } from "../parsers/logs/linux-amd-vi.ts";
import { isIommuRateLimit, otherIommuLine } from "../parsers/logs/linux-other-iommus.ts";
import { smmuv3Line } from "../parsers/logs/linux-smmuv3.ts";

describe("an AMD-Vi event of each kind", () => {
  const event = (text: string) => amdViLine(text);

  it("IO_PAGE_FAULT of a known device: the device stands before the message", () => {
    expect(
      event(
        "ath10k_pci 0000:01:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000d address=0xcff49550 flags=0x0070]",
      ),
    ).toEqual({
      kind: "amd-event",
      iommu: undefined,
      event: "IO_PAGE_FAULT",
      device: { name: "0000:01:00.0", segment: 0, requester: 0x100 },
      domain: 0xd,
      pasid: undefined,
      address: 0xcff49550n,
      flags: 0x70,
      tag: undefined,
      flagsRmp: undefined,
      vmgTag: undefined,
      words: [],
    });
  });

  it("IO_PAGE_FAULT of another: the device is a field, with its segment since 6.0", () => {
    const text = (device: string) =>
      `AMD-Vi: Event logged [IO_PAGE_FAULT device=${device} domain=0x001a address=0xfffc8000 flags=0x0050]`;
    expect(event(text("01:00.0"))).toMatchObject({ device: { segment: undefined, requester: 0x100 } });
    expect(event(text("0002:01:00.0"))).toMatchObject({ device: { segment: 2, requester: 0x100 } });
  });

  it("two lines of kernels up to 4.16", () => {
    expect(event("AMD-Vi: Event logged [")).toEqual({ kind: "amd-event-begin" });
    expect(
      amdViContinuation("INVALID_DEVICE_REQUEST device=00:00.1 address=0x000000fdf8000020 flags=0x0a00]"),
    ).toMatchObject({ event: "INVALID_DEVICE_REQUEST", address: 0xfdf8000020n, flags: 0xa00 });
    expect(amdViContinuation("EXT4-fs mounted [ok]")).toBeUndefined();
  });

  it.each([
    [
      "iommu ivhd0: AMD-Vi: Event logged [ILLEGAL_DEV_TABLE_ENTRY device=0000:06:00.0 pasid=0x00000 address=0x135300000 flags=0x0080]",
      { iommu: "ivhd0", event: "ILLEGAL_DEV_TABLE_ENTRY", pasid: 0, address: 0x135300000n, flags: 0x80 },
    ],
    [
      "iommu ivhd0: AMD-Vi: Event logged [DEV_TAB_HARDWARE_ERROR device=06:00.0 address=0x1353000 flags=0x0200]",
      { event: "DEV_TAB_HARDWARE_ERROR", address: 0x1353000n, flags: 0x200 },
    ],
    [
      "iommu ivhd0: AMD-Vi: Event logged [PAGE_TAB_HARDWARE_ERROR device=06:00.0 pasid=0x0012 address=0x1000 flags=0x0200]",
      { event: "PAGE_TAB_HARDWARE_ERROR", pasid: 0x12 },
    ],
    [
      "iommu ivhd1: AMD-Vi: Event logged [ILLEGAL_COMMAND_ERROR address=0x1353010]",
      { iommu: "ivhd1", event: "ILLEGAL_COMMAND_ERROR", address: 0x1353010n, device: undefined },
    ],
    [
      "iommu ivhd1: AMD-Vi: Event logged [COMMAND_HARDWARE_ERROR address=0x1353010 flags=0x0000]",
      { event: "COMMAND_HARDWARE_ERROR", flags: 0 },
    ],
    [
      "iommu ivhd1: AMD-Vi: Event logged [IOTLB_INV_TIMEOUT device=0000:c1:00.0 address=0x1353010]",
      { event: "IOTLB_INV_TIMEOUT", address: 0x1353010n },
    ],
    [
      "iommu ivhd1: AMD-Vi: Event logged [INVALID_DEVICE_REQUEST device=0000:00:00.1 pasid=0x00000 address=0xfdf8000020 flags=0x0a00]",
      { event: "INVALID_DEVICE_REQUEST", flags: 0xa00 },
    ],
    [
      "iommu ivhd1: AMD-Vi: Event logged [INVALID_PPR_REQUEST device=0000:c1:00.0 pasid=0x00003 address=0x1000 flags=0x0010 tag=0x1ff]",
      { event: "INVALID_PPR_REQUEST", tag: 0x1ff, pasid: 3 },
    ],
    [
      "nvme 0000:c1:00.0: AMD-Vi: Event logged [RMP_PAGE_FAULT vmg_tag=0x0001, gpa=0x7000, flags_rmp=0x0011, flags=0x0020]",
      { event: "RMP_PAGE_FAULT", address: 0x7000n, vmgTag: 1, flagsRmp: 0x11, flags: 0x20 },
    ],
    [
      "AMD-Vi: Event logged [RMP_HW_ERROR device=0000:c1:00.0, vmg_tag=0x0001, spa=0x7000, flags=0x0020]",
      { event: "RMP_HW_ERROR", address: 0x7000n },
    ],
    [
      "iommu ivhd1: AMD-Vi: Event logged [UNKNOWN event[0]=0x00000001 event[1]=0xf0000002 event[2]=0x00000003 event[3]=0x00000004",
      { event: "UNKNOWN", words: [1, 0xf0000002, 3, 4] },
    ],
  ] as const)("%s", (text, expected) => {
    expect(event(text)).toMatchObject({ kind: "amd-event", ...expected });
  });

  it("a field that is cut is not taken", () => {
    expect(
      event("AMD-Vi: Event logged [IO_PAGE_FAULT device=01:00.0 domain=0x001a address=0xfffc80"),
    ).toMatchObject({ domain: 0x1a, address: undefined });
  });

  it("entries, commands and registers that are dumped", () => {
    expect(event("AMD-Vi: DTE[2]: 2000000117840013")).toEqual({
      kind: "amd-dte",
      index: 2,
      value: 0x2000000117840013n,
    });
    expect(event("AMD-Vi: CMD[1]: 30000004")).toEqual({
      kind: "amd-command-word",
      index: 1,
      value: 0x30000004,
    });
    expect(event("iommu ivhd3: AMD-Vi: Control Reg : 0xc22000142148d")).toEqual({
      kind: "amd-control",
      value: 0xc22000142148dn,
    });
    expect(event("AMD-Vi: CMD Buffer head=182 tail=190")).toEqual({
      kind: "amd-buffer-begin",
      head: 182,
      tail: 190,
    });
    expect(event("AMD-Vi:   5: 0043d001 10000000 00000303 00000000")).toEqual({
      kind: "amd-buffer-entry",
      index: 5,
      words: [0x43d001, 0x10000000, 0x303, 0],
    });
  });

  it("time-outs, overflows, features", () => {
    expect(event("AMD-Vi: Completion-Wait loop timed out")).toMatchObject({ iommu: undefined });
    expect(event("AMD-Vi: IOMMU 0000:40:00.2: Completion-Wait loop timed out")).toMatchObject({
      kind: "amd-completion-timeout",
      iommu: "0000:40:00.2",
    });
    expect(event("AMD-Vi: IOMMU event log overflow")).toEqual({ kind: "amd-log-overflow", log: "event" });
    expect(event("AMD-Vi: IOMMU Event log restarting")).toEqual({ kind: "amd-log-overflow", log: "Event" });
    expect(event("AMD-Vi: Extended features (0x29d3, 0x10): PreF PPR GT IA GA HE")).toEqual({
      kind: "amd-features",
      efr: 0x29d3n,
      efr2: 0x10n,
      global: false,
    });
    expect(event("pci 0000:00:00.2: AMD-Vi: Extended features (0xf77ef22294ada):")).toMatchObject({
      efr: 0xf77ef22294adan,
      efr2: undefined,
    });
  });
});

describe("a line of the SMMUv3 driver", () => {
  const line = (text: string) => smmuv3Line(`arm-smmu-v3 9050000.smmuv3: ${text}`);
  it.each([
    ["event 0x10 received:", { kind: "smmu-event", event: 0x10 }],
    ["\t0x0000002800000010", { kind: "smmu-word", value: 0x2800000010n }],
    [
      "event: F_TRANSLATION client: 0000:00:05.0 sid: 0x28 ssid: 0x3 iova: 0x1000 ipa: 0x0",
      {
        kind: "smmu-decoded",
        name: "F_TRANSLATION",
        client: "0000:00:05.0",
        sid: 0x28,
        ssid: 3,
        iova: 0x1000n,
      },
    ],
    [
      "event: C_BAD_STREAMID client: (unassigned sid) sid: 0x100 ssid: 0x0",
      { kind: "smmu-decoded", name: "C_BAD_STREAMID", client: undefined, sid: 0x100, iova: undefined },
    ],
    [
      "event: F_CD_FETCH client: 0000:00:05.0 sid: 0x28 ssid: 0x0 fetch_addr: 0x8000000000",
      { kind: "smmu-decoded", fetchAddr: 0x8000000000n },
    ],
    [
      'priv inst write s2 "Stage 1 translation table fetch" ttd_read stall stag: 0x5',
      {
        kind: "smmu-decoded-access",
        privileged: true,
        instruction: true,
        read: false,
        stage: 2,
        class: "Stage 1 translation table fetch",
      },
    ],
    [
      "CMDQ error (cons 0x0100b1b7): Illegal command",
      { kind: "smmu-queue-error", cons: 0x100b1b7, error: "Illegal command" },
    ],
    ["skipping command in error state:", { kind: "smmu-command-begin" }],
    [
      "CMD_SYNC timeout at 0x0000b1b7 [hwprod 0x0000b1c0, hwcons 0x0000b1b7]",
      { kind: "smmu-sync-timeout", at: 0xb1b7 },
    ],
    ["EVTQ overflow detected -- events lost", { kind: "smmu-loss", queue: "EVTQ" }],
    ["PRIQ write aborted -- events may have been lost", { kind: "smmu-loss", queue: "PRIQ" }],
    [
      "unexpected global error reported (0x00000001), this could be serious",
      { kind: "smmu-global-error", value: 1 },
    ],
    ["device has entered Service Failure Mode!", { kind: "smmu-global-error", value: undefined }],
    ["ias 44-bit, oas 48-bit (features 0x00088705)", { kind: "smmu-sizes", ias: 44, oas: 48 }],
    ["oas 44-bit (features 0x01088705)", { kind: "smmu-sizes", ias: undefined, oas: 44 }],
  ] as const)("%s", (text, expected) => {
    expect(line(text)).toMatchObject({ unit: "9050000.smmuv3", ...expected });
  });
  it("others say nothing", () => {
    expect(line("allocated 65536 entries for cmdq")).toBeUndefined();
    expect(line("\t0x00000028000000")).toBeUndefined();
  });
});

describe("a line of the other drivers", () => {
  it("RISC-V: the cause is decimal, the values are hex", () => {
    expect(
      otherIommuLine("riscv,iommu 3010000.iommu: Fault 256 devid: 0x28 iotval: 7f12345000 iotval2: 1"),
    ).toEqual({
      kind: "riscv-fault",
      unit: "3010000.iommu",
      cause: 256,
      devid: 0x28,
      iotval: 0x7f12345000n,
      iotval2: 1n,
    });
    expect(
      otherIommuLine("riscv,iommu 3010000.iommu: Queue #2 error; memory fault:0 overflow:1"),
    ).toMatchObject({
      kind: "riscv-queue-error",
      queue: 2,
      memoryFault: 0,
      overflow: 1,
    });
    expect(
      otherIommuLine("riscv,iommu 3010000.iommu: Hardware error: command execution timeout"),
    ).toMatchObject({
      kind: "riscv-hardware-error",
    });
  });

  it("virtio-iommu", () => {
    expect(otherIommuLine("virtio_iommu virtio0: page fault from EP 40 at 0x7f12345000 [W]")).toEqual({
      kind: "virtio-fault",
      unit: "virtio0",
      reason: "page",
      endpoint: 40,
      address: 0x7f12345000n,
      access: "W",
    });
    expect(otherIommuLine("virtio_iommu virtio0: domain fault from EP 40")).toMatchObject({
      reason: "domain",
      address: undefined,
    });
  });

  it("SMMUv2 is recognised", () => {
    expect(
      otherIommuLine(
        "arm-smmu 15000000.iommu: Unhandled context fault: fsr=0x402, iova=0x9c000000, fsynr=0x11, cbfrsynra=0x880, cb=3",
      ),
    ).toEqual({ kind: "smmuv2", unit: "15000000.iommu", fault: true });
    expect(otherIommuLine("arm-smmu 15000000.iommu: \tstage 1 translation")).toMatchObject({ fault: false });
  });

  it("what was suppressed or dropped", () => {
    expect(otherIommuLine("dmar_fault: 2474 callbacks suppressed")).toEqual({
      kind: "suppressed",
      by: "dmar_fault",
      count: 2474,
    });
    expect(otherIommuLine("** 311 printk messages dropped **")).toEqual({ kind: "printk-loss", count: 311 });
    expect(isIommuRateLimit("amd_iommu_report_page_fault")).toBe(true);
    expect(isIommuRateLimit("arm_smmu_evtq_thread")).toBe(true);
    expect(isIommuRateLimit("net_ratelimit")).toBe(false);
  });
});
