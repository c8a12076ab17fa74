import type { WalkResult } from "../../walkers/result.ts";
import { addressText } from "../../walkers/word64.ts";
import type { Budget } from "./budget.ts";
import type { DeviceNames } from "./devices.ts";
import type { InspectedDevices, InspectionNote } from "./records.ts";
import { faultNote, IdGroups, type SpaceName } from "./report.ts";
import type { InspectionSink } from "./sink.ts";
import type { Tally } from "./tally.ts";

/** Tells what there is besides devices with tables: devices without, contexts at fault, ends before the end. */
export class Reporter {
  readonly #iommu: string | undefined;
  readonly #names: DeviceNames;
  readonly #sink: InspectionSink;
  readonly #tally: Tally;
  readonly #budget: Budget;
  /** Contexts and entries at fault are told of, not only counted. */
  readonly #contexts: boolean;
  readonly #entries: boolean;
  /** Devices, and PASIDs of one device, of which several in a row are told of at once. */
  readonly #devices = new IdGroups();
  readonly #pasids = new IdGroups();
  #exhausted = false;

  constructor(
    iommu: string | undefined,
    names: DeviceNames,
    sink: InspectionSink,
    tally: Tally,
    budget: Budget,
    contexts: boolean,
    entries: boolean,
  ) {
    this.#iommu = iommu;
    this.#names = names;
    this.#sink = sink;
    this.#tally = tally;
    this.#budget = budget;
    this.#contexts = contexts;
    this.#entries = entries;
  }

  /** Something else is told next. */
  end(): void {
    this.#devices.end();
    this.#pasids.end();
  }

  /** A device whose context has no tables. */
  plainDevice(id: number, translation: InspectedDevices["translation"], domain: number): void {
    this.#devices.add(`${translation} ${domain}`, id, id, (first, last) => {
      const count = last - first + 1;
      this.#tally.plainDevices += count;
      this.#sink.devices({
        type: "devices",
        iommu: this.#iommu,
        dev: this.#names.of(first),
        last: this.#names.of(last),
        count,
        translation,
        domain: domain < 0 ? undefined : domain,
      });
    });
  }

  /**
   * Contexts of devices that are there and fault; or one that is asked for and is not there.
   * @param last last id that shares the structure at fault
   */
  badDevice(first: number, last: number, out: WalkResult): void {
    this.#tally.faultyContexts += last - first + 1;
    if (!this.#contexts) return;
    const note = faultNote({ iommu: this.#iommu, dev: this.#names.of(first), pasid: undefined }, out);
    this.#devices.add(keyOf(note), first, last, (from, to) => {
      const several = to > from ? { last: this.#names.of(to), count: to - from + 1 } : {};
      this.#sink.note({ type: "note", ...note, ...several });
    });
  }

  /** As `badDevice`, of PASIDs of one device. */
  badPasid(dev: string, first: number, last: number, out: WalkResult): void {
    this.#tally.faultyContexts += last - first + 1;
    if (!this.#contexts) return;
    const note = faultNote({ iommu: this.#iommu, dev, pasid: first }, out);
    this.#pasids.add(keyOf(note), first, last, (from, to) => {
      const several = to > from ? { last: to, count: to - from + 1 } : {};
      this.#sink.note({ type: "note", ...note, ...several });
    });
  }

  /** Page-table entries at fault. */
  badRange(name: SpaceName, out: WalkResult, frame: number, frames: number): void {
    if (this.#entries) this.#note(faultNote(name, out, frame, frames));
  }

  /** @param frame first input frame of the range that is not told of any more */
  limit(name: SpaceName, limit: number, frame: number): void {
    const next = addressText(frame);
    this.#note({
      note: "limit",
      ...name,
      next,
      message: `the limit of ${limit} range${limit === 1 ? "" : "s"} is reached`,
    });
  }

  /** The budget is spent. Whoever was at work then says where; those around it say nothing more. */
  effort(dev: string, pasid: number | undefined, frame?: number): void {
    this.#tally.complete = false;
    if (this.#exhausted) return;
    this.#exhausted = true;
    const next = frame === undefined ? undefined : addressText(frame);
    const message = `stopped after ${this.#budget.all} walks: the tables hold more, or point back into themselves`;
    this.#note({ note: "effort", iommu: this.#iommu, dev, pasid, next, message });
  }

  #note(note: Omit<InspectionNote, "type">): void {
    this.end();
    this.#sink.note({ type: "note", ...note });
  }
}

/** What is said of a context at fault, whichever it is. */
function keyOf({ code, name, reason, hole }: Omit<InspectionNote, "type">): string {
  return `${code} ${name} ${reason} ${hole}`;
}
