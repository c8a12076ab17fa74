import { startLevelOf, TableBase } from "../page-tables/vmsav8-64.ts";
import { stage2StartLevel } from "../page-tables/vmsav8-64-stage2.ts";
import type { SmmuFeatures } from "./features.ts";
import { granuleOfTg0 } from "./granule.ts";
import {
  CONFIG_BYPASS,
  CONFIG_NESTED,
  CONFIG_STAGE1,
  S1FMT_4K_L2,
  S1FMT_64K_L2,
  S1FMT_LINEAR,
  STRW_EL1,
  STRW_EL2,
  Ste,
} from "./ste.ts";

const v = Ste.reader("V");
const cont = Ste.reader("CONT");
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
  /** log2 of the STEs that this one says to be like, itself among them. */
  cont = 0;
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
  /** Effective STRW: STRW_EL1 where it is IGNORED. */
  world = STRW_EL1;
  /** EATS where it is not IGNORED, else 0. */
  eats = 0;
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

  /** Stage 2 as its fields have it, sound or not; `stage2` is of a sound one. */
  s2aa64 = false;
  s2bigEndian = false;
  s2haft = false;
  s2ds = false;
  s2tg = 0;
  /** log2, or 0 where S2TG is reserved or its granule is not implemented. */
  s2granule = 0;
  s2t0sz = 0;
  /** NaN: S2SL0 is a reserved encoding. */
  s2startLevel = 0;
  s2outputBits = 0;
  s2ttbFrame = 0;

  /** The device may keep translations by itself. */
  get ats(): boolean {
    return this.eats !== 0;
  }

  get stage1Enabled(): boolean {
    return (this.config & 5) === 5;
  }

  get stage2Enabled(): boolean {
    return (this.config & 6) === 6;
  }

  static valid(view: DataView, at: number): boolean {
    return v(view, at) !== 0;
  }

  /** Decodes an STE, whose V is 1, at byte `at` of `view`, whatever rules it breaks (rules-ste.ts). */
  decode(view: DataView, at: number, features: SmmuFeatures): void {
    this.config = config(view, at);
    this.cont = cont(view, at);
    this.s1fmt = S1FMT_LINEAR;
    this.s1cdmax = 0;
    if (this.config < CONFIG_BYPASS) return;
    this.s2s = s2s(view, at) !== 0;
    // IgnoreSTESTRW: STRW counts for stage 1 alone, and only where EL2 regimes exist.
    this.world = this.config === CONFIG_STAGE1 && features.hyp ? strw(view, at) : STRW_EL1;
    this.hypervisor = this.world === STRW_EL2;
    this.el2 = this.hypervisor && !features.e2h;
    this.privcfg = features.permissionsOverride ? privcfg(view, at) : 0;
    this.instcfg = features.permissionsOverride ? instcfg(view, at) : 0;
    this.eats = features.ats && this.config !== CONFIG_BYPASS ? eats(view, at) : 0;
    const tagged = features.stage2 && this.config !== CONFIG_BYPASS && !this.hypervisor;
    this.vmid = tagged ? s2vmid(view, at) : -1;
    if (this.stage1Enabled) this.#decodeStage1(view, at, features);
    if (this.stage2Enabled) this.#decodeStage2(view, at, features);
  }

  #decodeStage1(view: DataView, at: number, features: SmmuFeatures): void {
    this.s1stalld = s1stalld(view, at) !== 0;
    this.s1pie = features.s1pi && s1pie(view, at) !== 0;
    // Without substreams, S1CDMax is IGNORED and S1ContextPtr points at one descriptor.
    this.s1cdmax = features.ssidSize === 0 ? 0 : s1cdmax(view, at);
    const format = s1fmt(view, at);
    const twoLevel = this.s1cdmax > 0 && (format === S1FMT_4K_L2 || format === S1FMT_64K_L2);
    this.s1fmt = twoLevel ? format : S1FMT_LINEAR;
    this.s1dss = s1dss(view, at);
    this.s1ContextFrame = s1ContextFrame(view, at);
    this.s1ContextOffset = s1ContextOffset(view, at);
  }

  #decodeStage2(view: DataView, at: number, features: SmmuFeatures): void {
    this.s2aa64 = s2aa64(view, at) !== 0;
    this.s2bigEndian = s2endi(view, at) !== 0;
    this.s2ha = s2ha(view, at) !== 0;
    this.s2hd = s2hd(view, at) !== 0;
    this.s2haft = s2haft(view, at) !== 0;
    this.s2ds = features.ds && s2ds(view, at) !== 0;
    this.s2tg = s2tg(view, at);
    this.s2granule = granuleOfTg0(features, this.s2tg);
    this.s2t0sz = s2t0sz(view, at);
    this.s2outputBits = features.addressBits(s2ps(view, at));
    this.s2ttbFrame = s2ttbFrame(view, at);
    const sl = s2sl0(view, at) | (this.s2ds ? s2sl02(view, at) << 2 : 0);
    const granule = this.s2granule;
    this.s2startLevel =
      granule === 0
        ? Number.NaN
        : stage2StartLevel(granule, granule === 12 ? sl : sl & 3, this.s2ds, features.oas, features.stt);
    this.s2fwb = features.fwb && s2fwb(view, at) !== 0;
    this.s2affd = s2affd(view, at) !== 0;
    this.s2ptw = s2ptw(view, at) !== 0;
    this.s2r = s2r(view, at) !== 0;
  }

  /** Makes the tables of stage 2 of an entry that breaks no rule: where they begin, and their shape. */
  useStage2(view: DataView, at: number, features: SmmuFeatures): void {
    const { s2granule, s2t0sz, s2startLevel, s2outputBits } = this;
    this.stage2.shape(s2granule, 64 - s2t0sz, s2startLevel, s2outputBits, this.s2ds, features.oas >= 52);
    this.stage2.base(this.s2ttbFrame, s2ttbOffset(view, at), s2outputBits);
    this.stage2.littleEndian = !this.s2bigEndian;
    // {HA, HD} of 0b01 behaves as 0b00.
    this.s2hd = this.s2hd && this.s2ha;
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
    this.cont = 0;
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
    this.eats = 0;
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
    this.cont = 0;
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
