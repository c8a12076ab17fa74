import type { Layout } from "../../walkers/layout.ts";
import { FRAME_BYTES } from "../../walkers/memory.ts";
import { WRITE } from "../../walkers/request.ts";
import { addressText } from "../../walkers/word64.ts";
import type { QuestionRecord } from "./lookup-records.ts";
import { QuestionSink } from "./question-sink.ts";
import type { TableReads } from "./read-trail.ts";
import type { InspectedDevice, InspectedDevices, InspectedIommu, InspectionSummary } from "./records.ts";
import type { InputRange, InspectedSpace, InspectionSink } from "./sink.ts";

/** Tables that are named. */
const MOST_TABLES = 1 << 10;

/**
 * Who maps some frames of memory: passes on the ranges of an inspection that lead there, cut to them, and whose they
 * are; and says which of the frames are tables themselves.
 */
export class Lookup extends QuestionSink implements TableReads {
  readonly #first: number;
  readonly #last: number;
  readonly #inner: InspectionSink;
  // What is said before the next range that leads there; null: it has been.
  #iommu: InspectedIommu | null = null;
  #device: InspectedDevice | null = null;
  #space: InspectedSpace | null = null;
  /** Whose address space, or context, is at hand. */
  #at: { readonly iommu?: string | undefined; readonly dev?: string; readonly pasid?: number | undefined } =
    {};
  #mappings = 0;
  #passthrough = 0;
  readonly #devices = new Set<string>();
  readonly #writers = new Set<string>();
  readonly #tables = new Set<string>();

  /**
   * @param first and `last`: frames asked about
   * @param inner takes what is found
   * @param take takes the last word
   */
  constructor(first: number, last: number, inner: InspectionSink, take: (record: QuestionRecord) => void) {
    super(take);
    this.#first = first;
    this.#last = last;
    this.#inner = inner;
  }

  override iommu(record: InspectedIommu): void {
    this.#iommu = record;
    this.#device = null;
    this.#at = { iommu: record.iommu };
  }

  override device(record: InspectedDevice): void {
    this.#device = record;
    this.#at = { iommu: record.iommu, dev: record.dev };
  }

  override devices(record: InspectedDevices): void {
    if (record.translation !== "passthrough") return;
    this.#passthrough += record.count;
    this.#say();
    this.#inner.devices(record);
  }

  override space(space: InspectedSpace): void {
    this.#space = space;
    this.#at = { iommu: space.iommu, dev: space.dev, pasid: space.pasid };
    if (space.translation !== "passthrough") return;
    this.#passthrough++;
    this.#say();
  }

  override range(range: InputRange): boolean {
    const first = Math.max(range.output, this.#first);
    const last = Math.min(range.output + range.frames - 1, this.#last);
    if (first > last) return false;
    this.#say();
    this.#mappings++;
    const device = `${this.#at.iommu}\n${this.#at.dev}`;
    this.#devices.add(device);
    if ((range.perm & WRITE) !== 0) this.#writers.add(device);
    const { perm, pageShift, privileged } = range;
    const frame = range.frame + (first - range.output);
    const frames = last - first + 1;
    return this.#inner.range({ frame, frames, output: first, perm, pageShift, privileged, pages: 0 });
  }

  /** A frame was read as a table. */
  tableRead(layout: Layout, frame: number, stage: number, level: number): void {
    if (frame < this.#first || frame > this.#last || this.#tables.size >= MOST_TABLES) return;
    const key = `${this.#at.iommu} ${frame} ${layout.name} ${stage} ${level}`;
    if (this.#tables.has(key)) return;
    this.#tables.add(key);
    const message = `holds ${layout.name}${stage === 0 ? "" : `, stage ${stage} level ${level}`}`;
    this.#say();
    this.#inner.note({
      type: "note",
      note: "table",
      ...this.#at,
      ...(stage === 0 ? {} : { stage, level }),
      entry_addr: addressText(frame),
      message,
    });
  }

  override summary({ complete }: InspectionSummary): void {
    this.answer({
      type: "lookup",
      pa: addressText(this.#first),
      size: (this.#last - this.#first + 1) * FRAME_BYTES,
      mappings: this.#mappings,
      devices: this.#devices.size,
      writers: this.#writers.size,
      passthrough: this.#passthrough,
      complete,
    });
  }

  override pause(yielding?: boolean): Promise<void> {
    return this.#inner.pause(yielding);
  }

  /** Says whose the next range is. */
  #say(): void {
    if (this.#iommu !== null) this.#inner.iommu(this.#iommu);
    if (this.#device !== null) this.#inner.device(this.#device);
    if (this.#space !== null) this.#inner.space(this.#space);
    this.#iommu = null;
    this.#device = null;
    this.#space = null;
  }
}
