import { describe, expect, it } from "vitest";
import type { Layout } from "../walkers/layout.ts";
import { Stage1Descriptor } from "../walkers/page-tables/vmsav8-64-stage1.ts";
import { Stage2Descriptor } from "../walkers/page-tables/vmsav8-64-stage2.ts";
import { Cd, L1Cd } from "../walkers/smmuv3/cd.ts";
import { SMMUV3_FAULTS, SMMUV3_LAYOUTS } from "../walkers/smmuv3/index.ts";
import {
  Cr0,
  Cr2,
  Gbpa,
  Idr0,
  Idr1,
  Idr3,
  Idr5,
  StrtabBase,
  StrtabBaseCfg,
} from "../walkers/smmuv3/registers.ts";
import { L1Std, Ste } from "../walkers/smmuv3/ste.ts";

/** Fields of a structure given as 64-bit words, lowest address first; zero fields are left out. */
function decode(layout: Layout, ...words: bigint[]): Record<string, bigint> {
  const view = new DataView(new ArrayBuffer(64));
  words.forEach((w, i) => {
    view.setBigUint64(8 * i, w, true);
  });
  return Object.fromEntries(
    layout.names().flatMap((n) => {
      const value = layout.extract(n, view, 0);
      return value === 0n ? [] : [[n, value]];
    }),
  );
}

// Positions as Linux gives them (drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.h): word, high bit, low bit. Addresses
// there end at bit 51; SMMUv3.4 has them to bit 55.
const LINUX: [Layout, string, word: number, hi: number, lo: number][] = [
  [L1Std, "Span", 0, 4, 0],
  [Ste, "V", 0, 0, 0],
  [Ste, "Config", 0, 3, 1],
  [Ste, "S1Fmt", 0, 5, 4],
  [Ste, "S1CDMax", 0, 63, 59],
  [Ste, "S1DSS", 1, 1, 0],
  [Ste, "S1CIR", 1, 3, 2],
  [Ste, "S1COR", 1, 5, 4],
  [Ste, "S1CSH", 1, 7, 6],
  [Ste, "MEV", 1, 19, 19],
  [Ste, "S2FWB", 1, 25, 25],
  [Ste, "S1STALLD", 1, 27, 27],
  [Ste, "EATS", 1, 29, 28],
  [Ste, "STRW", 1, 31, 30],
  [Ste, "SHCFG", 1, 45, 44],
  [Ste, "PRIVCFG", 1, 49, 48],
  [Ste, "S2VMID", 2, 15, 0],
  [Ste, "S2T0SZ", 2, 37, 32],
  [Ste, "S2SL0", 2, 39, 38],
  [Ste, "S2IR0", 2, 41, 40],
  [Ste, "S2OR0", 2, 43, 42],
  [Ste, "S2SH0", 2, 45, 44],
  [Ste, "S2TG", 2, 47, 46],
  [Ste, "S2PS", 2, 50, 48],
  [Ste, "S2AA64", 2, 51, 51],
  [Ste, "S2ENDI", 2, 52, 52],
  [Ste, "S2PTW", 2, 54, 54],
  [Ste, "S2S", 2, 57, 57],
  [Ste, "S2R", 2, 58, 58],
  [L1Cd, "V", 0, 0, 0],
  [Cd, "T0SZ", 0, 5, 0],
  [Cd, "TG0", 0, 7, 6],
  [Cd, "IR0", 0, 9, 8],
  [Cd, "OR0", 0, 11, 10],
  [Cd, "SH0", 0, 13, 12],
  [Cd, "EPD0", 0, 14, 14],
  [Cd, "ENDI", 0, 15, 15],
  [Cd, "EPD1", 0, 30, 30],
  [Cd, "V", 0, 31, 31],
  [Cd, "IPS", 0, 34, 32],
  [Cd, "TBI0", 0, 38, 38],
  [Cd, "AA64", 0, 41, 41],
  [Cd, "HD", 0, 42, 42],
  [Cd, "HA", 0, 43, 43],
  [Cd, "S", 0, 44, 44],
  [Cd, "R", 0, 45, 45],
  [Cd, "A", 0, 46, 46],
  [Cd, "ASET", 0, 47, 47],
  [Cd, "ASID", 0, 63, 48],
  [Idr0, "ST_LEVEL", 0, 28, 27],
  [Idr0, "STALL_MODEL", 0, 25, 24],
  [Idr0, "TTENDIAN", 0, 22, 21],
  [Idr0, "CD2L", 0, 19, 19],
  [Idr0, "VMID16", 0, 18, 18],
  [Idr0, "PRI", 0, 16, 16],
  [Idr0, "SEV", 0, 14, 14],
  [Idr0, "MSI", 0, 13, 13],
  [Idr0, "ASID16", 0, 12, 12],
  [Idr0, "ATS", 0, 10, 10],
  [Idr0, "HYP", 0, 9, 9],
  [Idr0, "HTTU", 0, 7, 6],
  [Idr0, "COHACC", 0, 4, 4],
  [Idr0, "TTF", 0, 3, 2],
  [Idr0, "S1P", 0, 1, 1],
  [Idr0, "S2P", 0, 0, 0],
  [Idr1, "TABLES_PRESET", 0, 30, 30],
  [Idr1, "QUEUES_PRESET", 0, 29, 29],
  [Idr1, "REL", 0, 28, 28],
  [Idr1, "ATTR_TYPES_OVR", 0, 27, 27],
  [Idr1, "CMDQS", 0, 25, 21],
  [Idr1, "EVENTQS", 0, 20, 16],
  [Idr1, "PRIQS", 0, 15, 11],
  [Idr1, "SSIDSIZE", 0, 10, 6],
  [Idr1, "SIDSIZE", 0, 5, 0],
  [Idr3, "RIL", 0, 10, 10],
  [Idr3, "FWB", 0, 8, 8],
  [Idr3, "BBML", 0, 12, 11],
  [Idr5, "STALL_MAX", 0, 31, 16],
  [Idr5, "GRAN64K", 0, 6, 6],
  [Idr5, "GRAN16K", 0, 5, 5],
  [Idr5, "GRAN4K", 0, 4, 4],
  [Idr5, "OAS", 0, 2, 0],
  [Idr5, "VAX", 0, 11, 10],
  [Cr0, "ATSCHK", 0, 4, 4],
  [Cr0, "CMDQEN", 0, 3, 3],
  [Cr0, "EVENTQEN", 0, 2, 2],
  [Cr0, "PRIQEN", 0, 1, 1],
  [Cr0, "SMMUEN", 0, 0, 0],
  [Cr2, "PTM", 0, 2, 2],
  [Cr2, "RECINVSID", 0, 1, 1],
  [Cr2, "E2H", 0, 0, 0],
  [Gbpa, "UPDATE", 0, 31, 31],
  [Gbpa, "ABORT", 0, 20, 20],
  [StrtabBase, "RA", 0, 62, 62],
  [StrtabBaseCfg, "FMT", 0, 17, 16],
  [StrtabBaseCfg, "SPLIT", 0, 10, 6],
  [StrtabBaseCfg, "LOG2SIZE", 0, 5, 0],
];

