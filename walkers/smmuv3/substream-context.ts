import { startLevelOf, TableBase } from "../page-tables/vmsav8-64.ts";
import type { CdFields, CdHalfFields } from "./cd-fields.ts";
import type { SmmuFeatures } from "./features.ts";
import { granuleOfTg0, granuleOfTg1 } from "./granule.ts";
import { usesHigh, usesLow } from "./rules-cd.ts";
import type { StreamContext } from "./stream-context.ts";

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

  /** Takes over a valid descriptor that breaks none of CD_RULES. */
  take(cd: CdFields, stream: StreamContext, features: SmmuFeatures): void {
    this.bypass = false;
    this.onePrivilege = stream.el2;
    this.s = cd.s !== 0;
    this.r = cd.r !== 0;
    this.ha = cd.ha !== 0;
    // {HD, HA} of 0b10 behaves as 0b00.
    this.hardwareDirty = cd.hd !== 0 && this.ha;
    this.asid = stream.el2 ? -1 : cd.asid;
    this.affd = cd.affd !== 0;
    this.wxn = cd.wxn !== 0;
    this.pan = cd.pan !== 0;
    this.epan = features.epan && cd.epan !== 0;
    const { low, high } = this;
    low.enabled = usesLow(cd, stream);
    high.enabled = usesHigh(cd, stream);
    this.#takeHalf(low, cd.low, cd, features);
    this.#takeHalf(high, cd.high, cd, features);
    if (low.enabled) shape(low.tables, granuleOfTg0(features, cd.low.tg), cd.low, cd, features);
    if (high.enabled) shape(high.tables, granuleOfTg1(features, cd.high.tg), cd.high, cd, features);
  }

  #takeHalf(half: AddressHalf, fields: CdHalfFields, cd: CdFields, features: SmmuFeatures): void {
    half.topByteIgnored = fields.tbi !== 0;
    half.hierarchical = !features.had || fields.had === 0;
    half.noUnprivileged = features.e0pd && !this.onePrivilege && fields.e0pd !== 0;
    half.tables.littleEndian = cd.endi === 0;
    half.tables.tableAccess = features.httu === 3 && cd.haft !== 0;
  }
}

function shape(
  tables: TableBase,
  granule: number,
  half: CdHalfFields,
  cd: CdFields,
  features: SmmuFeatures,
): void {
  const inputBits = 64 - half.txsz;
  const outputBits = features.addressBits(cd.ips);
  const wide = features.ds && cd.ds !== 0;
  tables.shape(granule, inputBits, startLevelOf(granule, inputBits), outputBits, wide, features.oas >= 52);
  tables.base(half.ttbFrame, half.ttbOffset, outputBits);
}
