import { FAULT, MSI, OK } from "../../walkers/result.ts";
import type { Outcome, Verdict } from "../iommus/outcome.ts";
import type { RequestNames } from "../iommus/request-names.ts";

/** Address spaces that are counted one by one; requests of further ones are counted together. */
const MOST_SPACES = 1 << 14;

/** Counts of the requests of one device with one PASID, or without. */
export class SpaceCounts {
  readonly iommu: string | undefined;
  /** "" where the spaces that are too many to be counted one by one are counted together. */
  readonly device: string;
  /** -1: without PASID. */
  readonly pasid: number;
  /** Table model of the last request. */
  model = "";
  requests = 0;
  ok = 0;
  faults = 0;
  msi = 0;
  /** Bytes asked for. */
  bytes = 0;
  firstLine = 0;
  lastLine = 0;
  /** Requests by the log2 of their smallest page; index 0: not translated. */
  readonly pageShifts = new Float64Array(64);
  readonly verdicts = new Map<Verdict, number>();

  constructor(iommu: string | undefined, device: string, pasid: number) {
    this.iommu = iommu;
    this.device = device;
    this.pasid = pasid;
  }

  add(line: number, bytes: number, o: Outcome): void {
    if (this.requests++ === 0 || line < this.firstLine) this.firstLine = line;
    if (line > this.lastLine) this.lastLine = line;
    this.bytes += bytes;
    this.model = o.model;
    if (o.status === OK) {
      this.ok++;
      this.pageShifts[o.pageShift]!++;
    } else if (o.status === FAULT) this.faults++;
    else if (o.status === MSI) this.msi++;
    if (o.verdict !== "") this.verdicts.set(o.verdict, (this.verdicts.get(o.verdict) ?? 0) + 1);
  }
}

/** The counts of every device and PASID that has requests, in bounded memory. */
export class SpacesCounted {
  /** In order of the first request. */
  readonly all: SpaceCounts[] = [];
  /** Requests of spaces beyond those; null where there are none. */
  others: SpaceCounts | null = null;
  /** By the number of the pair of names, then by PASID. */
  readonly #byNames: Map<number, SpaceCounts>[] = [];
  #lastNames = -1;
  #lastPasid = 0;
  #last: SpaceCounts | null = null;

  of(names: RequestNames, pasid: number): SpaceCounts {
    if (this.#last !== null && names.index === this.#lastNames && pasid === this.#lastPasid)
      return this.#last;
    const space = this.#find(names, pasid);
    this.#last = space;
    this.#lastNames = names.index;
    this.#lastPasid = pasid;
    return space;
  }

  #find({ index, iommu, device }: RequestNames, pasid: number): SpaceCounts {
    let byPasid = this.#byNames[index];
    const known = byPasid?.get(pasid);
    if (known !== undefined) return known;
    if (this.all.length === MOST_SPACES) {
      this.others ??= new SpaceCounts(undefined, "", -1);
      return this.others;
    }
    if (byPasid === undefined) {
      byPasid = new Map();
      this.#byNames[index] = byPasid;
    }
    const made = new SpaceCounts(iommu, device, pasid);
    byPasid.set(pasid, made);
    this.all.push(made);
    return made;
  }
}
