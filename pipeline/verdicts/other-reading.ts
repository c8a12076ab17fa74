import type { DmaRecord } from "../../parsers/trace/records.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import { Outcome } from "../iommus/outcome.ts";
import { walkRequest } from "../iommus/request-walk.ts";

/** A request of more bytes is not walked a second time. */
const MOST_BYTES = 1 << 24;

/** What requests come to where the specification is read in another way, which is as right. */
export class OtherReading {
  readonly #outcome = new Outcome();

  /**
   * Walks a request whose outcome is disputed, and notes in that what the other reading gives, if it is another result.
   * @param request as walked last; left where it was walked to
   * @returns what it gives, until the next call; null: there is no other
   */
  walk(unit: IommuUnit, record: DmaRecord, request: WalkRequest, outcome: Outcome): Outcome | null {
    const { walker, engine } = unit;
    if (walker.otherReading === undefined || record.len > MOST_BYTES) return null;
    const other = this.#outcome;
    request.addrHi = record.addrHi;
    request.addrLo = record.addrLo;
    walker.otherReading = true;
    const walk = (page: WalkRequest) =>
      engine.walkUncached(page, walker.newDevice(), walker.newPasidContext());
    walkRequest({ walk }, request, record.len, other);
    walker.otherReading = false;
    if (other.status !== outcome.status) outcome.otherStatus = other.status;
    return other;
  }
}
