/**
 * What the registers and properties of one RISC-V IOMMU say, as plain numbers for the walk.
 */
import { FRAME_SHIFT } from "../memory.ts";
import { guestBits, SV32_LEVELS, SVPBMT, SVRSW60T59B } from "../page-tables/riscv-sv.ts";
import type { IommuState } from "../registers.ts";
import {
  BaseDeviceContext,
  DeviceContextLayout,
  PPN_ADDRESS_BITS,
  PROCESS_ID_BITS,
  QOSID,
} from "./layouts.ts";
import { Capabilities, DDTP_3LVL, DeviceDirectoryPointer, FeaturesControl } from "./registers.ts";

/** 1.0.0 as ratified, the first release; later ones are dated in their prefaces. */
const RELEASE_1_0 = 20230725;
/** An MSI page table without a second stage is reserved, and refusing the entry recommended. */
export const RELEASE_MSI_NEEDS_SECOND_STAGE = 20260222;

type CapabilityBit = Exclude<keyof typeof Capabilities.fields, "custom" | "version" | "IGS" | "PAS">;

export class RiscvConfig {
  /** ddtp.iommu_mode, and the root of the device directory. */
  ddtMode = DDTP_3LVL;
  ddtFrame = 0;
  /** fctl.BE and fctl.GXL, and whether software can change them (1) or not (0). */
  be = 0;
  gxl = 0;
  beWritable = 1;
  gxlWritable = 1;
  /** Capabilities, 0 or 1. */
  sv32 = 1;
  sv39 = 1;
  sv48 = 1;
  sv57 = 1;
  sv32x4 = 1;
  sv39x4 = 1;
  sv48x4 = 1;
  sv57x4 = 1;
  svpbmt = 1;
  svrsw60t59b = 1;
  msiFlat = 1;
  msiMrif = 1;
  amoHwad = 1;
  ats = 1;
  t2gpa = 1;
  end = 1;
  pd8 = 1;
  pd17 = 1;
  pd20 = 1;
  qosid = 1;
  /** Number of 4 KiB frames in the physical address space (capabilities.PAS, or the host's `output_bits`). */
  frameLimit = 2 ** (PPN_ADDRESS_BITS - FRAME_SHIFT);
  /** process_ids from here on are beyond what the host publishes (`pasid_bits`). */
  processIdLimit = 2 ** PROCESS_ID_BITS;
  /** A bound device's context is not in the trace; `httu` says whether it enables updates of A and D. */
  boundHardwareUpdates = 0;
  /** Release of the specification that the IOMMU follows, as a date: capabilities.version is 1.0 in all of them. */
  release = RELEASE_1_0;
  /** 32-bit words of the reserved bits of device contexts, in the format that there are. */
  deviceReserved = DeviceContextLayout.reserved();

  configure(state: IommuState): void {
    const ddtp = (field: "iommu_mode" | "PPN", absent: number) =>
      state.field("ddtp", DeviceDirectoryPointer, field, absent);
    this.ddtMode = ddtp("iommu_mode", DDTP_3LVL);
    this.ddtFrame = ddtp("PPN", 0);
    this.be = state.field("fctl", FeaturesControl, "BE", 0);
    this.gxl = state.field("fctl", FeaturesControl, "GXL", 0);
    this.beWritable = state.property("be_writable") ?? 1;
    this.gxlWritable = state.property("gxl_writable") ?? 1;
    this.#capabilities(state);
    const pas =
      state.property("output_bits") ??
      state.capability("capabilities", Capabilities, "PAS", PPN_ADDRESS_BITS);
    this.frameLimit = 2 ** (Math.max(pas, FRAME_SHIFT) - FRAME_SHIFT);
    this.processIdLimit = 2 ** Math.min(state.property("pasid_bits") ?? PROCESS_ID_BITS, PROCESS_ID_BITS);
    this.release = state.property("spec_release") ?? RELEASE_1_0;
    const httu = state.property("httu");
    this.boundHardwareUpdates = httu ? 1 : 0;
    // A property overrides what a register says.
    if (httu !== undefined) this.amoHwad = this.boundHardwareUpdates;
    // RISC-V IOMMU 1.0, MSI address mask and pattern: MGPAW.
    const levels = this.sv57x4 ? 5 : this.sv48x4 ? 4 : this.sv39x4 ? 3 : this.sv32x4 ? SV32_LEVELS : 0;
    const mgpaw = levels === 0 ? pas : guestBits(levels);
    this.deviceReserved = this.msiFlat
      ? this.#extendedReserved(Math.max(mgpaw - FRAME_SHIFT, 0))
      : BaseDeviceContext.reserved(this.has);
  }

  /** Of MSI address mask and pattern, bits 51 : MGPAW - 12 are reserved. */
  #extendedReserved(pageBits: number): Uint32Array {
    const words = DeviceContextLayout.reserved(this.has);
    for (const field of ["msi_addr_mask", "msi_addr_pattern"] as const) {
      const [high, low] = DeviceContextLayout.fields[field].parts[0]!;
      for (let bit = low + pageBits; bit <= high; bit++) words[bit >> 5]! |= 1 << (bit & 31);
    }
    return words;
  }

  /** For `Layout.reserved`: whether the IOMMU has the capability that a field needs. */
  readonly has = (capability: string): boolean => {
    if (capability === SVPBMT) return this.svpbmt !== 0;
    if (capability === SVRSW60T59B) return this.svrsw60t59b !== 0;
    return capability === QOSID && this.qosid !== 0;
  };

  #capabilities(state: IommuState): void {
    const bit = (field: CapabilityBit) => state.capability("capabilities", Capabilities, field, 1);
    this.sv32 = bit("Sv32");
    this.sv39 = bit("Sv39");
    this.sv48 = bit("Sv48");
    this.sv57 = bit("Sv57");
    this.sv32x4 = bit("Sv32x4");
    this.sv39x4 = bit("Sv39x4");
    this.sv48x4 = bit("Sv48x4");
    this.sv57x4 = bit("Sv57x4");
    this.svpbmt = bit("Svpbmt");
    this.svrsw60t59b = bit("Svrsw60t59b");
    this.msiFlat = bit("MSI_FLAT");
    this.msiMrif = bit("MSI_MRIF");
    this.amoHwad = bit("AMO_HWAD");
    this.ats = bit("ATS");
    this.t2gpa = bit("T2GPA");
    this.end = bit("END");
    this.pd8 = bit("PD8");
    this.pd17 = bit("PD17");
    this.pd20 = bit("PD20");
    this.qosid = bit("QOSID");
  }
}
