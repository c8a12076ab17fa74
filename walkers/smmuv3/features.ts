import { FRAME_SHIFT, framesIn } from "../memory.ts";
import type { IommuState } from "../registers.ts";
import { hasNeed } from "./needs.ts";
import { Aidr, Cr0, Cr2, Gbpa, Idr0, Idr1, Idr3, Idr5, StrtabBase, StrtabBaseCfg } from "./registers.ts";

export const ADDRESS_BITS = [32, 36, 40, 42, 44, 48, 52, 56] as const;
/** Where nothing is known: what VMSAv8-64 tables can give. Wider ones need VMSAv9-128, or pass untranslated. */
const USUAL_ADDRESS_BITS = 52;
const WIDEST_ADDRESS_BITS = 56;

/** SPLIT values of a 2-level stream table; others behave as the first (6.3.25). */
const SPLITS = [6, 8, 10];

const strtabFrame = StrtabBase.reader("ADDR");
const strtabOffset = StrtabBase.offsetReader("ADDR");

/**
 * What the registers and properties of one SMMU come to, in plain numbers. An identification register that is not
 * given reads as every feature that this walker knows: VMSAv8-64 with all granules and 52-bit addresses, both
 * stages, 2-level tables, HTTU, ATS and both fault models. VMSAv8-32 LPAE, VMSAv9-128, permission indirection, DPT
 * and MPAM are not among them.
 */
export class SmmuFeatures {
  // Implementation
  stage1 = true;
  stage2 = true;
  vmsav864 = true;
  /** IDR0.TTF: VMSAv8-32 LPAE tables, which are not modelled. */
  lpae = false;
  /** IDR0.HTTU: 0 none, 1 access flag, 2 and dirty state, 3 and the access flag of table descriptors. */
  httu = 3;
  hyp = true;
  ats = true;
  /** Translated transactions are checked against the STE. */
  checksTranslated = true;
  /** Configuration errors of ATS requests are recorded. */
  recordAtsErrors = true;
  /** IDR3.PASIDTT: what has been translated may have a SubstreamID. */
  translatedPasids = false;
  splitStageAts = true;
  asid16 = true;
  vmid16 = true;
  cd2l = true;
  littleEndianTables = true;
  bigEndianTables = true;
  /** IDR0.STALL_MODEL: 0 both, 1 terminate only, 2 stall only. */
  stallModel = 0;
  terminateAborts = false;
  twoLevelStreams = true;
  ssidSize = 20;
  sidSize = 32;
  permissionsOverride = true;
  had = true;
  xnx = true;
  fwb = true;
  stt = true;
  e0pd = true;
  epan = true;
  /** IDR3.DPT: no more than a reason to refuse an STE here (5.2 EATS). */
  dpt = false;
  /** IDR3.S1PI, S2PI and S2PO: not modelled, but what enables them is pointed at. */
  s1pi = false;
  s2pi = false;
  s2po = false;
  gran4k = true;
  gran16k = true;
  gran64k = true;
  ds = true;
  /** IDR5.VAX: 52-bit input addresses. */
  vax = true;
  /** Output address size in bits, and the most input address bits of stage 2 (3.4: OAS and IAS). */
  oas = USUAL_ADDRESS_BITS;
  ias = USUAL_ADDRESS_BITS;
  /** First 4 KiB frame number beyond the output address size. */
  frameLimit = 2 ** (USUAL_ADDRESS_BITS - FRAME_SHIFT);
  /** SMMUv3.0: addresses of 48 bits. */
  v30 = false;
  /** The same of intermediate addresses: of the IAS. */
  ipaLimit = 2 ** (USUAL_ADDRESS_BITS - FRAME_SHIFT);

  // Control
  enabled = true;
  eventQueue = true;
  abortWhenDisabled = false;
  e2h = true;
  recordBadStreamId = true;
  strtabFrame = 0;
  strtabOffset = 0;
  streamBits = 32;
  /** StreamIDs are below this. */
  streamLimit = 2 ** 32;
  /** 0: a linear stream table. */
  split = 0;

  /** Whether it has what a field of a configuration structure needs. */
  has: (need: string) => boolean = () => true;

  configure(state: IommuState): void {
    const known = state.clone();
    this.has = (need) => hasNeed(known, need);
    this.#implementation(state);
    this.#control(state);
    this.#streamTable(state);
  }

  /** Bits of an IPS, S2PS or OAS encoding (5.4 IPS): never more than the output address size. */
  addressBits(code: number): number {
    const bits = ADDRESS_BITS[code]!;
    return Math.min(this.v30 ? Math.min(bits, 48) : bits, this.oas);
  }

  #implementation(state: IommuState): void {
    const idr0 = (field: Parameters<typeof Idr0.reader>[0], absent: number) =>
      state.capability("idr0", Idr0, field, absent);
    const idr1 = (field: Parameters<typeof Idr1.reader>[0], absent: number) =>
      state.capability("idr1", Idr1, field, absent);
    const idr3 = (field: Parameters<typeof Idr3.reader>[0]) => state.capability("idr3", Idr3, field, 1) !== 0;
    const idr5 = (field: Parameters<typeof Idr5.reader>[0], absent: number) =>
      state.capability("idr5", Idr5, field, absent);

