import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeCommand, encodeCommand, formatCommand } from "../walkers/commands/command.ts";
import {
  ACCEPTED,
  ANY,
  COMBINED_KEPT,
  CONTEXT_CACHE,
  coversDevice,
  coversDomain,
  DEVICE_TLB,
  FIRST_STAGE,
  IOTLB,
  NONE,
  PAGING_STRUCTURES,
  PASID_CACHE,
  REGIME_EL1,
  REGIME_EL2,
  REGIME_SECURE,
  REJECTED,
  RESERVED_BITS,
  SECOND_STAGE,
  UNPREDICTABLE,
} from "../walkers/invalidation.ts";
import type { IommuState } from "../walkers/registers.ts";
import { NO_LEVEL } from "../walkers/result.ts";
import { commandsOf, expectTaken, MAX64, rangeOf, state, words } from "./support/command-words.ts";

const { decode, problems } = commandsOf("arm-smmuv3");
const status = (w0: bigint, w1 = 0n, known?: IommuState) => decode(w0, w1, known).invalidation?.status;

const BOTH = IOTLB | PAGING_STRUCTURES;
/** Identification registers of QEMU's smmuv3: both stages, RIL, 16-bit tags, no ATS, no PRI, no EL2. */
const QEMU = state({ idr0: 0xd44101bn, idr1: 0x2730010n, idr3: 0x1414n, idr5: 0x74n, cr0: 0xdn });

describe("commands that QEMU's smmuv3 took", () => {
  it.each([
    [0x4n, 0x1fn, "CMD_CFGI_ALL"],
    [0x4800000004n, 0x3n, "CMD_CFGI_STE_RANGE SID 0x48 Range 3"],
    [0x3000000003n, 0x1n, "CMD_CFGI_STE SID 0x30 leaf"],
    [0x3800000005n, 0x1n, "CMD_CFGI_CD SID 0x38 SSID 0x0 leaf"],
    [0x4800000006n, 0x0n, "CMD_CFGI_CD_ALL SID 0x48"],
    [0x91b800000010n, 0x0n, "CMD_TLBI_NH_ALL VMID 37304"],
    [0x2af4226600000011n, 0x0n, "CMD_TLBI_NH_ASID VMID 8806 ASID 10996"],
    [
      0xa371226600000012n,
      0xfffffffdf4f8d001n,
      "CMD_TLBI_NH_VA VMID 8806 ASID 41841 addr 0xfffffffdf4f8d000 leaf",
    ],
    [
      0x4c4022660041f012n,
      0xfffffffffe000401n,
      "CMD_TLBI_NH_VA VMID 8806 ASID 19520 addr 0xfffffffffe000000 leaf NUM 31 SCALE 4 TG 1 (4 KiB) TTL 0",
    ],
    [
      0xf1fe00000061f012n,
      0xfffffffef0000a01n,
      "CMD_TLBI_NH_VA VMID 0 ASID 61950 addr 0xfffffffef0000000 leaf NUM 31 SCALE 6 TG 2 (16 KiB) TTL 2",
    ],
    [0x226600000013n, 0xfffffffec7983001n, "CMD_TLBI_NH_VAA VMID 8806 addr 0xfffffffec7983000 leaf"],
    [0x226700000028n, 0x0n, "CMD_TLBI_S12_VMALL VMID 8807"],
    [0x22660000002an, 0x141f4001n, "CMD_TLBI_S2_IPA VMID 8806 addr 0x141f4000 leaf"],
    [0x30n, 0x0n, "CMD_TLBI_NSNH_ALL"],
    [0x46n, 0x0n, "CMD_SYNC SIG_NONE"],
  ])("%s %s", (w0, w1, text) => {
    expectTaken(decode(w0, w1, QEMU), text, text.startsWith("CMD_SYNC"));
  });

  it("QEMU also takes a granule without range and level hint, which is Reserved", () => {
    const command = decode(0xa371226600000012n, 0xfffffff3ba208800n, QEMU);
    expect(command.problems.map((p) => [p.kind, p.field, p.source])).toEqual([
      ["illegal", "TG", "IHI 0070, 4.4.1.1"],
    ]);
    expect(command.invalidation).toMatchObject({ status: REJECTED, asid: 41841, domain: 8806 });
  });
});

