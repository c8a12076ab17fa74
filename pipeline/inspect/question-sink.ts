import type { QuestionRecord } from "./lookup-records.ts";
import type {
  InspectedDevice,
  InspectedDevices,
  InspectedIommu,
  InspectedPasid,
  InspectionNote,
  InspectionSummary,
} from "./records.ts";
import type { InputRange, InspectedSpace, InspectionSink } from "./sink.ts";

/** Who asks one question of an inspection, instead of writing all that it finds: it listens to what it needs. */
export abstract class QuestionSink implements InspectionSink {
  /** Nothing more is wanted of the address space at hand. */
  satisfied = false;
  readonly #take: (record: QuestionRecord) => void;

  /** @param take takes the answers, in the order of the tables */
  constructor(take: (record: QuestionRecord) => void) {
    this.#take = take;
  }

  protected answer(record: QuestionRecord): void {
    this.#take(record);
  }

  iommu(record: InspectedIommu): void {
    this.answer(record);
  }

  device(_record: InspectedDevice): void {}
  devices(_record: InspectedDevices): void {}

  space(_space: InspectedSpace): void {
    this.satisfied = false;
  }

  range(_range: InputRange): boolean {
    return false;
  }

  pasid(_record: InspectedPasid): void {}
  note(_record: InspectionNote): void {}
  summary(_record: InspectionSummary): void {}

  async pause(_yielding?: boolean): Promise<void> {}
}
