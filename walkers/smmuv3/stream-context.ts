import { startLevelOf, TableBase } from "../page-tables/vmsav8-64.ts";
import { stage2Consistent, stage2StartLevel } from "../page-tables/vmsav8-64-stage2.ts";
import type { SmmuFeatures } from "./features.ts";
import { granuleOfTg0, maxTxsz, tableAddressBits } from "./granule.ts";
import {
  CONFIG_BYPASS,
  CONFIG_NESTED,
  CONFIG_STAGE1,
  EATS_FULL,
  EATS_FULL_DPT,
  EATS_SPLIT_STAGE,
  S1FMT_4K_L2,
  S1FMT_64K_L2,
  S1FMT_LINEAR,
  STRW_EL1,
  STRW_EL2,
  Ste,
} from "./ste.ts";

const v = Ste.reader("V");
const config = Ste.reader("Config");
const s1fmt = Ste.reader("S1Fmt");
const s1ContextFrame = Ste.reader("S1ContextPtr");
const s1ContextOffset = Ste.offsetReader("S1ContextPtr");
const s1cdmax = Ste.reader("S1CDMax");
const s1dss = Ste.reader("S1DSS");
const s2fwb = Ste.reader("S2FWB");
const s1stalld = Ste.reader("S1STALLD");
const s1pie = Ste.reader("S1PIE");
const eats = Ste.reader("EATS");
const strw = Ste.reader("STRW");
const privcfg = Ste.reader("PRIVCFG");
const instcfg = Ste.reader("INSTCFG");
const s2vmid = Ste.reader("S2VMID");
const s2t0sz = Ste.reader("S2T0SZ");
const s2sl0 = Ste.reader("S2SL0");
const s2sl02 = Ste.reader("S2SL0_2");
const s2tg = Ste.reader("S2TG");
const s2ps = Ste.reader("S2PS");
const s2aa64 = Ste.reader("S2AA64");
const s2endi = Ste.reader("S2ENDI");
const s2affd = Ste.reader("S2AFFD");
const s2ptw = Ste.reader("S2PTW");
const s2hd = Ste.reader("S2HD");
const s2ha = Ste.reader("S2HA");
const s2s = Ste.reader("S2S");
const s2r = Ste.reader("S2R");
const s2haft = Ste.reader("S2HAFT");
const s2ds = Ste.reader("S2DS");
const s2ttbFrame = Ste.reader("S2TTB");
const s2ttbOffset = Ste.offsetReader("S2TTB");

/** A valid stream table entry, decoded: everything that later steps need of it. */
export class StreamContext {
  /** STE.Config: 0 to 3 abort, 4 bypass, 5 stage 1, 6 stage 2, 7 both. */
  config = 0;
  /** Effective format and extent of the context descriptor table: 0 substreams make it one descriptor. */
  s1fmt = S1FMT_LINEAR;
  s1cdmax = 0;
  s1dss = 0;
  s1ContextFrame = 0;
  s1ContextOffset = 0;
  s1stalld = false;
  /** Permission indirection, which is not modelled, is enabled where the CD enables it, too. */
  s1pie = false;
  /** StreamWorld is any-EL2 without E2H: one privilege level, TTB0 alone, no ASID. */
  el2 = false;
  /** StreamWorld is any-EL2 or any-EL2-E2H: a translation regime of its own (3.17). */
  hypervisor = false;
  /** Effective PRIVCFG and INSTCFG: 0 where the incoming attribute is used. */
  privcfg = 0;
  instcfg = 0;
  /** EATS: the device may keep translations by itself. */
  ats = false;
  /** S2VMID, or -1 where translations are not tagged with it. */
  vmid = -1;

  readonly stage2 = new TableBase();
  s2fwb = false;
  s2affd = false;
  s2ptw = false;
  s2ha = false;
  s2hd = false;
  s2r = true;
  s2s = false;

  get stage1Enabled(): boolean {
    return (this.config & 5) === 5;
  }

  get stage2Enabled(): boolean {
    return (this.config & 6) === 6;
  }