describe("layouts", () => {
  it.each(LINUX)("$0.name $1 is where Linux has it", (layout, name, word, hi, lo) => {
    expect(layout.fields[name]!.parts).toEqual([[word * 64 + hi, word * 64 + lo]]);
  });

  it("an STE and CD that Linux 6.12 wrote for stage 1 with 4 KiB and 16 KiB pages", () => {
    expect(decode(L1Std, 0x5386_0009n)).toEqual({ Span: 9n, L2Ptr: 0x5386_0000n >> 6n });
    expect(decode(Ste, 0x4345_a00bn, 0xd6n)).toEqual({
      ...{ V: 1n, Config: 5n, S1ContextPtr: 0x4345_a000n >> 6n },
      ...{ S1DSS: 2n, S1CIR: 1n, S1COR: 1n, S1CSH: 3n },
    });
    const common = { V: 1n, EPD1: 1n, IR0: 1n, OR0: 1n, SH0: 3n, T0SZ: 16n, IPS: 4n, AA64: 1n };
    const faults = { R: 1n, A: 1n, ASET: 1n, MAIR0: 0xf404_ff44n, MAIR1: 0xffff_ffffn };
    expect(decode(Cd, 0x0002_e204_c000_3510n, 0x4345_9000n, 0n, 0xffff_ffff_f404_ff44n)).toEqual({
      ...{ ...common, ...faults, ASID: 2n, TTB0: 0x4345_9000n >> 4n },
    });
    expect(decode(Cd, 0x0001_e204_c000_3590n, 0x4801_c000n, 0n, 0xffff_ffff_f404_ff44n)).toEqual({
      ...{ ...common, ...faults, ASID: 1n, TG0: 2n, TTB0: 0x4801_c000n >> 4n },
    });
  });

  it("tells the cacheability of descriptors, which are only read, from that of tables", () => {
    const view = new DataView(new ArrayBuffer(64));
    Ste.encode({ S1CIR: 1, S1COR: 3, S2IR0: 1, S2OR0: 3 }, view, 0);
    const said = Ste.decode(view, 0).filter((field) => /^S[12][CIO]{1,2}R0?$/.test(field.name));
    expect(said.map((field) => field.text)).toEqual([
      ...["write-back, read-allocate", "write-back, no read-allocate"],
      ...["write-back, read- and write-allocate", "write-back, read-allocate"],
    ]);
  });

  it("an STE that Linux 6.12 wrote for stage 2", () => {
    expect(decode(Ste, 0xdn, 0n, 0x044c_3594_0000_0002n, 0x4347_6000n)).toEqual({
      ...{ V: 1n, Config: 6n, S2VMID: 2n, S2T0SZ: 20n, S2SL0: 2n, S2IR0: 1n, S2OR0: 1n, S2SH0: 3n },
      ...{ S2PS: 4n, S2AA64: 1n, S2PTW: 1n, S2R: 1n, S2TTB: 0x4347_6000n >> 4n },
    });
  });

  it("a CD with both halves, from a recording of QEMU 11.1", () => {
    const words = [0x07d5_6203_b364_3f9en, 0x4807_5000n, 0x480b_8002n, 0x3877_202b_804b_4b70n];
    expect(decode(Cd, ...words)).toEqual({
      ...{ T0SZ: 0x1en, TG0: 2n, IR0: 3n, OR0: 3n, SH0: 3n, T1SZ: 0x24n, TG1: 1n, IR1: 3n, SH1: 3n, V: 1n },
      ...{ IPS: 3n, AA64: 1n, R: 1n, A: 1n, ASID: 0x7d5n, TTB0: 0x480_7500n, HAD1: 1n, TTB1: 0x480_b800n },
      ...{ MAIR0: 0x804b_4b70n, MAIR1: 0x3877_202bn },
    });
  });

  it("registers of QEMU 11.1", () => {
    expect(decode(Idr0, 0x0d44_101bn)).toEqual({
      ...{ S2P: 1n, S1P: 1n, TTF: 2n, COHACC: 1n, ASID16: 1n, VMID16: 1n, TTENDIAN: 2n },
      ...{ STALL_MODEL: 1n, TERM_MODEL: 1n, ST_LEVEL: 1n },
    });
    expect(decode(Idr1, 0x0273_0010n)).toEqual({ SIDSIZE: 16n, EVENTQS: 19n, CMDQS: 19n });
    expect(decode(Idr3, 0x1414n)).toEqual({ HAD: 1n, XNX: 1n, RIL: 1n, BBML: 2n });
    expect(decode(Idr5, 0x74n)).toEqual({ OAS: 4n, GRAN4K: 1n, GRAN16K: 1n, GRAN64K: 1n });
    expect(decode(StrtabBase, 0x4000_0000_4811_8000n)).toEqual({ RA: 1n, ADDR: 0x4811_8000n >> 6n });
    expect(decode(StrtabBaseCfg, 0x1_0210n)).toEqual({ FMT: 1n, SPLIT: 8n, LOG2SIZE: 16n });
  });

  it("descriptors of Linux (io-pgtable-arm) and QEMU recordings", () => {
    // A page of stage 1: nG, AF, inner shareable, AP[1], AttrIndx 1; UXN and PXN.
    expect(decode(Stage1Descriptor, 0x0060_0000_4346_2f47n)).toEqual({
      ...{
        VALID: 1n,
        TYPE: 1n,
        ATTRINDX: 1n,
        AP: 1n,
        SH: 3n,
        AF: 1n,
        NG: 1n,
        ADDR: 0x4_3462n,
        PXN: 1n,
        UXN: 1n,
      },
    });
    // The write-only MSI page of a stage 2: S2AP 0b10, XN.
    expect(decode(Stage2Descriptor, 0x0060_0000_0809_0687n)).toEqual({
      ...{ VALID: 1n, TYPE: 1n, MEMATTR: 1n, S2AP: 2n, SH: 2n, AF: 1n, ADDR: 0x8090n, XN: 3n },
    });
    expect(decode(Stage1Descriptor, 0x6000_0000_4801_2003n)).toEqual({
      ...{ VALID: 1n, TYPE: 1n, ADDR: 0x4_8012n, APTABLE: 3n },
    });
  });

  it("no two fields overlap, and all lie in the structure", () => {
    for (const layout of SMMUV3_LAYOUTS) {
      const owner = new Map<number, string>();
      for (const name of layout.names())
        for (const [hi, lo] of layout.fields[name]!.parts)
          for (let b = lo; b <= hi; b++) {
            expect([layout.name, b, owner.get(b)]).toEqual([layout.name, b, undefined]);
            owner.set(b, name);
          }
      expect(Math.max(...owner.keys())).toBeLessThan(layout.bytes * 8);
    }
  });

  it("events have the specification's numbers and names", () => {
    expect(
      SMMUV3_FAULTS.filter((f) => f.code !== 0).map((f) => `${f.name} 0x${f.code.toString(16)}`),
    ).toEqual([
      ...["F_UUT 0x1", "C_BAD_STREAMID 0x2", "F_STE_FETCH 0x3", "C_BAD_STE 0x4", "F_BAD_ATS_TREQ 0x5"],
      ...["F_STREAM_DISABLED 0x6", "F_TRANSL_FORBIDDEN 0x7", "C_BAD_SUBSTREAMID 0x8", "F_CD_FETCH 0x9"],
      ...["C_BAD_CD 0xa", "F_WALK_EABT 0xb", "F_TRANSLATION 0x10", "F_ADDR_SIZE 0x11", "F_ACCESS 0x12"],
      ...["F_PERMISSION 0x13", "F_TLB_CONFLICT 0x20", "F_CFG_CONFLICT 0x21", "E_PAGE_REQUEST 0x24"],
      "F_VMS_FETCH 0x25",
    ]);
  });
});
