import type { TraceNames } from "../../parsers/trace/records.ts";
import type { RecordOf } from "../../parsers/trace/schema.ts";
import {
  ACCEPTED,
  ANY,
  coversDevice,
  DEVICE_TLB,
  type Invalidation,
  NONE,
} from "../../walkers/invalidation.ts";
import { frameHi, frameLo, frameOf } from "../../walkers/memory.ts";
import { NO_PASID, WalkRequest } from "../../walkers/request.ts";
import { sameAnswer } from "../caches/history/past-walks.ts";
import { type StaleSource, sameProblem } from "../caches/history/stale-source.ts";
import type { VersionedMemory } from "../caches/history/versioned-memory.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Analysis } from "./analysis.ts";
import { CACHE_RULES } from "./cache-rules.ts";
import type { Findings } from "./findings.ts";
import { spelledDevice } from "./spelled-device.ts";
import { type StaleChange, staleChange } from "./stale-change.ts";

/** Pages of one invalidation that are looked at: of a larger one nothing is said. */
const MOST_PAGES = 64;
/** Invalidations that came too early and are followed; past it the oldest are forgotten. */
const MOST_OPEN = 1 << 8;

/** A device's TLB was invalidated while its IOMMU could still tell it the old translation of a page. */
interface Early {
  readonly line: number;
  readonly unit: IommuUnit;
  readonly request: WalkRequest;
  readonly source: StaleSource;
  readonly change: StaleChange;
}

/**
 * Sees where a device's TLB is invalidated before what the IOMMU holds of a changed page, and not again after that: the
 * device may have asked in between, and been told the old translation once more (PCIe 6.0, 10.3).
 */
export class DeviceTlbOrder implements Analysis {
  readonly #names: TraceNames;
  readonly #findings: Findings;
  readonly #memory: VersionedMemory;
  readonly #open = new Map<string, Early>();
  readonly #request = new WalkRequest();

  constructor(names: TraceNames, findings: Findings, memory: VersionedMemory) {
    this.#names = names;
    this.#findings = findings;
    this.#memory = memory;
  }

  command(line: number, unit: IommuUnit, record: RecordOf<"cmd">): void {
    if (unit.caches?.anyDeviceTlb !== true) return;
    const inv = unit.commands.invalidation(record.data);
    if (inv === null || inv.status !== ACCEPTED || inv.caches !== DEVICE_TLB) return;
    for (const [key, early] of this.#open)
      if (early.unit === unit && covers(inv, early.request) && !isHeld(early)) this.#open.delete(key);
    if (inv.anyDevice || inv.deviceMask !== 0) return;
    const first = frameOf(inv.addrHi, inv.addrLo);
    const last = frameOf(inv.lastHi, inv.lastLo);
    if (!inv.hasAddress || last - first >= MOST_PAGES) return;
    for (let frame = first; frame <= last; frame++) this.#page(line, unit, inv.device, inv.pasid, frame);
  }

  #page(line: number, unit: IommuUnit, device: number, pasid: number, frame: number): void {
    const caches = unit.caches!;
    const request = this.#request;
    request.device = device;
    request.pasid = pasid >= 0 ? pasid : NO_PASID;
    request.addrHi = frameHi(frame);
    request.addrLo = frameLo(frame);
    if (caches.owesNothing(request)) return;
    for (const source of heldOf(unit, request)) {
      const change = staleChange(unit, this.#memory, request.clone(), source);
      if (source.change === null || change === null) continue;
      const key = `${unit.id}\n${source.change.frame}:${source.change.offset}:${source.change.line}\n${device}`;
      this.#open.set(key, { line, unit, request: request.clone(), source, change });
      if (this.#open.size <= MOST_OPEN) return;
      for (const oldest of this.#open.keys()) {
        this.#open.delete(oldest);
        return;
      }
    }
  }

  replaced(): void {
    this.#open.clear();
  }

  /** Of what the IOMMU still holds, its own invalidation is missing first. */
  finish(): void {
    for (const [key, { line, unit, request, source, change }] of this.#open) {
      if (source.valid()) continue;
      const { changed_line, entry_addr, old, new: now, cache } = change.fields;
      this.#findings.report(line, CACHE_RULES["device-tlb-invalidated-first"], key, {
        iommu: unit.id,
        dev: spelledDevice(this.#names, unit.model, request.device),
        pasid: request.pasid < 0 ? undefined : request.pasid,
        place: { addrHi: request.addrHi, addrLo: request.addrLo, len: 1 },
        message: `${change.sentence}, and the device's TLB was invalidated before what the IOMMU holds of it, and not again: the device may have been told the old one once more`,
        ...{ changed_line, entry_addr, old, new: now, cache },
      });
    }
  }
}

/** What the IOMMU may answer otherwise than memory, without an invalidation that has been issued. */
function heldOf({ caches }: IommuUnit, request: WalkRequest): readonly StaleSource[] {
  const now = caches!.walkAgain(request);
  return caches!.uninvalidated(request, (walk) => !sameAnswer(walk, now));
}

function isHeld({ unit, request, source }: Early): boolean {
  return heldOf(unit, request).some((held) => sameProblem(held, source));
}

/** Whether an invalidation of devices' TLBs covers the page of a request. */
function covers(inv: Invalidation, { device, pasid, addrHi, addrLo }: WalkRequest): boolean {
  if (!inv.anyDevice && !coversDevice(inv, device)) return false;
  if (inv.pasid === NONE ? pasid >= 0 : inv.pasid !== ANY && inv.pasid !== pasid) return false;
  const frame = frameOf(addrHi, addrLo);
  return (
    !inv.hasAddress || (frame >= frameOf(inv.addrHi, inv.addrLo) && frame <= frameOf(inv.lastHi, inv.lastLo))
  );
}