  /**
   * Decodes an STE at byte `at` of `view`.
   * @returns false where it is not valid, or ILLEGAL (IHI 0070 5.2.2, SteIllegal, for a Non-secure stream)
   */
  decode(view: DataView, at: number, features: SmmuFeatures): boolean {
    if (v(view, at) === 0) return false;
    this.config = config(view, at);
    this.s1fmt = S1FMT_LINEAR;
    this.s1cdmax = 0;
    if (this.config < CONFIG_BYPASS) return true;
    if (this.stage1Enabled && !features.stage1) return false;
    if (this.stage2Enabled && !features.stage2) return false;
    // IgnoreSTESTRW: STRW counts for stage 1 alone, and only where EL2 regimes exist.
    const strwUsed = this.config === CONFIG_STAGE1 && features.hyp;
    const world = strwUsed ? strw(view, at) : STRW_EL1;
    if (atsIllegal(view, at, this.config, world, features)) return false;
    if ((world & 1) !== 0) return false;
    const hypervisor = world === STRW_EL2;
    this.hypervisor = hypervisor;
    this.el2 = hypervisor && !features.e2h;
    this.privcfg = features.permissionsOverride ? privcfg(view, at) : 0;
    this.instcfg = features.permissionsOverride ? instcfg(view, at) : 0;
    this.ats = features.ats && this.config !== CONFIG_BYPASS && eats(view, at) !== 0;
    this.vmid = -1;
    if (features.stage2 && this.config !== CONFIG_BYPASS && !hypervisor) {
      this.vmid = s2vmid(view, at);
      if (!features.vmid16 && this.vmid > 0xff) return false;
    }
    if (this.stage1Enabled && !this.#decodeStage1(view, at, features)) return false;
    return !this.stage2Enabled || this.#decodeStage2(view, at, features);
  }

  #decodeStage1(view: DataView, at: number, features: SmmuFeatures): boolean {
    this.s1stalld = s1stalld(view, at) !== 0;
    this.s1pie = features.s1pi && s1pie(view, at) !== 0;
    if (this.s1stalld && features.stallModel !== 0) return false;
    // Without substreams, S1CDMax is IGNORED and S1ContextPtr points at one descriptor.
    const cdmax = features.ssidSize === 0 ? 0 : s1cdmax(view, at);
    if (cdmax > features.ssidSize) return false;
    const format = s1fmt(view, at);
    const twoLevel = cdmax > 0 && (format === S1FMT_4K_L2 || format === S1FMT_64K_L2);
    if (twoLevel && !features.cd2l) return false;
    this.s1cdmax = cdmax;
    this.s1fmt = twoLevel ? format : S1FMT_LINEAR;
    this.s1dss = s1dss(view, at);
    this.s1ContextFrame = s1ContextFrame(view, at);
    this.s1ContextOffset = s1ContextOffset(view, at);
    // 3.4.3 note 1. As an IPA it may go to stage 2 untruncated (note 2b), which then says where it leads.
    return this.stage2Enabled || this.s1ContextFrame < 2 ** (features.oas - 12);
  }

