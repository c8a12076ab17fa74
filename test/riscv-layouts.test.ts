import { describe, expect, it } from "vitest";
import type { Layout } from "../walkers/layout.ts";
import { Sv32Entry, SvEntry } from "../walkers/page-tables/riscv-sv.ts";
import { RISCV_FAULTS, RISCV_LAYOUTS } from "../walkers/riscv/index.ts";
import {
  BaseDeviceContext,
  DdtEntry,
  DeviceContextLayout,
  MsiMrifPte,
  MsiPte,
  PdtEntry,
  ProcessContextLayout,
} from "../walkers/riscv/layouts.ts";
import { Capabilities, DeviceDirectoryPointer, FeaturesControl } from "../walkers/riscv/registers.ts";

/** The non-zero fields of a structure given as its bytes in memory. */
function fields(structure: Layout, hex: string, littleEndian = true): Record<string, bigint> {
  const bytes = Uint8Array.from(hex.match(/../g)!, (two) => Number.parseInt(two, 16));
  expect(bytes.length).toBe(structure.bytes);
  const view = new DataView(bytes.buffer);
  const entries = structure
    .decode(view, 0, littleEndian)
    .filter((field) => field.value !== 0n)
    .map((field) => [field.name, field.value]);
  return Object.fromEntries(entries) as Record<string, bigint>;
}

/** Bytes of 64-bit words, little-endian. */
function words(...values: bigint[]): string {
  const view = new DataView(new ArrayBuffer(values.length * 8));
  values.forEach((value, i) => {
    view.setBigUint64(i * 8, value, true);
  });
  return Buffer.from(view.buffer).toString("hex");
}

const zeros = (bytes: number) => "00".repeat(bytes);

describe("structures as a Linux 7.2 guest wrote them", () => {
  it("non-leaf DDT entry", () => {
    expect(fields(DdtEntry, "01d0e52000000000")).toEqual({ V: 1n, PPN: 0x83974n });
  });

  it("device context with an Sv57 first stage", () => {
    const hex = `01000000000000000000000000000000${"0010000000000000"}${"1f3b0800000000a0"}${zeros(32)}`;
    expect(fields(DeviceContextLayout, hex)).toEqual({
      V: 1n,
      PSCID: 1n,
      fsc_PPN: 0x83b1fn,
      fsc_MODE: 10n,
    });
  });

  it("page-table entries: pointer, 2 MiB leaf, read-execute leaf, NAPOT leaf", () => {
    expect(fields(SvEntry, "01b80b2300000000")).toEqual({ V: 1n, PPN: 0x8c2een });
    expect(fields(SvEntry, "df00002100000000")).toEqual({
      V: 1n,
      R: 1n,
      W: 1n,
      X: 1n,
      U: 1n,
      A: 1n,
      D: 1n,
      PPN: 0x84000n,
    });
    expect(fields(SvEntry, "5b04002100000000")).toEqual({
      V: 1n,
      R: 1n,
      X: 1n,
      U: 1n,
      A: 1n,
      PPN: 0x84001n,
    });
    expect(fields(SvEntry, "dfa0f22000000080")).toMatchObject({ N: 1n, PPN: 0x83ca8n, D: 1n });
  });
});

