import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeCommand, encodeCommand, formatCommand } from "../walkers/commands/command.ts";
import {
  ANY,
  COMBINED_DROPPED,
  CONTEXT_CACHE,
  coversDevice,
  DEVICE_TLB,
  FIRST_STAGE,
  IOTLB,
  NONE,
  PAGING_STRUCTURES,
  PASID_CACHE,
  REJECTED,
} from "../walkers/invalidation.ts";
import {
  commandsOf,
  expectNoInvalidation,
  expectTaken,
  MAX64,
  rangeOf,
  state,
  words,
} from "./support/command-words.ts";

const { decode, problems } = commandsOf("intel", 2);
const line = (qw0: bigint, qw1 = 0n) => formatCommand(decode(qw0, qw1));

// Shifts of Linux's QI_* macros (drivers/iommu/intel/iommu.h).
const iotlbDesc = (gran: bigint, did: bigint) => (did << 16n) | (gran << 4n) | 2n;
const piotlbDesc = (gran: bigint, did: bigint, pasid: bigint) =>
  (pasid << 32n) | (did << 16n) | (gran << 4n) | 6n;

/** Registers of QEMU's intel-iommu in scalable mode. */
const QEMU = state({ cap: 0x1d2008c222f0606n, ecap: 0x880000f00f4an, rtaddr: 0x1000400n });

describe("descriptors that QEMU's intel-iommu took", () => {
  it.each([
    [0x12n, 0x0n, "IOTLB invalidate: global"],
    [0x60022n, 0x0n, "IOTLB invalidate: domain-selective, DID 6"],
    [0x20032n, 0x182a4c12e000n, "IOTLB invalidate: page-selective, DID 2, addr 0x182a4c12e000, AM 0, IH 0"],
    [0x20032n, 0xc20e00000012n, "IOTLB invalidate: page-selective, DID 2, addr 0xc20e00000000, AM 18, IH 0"],
    [0x756500060026n, 0x0n, "PASID-based-IOTLB invalidate: PASID-selective, DID 6, PASID 30053"],
    [
      0x10036n,
      0xffff96607b615000n,
      "PASID-based-IOTLB invalidate: page-selective-within-PASID, DID 1, PASID 0, addr 0xffff96607b615000, AM 0, IH 0",
    ],
    [
      0xc85ad00050036n,
      0x4d2380600009n,
      "PASID-based-IOTLB invalidate: page-selective-within-PASID, DID 5, PASID 820653, addr 0x4d2380600000, AM 9, IH 0",
    ],
  ])("%s %s", (qw0, qw1, text) => {
    expectTaken(decode(qw0, qw1, QEMU), text);
  });
});

