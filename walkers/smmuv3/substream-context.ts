import { startLevelOf, TableBase } from "../page-tables/vmsav8-64.ts";
import { Cd } from "./cd.ts";
import type { SmmuFeatures } from "./features.ts";
import { granuleOfTg0, granuleOfTg1, maxTxsz, tableAddressBits } from "./granule.ts";
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

  static valid(view: DataView, at: number): boolean {
    return v(view, at) !== 0;
  }

  /**
   * Decodes a CD, whose V is 1, at byte `at` of `view`.
   * @returns false where it is ILLEGAL (IHI 0070 5.4.2, CdIllegal, for a Non-secure stream)
   */
  decode(view: DataView, at: number, stream: StreamContext, features: SmmuFeatures): boolean {
    this.bypass = false;
    this.onePrivilege = stream.el2;
    this.s = s(view, at) !== 0;
    this.r = r(view, at) !== 0;
    if (stream.s1stalld && this.s) return false;
    if (features.terminateAborts && a(view, at) === 0) return false;
    if (features.stallModel === 1 && this.s) return false;
    if (features.stallModel === 2 && !this.s) return false;
    // With one privilege level EPD0 and EPD1 are IGNORED, and TTB1 is unreachable.
    this.low.enabled = stream.el2 || epd0(view, at) === 0;
    this.high.enabled = !stream.el2 && epd1(view, at) === 0;
    const bigEndian = endi(view, at) !== 0;
    if (
      (this.low.enabled || this.high.enabled) &&
      (bigEndian ? !features.bigEndianTables : !features.littleEndianTables)
    )
      return false;
    // VMSAv8-32 LPAE is not among the formats known here (SmmuFeatures).
    if (aa64(view, at) === 0 || !features.vmsav864) return false;
    if (!this.#decodeHttu(view, at, features)) return false;
    this.asid = stream.el2 ? -1 : asid(view, at);
    if (this.asid > 0xff && !features.asid16) return false;
    this.affd = affd(view, at) !== 0;
    this.wxn = wxn(view, at) !== 0;
    this.pan = pan(view, at) !== 0;
    this.epan = features.epan && epan(view, at) !== 0;
    return this.#decodeHalves(view, at, features, !bigEndian);
  }

  #decodeHttu(view: DataView, at: number, features: SmmuFeatures): boolean {
    this.ha = ha(view, at) !== 0;
    const dirty = hd(view, at) !== 0;
    if ((this.ha || dirty) && features.httu === 0) return false;
    if (dirty && features.httu === 1) return false;
    if (features.httu === 3 && haft(view, at) !== 0 && !this.ha) return false;
    // {HD, HA} of 0b10 behaves as 0b00.
    this.hardwareDirty = dirty && this.ha;
    return true;
  }

  #decodeHalves(view: DataView, at: number, features: SmmuFeatures, littleEndian: boolean): boolean {
    const outputBits = features.addressBits(ips(view, at));
    const wide = features.ds && ds(view, at) !== 0;
    const { low, high } = this;
    low.topByteIgnored = tbi0(view, at) !== 0;
    high.topByteIgnored = tbi1(view, at) !== 0;
    low.hierarchical = !features.had || had0(view, at) === 0;
    high.hierarchical = !features.had || had1(view, at) === 0;
    const e0pd = features.e0pd && !this.onePrivilege;
    low.noUnprivileged = e0pd && e0pd0(view, at) !== 0;
    high.noUnprivileged = e0pd && e0pd1(view, at) !== 0;
    low.tables.littleEndian = littleEndian;
    high.tables.littleEndian = littleEndian;
    const tableAccess = features.httu === 3 && haft(view, at) !== 0;
    low.tables.tableAccess = tableAccess;
    high.tables.tableAccess = tableAccess;
    if (low.enabled) {
      const granule = granuleOfTg0(features, tg0(view, at));
      const ttb = ttb0Frame(view, at);
      if (
        !setTables(low.tables, granule, t0sz(view, at), ttb, ttb0Offset(view, at), outputBits, wide, features)
      )
        return false;
    }
    if (high.enabled) {
      const granule = granuleOfTg1(features, tg1(view, at));
      const ttb = ttb1Frame(view, at);
      if (
        !setTables(
          high.tables,
          granule,
          t1sz(view, at),
          ttb,
          ttb1Offset(view, at),
          outputBits,
          wide,
          features,
        )
      )
        return false;
    }
    return true;
  }
}

/** Checks and sets one half's tables: granule, TxSZ and TTB (5.4.2: CDTxSZInvalid, CDTTBxOutOfRange). */
function setTables(
  tables: TableBase,
  granule: number,
  txsz: number,
  ttb: number,
  ttbOffset: number,
  outputBits: number,
  wide: boolean,
  features: SmmuFeatures,
): boolean {
  if (granule === 0) return false;
  const tableBits = tableAddressBits(granule, wide);
  const minTxsz = features.vax ? 64 - tableBits : 16;
  if (txsz < minTxsz || txsz > maxTxsz(features, granule)) return false;
  if (ttb >= 2 ** (Math.min(outputBits, tableBits) - 12)) return false;
  const inputBits = 64 - txsz;
  tables.shape(granule, inputBits, startLevelOf(granule, inputBits), outputBits, wide, features.oas >= 52);
  tables.base(ttb, ttbOffset, outputBits);
  return true;
}
