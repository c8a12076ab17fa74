import { FRAME_BYTES } from "../../walkers/memory.ts";
import { EXECUTE, READ, WRITE } from "../../walkers/request.ts";
import { addressText } from "../../walkers/word64.ts";
import type { MappingRecord, QuestionRecord } from "./lookup-records.ts";
import { QuestionSink } from "./question-sink.ts";
import type { InspectedPasid, InspectionNote } from "./records.ts";
import type { InputRange, InspectedSpace } from "./sink.ts";

/** Of each address space of an inspection: which range has an input address, or which ones are beside it. */
export class Cover extends QuestionSink {
  readonly #address: bigint;
  readonly #frame: number;
  #before: MappingRecord | undefined;
  #after: MappingRecord | undefined;
  #range: MappingRecord | undefined;
  #pa: string | undefined;
  #fault: InspectedPasid["fault"];

  /** @param address input address */
  constructor(address: bigint, take: (record: QuestionRecord) => void) {
    super(take);
    this.#address = address;
    this.#frame = Number(address / BigInt(FRAME_BYTES));
  }

  override space(space: InspectedSpace): void {
    super.space(space);
    this.#before = undefined;
    this.#after = undefined;
    this.#range = undefined;
    this.#pa = undefined;
    this.#fault = space.fault;
  }

  override range(range: InputRange): boolean {
    const { frame, frames, output } = range;
    if (frame + frames <= this.#frame) this.#before = mappingOf(range);
    else {
      this.satisfied = true;
      if (frame > this.#frame) this.#after = mappingOf(range);
      else {
        this.#range = mappingOf(range);
        const offset = Number(this.#address % BigInt(FRAME_BYTES));
        this.#pa = addressText(output + (this.#frame - frame), offset);
      }
    }
    return false;
  }

  override note({ note, iova, size, code, name, reason }: InspectionNote): void {
    if (note !== "faulty" || iova === undefined || size === undefined || code === undefined) return;
    const first = BigInt(iova);
    if (this.#address >= first && this.#address < first + BigInt(size)) this.#fault = { code, name, reason };
  }

  override pasid({ iommu, dev, pasid, translation }: InspectedPasid): void {
    const passes = translation === "passthrough";
    const mapped = passes || this.#range !== undefined;
    const addr = `0x${this.#address.toString(16)}`;
    this.answer({
      type: "covers",
      iommu,
      dev,
      pasid,
      addr,
      mapped,
      pa: passes ? addr : this.#pa,
      range: this.#range,
      ...(mapped ? {} : { before: this.#before, after: this.#after, fault: this.#fault }),
    });
  }
}

function mappingOf({ frame, frames, output, perm, pageShift }: InputRange): MappingRecord {
  const right = (bit: number, letter: string) => ((perm & bit) !== 0 ? letter : "-");
  return {
    iova: addressText(frame),
    pa: addressText(output),
    size: frames * FRAME_BYTES,
    perm: right(READ, "r") + right(WRITE, "w") + right(EXECUTE, "x"),
    ...(pageShift === 0 ? {} : { page: 2 ** pageShift }),
  };
}