describe("what each descriptor covers", () => {
  it("context cache: global, domain, device with function mask", () => {
    const global = decode(0x11n).invalidation!;
    expect([global.caches, global.domain, global.anyDevice]).toEqual([CONTEXT_CACHE, ANY, true]);
    expect(decode(0x0007_0021n).invalidation).toMatchObject({ domain: 7, anyDevice: true });
    // FM at 49:48, SID at 47:32 (QI_CC_FM, QI_CC_SID): 00:03.5 with FM 1 ignores bit 2 of the function only.
    const device = decode((1n << 48n) | (0x001dn << 32n) | (7n << 16n) | 0x31n).invalidation!;
    expect(device.domain).toBe(7);
    expect([0x1d, 0x19, 0x1c, 0x1f, 0x15].map((id) => coversDevice(device, id))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
    const fm3 = decode((3n << 48n) | (0x001dn << 32n) | 0x31n).invalidation!;
    expect([0x18, 0x1f, 0x20, 0x17].map((id) => coversDevice(fm3, id))).toEqual([true, true, false, false]);
    const fm2 = decode((2n << 48n) | (0x0018n << 32n) | 0x31n).invalidation!;
    expect([0x18, 0x1a, 0x1e, 0x19].map((id) => coversDevice(fm2, id))).toEqual([true, true, true, false]);
  });

  it("PASID cache: domain, PASID, global; never a device", () => {
    expect(decode(0x0005_0007n).invalidation).toMatchObject({ caches: PASID_CACHE, domain: 5, pasid: ANY });
    expect(decode((0xabcden << 32n) | 0x0005_0017n).invalidation).toMatchObject({
      domain: 5,
      pasid: 0xabcde,
    });
    expect(decode((0xabcden << 32n) | 0x0005_0037n).invalidation).toMatchObject({ domain: ANY, pasid: ANY });
  });

  it("page-selective IOTLB drops first-stage and nested entries of the domain whole", () => {
    expect(decode(iotlbDesc(3n, 5n), 0x1000n).invalidation).toMatchObject({
      caches: IOTLB | PAGING_STRUCTURES,
      stage: 0,
      combined: COMBINED_DROPPED,
      leafOnly: false,
    });
  });

  it("the invalidation hint spares paging structures", () => {
    // QI_IOTLB_IH, QI_EIOTLB_IH: bit 6 of the second word.
    expect(decode(piotlbDesc(3n, 5n, 9n), 0x1040n).invalidation).toMatchObject({
      caches: IOTLB,
      leafOnly: true,
    });
    // Table 23: of an IOTLB invalidation, those of the second stage only.
    expect(decode(iotlbDesc(3n, 5n), 0x1040n).invalidation).toMatchObject({
      caches: IOTLB | PAGING_STRUCTURES,
      leafOnly: true,
    });
  });

  it("page-selective-within-PASID leaves second-stage entries, PASID-selective does not", () => {
    expect(decode(piotlbDesc(3n, 5n, 9n), 0x1000n).invalidation?.stage).toBe(FIRST_STAGE);
    expect(decode(piotlbDesc(2n, 5n, 9n)).invalidation).toMatchObject({ stage: 0, domain: 5, pasid: 9 });
  });

  it("device-TLBs: requests without PASID, a PASID, or all of them", () => {
    // QI_DEV_IOTLB_SID, _QDEP, _SIZE; QI_DEV_EIOTLB_PASID, _SID, _QDEP, _SIZE.
    const plain = decode((0x0310n << 32n) | (4n << 16n) | 3n, 0x7000n | 1n).invalidation!;
    expect(plain).toMatchObject({ caches: DEVICE_TLB, device: 0x310, anyDevice: false, pasid: NONE });
    expect(rangeOf(plain)).toEqual([0n, 0xffffn]);
    const pasid = (0x12345n << 32n) | (0x0310n << 16n) | (4n << 4n) | 8n;
    expect(decode(pasid, 0x7000n).invalidation).toMatchObject({ device: 0x310, pasid: 0x12345 });
    expect(decode(pasid, 0x7001n).invalidation).toMatchObject({ device: 0x310, pasid: ANY });
    expect(rangeOf(decode(pasid, 0x7000n | (1n << 11n)).invalidation)).toEqual([0n, 0xffffn]);
  });

  it("waits complete; they and interrupt entries and page responses invalidate no translation", () => {
    const wait = decode((0xdeadn << 32n) | 0x75n, 0x12_3456_7890n & ~3n);
    expect([wait.completion, wait.invalidation]).toEqual([true, null]);
    expect(formatCommand(wait)).toBe(
      "invalidation wait: IF 1, SW 1, FN 1, PD 0, status 0xdead to 0x1234567890",
    );
    expect(decode((0x21n << 32n) | (3n << 27n) | 0x14n).invalidation).toBeNull();
    expect(line((0x21n << 32n) | (3n << 27n) | 0x14n)).toBe(
      "interrupt entry cache invalidate: index-selective, index 33, IM 3",
    );
    // QI_PGRP_PASID, _DID, _RESP_CODE, _PASID_P; QI_PGRP_IDX.
    const response = decode((7n << 32n) | (0x18n << 16n) | (1n << 12n) | (1n << 4n) | 9n, 0x155n << 3n);
    expectNoInvalidation(response, "page group response: RID 0x18, PASID 7, PRGI 341, RC 1");
  });
});

describe("rounding", () => {
  it("AM takes that many low bits of the page number away", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, MAX64), fc.integer({ min: 0, max: 63 }), fc.boolean(), (addr, am, pasid) => {
        const qw1 = (addr & ~0xfffn) | BigInt(am);
        const got = rangeOf(decode(pasid ? piotlbDesc(3n, 1n, 1n) : iotlbDesc(3n, 1n), qw1).invalidation);
        const size = 1n << BigInt(12 + am);
        const first = (addr / size) * size;
        // At 2^64 and beyond every address is meant.
        expect(got).toEqual(am >= 52 ? null : [first, first + size - 1n]);
      }),
    );
  });

  it("S of a device-TLB descriptor: the lowest zero bit says the size", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 2n ** 52n - 1n), fc.integer({ min: 0, max: 51 }), (frame, zero) => {
        const ones = (1n << BigInt(zero)) - 1n;
        const address = (((frame | ones) & ~(1n << BigInt(zero))) << 12n) | 1n;
        const size = 1n << BigInt(13 + zero);
        const first = ((address >> 12n) << 12n) & ~(size - 1n);
        expect(rangeOf(decode((0x10n << 32n) | 3n, address).invalidation)).toEqual(
          zero === 51 ? null : [first, first + size - 1n],
        );
      }),
    );
    expect(rangeOf(decode((0x10n << 32n) | 3n, ~0xfffn & MAX64).invalidation)).toEqual([
      MAX64 - 0xfffn,
      MAX64,
    ]);
    expect(rangeOf(decode((0x10n << 32n) | 3n, (~0xfffn & MAX64) | 1n).invalidation)).toBeNull();
  });
});

