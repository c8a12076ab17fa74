/**
 * Where the fields go of the records that consist of numbers (`dma` with its `observed`, and `mem`). Together with their
 * declaration in schema.ts, which has their names, kinds and bounds, this is the table behind all that reads such records:
 * RecordScanner, LineReader, and the batch machine, whose code for it batch/field-code.ts makes.
 */
import { FAULT, MSI, OK } from "../../walkers/result.ts";
import { ACCESS_BITS, ACCESSES, ADDRESS_TYPE_OF, ADDRESS_TYPES } from "./accesses.ts";
import {
  ACCESS_GIVEN,
  HAS_FAULT,
  HAS_OBSERVED,
  HAS_PA,
  HAS_SEQ,
  PRIV_GIVEN,
  RECORD_ADDR,
  RECORD_DATA,
  RECORD_DATA_BYTES,
  RECORD_DEVICE,
  RECORD_IOMMU,
  RECORD_LEN,
  RECORD_PA,
  RECORD_PASID,
  RECORD_SEQ,
  RECORD_TS,
  RECORD_TS_BYTES,
  REQUEST_ACCESS,
  REQUEST_PRIV,
} from "./batch/layout.ts";
import type { Scalars } from "./bytes.ts";
import type { Fields } from "./field.ts";
import type { DmaRecord, MemRecord, ObservedRecord, TraceNames } from "./records.ts";
import { FAULT_CLASSES, type OBSERVED, type OBSERVED_RESULTS, type RECORDS } from "./schema.ts";

/** What the batch machine does with a value: offsets and bits are those of its records (batch/layout.ts). */
export type BatchPlace =
  /** A number: where it is stored, in 8 bytes if not in fewer; and the bit that says that it is there. */
  | { readonly at: number; readonly bytes?: 4; readonly given?: number }
  /** A range of the text: where that is stored, and how long it is. */
  | { readonly at: number; readonly length: number }
  /** A boolean: the bit that says that it is true. */
  | { readonly bit: number; readonly given: number }
  /** A choice: the bits of which it sets some; null: the record is none of the machine's. */
  | {
      readonly bits: number;
      readonly choices: Readonly<Record<string, number | null>>;
      readonly given?: number;
    }
  /** An object that has a function of its own. */
  | { readonly call: string }
  /** It is not looked at: whoever uses the record knows the text that it stands in. */
  | "asText";

export interface ScannedField<R> {
  /**
   * Takes a value over to a record.
   * @param value as `Plain` (field.ts) says of its kind
   */
  take(record: R, value: Scalars): void;
  /** Of a name: which it is among. */
  readonly among?: Exclude<keyof TraceNames, "devices">;
  /** Absent: to the batch machine, a record that has this field is none of its. */
  readonly batch?: BatchPlace;
}

/** Null: nothing is made of a field. */
export type ScannedFields<R, F extends Fields = Fields> = {
  readonly [N in keyof F]: ScannedField<R> | null;
};

const ACCESS_OF = ACCESSES.map((name) => ACCESS_BITS[name]);
const RESULTS: Readonly<Record<(typeof OBSERVED_RESULTS)[number], number>> = {
  ok: OK,
  fault: FAULT,
  msi: MSI,
};
const RESULT_OF = Object.values(RESULTS);

