import { FRAME_BYTES } from "../../walkers/memory.ts";
import { WRITE } from "../../walkers/request.ts";
import type { DomainRecord, QuestionRecord } from "./lookup-records.ts";
import { QuestionSink } from "./question-sink.ts";
import type { InspectedDevices, InspectedPasid } from "./records.ts";
import type { InputRange, InspectedSpace } from "./sink.ts";
import { tablesKey } from "./tables-key.ts";

/** Users of a domain that are named. */
const MOST_USERS = 64;
/** Domains that are told apart. */
const MOST_DOMAINS = 1 << 16;

type Draft = { -readonly [K in keyof DomainRecord]: DomainRecord[K] } & {
  readonly users: { dev: string; pasid?: number }[];
};

/** Which devices and PASIDs share a domain and its tables. */
export class Domains extends QuestionSink {
  readonly #byKey = new Map<string, Draft>();
  readonly #lastDevice = new Map<Draft, string>();
  #bytes = 0;
  #writable = 0;

  constructor(take: (record: QuestionRecord) => void) {
    super(take);
  }

  override devices({ iommu, dev, count, translation, domain }: InspectedDevices): void {
    const draft = this.#of({ iommu, translation, domain, asid: undefined, tables: [] });
    if (draft === undefined) return;
    if (draft.users.length < MOST_USERS) draft.users.push({ dev });
    draft.count += count;
    draft.devices += count;
  }

  override space(space: InspectedSpace): void {
    // What is mapped by the same tables has been counted.
    this.satisfied = this.#byKey.has(tablesKey(space));
  }

  override range({ frames, perm, pageShift }: InputRange): boolean {
    if (pageShift === 0) return false;
    this.#bytes += frames * FRAME_BYTES;
    if ((perm & WRITE) !== 0) this.#writable += frames * FRAME_BYTES;
    return false;
  }

  override pasid(record: InspectedPasid): void {
    const draft = this.#of(record);
    const bytes = this.#bytes;
    const writable = this.#writable;
    this.#bytes = 0;
    this.#writable = 0;
    if (draft === undefined) return;
    const { dev, pasid } = record;
    if (draft.users.length < MOST_USERS) draft.users.push({ dev, ...(pasid === undefined ? {} : { pasid }) });
    draft.count++;
    // Those of one device come one after another.
    if (this.#lastDevice.get(draft) !== dev) draft.devices++;
    this.#lastDevice.set(draft, dev);
    if (draft.count > 1) return;
    draft.bytes = bytes;
    draft.writable = writable;
  }

  override summary(): void {
    for (const draft of this.#byKey.values()) this.answer(draft);
  }

  #of({
    iommu,
    domain,
    asid,
    translation,
    tables,
  }: Pick<DomainRecord, "iommu" | "domain" | "asid" | "translation" | "tables">): Draft | undefined {
    const key = tablesKey({ iommu, domain, asid, translation, tables });
    const known = this.#byKey.get(key);
    if (known !== undefined || this.#byKey.size >= MOST_DOMAINS) return known;
    const made: Draft = {
      type: "domain",
      iommu,
      domain,
      asid,
      translation,
      tables,
      users: [],
      count: 0,
      devices: 0,
      bytes: 0,
      writable: 0,
    };
    this.#byKey.set(key, made);
    return made;
  }
}
