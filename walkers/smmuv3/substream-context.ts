import { startLevelOf, TableBase } from "../page-tables/vmsav8-64.ts";
import { Cd } from "./cd.ts";
import type { SmmuFeatures } from "./features.ts";
import { granuleOfTg0, granuleOfTg1 } from "./granule.ts";
import type { StreamContext } from "./stream-context.ts";

const v = Cd.reader("V");
const t0sz = Cd.reader("T0SZ");
const t1sz = Cd.reader("T1SZ");
const tg0 = Cd.reader("TG0");
const tg1 = Cd.reader("TG1");
const epd0 = Cd.reader("EPD0");
const epd1 = Cd.reader("EPD1");
const endi = Cd.reader("ENDI");
const ips = Cd.reader("IPS");
const affd = Cd.reader("AFFD");
const wxn = Cd.reader("WXN");
const tbi0 = Cd.reader("TBI0");
const tbi1 = Cd.reader("TBI1");
const pan = Cd.reader("PAN");
const aa64 = Cd.reader("AA64");
const hd = Cd.reader("HD");
const ha = Cd.reader("HA");
const haft = Cd.reader("HAFT");
const s = Cd.reader("S");
const r = Cd.reader("R");
const a = Cd.reader("A");
const asid = Cd.reader("ASID");
const had0 = Cd.reader("HAD0");
const had1 = Cd.reader("HAD1");
const e0pd0 = Cd.reader("E0PD0");
const e0pd1 = Cd.reader("E0PD1");
const epan = Cd.reader("EPAN");
const ds = Cd.reader("DS");
const ttb0Frame = Cd.reader("TTB0");
const ttb0Offset = Cd.offsetReader("TTB0");
const ttb1Frame = Cd.reader("TTB1");
const ttb1Offset = Cd.offsetReader("TTB1");

/** One half of the input address space: TTB0's or TTB1's. */
export class AddressHalf {
  /** False where EPDx disables it, or where the regime has no TTB1. */
  enabled = false;
  topByteIgnored = false;
  hierarchical = true;
  /** E0PDx: unprivileged accesses fault. */
  noUnprivileged = false;
  readonly tables = new TableBase();

  /** As the descriptor's fields have them, sound or not; `tables` are of a sound half. */
  tg = 0;
  /** log2, or 0 where TG is reserved or its granule is not implemented. */
  granule = 0;
  txsz = 0;
  ttbFrame = 0;
}

/** A valid context descriptor, decoded; or the stage 1 bypass of a transaction without SubstreamID. */
export class SubstreamContext {
  /** STE.S1DSS bypasses stage 1 for this transaction. */
  bypass = false;
  readonly low = new AddressHalf();
  readonly high = new AddressHalf();
  /** StreamWorld is any-EL2 without E2H. */
  onePrivilege = false;
  affd = false;
  wxn = false;
  pan = false;
  epan = false;
  ha = false;
  hardwareDirty = false;
  r = true;
  s = false;
  /** ASID, or -1 where the regime has none. */
  asid = -1;
  a = true;
  aa64 = true;
  bigEndian = false;
  hd = false;
  haft = false;
  ds = false;
  outputBits = 0;

  static valid(view: DataView, at: number): boolean {
    return v(view, at) !== 0;
  }

  /** Decodes a CD, whose V is 1, at byte `at` of `view`, whatever rules it breaks (rules-cd.ts). */
  decode(view: DataView, at: number, stream: StreamContext, features: SmmuFeatures): void {
    this.bypass = false;
    this.onePrivilege = stream.el2;
    this.s = s(view, at) !== 0;
    this.r = r(view, at) !== 0;
    this.a = a(view, at) !== 0;
    this.aa64 = aa64(view, at) !== 0;
    this.bigEndian = endi(view, at) !== 0;
    this.ha = ha(view, at) !== 0;
    this.hd = hd(view, at) !== 0;
    this.haft = haft(view, at) !== 0;
    // {HD, HA} of 0b10 behaves as 0b00.
    this.hardwareDirty = this.hd && this.ha;
    this.asid = stream.el2 ? -1 : asid(view, at);
    this.affd = affd(view, at) !== 0;
    this.wxn = wxn(view, at) !== 0;
    this.pan = pan(view, at) !== 0;
    this.epan = features.epan && epan(view, at) !== 0;
    this.ds = features.ds && ds(view, at) !== 0;
    this.outputBits = features.addressBits(ips(view, at));
    this.#decodeLow(view, at, features);
    this.#decodeHigh(view, at, features);
  }

  /** With one privilege level EPD0 and EPD1 are IGNORED, and TTB1 is unreachable. */
  #decodeLow(view: DataView, at: number, features: SmmuFeatures): void {
    const { low } = this;
    low.enabled = this.onePrivilege || epd0(view, at) === 0;
    low.topByteIgnored = tbi0(view, at) !== 0;
    if (!low.enabled) return;
    low.hierarchical = !features.had || had0(view, at) === 0;
    low.noUnprivileged = features.e0pd && !this.onePrivilege && e0pd0(view, at) !== 0;
    low.tg = tg0(view, at);
    low.granule = granuleOfTg0(features, low.tg);
    low.txsz = t0sz(view, at);
    low.ttbFrame = ttb0Frame(view, at);
  }

  #decodeHigh(view: DataView, at: number, features: SmmuFeatures): void {
    const { high } = this;
    high.enabled = !this.onePrivilege && epd1(view, at) === 0;
    high.topByteIgnored = tbi1(view, at) !== 0;
    if (!high.enabled) return;
    high.hierarchical = !features.had || had1(view, at) === 0;
    high.noUnprivileged = features.e0pd && !this.onePrivilege && e0pd1(view, at) !== 0;
    high.tg = tg1(view, at);
    high.granule = granuleOfTg1(features, high.tg);
    high.txsz = t1sz(view, at);
    high.ttbFrame = ttb1Frame(view, at);
  }

  /** Makes the tables of a descriptor that breaks no rule: where they begin, and their shape. */
  useTables(view: DataView, at: number, features: SmmuFeatures): void {
    if (this.low.enabled) this.#useTables(this.low, ttb0Offset(view, at), features);
    if (this.high.enabled) this.#useTables(this.high, ttb1Offset(view, at), features);
  }

  #useTables(half: AddressHalf, offset: number, features: SmmuFeatures): void {
    const { tables, granule } = half;
    tables.littleEndian = !this.bigEndian;
    tables.tableAccess = features.httu === 3 && this.haft;
    const inputBits = 64 - half.txsz;
    const level = startLevelOf(granule, inputBits);
    tables.shape(granule, inputBits, level, this.outputBits, this.ds, features.oas >= 52);
    tables.base(half.ttbFrame, offset, this.outputBits);
  }
}
