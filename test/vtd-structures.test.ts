import { describe, expect, it } from "vitest";
import type { Layout } from "../walkers/layout.ts";
import { SecondStageEntry } from "../walkers/page-tables/vtd-second-stage.ts";
import { X86Entry } from "../walkers/page-tables/x86-64.ts";
import { ExtendedContextEntry, ExtendedPasidEntry } from "../walkers/vtd/ecs-structures.ts";
import { VTD_LAYOUTS } from "../walkers/vtd/index.ts";
import {
  CapabilityRegister,
  ExtendedCapabilityRegister,
  GlobalStatusRegister,
  RootTableAddressRegister,
} from "../walkers/vtd/registers.ts";
import {
  ContextEntry,
  PasidDirectoryEntry,
  PasidEntry,
  RootEntry,
  ScalableContextEntry,
  ScalableRootEntry,
} from "../walkers/vtd/structures.ts";

/** A mask as drivers write it: bits hi to lo of a 64-bit word. */
const G = (hi: number, lo: number) => ((1n << BigInt(hi - lo + 1)) - 1n) << BigInt(lo);
const B = (n: number) => 1n << BigInt(n);

function viewOf(layout: Layout, words: readonly bigint[]): DataView {
  const view = new DataView(new ArrayBuffer(layout.bytes));
  words.forEach((w, i) => {
    view.setBigUint64(8 * i, w, true);
  });
  return view;
}

/** Fields that have a value in a structure given as raw words. */
function fieldsOf(layout: Layout, words: readonly bigint[]): Record<string, bigint> {
  const view = viewOf(layout, words);
  return Object.fromEntries(
    layout
      .names()
      .filter((name) => layout.fields[name]!.kind !== "ignored")
      .map((name) => [name, layout.extract(name, view, 0)] as const)
      .filter(([, value]) => value !== 0n),
  );
}

/**
 * Where drivers find the fields: word, mask. From Linux drivers/iommu/intel/{pasid,iommu}.{c,h} (pasid_set_*,
 * context_set_*, cap_*, ecap_*; extended mode: kernels up to 4.19), and hw/i386/intel_iommu_internal.h of QEMU.
 */