    this.v30 =
      state.capability("aidr", Aidr, "ArchMajorRev", 0) === 0 &&
      state.capability("aidr", Aidr, "ArchMinorRev", 4) === 0;
    this.stage1 = idr0("S1P", 1) !== 0;
    this.stage2 = idr0("S2P", 1) !== 0;
    const formats = idr0("TTF", 2);
    this.vmsav864 = (formats & 2) !== 0;
    this.lpae = (formats & 1) !== 0;
    // A host that says only "yes" has the access flag and the dirty state.
    this.httu = state.props.get("httu") === true ? 2 : idr0("HTTU", 3);
    this.hyp = idr0("HYP", 1) !== 0;
    this.ats = idr0("ATS", 1) !== 0;
    this.splitStageAts = idr0("NS1ATS", 0) === 0;
    this.asid16 = (state.property("asid_bits") ?? (idr0("ASID16", 1) !== 0 ? 16 : 8)) > 8;
    this.vmid16 = idr0("VMID16", 1) !== 0;
    this.cd2l = idr0("CD2L", 1) !== 0;
    const endian = idr0("TTENDIAN", 0);
    this.littleEndianTables = endian !== 3;
    this.bigEndianTables = endian !== 2;
    const stall = state.property("stall");
    this.stallModel = stall === undefined ? idr0("STALL_MODEL", 0) : stall !== 0 ? 0 : 1;
    this.terminateAborts = idr0("TERM_MODEL", 0) !== 0;
    this.twoLevelStreams = idr0("ST_LEVEL", 1) !== 0;

    this.sidSize = Math.min(idr1("SIDSIZE", 32), 32);
    const ssid = state.property("ssid_bits") ?? state.property("pasid_bits") ?? idr1("SSIDSIZE", 20);
    this.ssidSize = Math.min(ssid, 20);
    this.permissionsOverride = idr1("ATTR_PERMS_OVR", 1) !== 0;

    this.had = idr3("HAD");
    this.xnx = idr3("XNX");
    this.fwb = idr3("FWB");
    this.stt = idr3("STT");
    this.e0pd = idr3("E0PD");
    this.epan = idr3("EPAN");
    const stated = (field: "DPT" | "PASIDTT" | "S1PI" | "S2PI" | "S2PO") =>
      state.capability("idr3", Idr3, field, 0) !== 0;
    this.dpt = stated("DPT");
    this.translatedPasids = stated("PASIDTT");
    this.s1pi = stated("S1PI");
    this.s2pi = stated("S2PI");
    this.s2po = stated("S2PO");

    this.gran4k = idr5("GRAN4K", 1) !== 0;
    this.gran16k = idr5("GRAN16K", 1) !== 0;
    this.gran64k = idr5("GRAN64K", 1) !== 0;
    this.ds = idr5("DS", 1) !== 0;
    const inputBits = state.property("input_bits");
    this.vax = inputBits === undefined ? idr5("VAX", 1) !== 0 : inputBits > 48;
    this.oas = Math.min(state.property("output_bits") ?? ADDRESS_BITS[idr5("OAS", 6)]!, WIDEST_ADDRESS_BITS);
    this.frameLimit = 2 ** (this.oas - FRAME_SHIFT);
    // 3.4: VMSAv8-32 always has 40-bit intermediate addresses.
    this.ias = Math.max(this.lpae ? 40 : 0, this.vmsav864 ? this.oas : 0);
    this.ipaLimit = 2 ** (this.ias - FRAME_SHIFT);
  }

  #control(state: IommuState): void {
    this.enabled = state.field("cr0", Cr0, "SMMUEN", 1) !== 0;
    this.eventQueue = state.field("cr0", Cr0, "EVENTQEN", 1) !== 0;
    this.abortWhenDisabled = state.field("gbpa", Gbpa, "ABORT", 0) !== 0;
    this.e2h = state.field("cr2", Cr2, "E2H", 1) !== 0;
    this.recordBadStreamId = state.field("cr2", Cr2, "RECINVSID", 1) !== 0;
    this.checksTranslated = state.field("cr0", Cr0, "ATSCHK", 1) !== 0;
    this.recordAtsErrors = state.field("cr2", Cr2, "REC_CFG_ATS", 1) !== 0;
  }

  #streamTable(state: IommuState): void {
    const log2size = state.field("strtab_base_cfg", StrtabBaseCfg, "LOG2SIZE", this.sidSize);
    const twoLevel = this.twoLevelStreams && state.field("strtab_base_cfg", StrtabBaseCfg, "FMT", 0) === 1;
    const split = state.field("strtab_base_cfg", StrtabBaseCfg, "SPLIT", SPLITS[0]!);
    this.split = !twoLevel ? 0 : SPLITS.includes(split) ? split : SPLITS[0]!;
    this.streamBits = Math.min(log2size, this.sidSize);
    this.streamLimit = 2 ** this.streamBits;
    // 6.3.24: the base is aligned by the literal LOG2SIZE: to the linear table, or to the level 1 table or 64 bytes.
    const table = twoLevel ? Math.max(6, log2size - this.split + 3) : log2size + 6;
    // Without the register the table's size is not known, and its base is taken as it stands.
    const align = state.has("strtab_base_cfg") ? table : 6;
    const base = new DataView(new ArrayBuffer(8));
    base.setInt32(0, state.lo("strtab_base"), true);
    base.setInt32(4, state.hi("strtab_base"), true);
    this.strtabFrame = alignFrame(strtabFrame(base, 0), align);
    this.strtabOffset = alignOffset(strtabOffset(base, 0), align);
  }
}

/** Frame number of an address aligned down to 2^align bytes; of more bytes than there are addresses, 0. */
export function alignFrame(frame: number, align: number): number {
  if (align >= 64) return 0;
  return align > 12 ? frame - (frame % framesIn(align)) : frame;
}

/** Offset in its frame of an address aligned down to 2^align bytes. */
export function alignOffset(offset: number, align: number): number {
  return align >= 12 ? 0 : offset & -(1 << align);
}