describe("what each command covers", () => {
  it.each([
    // [command, stage, regime, VMID, ASID, global entries, caches]
    [0x0055_0000_0010n, FIRST_STAGE, REGIME_EL1, 0x55, ANY, true, BOTH],
    [0x0077_0055_0000_0011n, FIRST_STAGE, REGIME_EL1, 0x55, 0x77, false, BOTH],
    [0x0077_0055_0000_0012n, FIRST_STAGE, REGIME_EL1, 0x55, 0x77, true, BOTH],
    [0x0055_0000_0013n, FIRST_STAGE, REGIME_EL1, 0x55, ANY, true, BOTH],
    [0x18n, 0, REGIME_SECURE, ANY, ANY, true, BOTH],
    [0x1an, 0, REGIME_SECURE, ANY, ANY, true, BOTH],
    [0x20n, 0, REGIME_EL2, ANY, ANY, true, BOTH],
    [0x0077_0000_0000_0021n, 0, REGIME_EL2, ANY, 0x77, false, BOTH],
    [0x0077_0000_0000_0022n, 0, REGIME_EL2, ANY, 0x77, true, BOTH],
    [0x23n, 0, REGIME_EL2, ANY, ANY, true, BOTH],
    [0x0055_0000_0028n, 0, REGIME_EL1, 0x55, ANY, true, BOTH],
    [0x0055_0000_002an, SECOND_STAGE, REGIME_EL1, 0x55, ANY, true, BOTH],
    [0x30n, 0, REGIME_EL1, ANY, ANY, true, BOTH],
    [0x60n, 0, REGIME_SECURE, ANY, ANY, true, BOTH],
  ])("TLBI %s", (w0, stage, regime, domain, asid, global, caches) => {
    expect(decode(w0).invalidation).toMatchObject({
      caches,
      stage,
      regime,
      domain,
      asid,
      global,
      anyDevice: true,
      combined: COMBINED_KEPT,
    });
  });

  it("Leaf spares entries above the last level", () => {
    expect(decode(0x12n, 0x1000n).invalidation).toMatchObject({ caches: BOTH, leafOnly: false });
    expect(decode(0x12n, 0x1001n).invalidation).toMatchObject({ caches: IOTLB, leafOnly: true });
  });

  it("configuration: STE with its CDs, an aligned range, one CD, all CDs", () => {
    expect(decode(0x3000000003n).invalidation).toMatchObject({
      caches: CONTEXT_CACHE | PASID_CACHE,
      device: 0x30,
      anyDevice: false,
      leafOnly: false,
    });
    expect(decode(0x3000000003n, 1n).invalidation?.leafOnly).toBe(true);
    expect(decode(0x3000005005n).invalidation).toMatchObject({ caches: PASID_CACHE, device: 0x30, pasid: 5 });
    expect(decode(0x3000000006n).invalidation).toMatchObject({
      caches: PASID_CACHE,
      device: 0x30,
      pasid: ANY,
    });
    expect(decode(0x700000000_04n, 31n).invalidation).toMatchObject({ anyDevice: true });
    expect(decode(0x700000007n).invalidation).toBeNull();
  });

  it("CMD_CFGI_STE_RANGE ignores the low Range+1 bits of the StreamID", () => {
    fc.assert(
      fc.property(
        fc.bigInt(0n, 2n ** 32n - 1n),
        fc.bigInt(0n, 30n),
        fc.bigInt(-2n, 2n),
        (sid, range, off) => {
          const inv = decode((sid << 32n) | 4n, range).invalidation!;
          const size = 1n << (range + 1n);
          const first = (sid / size) * size;
          for (const id of [first + off, first + size + off, sid]) {
            if (id < 0n || id >= 2n ** 32n) continue;
            expect(coversDevice(inv, Number(id))).toBe(id >= first && id < first + size);
          }
        },
      ),
    );
  });

  it("ATC_INV: without SubstreamID, with one, with all; aligned to its size", () => {
    const at = (flags: bigint, size: bigint) =>
      decode((0x30n << 32n) | flags | 0x40n, 0x123456789000n | size);
    expect(at(0n, 0n).invalidation).toMatchObject({ caches: DEVICE_TLB, device: 0x30, pasid: NONE });
    expect(at((5n << 12n) | (1n << 11n), 0n).invalidation?.pasid).toBe(5);
    expect(at((5n << 12n) | (1n << 11n) | (1n << 9n), 0n).invalidation?.pasid).toBe(ANY);
    // Global does not matter without SSV.
    expect(at(1n << 9n, 0n).invalidation?.pasid).toBe(NONE);
    expect(rangeOf(at(0n, 4n).invalidation)).toEqual([0x123456780000n, 0x12345678ffffn]);
    expect(rangeOf(at(0n, 51n).invalidation)).toEqual([0n, 2n ** 63n - 1n]);
    expect(rangeOf(at(0n, 52n).invalidation)).toBeNull();
  });

  it("CR0.VMW takes low bits of the VMID out of the match", () => {
    const inv = decode(0x0056_0000_0028n, 0n, state({ cr0: 2n << 6n })).invalidation!;
    expect([0x54, 0x57, 0x58, 0x53, NONE].map((id) => coversDomain(inv, id))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });

  it("CR2.E2H = 0: EL2 entries have no ASID, the operand is ignored", () => {
    expect(decode(0x0077_0000_0000_0022n, 0n, state({ cr2: 0n })).invalidation?.asid).toBe(ANY);
    expect(decode(0x0077_0000_0000_0022n, 0n, state({ cr2: 1n })).invalidation?.asid).toBe(0x77);
  });
});

describe("range and level hint", () => {
  const GRANULE = [0n, 12n, 14n, 16n];
  const LEAF: readonly (readonly bigint[])[] = [
    [],
    [12n, 30n, 21n, 12n],
    [14n, 36n, 25n, 14n],
    [16n, 42n, 29n, 16n],
  ];

  it("spans (NUM+1) * 2^SCALE granules from the address, and does not wrap", () => {
    fc.assert(
      fc.property(
        fc.bigInt(0n, MAX64),
        fc.bigInt(0n, 31n),
        fc.bigInt(0n, 63n),
        fc.bigInt(1n, 3n),
        fc.bigInt(0n, 3n),
        fc.constantFrom(0x12n, 0x13n, 0x22n, 0x23n),
        (addr, num, scale, tg, ttl, op) => {
          const shift = LEAF[Number(tg)]![Number(ttl)]!;
          const first = (addr >> shift) << shift;
          const w0 = (num << 12n) | (scale << 20n) | op;
          const command = decode(w0, first | (tg << 10n) | (ttl << 8n));
          const size = (num + 1n) << ((scale > 39n ? 39n : scale) + GRANULE[Number(tg)]!);
          const last = first + size - 1n;
          expect(rangeOf(command.invalidation)).toEqual([first, last > MAX64 ? MAX64 : last]);
          const illegal = num === 0n && scale === 0n && ttl === 0n;
          expect(command.invalidation).toMatchObject({
            granule: Number(GRANULE[Number(tg)]),
            level: ttl === 0n ? NO_LEVEL : Number(ttl),
            status: illegal ? REJECTED : ACCEPTED,
          });
          // One granule off the leaf's alignment: the range is UNPREDICTABLE, unless the leaf is that granule.
          const off = decode(w0, first | 0x1000n | (tg << 10n) | (ttl << 8n));
          if (!illegal) expect(off.invalidation?.status).toBe(shift === 12n ? ACCEPTED : UNPREDICTABLE);
        },
      ),
    );
  });

  it("without a granule, one page and no hint; its operands are reserved", () => {
    const inv = decode(0x12n, 0x7fff_ffff_f000n).invalidation!;
    expect(rangeOf(inv)).toEqual([0x7fff_ffff_f000n, 0x7fff_ffff_ffffn]);
    expect(inv).toMatchObject({ granule: 0, level: NO_LEVEL });
    expect(problems(0x1f012n, 0x1000n)).toEqual(["reserved NUM"]);
    expect(problems(0x500012n, 0x1000n)).toEqual(["reserved SCALE"]);
    expect(problems(0x12n, 0x1100n)).toEqual(["reserved TTL"]);
    expect(status(0x12n, 0x1100n)).toBe(RESERVED_BITS);
  });

  it("IDR5.DS: six bits of SCALE, and level 1 leaves of the 16 KiB granule", () => {
    const without = state({ idr3: 1n << 10n, idr5: 0x70n });
    const w1 = (2n << 10n) | (1n << 8n);
    expect(decode(0x12n, w1).invalidation).toMatchObject({ level: 1, status: ACCEPTED });
    // Level 1 is then no hint, and with NUM and SCALE 0 the Reserved combination.
    expect(decode(0x12n, w1, without).invalidation).toMatchObject({ level: NO_LEVEL, status: REJECTED });
    expect(decode(0x1012n, w1, without).invalidation).toMatchObject({ level: NO_LEVEL, status: ACCEPTED });
    expect(problems(0x2001012n, w1, without)).toEqual(["reserved 25"]);
    expect(rangeOf(decode(0x2001012n, 1n << 10n).invalidation)).toEqual([0n, (1n << 45n) - 1n]);
  });

  it("TTL128: the alignment of 128-bit descriptors", () => {
    const w1 = (1n << 10n) | (2n << 8n);
    expect(status(0x12n, (1n << 20n) | w1)).toBe(UNPREDICTABLE);
    expect(status(0x12n, (1n << 20n) | w1 | (1n << 7n))).toBe(ACCEPTED);
  });

  it("without IDR3.RIL the fields are reserved, and one page is meant", () => {
    const none = state({ idr3: 0n });
    const command = decode(0x41f012n, 0x2000n | (1n << 10n) | (2n << 8n), none);
    expect(command.problems.every((p) => p.kind === "reserved")).toBe(true);
    expect(command.invalidation?.status).toBe(RESERVED_BITS);
    expect(rangeOf(command.invalidation)).toEqual([0x2000n, 0x2fffn]);
  });
});

describe("refused commands", () => {
  it("Reserved opcodes, and those that are not decoded", () => {
    expect(problems(0x00n)).toEqual(["illegal "]);
    expect(problems(0x29n)).toEqual(["illegal "]);
    expect(problems(0x90n)).toEqual(["illegal "]);
    expect(problems(0x80n)).toEqual(["unpredictable "]);
    expect(decode(0x08n).problems[0]?.message).toContain("CMD_CFGI_CIT");
  });

  it.each([0x18n, 0x1an, 0x50n, 0x51n, 0x52n, 0x53n, 0x58n, 0x5an, 0x60n])(
    "%s belongs to the Secure Command queue",
    (op) => {
      expect(problems(op)).toEqual(["illegal OP"]);
    },
  );

  it.each([0x01n, 0x02n, 0x03n, 0x04n, 0x05n, 0x06n, 0x07n, 0x40n, 0x41n, 0x44n, 0x45n])(
    "SSec with %s",
    (op) => {
      expect(problems(op | (1n << 10n))).toEqual(["illegal SSEC"]);
    },
  );

  it.each([
    [0x10n, { idr0: 1n }],
    [0x13n, { idr0: 1n }],
    [0x05n, { idr0: 1n }],
    [0x06n, { idr0: 1n }],
    [0x28n, { idr0: 2n }],
    [0x2an, { idr0: 2n }],
    [0x20n, { idr0: 3n }],
    [0x23n, { idr0: 3n }],
    [0x40n, { idr0: 3n }],
    [0x41n, { idr0: 3n }],
    [0x44n, { idr0: 3n | (1n << 24n) }],
    [0x45n, { idr0: 3n | (1n << 24n) }],
    [0x07n, { idr3: 0n }],
    [0x70n, { idr3: 0n }],
    [0x73n, { idr3: 0n }],
  ])("%s without its feature", (op, registers: Record<string, bigint>) => {
    expect(problems(op, 0n, state(registers))).toEqual(["illegal "]);
    expect(problems(op)).toEqual([]);
  });

  it("NSNH_ALL is good for every SMMU", () => {
    expect(problems(0x30n, 0n, state({ idr0: 0n, idr3: 0n }))).toEqual([]);
  });

  it("reserved enumerators", () => {
    expect(problems(0x3046n)).toEqual(["illegal CS"]);
    expect(problems(0x41n, 3n << 12n)).toEqual(["illegal RESP"]);
    expect(problems(0x40n, 53n)).toEqual(["unpredictable SIZE"]);
  });

  it("identifiers that are too wide", () => {
    const narrow = state({ idr0: 3n | (1n << 10n), idr1: 16n | (4n << 6n) });
    expect(problems(0x1_0000_0000_0003n, 0n, narrow)).toEqual(["unpredictable SID"]);
    expect(problems(0x10005n, 0n, narrow)).toEqual(["unpredictable SSID"]);
    expect(problems(0xf005n, 0n, narrow)).toEqual([]);
    expect(problems(0x0100_0000_0010n, 0n, narrow)).toEqual(["unpredictable VMID"]);
    expect(problems(0x0100_0000_0000_0011n, 0n, narrow)).toEqual(["unpredictable ASID"]);
    // Without stage 2 any VMID is too much, and entries have none.
    const stage1 = state({ idr0: 2n | (1n << 18n) });
    expect(problems(0x0001_0000_0010n, 0n, stage1)).toEqual(["unpredictable VMID"]);
    expect(decode(0x0000_0000_0010n, 0n, stage1).invalidation?.domain).toBe(ANY);
  });

  it("reserved bits may be refused or ignored", () => {
    expect(problems(0x130n)).toEqual(["reserved 8"]);
    expect(problems(0x30n, 1n << 63n)).toEqual(["reserved 127"]);
    expect(problems(0x0300_0000_002an, 0xff00_0000_0000_0000n)).toEqual(["reserved 127:120"]);
  });

  it("anything but two words", () => {
    expect(decodeCommand("arm-smmuv3", words(0x46n)).problems[0]?.message).toBe("expected 2 words, found 1");
    expect(decodeCommand("arm-smmuv3", words(0x46n)).completion).toBe(false);
  });
});

describe("other commands", () => {
  it.each([
    [0x30_0000_5801n, 0n, "CMD_PREFETCH_CONFIG SID 0x30 SSID 0x5"],
    [
      0x30_0000_0002n,
      0x1234_5000n | (9n << 5n) | 3n,
      "CMD_PREFETCH_ADDR SID 0x30 addr 0x12345000 Size 3 Stride 9",
    ],
    [0x30_0000_5841n, 0x1007n | (1n << 13n), "CMD_PRI_RESP SID 0x30 SSID 0x5 PRGIndex 7 3"],
    [0x30_0000_0041n, 0x2007n, "CMD_PRI_RESP SID 0x30 PRGIndex 7 Success"],
    [0x30_0000_1044n, 0xbeefn, "CMD_RESUME SID 0x30 STAG 0xbeef retry"],
    [0x30_0000_2044n, 0xbeefn, "CMD_RESUME SID 0x30 STAG 0xbeef abort"],
    [0x30_0000_0044n, 0xbeefn, "CMD_RESUME SID 0x30 STAG 0xbeef terminate"],
    [0x30_0000_0045n, 0n, "CMD_STALL_TERM SID 0x30"],
    [0x55_0000_0007n, 0n, "CMD_CFGI_VMS_PIDM VMID 85"],
    [(0xcafen << 32n) | 0xfc0_1046n, 0x4000_0040n, "CMD_SYNC SIG_IRQ MSI 0xcafe to 0x40000040"],
    [0x2046n, 0n, "CMD_SYNC SIG_SEV"],
    [0x70n, 0n, "CMD_DPTI_ALL"],
    [0x73n, 0x8000_0000n, "CMD_DPTI_PA addr 0x80000000"],
    [0x30_0000_5a40n, 0x1000n, "CMD_ATC_INV SID 0x30 SSID 0x5 G addr 0x1000 Size 0"],
  ])("%s %s", (w0, w1, text) => {
    expect(formatCommand(decode(w0, w1))).toBe(text);
  });

  it("are encoded with the bits of arm-smmu-v3.h", () => {
    const build = (name: string, fields: Record<string, number | bigint>) =>
      encodeCommand("arm-smmuv3", name, fields);
    expect(build("CMD_TLBI_NH_VA", { VMID: 1, ASID: 5, ADDR: 0xffff_ffff_fe00_0000n, LEAF: 1 })).toEqual(
      words(0x0005_0001_0000_0012n, 0xffff_ffff_fe00_0001n),
    );
    expect(build("CMD_TLBI_S2_IPA", { VMID: 1, NUM: 31, SCALE: 4, TG: 1, TTL: 3, ADDR: 0x1000 })).toEqual(
      words(0x0001_0041_f02an, 0x100_0000n | (1n << 10n) | (3n << 8n)),
    );
    expect(build("CMD_CFGI_ALL", {})).toEqual(words(0x04n, 0x1fn));
    expect(build("CMD_CFGI_STE_RANGE", { SID: 0x48, RANGE: 3 })).toEqual(words(0x48_0000_0004n, 3n));
    expect(build("CMD_ATC_INV", { SID: 0x30, SSID: 5, SSV: 1, G: 1, SIZE: 52 })).toEqual(
      words((0x30n << 32n) | (5n << 12n) | (1n << 11n) | (1n << 9n) | 0x40n, 52n),
    );
    expect(build("CMD_RESUME", { SID: 0x30, STAG: 0xbeef, AC: 1 })).toEqual(
      words((0x30n << 32n) | (1n << 12n) | 0x44n, 0xbeefn),
    );
  });
});