const MASKS: readonly (readonly [Layout, string, number, bigint])[] = [
  [RootEntry, "P", 0, 1n],
  [RootEntry, "CTP", 0, G(63, 12)],
  [ScalableRootEntry, "UP", 1, 1n],
  [ScalableRootEntry, "UCTP", 1, G(63, 12)],
  [ContextEntry, "FPD", 0, 2n],
  [ContextEntry, "TT", 0, 3n << 2n],
  [ContextEntry, "SSPTPTR", 0, G(63, 12)],
  [ContextEntry, "AW", 1, 7n],
  [ContextEntry, "DID", 1, 0xffffn << 8n],
  [ScalableContextEntry, "DTE", 0, B(2)],
  [ScalableContextEntry, "PASIDE", 0, B(3)],
  [ScalableContextEntry, "PRE", 0, B(4)],
  [ScalableContextEntry, "PDTS", 0, G(11, 9)],
  [ScalableContextEntry, "PASIDDIRPTR", 0, G(63, 12)],
  [ScalableContextEntry, "RID_PASID", 1, G(19, 0)],
  [PasidDirectoryEntry, "FPD", 0, 2n],
  [PasidDirectoryEntry, "SMPTBLPTR", 0, G(63, 12)],
  [PasidEntry, "P", 0, 1n],
  [PasidEntry, "FPD", 0, 2n],
  [PasidEntry, "AW", 0, G(4, 2)],
  [PasidEntry, "PGTT", 0, G(8, 6)],
  [PasidEntry, "SSADE", 0, B(9)],
  [PasidEntry, "SSPTPTR", 0, G(63, 12)],
  [PasidEntry, "DID", 1, G(15, 0)],
  [PasidEntry, "PWSNP", 1, B(23)],
  [PasidEntry, "PGSNP", 1, B(24)],
  [PasidEntry, "SRE", 2, B(0)],
  [PasidEntry, "FSPM", 2, G(3, 2)],
  [PasidEntry, "WPE", 2, B(4)],
  [PasidEntry, "NXE", 2, B(5)],
  [PasidEntry, "EAFE", 2, B(7)],
  [PasidEntry, "FSPTPTR", 2, G(63, 12)],
  [X86Entry, "P", 0, B(0)],
  [X86Entry, "US", 0, B(2)],
  [X86Entry, "A", 0, B(5)],
  [X86Entry, "D", 0, B(6)],
  [X86Entry, "XD", 0, B(63)],
  [SecondStageEntry, "R", 0, 1n],
  [SecondStageEntry, "W", 0, 2n],
  [SecondStageEntry, "PS", 0, 1n << 7n],
  [SecondStageEntry, "A", 0, B(8)],
  [SecondStageEntry, "D", 0, B(9)],
  [SecondStageEntry, "SNP", 0, 1n << 11n],
  [SecondStageEntry, "ADDR", 0, G(51, 12)],
  [ExtendedContextEntry, "T", 0, 7n << 2n],
  [ExtendedContextEntry, "DINVE", 0, B(8)],
  [ExtendedContextEntry, "PRE", 0, B(9)],
  [ExtendedContextEntry, "NESTE", 0, B(10)],
  [ExtendedContextEntry, "PASIDE", 0, B(11)],
  [ExtendedPasidEntry, "P", 0, B(0)],
  [ExtendedPasidEntry, "SRE", 0, B(11)],
  [RootTableAddressRegister, "TTM", 0, G(11, 10)],
  [CapabilityRegister, "ND", 0, 7n],
  [CapabilityRegister, "SAGAW", 0, 0x1fn << 8n],
  [CapabilityRegister, "MGAW", 0, 0x3fn << 16n],
  [CapabilityRegister, "SSLPS", 0, 0xfn << 34n],
  [CapabilityRegister, "FS1GP", 0, B(56)],
  [CapabilityRegister, "FS5LP", 0, B(60)],
  [ExtendedCapabilityRegister, "DT", 0, B(2)],
  [ExtendedCapabilityRegister, "PT", 0, B(6)],
  [ExtendedCapabilityRegister, "SC", 0, B(7)],
  [ExtendedCapabilityRegister, "ECS", 0, B(24)],
  [ExtendedCapabilityRegister, "MTS", 0, B(25)],
  [ExtendedCapabilityRegister, "NEST", 0, B(26)],
  [ExtendedCapabilityRegister, "DIS", 0, B(27)],
  [ExtendedCapabilityRegister, "PRS", 0, B(29)],
  [ExtendedCapabilityRegister, "ERS", 0, B(30)],
  [ExtendedCapabilityRegister, "SRS", 0, B(31)],
  [ExtendedCapabilityRegister, "EAFS", 0, B(34)],
  [ExtendedCapabilityRegister, "PSS", 0, 0x1fn << 35n],
  [ExtendedCapabilityRegister, "PASID", 0, B(40)],
  [ExtendedCapabilityRegister, "SMTS", 0, B(43)],
  [ExtendedCapabilityRegister, "SSADS", 0, B(45)],
  [ExtendedCapabilityRegister, "SSTS", 0, B(46)],
  [ExtendedCapabilityRegister, "FSTS", 0, B(47)],
  [ExtendedCapabilityRegister, "SMPWCS", 0, B(48)],
  [ExtendedCapabilityRegister, "RPS", 0, B(49)],
  // What no walk asks, but `caps` and `explain` print: as Linux and QEMU number it.
  ...(
    [
      ["AFL", 3, 3],
      ["RWBF", 4, 4],
      ["PLMR", 5, 5],
      ["PHMR", 6, 6],
      ["CM", 7, 7],
      ["ZLR", 22, 22],
      ["FRO", 33, 24],
      ["PSI", 39, 39],
      ["NFR", 47, 40],
      ["MAMV", 53, 48],
      ["DWD", 54, 54],
      ["DRD", 55, 55],
      ["PI", 59, 59],
      ["ECMDS", 61, 61],
      ["ESIRTPS", 62, 62],
      ["ESRTPS", 63, 63],
    ] as const
  ).map(([name, hi, lo]) => [CapabilityRegister, name, 0, G(hi, lo)] as const),
  ...(
    [
      ["C", 0, 0],
      ["QI", 1, 1],
      ["IR", 3, 3],
      ["EIM", 4, 4],
      ["IRO", 17, 8],
      ["MHMV", 23, 20],
      ["NWFS", 33, 33],
      ["DIT", 41, 41],
      ["PDS", 42, 42],
      ["VCS", 44, 44],
      ["PMS", 51, 51],
      ["ADMS", 52, 52],
      ["RPRIVS", 53, 53],
    ] as const
  ).map(([name, hi, lo]) => [ExtendedCapabilityRegister, name, 0, G(hi, lo)] as const),
  ...(["CFIS", "IRTPS", "IRES", "QIES", "WBFS", "AFLS", "FLS", "RTPS", "TES"] as const).map(
    (name, i) => [GlobalStatusRegister, name, 0, B(23 + i)] as const,
  ),
];

