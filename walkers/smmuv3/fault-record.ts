/**
 * Records of the SMMUv3 event queue (IHI 0070, 7.3): 256 bits. All begin with the event number and the stream;
 * what follows depends on the event.
 */

import type { FaultRecordFormat } from "../fault-record.ts";
import { address, bit, bits, type Layout, layout } from "../layout.ts";
import { EXECUTE, READ, WRITE } from "../request.ts";

const BYTES = 32;

const EVENT = bits(7, 0, "Event number");
const SUBSTREAMID = bits(31, 12, "SubstreamID (PASID)");
const STREAMID = bits(63, 32, "StreamID");
const header = { EVENT, SSV: bit(11, "SubstreamID is valid"), SUBSTREAMID, STREAMID };

/** What the transaction was. */
const transaction = {
  PNU: bit(97, "Privilege of the access", { values: { 0: "unprivileged", 1: "privileged" } }),
  IND: bit(98, "What was accessed", { values: { 0: "data", 1: "instruction" } }),
  RNW: bit(99, "Kind of access", { values: { 0: "write", 1: "read" } }),
};
const INPUT_ADDRESS = bits(191, 128, "Input address");
const FETCH_ADDRESS = address(247, 195, "Physical address of the fetch");

const stage = {
  S2: bit(103, "Stage 2 faulted"),
  CLASS: bits(105, 104, "What the faulting access was for", {
    0: "CD: a context descriptor",
    1: "TT: a translation table",
    2: "IN: the input address itself",
  }),
  STAG: bits(79, 64, "Stall tag"),
  STALL: bit(95, "The transaction is stalled"),
};

const ConfigurationEvent = layout("SMMUv3 configuration event", "IHI 0070 7.3", BYTES, header);

/** The one event whose SubstreamID is always valid. */
const SubstreamEvent = layout("C_BAD_SUBSTREAMID event", "IHI 0070 7.3.9", BYTES, {
  EVENT,
  SUBSTREAMID,
  STREAMID,
});

const FetchEvent = layout("SMMUv3 fetch event", "IHI 0070 7.3", BYTES, {
  ...header,
  REASON: bits(79, 64, "IMPLEMENTATION DEFINED cause"),
  GPCF: bit(80, "A granule protection check failed"),
  FETCHADDR: FETCH_ADDRESS,
});

const TransactionEvent = layout("SMMUv3 transaction event", "IHI 0070 7.3", BYTES, {
  ...header,
  ...transaction,
  INPUTADDR: INPUT_ADDRESS,
});

const WalkAbortEvent = layout("F_WALK_EABT event", "IHI 0070 7.3.12", BYTES, {
  ...header,
  ...transaction,
  ...stage,
  INPUTADDR: INPUT_ADDRESS,
  FETCHADDR: FETCH_ADDRESS,
});

export const TranslationEvent = layout("SMMUv3 translation event", "IHI 0070 7.3.13 to 7.3.16", BYTES, {
  ...header,
  ...transaction,
  ...stage,
  TTRNW: bit(108, "With class TT: the access to the translation table was a read; else it means nothing"),
  INPUTADDR: INPUT_ADDRESS,
  IPA: address(247, 204, "IPA, where stage 2 faulted"),
});

/** By event number; every other event has the header alone. */
const LAYOUTS: Readonly<Record<number, Layout>> = {
  1: TransactionEvent,
  3: FetchEvent,
  5: TransactionEvent,
  7: TransactionEvent,
  8: SubstreamEvent,
  9: FetchEvent,
  11: WalkAbortEvent,
  16: TranslationEvent,
  17: TranslationEvent,
  18: TranslationEvent,
  19: TranslationEvent,
  37: FetchEvent,
};

const eventNumber = ConfigurationEvent.reader("EVENT");

export const SMMUV3_FAULT_RECORD: FaultRecordFormat = {
  name: "event queue record",
  bytes: BYTES,
  code: (record) => eventNumber(record, 0),
  layout: (code) => LAYOUTS[code] ?? ConfigurationEvent,
  secondStage: { ipaShift: TranslationEvent.fields.IPA.parts[0]![1] % 64, flags: 0 },
  access(record) {
    if (!("RNW" in this.layout(this.code(record)).fields)) return undefined;
    if (read(record, 0) === 0) return WRITE;
    return instruction(record, 0) === 0 ? READ : EXECUTE;
  },
  stage(record) {
    if (!("S2" in this.layout(this.code(record)).fields)) return undefined;
    return secondStage(record, 0) === 0 ? 1 : 2;
  },
};

const read = TranslationEvent.reader("RNW");
const instruction = TranslationEvent.reader("IND");
const secondStage = TranslationEvent.reader("S2");
