import { hasCode } from "../../../walkers/fault.ts";
import type { WalkRequest } from "../../../walkers/request.ts";
import { FAULT, MSI, type WalkResult } from "../../../walkers/result.ts";
import type { IommuUnit } from "../../iommus/iommu-unit.ts";

/** Where an entry is in memory. */
export interface EntryPlace {
  readonly frame: number;
  readonly offset: number;
  readonly bytes: number;
}

/** A walk of memory as it is, that enters nothing. */
export interface Look {
  /** It reads the entry. */
  readonly reads: boolean;
  /** What it comes to: two that are equal are the same to the device, and to every cache. */
  readonly answer: string;
}

export function lookAt(unit: IommuUnit, request: WalkRequest, { frame, offset, bytes }: EntryPlace): Look {
  const { walker, engine } = unit;
  let reads = false;
  walker.tables.observer = {
    entry(layout, at, start) {
      if (at === frame && start < offset + bytes && start + layout.bytes > offset) reads = true;
    },
  };
  const walk = engine.walkUncached(request, walker.newDevice(), walker.newPasidContext());
  walker.tables.observer = null;
  return { reads, answer: answerOf(walk) };
}

function answerOf(walk: WalkResult): string {
  if (walk.status === FAULT) return hasCode(walk.fault!) ? `fault ${walk.fault!.code}` : walk.fault!.name;
  const { frame, offset, perm, domain, asid, pageShift } = walk;
  return `${walk.status === MSI ? "msi" : "ok"} ${frame}:${offset} ${perm} ${domain} ${asid} ${pageShift}`;
}