describe("refused descriptors", () => {
  it.each([
    ["type 0", 0x0n, ""],
    ["type 11", 0xbn, ""],
    ["type above 15, by bits 11:9", 0x212n, ""],
  ])("%s", (_, qw0, field) => {
    const command = decode(qw0);
    expect(command.name).toBe("unknown");
    expect(command.problems.map((p) => [p.kind, p.field])).toEqual([["illegal", field]]);
    expect(command.invalidation).toBeNull();
  });

  it("says which type it found", () => {
    expect([decode(0x212n).opcode, line(0x212n)]).toEqual([
      18,
      "unknown command, opcode 0x12: 0x212 0x0 0x0 0x0",
    ]);
  });

  it.each([
    ["context-cache granularity 0", 0x1n, 0n],
    ["IOTLB granularity 0", 0x2n, 0n],
    ["PASID-based-IOTLB granularity 0", 0x6n, 0n],
    ["PASID-based-IOTLB granularity 1", 0x16n, 0n],
    ["PASID-cache granularity 2", 0x27n, 0n],
  ])("%s", (_, qw0, qw1) => {
    expect(problems(qw0, qw1)).toEqual(["illegal G"]);
    expect(decode(qw0, qw1).invalidation).toBeNull();
  });

  // The masks of QEMU's VTD_INV_DESC_*_RSVD_*, with PFSID where Linux's QI_DEV_IOTLB_PFSID has it.
  it.each([
    [0x11n, 0xfffc00000000f1c0n, MAX64],
    [0x12n, 0xffffffff0000f100n, 0xf80n],
    [0x3n, 0x000f0000ffe001f0n, 0xffen],
    [0x5n, 0x00000000fffff100n, 0x3n],
    [0x26n, 0xfff000000000f1c0n, 0xf80n],
    [0x37n, 0xfff000000000f1c0n, MAX64],
    [0x8n, 0x0000000000000000n, 0x7fen],
    [0x9n, 0xfff00000000001e0n, 0xfffffffffffff003n],
  ])("reserved bits of a descriptor like %s", (qw0, low, high) => {
    for (let bit = 0n; bit < 64n; bit++) {
      // Bits 11:9 are part of the type, 5:0 say what descriptor this is.
      if (bit >= 12n || (bit >= 6n && bit <= 8n)) {
        const reserved = ((low >> bit) & 1n) === 1n;
        const found = decode(qw0 | (1n << bit)).problems;
        expect([bit, found.some((p) => p.bits === `${bit}`)]).toEqual([bit, reserved]);
      }
      const reserved = ((high >> bit) & 1n) === 1n;
      const found = decode(qw0, 1n << bit).problems;
      expect([bit, found.some((p) => p.bits === `${bit + 64n}` && p.kind === "illegal")]).toEqual([
        bit,
        reserved,
      ]);
    }
  });

  it("the upper half of a 256-bit descriptor is reserved", () => {
    const command = decodeCommand("intel", words(0x12n, 0n, 0n, 1n << 63n));
    expect(command.problems.map((p) => p.bits)).toEqual(["255"]);
    expect(command.invalidation?.status).toBe(REJECTED);
  });

  it("AM beyond CAP_REG.MAMV, but not in PASID-based descriptors", () => {
    const mamv9 = state({ cap: (9n << 48n) | (1n << 39n) });
    expect(problems(iotlbDesc(3n, 0n), 9n, mamv9)).toEqual([]);
    expect(problems(iotlbDesc(3n, 0n), 10n, mamv9)).toEqual(["illegal AM"]);
    expect(problems(iotlbDesc(2n, 0n), 10n, mamv9)).toEqual([]);
    expect(problems(piotlbDesc(3n, 0n, 0n), 10n, mamv9)).toEqual([]);
  });

  // 6.5.2.2 to 6.5.2.4: hardware ignores bits 31:(16+N).
  it("bits of domain ids beyond CAP_REG.ND are ignored", () => {
    const nd2 = state({ cap: 2n | (1n << 39n) }); // 8 bits
    for (const qw0 of [iotlbDesc(2n, 0x105n), piotlbDesc(2n, 0x105n, 0n), 0x105_0007n, 0x105_0021n]) {
      expect(problems(qw0, 0n, nd2)).toEqual([]);
      expect(decode(qw0, 0n, nd2).invalidation?.domain).toBe(5);
      expect(decode(qw0).invalidation?.domain).toBe(0x105);
    }
  });

  it("page-selective without CAP_REG.PSI", () => {
    const none = state({ cap: 6n });
    expect(problems(iotlbDesc(3n, 0n), 0n, none)).toEqual(["illegal G"]);
    expect(problems(iotlbDesc(2n, 0n), 0n, none)).toEqual([]);
    expect(problems(piotlbDesc(3n, 0n, 0n), 0n, none)).toEqual([]);
  });

  it("HPT cache invalidations without ECAP_REG.HPTS, or without granularity", () => {
    expect(problems(0x1an, 0n, state({ ecap: 1n << 43n }))).toEqual(["illegal "]);
    expect(problems(0x1an, 0n, state({ ecap: (1n << 43n) | (1n << 55n) }))).toEqual([]);
    expect(problems(0x0an)).toEqual(["illegal G"]);
  });

  it("features that ECAP_REG lacks", () => {
    const none = state({ ecap: 0n });
    expect(decodeCommand("intel", words(0x3n, 0n), none).problems.map((p) => p.message)).toEqual([
      "expected ECAP_REG.DT for device-TLB invalidations, found an IOMMU without",
    ]);
    // PFSID without DIT, page-request drain without PDS.
    expect(
      decodeCommand("intel", words(0xf003n, 0n), state({ ecap: 4n })).problems.map((p) => p.bits),
    ).toEqual(["15:12"]);
    expect(decodeCommand("intel", words(0xa5n, 0n), none).problems.map((p) => p.bits)).toEqual(["7"]);
    expect(decodeCommand("intel", words(0x14n | (1n << 27n), 0n), none).problems.map((p) => p.field)).toEqual(
      ["IM"],
    );
  });

  it("what does not fit the mode, of whatever width it was recorded", () => {
    const scalable = state({ rtaddr: 0x400n, ecap: 1n << 43n });
    const legacy = state({ rtaddr: 0n, ecap: 0n });
    expect(decodeCommand("intel", words(0x12n, 0n), scalable).problems).toEqual([]);
    expect(decodeCommand("intel", words(0x12n, 0n), legacy).problems).toEqual([]);
    expect(decode(0x12n, 0n, legacy).problems).toEqual([]);
    // Without scalable mode there is no second half: the first reserved bit of it is bit 128.
    expect(decodeCommand("intel", words(0x12n, 0n, 1n, 0n), legacy).problems).not.toEqual([]);
    expect(decodeCommand("intel", words(0x12n, 0n, 0n, 1n << 63n), legacy).problems).not.toEqual([]);
    // Table 26: legacy mode has no descriptors of PASIDs.
    const abort = state({ rtaddr: 0xc00n, ecap: 1n << 43n });
    expect(decode(piotlbDesc(2n, 5n, 0n), 0n, abort).problems).toEqual([]);
    const wide = state({ rtaddr: 0n, ecap: 1n << 43n });
    expect(decode(0x12n, 0n, wide).problems).toEqual([]);
    expect(decode(piotlbDesc(2n, 5n, 0n), 0n, wide).problems.map((p) => p.field)).toEqual(["TYPE"]);
    expect(decodeCommand("intel", words(0x12n)).problems).toHaveLength(1);
    expect(decodeCommand("intel", words(0x12n, 0n, 0n)).problems[0]?.message).toBe(
      "expected 2 or 4 words, found 3",
    );
  });
});

