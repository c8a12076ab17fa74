import { CONFIG_BYPASS, Ste } from "./ste.ts";

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

/**
 * A stream table entry's fields as its bits have them, those that its Config makes the SMMU look at: each is read once,
 * for the rules (rules-ste.ts) and for what walks need (stream-context.ts). Reused.
 */
export class SteFields {
  valid = 0;
  config = 0;
  stage1 = false;
  stage2 = false;
  s1fmt = 0;
  s1ContextFrame = 0;
  s1ContextOffset = 0;
  s1cdmax = 0;
  s1dss = 0;
  s1stalld = 0;
  s1pie = 0;
  eats = 0;
  strw = 0;
  privcfg = 0;
  instcfg = 0;
  s2vmid = 0;
  s2t0sz = 0;
  s2sl0 = 0;
  s2sl02 = 0;
  s2tg = 0;
  s2ps = 0;
  s2aa64 = 0;
  s2endi = 0;
  s2affd = 0;
  s2ptw = 0;
  s2hd = 0;
  s2ha = 0;
  s2s = 0;
  s2r = 0;
  s2haft = 0;
  s2fwb = 0;
  s2ds = 0;
  s2ttbFrame = 0;
  s2ttbOffset = 0;

  /** Reads the entry at byte `at` of `view`. */
  read(view: DataView, at: number): this {
    this.valid = v(view, at);
    this.config = config(view, at);
    this.stage1 = (this.config & 5) === 5;
    this.stage2 = (this.config & 6) === 6;
    if (this.valid === 0 || this.config < CONFIG_BYPASS) return this;
    this.eats = eats(view, at);
    this.strw = strw(view, at);
    this.privcfg = privcfg(view, at);
    this.instcfg = instcfg(view, at);
    this.s2vmid = s2vmid(view, at);
    this.s2s = s2s(view, at);
    if (this.stage1) this.#readStage1(view, at);
    if (this.stage2) this.#readStage2(view, at);
    return this;
  }

  #readStage1(view: DataView, at: number): void {
    this.s1fmt = s1fmt(view, at);
    this.s1ContextFrame = s1ContextFrame(view, at);
    this.s1ContextOffset = s1ContextOffset(view, at);
    this.s1cdmax = s1cdmax(view, at);
    this.s1dss = s1dss(view, at);
    this.s1stalld = s1stalld(view, at);
    this.s1pie = s1pie(view, at);
  }

  #readStage2(view: DataView, at: number): void {
    this.s2t0sz = s2t0sz(view, at);
    this.s2sl0 = s2sl0(view, at);
    this.s2sl02 = s2sl02(view, at);
    this.s2tg = s2tg(view, at);
    this.s2ps = s2ps(view, at);
    this.s2aa64 = s2aa64(view, at);
    this.s2endi = s2endi(view, at);
    this.s2affd = s2affd(view, at);
    this.s2ptw = s2ptw(view, at);
    this.s2hd = s2hd(view, at);
    this.s2ha = s2ha(view, at);
    this.s2r = s2r(view, at);
    this.s2haft = s2haft(view, at);
    this.s2fwb = s2fwb(view, at);
    this.s2ds = s2ds(view, at);
    this.s2ttbFrame = s2ttbFrame(view, at);
    this.s2ttbOffset = s2ttbOffset(view, at);
  }
}
