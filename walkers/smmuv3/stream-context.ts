import { startLevelOf, TableBase } from "../page-tables/vmsav8-64.ts";
import type { SmmuFeatures } from "./features.ts";
import { granuleOfTg0 } from "./granule.ts";
import { effectiveCdMax, startLevel } from "./rules-ste.ts";
import { CONFIG_BYPASS, CONFIG_NESTED, CONFIG_STAGE1, isTwoLevel, S1FMT_LINEAR, STRW_EL2 } from "./ste.ts";
import type { SteFields } from "./ste-fields.ts";

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

  /** Takes over a valid entry that breaks none of STE_RULES. */
  take(ste: SteFields, features: SmmuFeatures): void {
    const { config } = ste;
    this.config = config;
    this.s1fmt = S1FMT_LINEAR;
    this.s1cdmax = 0;
    if (config < CONFIG_BYPASS) return;
    const hypervisor = config === CONFIG_STAGE1 && features.hyp && ste.strw === STRW_EL2;
    this.hypervisor = hypervisor;
    this.el2 = hypervisor && !features.e2h;
    this.privcfg = features.permissionsOverride ? ste.privcfg : 0;
    this.instcfg = features.permissionsOverride ? ste.instcfg : 0;
    this.ats = features.ats && config !== CONFIG_BYPASS && ste.eats !== 0;
    this.vmid = features.stage2 && config !== CONFIG_BYPASS && !hypervisor ? ste.s2vmid : -1;
    if (ste.stage1) this.#takeStage1(ste, features);
    if (ste.stage2) this.#takeStage2(ste, features);
  }

  #takeStage1(ste: SteFields, features: SmmuFeatures): void {
    this.s1stalld = ste.s1stalld !== 0;
    this.s1pie = features.s1pi && ste.s1pie !== 0;
    this.s1cdmax = effectiveCdMax(ste, features);
    this.s1fmt = this.s1cdmax > 0 && isTwoLevel(ste.s1fmt) ? ste.s1fmt : S1FMT_LINEAR;
    this.s1dss = ste.s1dss;
    this.s1ContextFrame = ste.s1ContextFrame;
    this.s1ContextOffset = ste.s1ContextOffset;
  }

  #takeStage2(ste: SteFields, features: SmmuFeatures): void {
    const { stage2 } = this;
    const granule = granuleOfTg0(features, ste.s2tg);
    const wide = features.ds && ste.s2ds !== 0;
    const outputBits = features.addressBits(ste.s2ps);
    const level = startLevel(ste, granule, features);
    stage2.shape(granule, 64 - ste.s2t0sz, level, outputBits, wide, features.oas >= 52);
    stage2.base(ste.s2ttbFrame, ste.s2ttbOffset, outputBits);
    stage2.littleEndian = ste.s2endi === 0;
    this.s2fwb = features.fwb && ste.s2fwb !== 0;
    this.s2affd = ste.s2affd !== 0;
    this.s2ptw = ste.s2ptw !== 0;
    // {HA, HD} of 0b01 behaves as 0b00.
    this.s2ha = ste.s2ha !== 0;
    this.s2hd = ste.s2hd !== 0 && this.s2ha;
    this.s2r = ste.s2r !== 0;
    this.s2s = ste.s2s !== 0;
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