  #decodeStage2(view: DataView, at: number, features: SmmuFeatures): boolean {
    this.s2s = s2s(view, at) !== 0;
    if (features.stallModel === 1 && this.s2s) return false;
    if (features.stallModel === 2 && !this.s2s) return false;
    // VMSAv8-32 LPAE is not among the formats known here (SmmuFeatures).
    if (s2aa64(view, at) === 0 || !features.vmsav864) return false;
    const ha = s2ha(view, at) !== 0;
    const hd = s2hd(view, at) !== 0;
    if ((ha || hd) && features.httu === 0) return false;
    if (hd && features.httu === 1) return false;
    if (features.httu === 3 && s2haft(view, at) !== 0 && !ha) return false;
    const granule = granuleOfTg0(features, s2tg(view, at));
    if (granule === 0) return false;
    const bigEndian = s2endi(view, at) !== 0;
    if (bigEndian ? !features.bigEndianTables : !features.littleEndianTables) return false;
    const ds = features.ds && s2ds(view, at) !== 0;
    const outputBits = features.addressBits(s2ps(view, at));
    const ttb = s2ttbFrame(view, at);
    if (ttb >= 2 ** (Math.min(outputBits, tableAddressBits(granule, ds)) - 12)) return false;
    const txsz = s2t0sz(view, at);
    if (txsz > maxTxsz(features, granule) || txsz < minS2T0sz(features, granule, ds)) return false;
    const sl = s2sl0(view, at) | (ds ? s2sl02(view, at) << 2 : 0);
    const startLevel = stage2StartLevel(
      granule,
      granule === 12 ? sl : sl & 3,
      ds,
      features.oas,
      features.stt,
    );
    // A start level of NaN, for a reserved encoding, fits nothing.
    if (!stage2Consistent(granule, 64 - txsz, startLevel)) return false;
    this.stage2.shape(granule, 64 - txsz, startLevel, outputBits, ds, features.oas >= 52);
    this.stage2.base(ttb, s2ttbOffset(view, at), outputBits);
    this.stage2.littleEndian = !bigEndian;
    this.s2fwb = features.fwb && s2fwb(view, at) !== 0;
    this.s2affd = s2affd(view, at) !== 0;
    this.s2ptw = s2ptw(view, at) !== 0;
    // {HA, HD} of 0b01 behaves as 0b00.
    this.s2ha = ha;
    this.s2hd = hd && ha;
    this.s2r = s2r(view, at) !== 0;
    return true;
  }

  /** The stage 1 of a bound device: what a driver would put into the STE for this table. */
  bindStage1(
    frame: number,
    offset: number,
    format: number,
    cdmax: number,
    dss: number,
    features: SmmuFeatures,
  ): void {
    this.config = CONFIG_STAGE1;
    this.s1cdmax = Math.min(cdmax, features.ssidSize);
    // Without substreams, S1Fmt is IGNORED.
    this.s1fmt = this.s1cdmax > 0 ? format : S1FMT_LINEAR;
    this.s1dss = dss;
    this.s1ContextFrame = frame;
    this.s1ContextOffset = offset;
    this.s1stalld = false;
    this.s1pie = features.s1pi;
    this.hypervisor = false;
    this.el2 = false;
    this.privcfg = 0;
    this.instcfg = 0;
    this.ats = false;
    this.vmid = -1;
  }

  /**
   * The stage 2 of a bound device.
   * @param startLevel NaN: the one that needs no concatenated tables
   */
  bindStage2(
    frame: number,
    offset: number,
    granule: number,
    inputBits: number,
    startLevel: number,
    vmid: number,
    features: SmmuFeatures,
  ): void {
    const level = Number.isNaN(startLevel) ? startLevelOf(granule, inputBits) : startLevel;
    const ds = granule !== 16 && features.ds && inputBits > 48;
    this.config = CONFIG_NESTED;
    this.vmid = vmid;
    this.stage2.shape(granule, inputBits, level, features.oas, ds, features.oas >= 52);
    this.stage2.base(frame, offset, features.oas);
    this.stage2.littleEndian = true;
    this.s2fwb = false;
    this.s2affd = false;
    this.s2ptw = false;
    this.s2ha = false;
    this.s2hd = false;
    this.s2r = true;
    this.s2s = false;
  }
}

/** 5.2 EATS: what makes it ILLEGAL, where it is not IGNORED. */
function atsIllegal(
  view: DataView,
  at: number,
  config: number,
  world: number,
  features: SmmuFeatures,
): boolean {
  if (!features.ats || config === CONFIG_BYPASS) return false;
  const mode = eats(view, at);
  const stalls = s2s(view, at) !== 0;
  if (mode === EATS_SPLIT_STAGE) return config !== CONFIG_NESTED || stalls || !features.splitStageAts;
  // Without DPT, the encoding behaves as 0.
  if (mode === EATS_FULL_DPT && !features.dpt) return false;
  if (mode === EATS_FULL_DPT && world !== STRW_EL1) return true;
  return (mode === EATS_FULL || mode === EATS_FULL_DPT) && stalls && (config & 6) === 6;
}

/** 5.2 S2T0SZ. */
function minS2T0sz(features: SmmuFeatures, granule: number, ds: boolean): number {
  const bits = features.v30 ? features.ias : Math.min(features.ias, tableAddressBits(granule, ds));
  return 64 - bits;
}