describe("structures of the reference model's recordings", () => {
  it("device context with every part in use", () => {
    // PD17, Sv57x4, DPE, SADE, an MSI page table.
    const hex =
      "21030000000000004007080000c000a000807f3a000000003d07000000000020" +
      "4e08080000000010050100000000000000700400000000000000000000000000";
    expect(fields(DeviceContextLayout, hex)).toEqual({
      V: 1n,
      PDTV: 1n,
      SADE: 1n,
      DPE: 1n,
      iohgatp_PPN: 0x80740n,
      GSCID: 12n,
      iohgatp_MODE: 10n,
      PSCID: 0x3a7f8n,
      fsc_PPN: 0x73dn,
      fsc_MODE: 2n,
      msiptp_PPN: 0x8084en,
      msiptp_MODE: 1n,
      msi_addr_mask: 0x105n,
      msi_addr_pattern: 0x47000n,
    });
  });

  it("big-endian device and process context", () => {
    const device = `00000000000006a19003700000081ca800000000000000002000000000000fb9${zeros(32)}`;
    expect(fields(DeviceContextLayout, device, false)).toEqual({
      V: 1n,
      PDTV: 1n,
      GADE: 1n,
      DPE: 1n,
      SBE: 1n,
      iohgatp_PPN: 0x81ca8n,
      GSCID: 0x37n,
      iohgatp_MODE: 9n,
      fsc_PPN: 0xfb9n,
      fsc_MODE: 2n,
    });
    expect(fields(ProcessContextLayout, "00000000000c5003900000000000102f", false)).toEqual({
      V: 1n,
      ENS: 1n,
      PSCID: 0xc5n,
      fsc_PPN: 0x102fn,
      fsc_MODE: 9n,
    });
    expect(fields(PdtEntry, "000000000040b401", false)).toEqual({ V: 1n, PPN: 0x102dn });
  });

  it("process context with SUM, from QEMU", () => {
    expect(fields(ProcessContextLayout, "07700000000000002c100000000000a0")).toEqual({
      V: 1n,
      ENS: 1n,
      SUM: 1n,
      PSCID: 7n,
      fsc_PPN: 0x102cn,
      fsc_MODE: 10n,
    });
  });

  it("Sv32 entries are four bytes, in either byte order", () => {
    expect(fields(Sv32Entry, "01744f20")).toEqual({ V: 1n, PPN: 0x813ddn });
    expect(fields(Sv32Entry, "4374e4f3")).toEqual({ V: 1n, R: 1n, A: 1n, PPN: 0x3cf91dn });
    expect(fields(Sv32Entry, "f3e47443", false)).toEqual({ V: 1n, R: 1n, A: 1n, PPN: 0x3cf91dn });
  });

  it("MSI PTEs in basic translate and MRIF mode", () => {
    expect(fields(MsiPte, "0700000000000000ffffffffffffffff")).toEqual({ V: 1n, M: 3n });
    expect(fields(MsiMrifPte, "0336b19ea03a000037d2bd0831000000")).toEqual({
      V: 1n,
      M: 1n,
      MRIF_Address: 0x3aa09eb13603n >> 7n,
      NPPN: 0x3108bdd237n >> 10n,
      NID: 0x237n,
    });
  });
});

