import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeCommand, formatCommand } from "../walkers/commands/command.ts";
import {
  ANY,
  COMBINED_BY_ADDRESS,
  CONTEXT_CACHE,
  DEVICE_TLB,
  FIRST_STAGE,
  IOTLB,
  NONE,
  PAGING_STRUCTURES,
  PASID_CACHE,
  REJECTED,
  SECOND_STAGE,
} from "../walkers/invalidation.ts";
import {
  commandsOf,
  expectNoInvalidation,
  expectTaken,
  MAX64,
  rangeOf,
  state,
  withBit,
  words,
} from "./support/command-words.ts";

const { decode, problems } = commandsOf("amd");

/** Linux: CMD_INV_IOMMU_ALL_PAGES_ADDRESS. */
const ALL_PAGES = 0x7fff_ffff_ffff_f000n;

describe("commands that QEMU's amd-iommu took", () => {
  const QEMU = state({ efr: 0x29d3n, control: 0x1005n });
  it.each([
    [0x1000000007000801n, 0x15n, "COMPLETION_WAIT S store 0x15 to 0x7000800"],
    [0x2000000000000088n, 0x0n, "INVALIDATE_DEVTAB_ENTRY DeviceID 0x88"],
    [
      0x300048de00000000n,
      0x7ffffffffffff003n,
      "INVALIDATE_IOMMU_PAGES DomainID 0x48de addr 0x7ffffffffffff000 S PDE",
    ],
    [
      0x300048df00000000n,
      0x1b4000000001002n,
      "INVALIDATE_IOMMU_PAGES DomainID 0x48df addr 0x1b4000000001000 PDE",
    ],
    [0x300048de00000000n, 0x806b5ffff001n, "INVALIDATE_IOMMU_PAGES DomainID 0x48de addr 0x806b5ffff000 S"],
    [
      0x4000000000000048n,
      0x38b69000n,
      "INVALIDATE_IOTLB_PAGES DeviceID 0x48 addr 0x38b69000 QueueID 0x0 MaxPend 0",
    ],
    [0x8000000000000000n, 0x0n, "INVALIDATE_IOMMU_ALL"],
  ])("%s %s", (w0, w1, text) => {
    expectTaken(decode(w0, w1, QEMU), text, text.startsWith("COMPLETION"));
  });
});

describe("what each command covers", () => {
  it("a device table entry", () => {
    expect(decode((2n << 60n) | 0x18n).invalidation).toMatchObject({
      caches: CONTEXT_CACHE,
      anyDevice: false,
      device: 0x18,
    });
  });

  it("host pages, with and without page directory entries", () => {
    const domain = (3n << 60n) | (0x48den << 32n);
    expect(decode(domain, 0x1000n).invalidation).toMatchObject({
      caches: IOTLB,
      leafOnly: true,
      domain: 0x48de,
      pasid: ANY,
      stage: SECOND_STAGE,
      combined: COMBINED_BY_ADDRESS,
    });
    expect(decode(domain, 0x1002n).invalidation).toMatchObject({
      caches: IOTLB | PAGING_STRUCTURES,
      leafOnly: false,
    });
  });

  it("guest pages of a PASID, as Linux's build_inv_iommu_pasid asks for them", () => {
    const command = decode((3n << 60n) | (0x48den << 32n) | 0xabcden, ALL_PAGES | 7n);
    expect(command.invalidation).toMatchObject({
      caches: IOTLB | PAGING_STRUCTURES | PASID_CACHE,
      domain: 0x48de,
      pasid: 0xabcde,
      stage: FIRST_STAGE,
      hasAddress: false,
    });
    expect(formatCommand(command)).toBe(
      "INVALIDATE_IOMMU_PAGES DomainID 0x48de PASID 0xabcde GN addr 0x7ffffffffffff000 S PDE",
    );
  });

  it("a device's IOTLB: the PASID stands in three pieces, as build_inv_iotlb_pasid writes it", () => {
    // data[0] = devid | PASID[15:8] << 16 | qdep << 24; data[1] = devid | PASID[7:0] << 16; PASID[19:16] above it.
    const w0 =
      (4n << 60n) | (0xan << 56n) | (0xden << 48n) | (0x18n << 32n) | (32n << 24n) | (0xbcn << 16n) | 0x18n;
    const command = decode(w0, 0x5000n | 4n);
    expect(command.invalidation).toMatchObject({ caches: DEVICE_TLB, device: 0x18, pasid: 0xabcde });
    expect(rangeOf(command.invalidation)).toEqual([0x5000n, 0x5fffn]);
    expect(formatCommand(command)).toBe(
      "INVALIDATE_IOTLB_PAGES DeviceID 0x18 PASID 0xabcde GN addr 0x5000 QueueID 0x18 MaxPend 32",
    );
    expect(decode(w0, 0x5000n).invalidation?.pasid).toBe(NONE);
  });

  it("everything but the devices' own", () => {
    expect(decode(8n << 60n).invalidation).toMatchObject({
      caches: CONTEXT_CACHE | PASID_CACHE | IOTLB | PAGING_STRUCTURES,
      anyDevice: true,
      domain: ANY,
    });
  });

  it.each([
    [(5n << 60n) | 0x18n, 0n, "INVALIDATE_INTERRUPT_TABLE DeviceID 0x18"],
    [
      (6n << 60n) | (7n << 32n) | (3n << 24n) | 0x18n,
      0x9000n | 0x15n,
      "PREFETCH_IOMMU_PAGES DeviceID 0x18 PASID 0x7 GN addr 0x9000 S Inval PFCount 3",
    ],
    [
      (7n << 60n) | (7n << 32n) | 0x18n,
      (0x1005n << 32n) | 4n,
      "COMPLETE_PPR_REQUEST DeviceID 0x18 PASID 0x7 GN tag 0x1005",
    ],
    [(9n << 60n) | (0x12n << 32n), 0n, "INSERT_GUEST_EVENT GuestID 0x12"],
    [(10n << 60n) | (1n << 31n) | (1n << 28n) | 0x12n, 0n, "RESET_VMMIO GuestID 0x12 All Vcmd"],
    [(1n << 60n) | 0x7ff8n | 7n, 0x1234n, "COMPLETION_WAIT S I F store 0x1234 to 0x7ff8"],
    [(1n << 60n) | 2n, 0n, "COMPLETION_WAIT I"],
  ])("%s %s invalidates no translation", (w0, w1, text) => {
    expectNoInvalidation(decode(w0, w1), text);
  });
});

