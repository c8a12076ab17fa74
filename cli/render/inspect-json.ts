import type { InputRange, InspectedSpace, InspectionSink } from "../../pipeline/inspect/sink.ts";
import { Piece, piece } from "../../pipeline/output/byte-writer.ts";
import { permText } from "../../pipeline/output/perm-text.ts";
import { FRAME_BYTES } from "../../walkers/memory.ts";
import { InspectionOutput } from "./inspect-output.ts";

const PA = piece('","pa":"0x');
const SIZE = piece('","size":');
/** Frames of the largest range whose size is an integer that every reader of JSON keeps exact. */
const EXACT_FRAMES = Number.MAX_SAFE_INTEGER / FRAME_BYTES;
/** Bytes of one line, its names aside. */
const LINE_BYTES = 256;

/** An inspection as NDJSON. */
export class InspectJson extends InspectionOutput implements InspectionSink {
  /** A `map` record up to its input address. */
  #prefix = piece("");
  /** What follows the size, by rights and page size. */
  readonly #tails = new Map<number, Piece>();

  iommu(record: object): void {
    this.#record(record);
  }

  device(record: object): void {
    this.#record(record);
  }

  devices(record: object): void {
    this.#record(record);
  }

  space({ iommu, dev, pasid }: InspectedSpace): void {
    const opened = JSON.stringify({ type: "map", iommu, dev, pasid }).slice(0, -1);
    this.#prefix = new Piece(Buffer.from(`${opened},"iova":"0x`, "utf8"));
  }

  range(range: InputRange): boolean {
    const { out } = this;
    const { frames } = range;
    out.reserve(this.#prefix.length + LINE_BYTES);
    out.put(this.#prefix);
    out.address(range.frame, 0);
    out.put(PA);
    out.address(range.output, 0);
    out.put(SIZE);
    if (frames <= EXACT_FRAMES) out.decimal(frames * FRAME_BYTES);
    else out.text(`${BigInt(frames) * BigInt(FRAME_BYTES)}`);
    out.put(this.#tail(range));
    return this.full;
  }

  pasid(record: object): void {
    this.#record(record);
  }

  note(record: object): void {
    this.#record(record);
  }

  summary(record: object): void {
    this.#record(record);
  }

  #record(record: object): void {
    this.line(JSON.stringify(record));
  }

  #tail(range: InputRange): Piece {
    const { perm, pageShift, privileged } = range;
    const key = (pageShift << 4) | (privileged ? 8 : 0) | perm;
    let tail = this.#tails.get(key);
    if (tail === undefined) {
      const page = pageShift === 0 ? ',"passthrough":true' : `,"page":${2 ** pageShift}`;
      tail = piece(`,"perm":"${permText(perm)}"${page}${privileged ? ',"priv":true' : ""}}\n`);
      this.#tails.set(key, tail);
    }
    return tail;
  }
}