describe("VT-d structures", () => {
  it.each(MASKS)("$name, %s: word %i, mask %s", (layout, field, word, mask) => {
    const words = new Array<bigint>(Math.ceil(layout.bytes / 8)).fill(0n);
    words[word] = mask;
    const ones = mask >> BigInt(mask.toString(2).length - mask.toString(2).replace(/0+$/, "").length);
    expect(fieldsOf(layout, words)).toEqual({ [field]: ones });
  });

  it("fields neither overlap nor leave their structure", () => {
    for (const layout of VTD_LAYOUTS) {
      const owner = new Map<number, string>();
      for (const name of layout.names())
        for (const [hi, lo] of layout.fields[name]!.parts) {
          expect(hi, `${layout.name}.${name}`).toBeGreaterThanOrEqual(lo);
          expect(hi, `${layout.name}.${name}`).toBeLessThan(layout.bytes * 8);
          for (let b = lo; b <= hi; b++) {
            expect(owner.get(b), `${layout.name}: bit ${b} of ${name}`).toBeUndefined();
            owner.set(b, name);
          }
        }
    }
  });

  it("a PASID entry of the first stage, as a guest of QEMU 11.1 had it", () => {
    expect(fieldsOf(PasidEntry, [0x49n, 0x1n, 0x100_4000n])).toEqual({
      P: 1n,
      AW: 2n,
      PGTT: 1n,
      DID: 1n,
      FSPTPTR: 0x1004n,
    });
  });

  it("a PASID entry of the second stage and its context entry, as a guest of QEMU 10.0 had them", () => {
    expect(fieldsOf(PasidEntry, [0x100_4089n, 0x1n])).toEqual({
      P: 1n,
      AW: 2n,
      PGTT: 2n,
      SSPTPTR: 0x1004n,
      DID: 1n,
    });
    expect(fieldsOf(ScalableContextEntry, [0x100_2401n, 0x1027n])).toEqual({
      P: 1n,
      PDTS: 2n,
      PASIDDIRPTR: 0x1002n,
      RID_PASID: 0x1027n,
    });
  });

  it("registers of QEMU 11.1, and of a legacy-mode unit", () => {
    expect(fieldsOf(CapabilityRegister, [0x81d2_008c_222f_0606n])).toMatchObject({
      ND: 6n,
      SAGAW: 6n,
      MGAW: 47n,
      SSLPS: 3n,
      FS1GP: 1n,
      ESRTPS: 1n,
    });
    const ecap = fieldsOf(ExtendedCapabilityRegister, [0x8800_00f0_0f4an]);
    expect(ecap).toEqual({ QI: 1n, IR: 1n, PT: 1n, IRO: 15n, MHMV: 15n, SMTS: 1n, FSTS: 1n });
    expect(fieldsOf(RootTableAddressRegister, [0x100_0400n])).toEqual({ TTM: 1n, RTA: 0x1000n });
    expect(fieldsOf(RootTableAddressRegister, [0x619_b000n])).toEqual({ RTA: 0x619bn });
  });

  it("a PASID entry with everything set, bit by bit", () => {
    const all = viewOf(PasidEntry, new Array<bigint>(8).fill((1n << 64n) - 1n));
    const widths = Object.fromEntries(
      PasidEntry.names().map((name) => [name, PasidEntry.extract(name, all, 0).toString(2).length]),
    );
    expect(widths).toMatchObject({
      PGTT: 3,
      SSPTPTR: 52,
      DID: 16,
      PAT: 32,
      FSPTPTR: 52,
      HPTPTR: 52,
      HPTDID: 16,
    });
    // 10, 11; 80 to 86; 136 to 139; 192 to 255; 259 to 267; 336 to 511.
    const reserved = [...PasidEntry.reserved()].map((w) => w.toString(16));
    expect(reserved).toEqual([
      ...["c00", "0", "7f0000", "0", "f00", "0", "ffffffff", "ffffffff"],
      ...["ff8", "0", "ffff0000", "ffffffff", "ffffffff", "ffffffff", "ffffffff", "ffffffff"],
    ]);
  });
});