describe("encoding", () => {
  it("builds the words that the kernel builds", () => {
    expect(
      encodeCommand("intel", "IOTLB invalidate", { G: 3, DID: 5, ADDR: 0x182a4c12e000n, AM: 9 }),
    ).toEqual(words(0x50032n, 0x182a4c12e009n));
    expect(encodeCommand("intel", "IOTLB invalidate", { G: 3, DID: 5, ADDR: 0x182a4c12e, IH: 1 })).toEqual(
      words(0x50032n, 0x182a4c12e040n),
    );
    expect(encodeCommand("intel", "device-TLB invalidate", { SID: 0x310, PFSID: 0x318 })).toEqual(
      words((0x31n << 52n) | (0x310n << 32n) | (0x8n << 12n) | 3n, 0n),
    );
    expect(encodeCommand("intel", "PASID-cache invalidate", { G: 1, DID: 2, PASID: 3 })).toEqual(
      words(0x3_0002_0017n, 0n, 0n, 0n),
    );
  });

  it("refuses what does not exist", () => {
    expect(() => encodeCommand("intel", "INVALIDATE_ALL")).toThrow(RangeError);
    expect(() => encodeCommand("intel", "IOTLB invalidate", { TYPE: 3 })).toThrow(/TYPE/);
    expect(() => encodeCommand("intel", "IOTLB invalidate", { PASID: 3 })).toThrow(/PASID/);
    expect(() => encodeCommand("intel", "IOTLB invalidate", { DID: 0x10000 })).toThrow(/fit/);
  });
});
