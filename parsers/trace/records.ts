/**
 * What a trace gives to whoever replays it. The two record types that traces consist of, `dma` and `mem`, come as
 * reused objects with numbers only; everything else as plain validated objects (`PlainRecord`).
 */
import { FAULT_REASONS } from "../../walkers/fault.ts";
import { NO_PASID, READ, UNTRANSLATED } from "../../walkers/request.ts";
import { type FaultClass, OK } from "../../walkers/result.ts";
import { Devices } from "./devices.ts";
import { Names } from "./names.ts";

/** "absent" in an index, and in `ObservedRecord.recorded`. */
const ABSENT = -1;

/** The names that a trace's records refer to by number. One set serves a whole replay. */
export class TraceNames {
  /** Ids of IOMMUs. */
  readonly iommus = new Names();
  readonly devices = new Devices();
  /** Fault reasons: those of the contract come first, in the order of `FAULT_REASONS`; others may follow. */
  readonly reasons = new Names(Object.keys(FAULT_REASONS));
}

/** Names of unknown fields that a scanner may step over. */
export interface HarmlessNames {
  /** In a record, and in its `observed`. */
  readonly record: Names;
  readonly observed: Names;
}

/** `observed` of a request: what the recorded system did with it. */
export class ObservedRecord {
  present = false;
  /** OK, FAULT or MSI of walkers/result.ts. */
  result = OK;
  hasPa = false;
  paHi = 0;
  paLo = 0;
  hasCode = false;
  /** The native fault code: exact up to 2^53. */
  code = 0;
  /** Number in `TraceNames.reasons`, or ABSENT. */
  reason = ABSENT;
  /** 1 or 2; 0 where absent. */
  stage = 0;
  faultClass: FaultClass = "";
  /** 1 true, 0 false, or ABSENT. */
  recorded = ABSENT;
  /** Flag bits of the native record, or ABSENT. */
  flags = ABSENT;
  /** Intermediate address of a second-stage fault. */
  hasIpa = false;
  ipaHi = 0;
  ipaLo = 0;
  /** The JSON text of `observed`, in the record's `bytes`: it may hold further fields. */
  start = 0;
  end = 0;

  clear(): void {
    this.present = false;
    this.result = OK;
    this.hasPa = false;
    this.paHi = 0;
    this.paLo = 0;
    this.hasCode = false;
    this.code = 0;
    this.reason = ABSENT;
    this.stage = 0;
    this.faultClass = "";
    this.recorded = ABSENT;
    this.flags = ABSENT;
    this.hasIpa = false;
    this.ipaHi = 0;
    this.ipaLo = 0;
    this.start = 0;
    this.end = 0;
  }

  /** Takes over all but the range of the text. */
  copyFrom(from: ObservedRecord): void {
    this.present = from.present;
    this.result = from.result;
    this.hasPa = from.hasPa;
    this.paHi = from.paHi;
    this.paLo = from.paLo;
    this.hasCode = from.hasCode;
    this.code = from.code;
    this.reason = from.reason;
    this.stage = from.stage;
    this.faultClass = from.faultClass;
    this.recorded = from.recorded;
    this.flags = from.flags;
    this.hasIpa = from.hasIpa;
    this.ipaHi = from.ipaHi;
    this.ipaLo = from.ipaLo;
  }
}

/** A DMA request. Reused: valid during the handler's call only. */
export class DmaRecord {
  /** The text that the ranges of this record and of `observed` lie in: overwritten after the handler's call. */
  bytes: Uint8Array = new Uint8Array(0);
  /** Number in `TraceNames.iommus`, or ABSENT. */
  iommu = ABSENT;
  /** Number in `TraceNames.devices`. */
  dev = 0;
  /** 0 to 2^20 - 1, or NO_PASID. */
  pasid = NO_PASID;
  /** Input address as two int32 halves. */
  addrHi = 0;
  addrLo = 0;
  /** 1 to 2^32 - 1. */
  len = 1;
  /** READ, WRITE, READ|WRITE or EXECUTE of walkers/request.ts. */
  access = READ;
  accessGiven = false;
  priv = false;
  privGiven = false;
  /** Address type: UNTRANSLATED, TRANSLATION_REQUEST or TRANSLATED of walkers/request.ts. */
  at = UNTRANSLATED;
  atGiven = false;
  /** A safe integer, or NaN where absent. */
  seq = Number.NaN;
  /** `ts` as JSON text in `bytes`, quotes included; empty where absent. */
  tsStart = 0;
  tsEnd = 0;
  readonly observed = new ObservedRecord();