describe("structures from the specification's bit diagrams", () => {
  it("tc, ta and iohgatp of the base-format device context, one bit at a time", () => {
    const tc: [number, string][] = [
      [0, "V"],
      [1, "EN_ATS"],
      [2, "EN_PRI"],
      [3, "T2GPA"],
      [4, "DTF"],
      [5, "PDTV"],
      [6, "PRPR"],
      [7, "GADE"],
      [8, "SADE"],
      [9, "DPE"],
      [10, "SBE"],
      [11, "SXL"],
    ];
    for (const [bit, name] of tc)
      expect(fields(BaseDeviceContext, words(1n << BigInt(bit), 0n, 0n, 0n))).toEqual({ [name]: 1n });
    // Custom bits belong to nobody.
    expect(fields(BaseDeviceContext, words(0xff00_0000n, 0n, 0n, 0n))).toEqual({});
    expect(fields(BaseDeviceContext, words(0n, 0xaabb_bccc_cccc_ccccn, 0xddde_ee00_fffff000n, 0n))).toEqual({
      iohgatp_MODE: 0xan,
      GSCID: 0xabbbn,
      iohgatp_PPN: 0xccc_cccc_ccccn,
      MCID: 0xdddn,
      RCID: 0xeeen,
      PSCID: 0xfffffn,
    });
  });

  it("reserved bits are the complement", () => {
    const everything = () => true;
    const nothing = () => false;
    const word64 = (mask: Uint32Array, n: number) => (BigInt(mask[2 * n + 1]!) << 32n) | BigInt(mask[2 * n]!);
    const extended = DeviceContextLayout.reserved(everything);
    expect(word64(extended, 0)).toBe(0xffff_ffff_00ff_f000n);
    expect(word64(extended, 1)).toBe(0n);
    expect(word64(extended, 2)).toBe(0x0000_00ff_0000_0fffn);
    expect(word64(extended, 3)).toBe(0x0fff_f000_0000_0000n);
    expect(word64(extended, 4)).toBe(0x0fff_f000_0000_0000n);
    expect(word64(extended, 5)).toBe(0xfff0_0000_0000_0000n);
    expect(word64(extended, 6)).toBe(0xfff0_0000_0000_0000n);
    expect(word64(extended, 7)).toBe(0xffff_ffff_ffff_ffffn);
    // RCID and MCID exist with capabilities.QOSID only.
    expect(word64(DeviceContextLayout.reserved(nothing), 2)).toBe(0xffff_ffff_0000_0fffn);
    const process = ProcessContextLayout.reserved();
    expect(word64(process, 0)).toBe(0xffff_ffff_0000_0ff8n);
    expect(word64(process, 1)).toBe(0x0fff_f000_0000_0000n);
    expect(word64(DdtEntry.reserved(), 0)).toBe(0xffc0_0000_0000_03fen);
    expect(word64(PdtEntry.reserved(), 0)).toBe(0xffc0_0000_0000_03fen);
    expect(word64(MsiPte.reserved(), 0)).toBe(0x7fc0_0000_0000_03f8n);
    expect(word64(MsiPte.reserved(), 1)).toBe(0n);
    expect(word64(MsiMrifPte.reserved(), 0)).toBe(0x7fc0_0000_0000_0078n);
    expect(word64(MsiMrifPte.reserved(), 1)).toBe(0xefc0_0000_0000_0000n);
    expect(word64(SvEntry.reserved(everything), 0)).toBe(0x07c0_0000_0000_0000n);
    expect(word64(SvEntry.reserved(nothing), 0)).toBe(0x7fc0_0000_0000_0000n);
    expect(
      word64(
        SvEntry.reserved((c) => c === "Svpbmt"),
        0,
      ),
    ).toBe(0x1fc0_0000_0000_0000n);
  });

  it("capabilities, fctl and ddtp of real IOMMUs", () => {
    // QEMU 11.1's riscv-iommu-pci.
    expect(fields(Capabilities, words(0x78c2_cf4f_10n))).toEqual({
      version: 0x10n,
      Sv32: 1n,
      Sv39: 1n,
      Sv48: 1n,
      Sv57: 1n,
      Svrsw60t59b: 1n,
      Sv32x4: 1n,
      Sv39x4: 1n,
      Sv48x4: 1n,
      Sv57x4: 1n,
      MSI_FLAT: 1n,
      MSI_MRIF: 1n,
      ATS: 1n,
      DBG: 1n,
      HPM: 1n,
      PAS: 56n,
      PD8: 1n,
    });
    // The reference model with two-level directories, AMO_HWAD, T2GPA and END.
    expect(fields(Capabilities, words(0x1_ef87_0e4e_10n))).toMatchObject({ PAS: 47n, PD17: 1n, PD20: 1n });
    expect(fields(Capabilities, words(0x0000_0e00_0000_0000n))).toEqual({ QOSID: 1n, NL: 1n, S: 1n });
    expect(fields(Capabilities, words(0x0000_0000_1f20_8000n))).toEqual({
      Svpbmt: 1n,
      AMO_MRIF: 1n,
      AMO_HWAD: 1n,
      ATS: 1n,
      T2GPA: 1n,
      END: 1n,
      IGS: 1n,
    });
    expect(fields(FeaturesControl, "05000000")).toEqual({ BE: 1n, GXL: 1n });
    expect(fields(DeviceDirectoryPointer, words(0x20e5_c404n))).toEqual({ iommu_mode: 4n, PPN: 0x83971n });
  });

  it("no two fields of a structure share a bit, and all lie inside it", () => {
    for (const structure of RISCV_LAYOUTS) {
      const taken = new Set<number>();
      for (const name of structure.names())
        for (const [high, low] of structure.fields[name]!.parts) {
          expect(high).toBeLessThan(structure.bytes * 8);
          for (let bit = low; bit <= high; bit++) {
            expect(taken.has(bit), `${structure.name} bit ${bit}`).toBe(false);
            taken.add(bit);
          }
        }
    }
  });
});

describe("causes", () => {
  it("are those of the specification's table, in its order", () => {
    expect(RISCV_FAULTS.map((fault) => fault.code)).toEqual([
      1, 4, 5, 6, 7, 12, 13, 15, 20, 21, 23, 256, 257, 258, 259, 260, 261, 262, 263, 264, 265, 266, 267, 268,
      269, 270, 271, 272, 273, 274,
    ]);
  });
});