describe("the size in the address (S)", () => {
  const range = (addr: bigint) => rangeOf(decode(3n << 60n, addr | 1n).invalidation);

  it("is given by the lowest zero bit; from bit 51 on, everything is meant", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 52n - 1n), fc.bigInt(0n, 51n), (frame, zero) => {
        const addr = ((frame | ((1n << zero) - 1n)) & ~(1n << zero)) << 12n;
        const size = 1n << (zero + 13n);
        const first = (addr / size) * size;
        expect(range(addr)).toEqual(zero + 12n >= 51n ? null : [first, first + size - 1n]);
      }),
    );
    expect(range(MAX64 & ~0xfffn)).toBeNull();
  });

  it.each([
    // 48882, 2.2.3: 8 KiB, 16 KiB, 2 MiB, and the largest that is not everything.
    [0x0000n, 0x0n, 0x1fffn],
    [0x1000n, 0x0n, 0x3fffn],
    [0x218f_f000n, 0x2180_0000n, 0x219f_ffffn],
    [0x3_ffff_ffff_f000n, 0x0n, 0x7_ffff_ffff_ffffn],
  ])("%s", (addr, first, last) => {
    expect(range(addr)).toEqual([first, last]);
  });

  it("covers what Linux's build_inv_address meant to cover", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 48n - 1n), fc.bigInt(1n, 2n ** 30n), (at, pages) => {
        const start = at & ~0xfffn;
        const end = start + pages * 4096n - 1n;
        if (pages === 1n) return;
        // The most significant bit in which the ends differ, and ones below it.
        const msb = BigInt((start ^ end).toString(2).length - 1);
        const [first, last] = range((start | ((1n << msb) - 1n)) & ~0xfffn)!;
        expect(first <= start && last >= end).toBe(true);
        expect(last - first + 1n).toBe(1n << (msb + 1n));
      }),
    );
  });
});

describe("refused commands", () => {
  it.each([0n, 11n, 15n])("opcode %s", (op) => {
    expect(problems(op << 60n)).toEqual(["illegal "]);
    expect(decode(op << 60n).invalidation).toBeNull();
  });

  // The bits that QEMU's amdvi_*() functions refuse.
  it.each([
    [1n, 52n],
    [2n, 16n],
    [2n, 64n],
    [3n, 20n],
    [3n, 48n],
    [3n, 67n],
    [3n, 75n],
    [5n, 16n],
    [6n, 16n],
    [6n, 52n],
    [6n, 65n],
    [6n, 67n],
    [6n, 69n],
    [7n, 16n],
    [7n, 52n],
    [7n, 64n],
    [7n, 67n],
    [7n, 112n],
    [8n, 0n],
    [8n, 127n],
  ])("command %s with bit %s", (op, bit) => {
    expect(problems(...withBit(op << 60n, bit))).toEqual([`illegal ${bit}`]);
  });

  it("features that EFR lacks", () => {
    const none = state({ efr: 0n });
    expect(problems(8n << 60n, 0n, none)).toEqual(["illegal OP"]);
    expect(problems(6n << 60n, 0n, none)).toEqual(["illegal OP"]);
    expect(problems(7n << 60n, 0n, none)).toEqual(["illegal OP"]);
    expect(problems(3n << 60n, 4n, none)).toContain("illegal 66");
    expect(decode(3n << 60n, 4n, none).invalidation?.status).toBe(REJECTED);
    // PASmax 7: 8 bits.
    const narrow = state({ efr: (7n << 32n) | (1n << 4n) });
    expect(problems((3n << 60n) | 0x100n, 4n, narrow)).toEqual(["illegal PASID"]);
    expect(problems((3n << 60n) | 0xffn, 4n, narrow)).toEqual([]);
    expect(problems((3n << 60n) | 0x100n, 0n, narrow)).toEqual([]);
  });
});

describe("encoding", () => {
  it("builds the words that the kernel builds", () => {
    expect(
      encodeCommand("amd", "INVALIDATE_IOMMU_PAGES", { DOMID: 5, S: 1, PDE: 1, ADDR: ALL_PAGES }),
    ).toEqual(words((3n << 60n) | (5n << 32n), ALL_PAGES | 3n));
    expect(
      encodeCommand("amd", "INVALIDATE_IOTLB_PAGES", { DEVID: 0x18, QUEUEID: 0x18, PASID: 0xabcde, GN: 1 }),
    ).toEqual(words(0x4ade_0018_00bc_0018n, 4n));
    expect(encodeCommand("amd", "COMPLETION_WAIT", { S: 1, STADDR: 0x7000808n, STDATA: 9 })).toEqual(
      words(0x1000_0000_0700_0809n, 9n),
    );
  });
});