  clear(): void {
    this.iommu = ABSENT;
    this.dev = 0;
    this.pasid = NO_PASID;
    this.addrHi = 0;
    this.addrLo = 0;
    this.len = 1;
    this.access = READ;
    this.accessGiven = false;
    this.priv = false;
    this.privGiven = false;
    this.at = UNTRANSLATED;
    this.atGiven = false;
    this.seq = Number.NaN;
    this.tsStart = 0;
    this.tsEnd = 0;
    this.observed.clear();
  }

  /** Takes everything over, with the texts: what it was copied from may be reused. */
  copyFrom(from: DmaRecord): void {
    const { observed } = from;
    this.iommu = from.iommu;
    this.dev = from.dev;
    this.pasid = from.pasid;
    this.addrHi = from.addrHi;
    this.addrLo = from.addrLo;
    this.len = from.len;
    this.access = from.access;
    this.accessGiven = from.accessGiven;
    this.priv = from.priv;
    this.privGiven = from.privGiven;
    this.at = from.at;
    this.atGiven = from.atGiven;
    this.seq = from.seq;
    this.observed.copyFrom(observed);
    const tsBytes = from.tsEnd - from.tsStart;
    const observedBytes = observed.end - observed.start;
    this.bytes = new Uint8Array(tsBytes + observedBytes);
    this.bytes.set(from.bytes.subarray(from.tsStart, from.tsEnd));
    this.bytes.set(from.bytes.subarray(observed.start, observed.end), tsBytes);
    this.tsStart = 0;
    this.tsEnd = tsBytes;
    this.observed.start = tsBytes;
    this.observed.end = tsBytes + observedBytes;
  }

  /** `ts` as JSON text, or "" where absent. */
  tsText(): string {
    return asciiOrUtf8(this.bytes, this.tsStart, this.tsEnd);
  }

  ts(): number | string | undefined {
    return this.tsEnd <= this.tsStart ? undefined : JSON.parse(this.tsText());
  }

  /** `observed` as JSON text, with whatever further fields it has, or "" where absent. */
  observedText(): string {
    return asciiOrUtf8(this.bytes, this.observed.start, this.observed.end);
  }
}

/** Bytes written to guest memory. Reused: valid during the handler's call only. */
export class MemRecord {
  /** The text that `start` and `end` refer to: overwritten after the handler's call. */
  bytes: Uint8Array = new Uint8Array(0);
  /** Physical address as two int32 halves. */
  addrHi = 0;
  addrLo = 0;
  /** Range in `bytes` of the hex digits: their number is even, each is 0-9, a-f or A-F. */
  start = 0;
  end = 0;
  /** The recorded IOMMU wrote this itself (accessed and dirty bits). */
  byIommu = false;
  /** Somebody read these bytes: when they were written is not known. */
  asRead = false;

  clear(): void {
    this.addrHi = 0;
    this.addrLo = 0;
    this.start = 0;
    this.end = 0;
    this.byIommu = false;
    this.asRead = false;
  }

  /** Takes everything over, with the digits: what it was copied from may be reused. */
  copyFrom(from: MemRecord): void {
    this.bytes = new Uint8Array(from.bytes.subarray(from.start, from.end));
    this.addrHi = from.addrHi;
    this.addrLo = from.addrLo;
    this.start = 0;
    this.end = this.bytes.length;
    this.byIommu = from.byIommu;
    this.asRead = from.asRead;
  }
}

const decoder = new TextDecoder();

function asciiOrUtf8(bytes: Uint8Array, start: number, end: number): string {
  return start === end ? "" : decoder.decode(bytes.subarray(start, end));
}
