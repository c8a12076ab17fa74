import type { DmaRecord } from "../../parsers/trace/records.ts";
import { FRAME_SHIFT } from "../../walkers/memory.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import { Outcome } from "../iommus/outcome.ts";
import { walkRequest } from "../iommus/request-walk.ts";

/** A request of more bytes is not walked a second time. */
const MOST_BYTES = 1 << 24;
const NONE: readonly OtherOutcome[] = [];

/** What a request comes to as well. */
export interface OtherOutcome {
  readonly outcome: Outcome;
  /** By which reading (`IommuWalker.reading`); 0: the usual one. */
  readonly reading: number;
}

/**
 * What requests come to where the specification is read in another way, which is as right; and where a page that stands in
 * several entries is read from each of them, for its own bytes: the IOMMU may take any for all, and need not (Privileged
 * specification, Svnapot: "for any or all j"; AMD-Vi 2.2.3, page sizes by Next Level 7).
 */
export class OtherReading {
  readonly #outcomes: Outcome[] = [];

  /**
   * Walks a request whose outcome is disputed, and notes in that what another reading gives, if it is another result.
   * @param request as walked last; left where it was walked to
   * @returns what others give, until the next call
   */
  walk(unit: IommuUnit, record: DmaRecord, request: WalkRequest, outcome: Outcome): readonly OtherOutcome[] {
    const { disputed, sharesEntry } = outcome;
    if ((!disputed && !sharesEntry) || record.len > MOST_BYTES) return NONE;
    const others = disputed ? (unit.walker.otherReadings ?? 0) : 0;
    const readings: [reading: number, ownEntries: boolean][] = [];
    for (let reading = 1; reading <= others; reading++) readings.push([reading, false]);
    if (sharesEntry) for (let reading = 0; reading <= others; reading++) readings.push([reading, true]);
    return readings.map(([reading, ownEntries], i) => {
      this.#outcomes[i] ??= new Outcome();
      const other = this.#outcomes[i];
      this.#walk(unit, record, request, other, reading, ownEntries);
      if (outcome.otherStatus < 0 && other.status !== outcome.status) outcome.otherStatus = other.status;
      return { outcome: other, reading };
    });
  }

  #walk(
    { walker, engine }: IommuUnit,
    record: DmaRecord,
    request: WalkRequest,
    out: Outcome,
    reading: number,
    ownEntries: boolean,
  ): void {
    request.addrHi = record.addrHi;
    request.addrLo = record.addrLo;
    if (reading !== 0) walker.reading = reading;
    const walk = (page: WalkRequest) => {
      const result = engine.walkUncached(page, walker.newDevice(), walker.newPasidContext());
      if (ownEntries && result.repeated) result.pageShift = FRAME_SHIFT;
      return result;
    };
    walkRequest({ walk }, request, record.len, out);
    if (reading !== 0) walker.reading = 0;
  }
}