/** In the order in which the batch machine looks for them: the most frequent ones first. */
export const DMA_FIELDS: ScannedFields<DmaRecord, typeof RECORDS.dma.fields> = {
  addr: {
    take(dma, { hi, lo }) {
      dma.addrHi = hi;
      dma.addrLo = lo;
    },
    batch: { at: RECORD_ADDR },
  },
  dev: {
    take(dma, { number }) {
      dma.dev = number;
    },
    batch: { at: RECORD_DEVICE },
  },
  pasid: {
    take(dma, { number }) {
      dma.pasid = number;
    },
    batch: { at: RECORD_PASID, bytes: 4 },
  },
  len: {
    take(dma, { number }) {
      dma.len = number;
    },
    batch: { at: RECORD_LEN, bytes: 4 },
  },
  access: {
    take(dma, { number }) {
      dma.access = ACCESS_OF[number]!;
      dma.accessGiven = true;
    },
    batch: { bits: REQUEST_ACCESS, choices: ACCESS_BITS, given: ACCESS_GIVEN },
  },
  seq: {
    take(dma, { number }) {
      dma.seq = number;
    },
    batch: { at: RECORD_SEQ, given: HAS_SEQ },
  },
  iommu: {
    take(dma, { number }) {
      dma.iommu = number;
    },
    among: "iommus",
    batch: { at: RECORD_IOMMU },
  },
  observed: { take() {}, batch: { call: "observed" } },
  ts: {
    take(dma, { start, end }) {
      dma.tsStart = start;
      dma.tsEnd = end;
    },
    batch: { at: RECORD_TS, length: RECORD_TS_BYTES },
  },
  priv: {
    take(dma, { number }) {
      dma.priv = number === 1;
      dma.privGiven = true;
    },
    batch: { bit: REQUEST_PRIV, given: PRIV_GIVEN },
  },
  // Rare, and none of the memo's: read in the plain way.
  at: {
    take(dma, { number }) {
      dma.at = ADDRESS_TYPE_OF[ADDRESS_TYPES[number]!];
      dma.atGiven = true;
    },
  },
  assumed: null,
};

export const OBSERVED_FIELDS: ScannedFields<ObservedRecord, typeof OBSERVED> = {
  result: {
    take(observed, { number }) {
      observed.present = true;
      observed.result = RESULT_OF[number]!;
    },
    batch: { bits: HAS_OBSERVED | HAS_FAULT, choices: { ok: HAS_OBSERVED, fault: HAS_FAULT, msi: null } },
  },
  pa: {
    take(observed, { hi, lo }) {
      observed.hasPa = true;
      observed.paHi = hi;
      observed.paLo = lo;
    },
    batch: { at: RECORD_PA, given: HAS_PA },
  },
  code: {
    take(observed, { hi, lo }) {
      observed.hasCode = true;
      observed.code = (hi >>> 0) * 2 ** 32 + (lo >>> 0);
    },
    batch: "asText",
  },
  reason: {
    take(observed, { number }) {
      observed.reason = number;
    },
    among: "reasons",
    batch: "asText",
  },
  stage: {
    take(observed, { number }) {
      observed.stage = number;
    },
    batch: "asText",
  },
  class: {
    take(observed, { number }) {
      observed.faultClass = FAULT_CLASSES[number]!;
    },
    batch: "asText",
  },
  ipa: {
    take(observed, { hi, lo }) {
      observed.hasIpa = true;
      observed.ipaHi = hi;
      observed.ipaLo = lo;
    },
    batch: "asText",
  },
  flags: {
    // Those beyond 31 bits are no flags of any record.
    take(observed, { hi, lo }) {
      if (hi === 0 && lo >= 0) observed.flags = lo;
    },
    batch: "asText",
  },
  recorded: {
    take(observed, { number }) {
      observed.recorded = number;
    },
    batch: "asText",
  },
};

export const MEM_FIELDS: ScannedFields<MemRecord, typeof RECORDS.mem.fields> = {
  addr: {
    take(mem, { hi, lo }) {
      mem.addrHi = hi;
      mem.addrLo = lo;
    },
    batch: { at: RECORD_ADDR },
  },
  data: {
    take(mem, { start, end }) {
      mem.start = start;
      mem.end = end;
    },
    batch: { at: RECORD_DATA, length: RECORD_DATA_BYTES },
  },
  by: {
    take(mem, by) {
      mem.byIommu = by.is("iommu");
      mem.asRead = by.is("read");
    },
  },
  assumed: null,
};

/** Commands are no numbers: their reader is CommandScanner. */
export const COMMAND_FIELDS: ScannedFields<never, typeof RECORDS.cmd.fields> = {
  iommu: { take() {}, among: "iommus", batch: { at: RECORD_IOMMU } },
  data: { take() {}, batch: { call: "commandWords" } },
  assumed: null,
};
