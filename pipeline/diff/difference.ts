import { ACCESS_NAMES, type Access, ADDRESS_TYPES, type AddressType } from "../../parsers/trace/accesses.ts";
import type { Device } from "../../parsers/trace/devices.ts";
import { UNTRANSLATED } from "../../walkers/request.ts";
import type { ErrorRecord } from "../output/records.ts";
import { ANSWER_CLASSES, type Answer } from "./answer.ts";
import { ACCESS_MASK, AT_SHIFT, PRIV, type RequestQueue } from "./request-queue.ts";

/** Kinds of difference: how two answers to one request differ, or that the streams do not ask for the same. */
export const DIFF_CLASSES = [...ANSWER_CLASSES, "request", "only-in-a", "only-in-b"] as const;
export type DiffClass = (typeof DIFF_CLASSES)[number];

/** One difference, as it is written; a field that does not apply is left out. */
export interface DiffRecord {
  readonly type: "diff";
  /** Lines of the two inputs. */
  readonly line_a?: number;
  readonly line_b?: number;
  /** Of the first stream, or of the one that has the request. */
  readonly seq?: number;
  readonly seq_b?: number;
  readonly dev: string;
  readonly pasid?: number;
  readonly addr: string;
  readonly len: number;
  readonly access: Access;
  readonly priv?: true;
  readonly at?: AddressType;
  readonly class: DiffClass;
  /** What the streams say; before it, for class "request", the fields in which the requests differ. */
  readonly a?: Answer;
  readonly b?: Answer;
}

export const STREAMS = ["a", "b"] as const;

/** A record of one of the two inputs that could not be used. */
export interface DiffErrorRecord extends ErrorRecord {
  readonly stream: (typeof STREAMS)[number];
}

/** The request of a difference: a column index in one stream's queue. */
export class Place {
  readonly queue: RequestQueue;
  readonly index: number;

  constructor(queue: RequestQueue, index: number) {
    this.queue = queue;
    this.index = index;
  }

  get line(): number {
    return this.queue.line[this.index]!;
  }

  get device(): Device {
    return this.queue.deviceAt(this.index);
  }

  get address(): bigint {
    const { addrHi, addrLo } = this.queue;
    return (BigInt(addrHi[this.index]! >>> 0) << 32n) | BigInt(addrLo[this.index]! >>> 0);
  }

  /** The fields of the request as a trace has them. */
  request() {
    const { queue, index } = this;
    const pasid = queue.pasid[index]!;
    const kind = queue.kind[index]!;
    const type = kind >>> AT_SHIFT;
    return {
      dev: this.device.text,
      ...(pasid < 0 ? {} : { pasid }),
      addr: `0x${this.address.toString(16)}`,
      len: queue.len[index]!,
      access: ACCESS_NAMES[kind & ACCESS_MASK]!,
      ...((kind & PRIV) === 0 ? {} : { priv: true as const }),
      ...(type === UNTRANSLATED ? {} : { at: ADDRESS_TYPES[type]! }),
    };
  }
}

/** @param a and `b`: at least one of the two */
export function diffRecord(
  diffClass: DiffClass,
  a: Place | null,
  answerA: Answer | null,
  b: Place | null,
  answerB: Answer | null,
): DiffRecord {
  const first = (a ?? b) as Place;
  const seq = first.queue.seq[first.index]!;
  const seqB = b === null ? Number.NaN : b.queue.seq[b.index]!;
  const request = first.request();
  const [onlyA, onlyB] =
    a !== null && b !== null && diffClass === "request" ? requestDifference(request, b.request()) : [{}, {}];
  return {
    type: "diff",
    ...(a === null ? {} : { line_a: a.line }),
    ...(b === null ? {} : { line_b: b.line }),
    ...(Number.isNaN(seq) ? {} : { seq }),
    ...(Number.isNaN(seqB) || seqB === seq ? {} : { seq_b: seqB }),
    ...request,
    class: diffClass,
    ...(a === null ? {} : { a: { ...onlyA, ...answerA } }),
    ...(b === null ? {} : { b: { ...onlyB, ...answerB } }),
  };
}

/** The fields in which two requests differ, on either side. */
function requestDifference(a: object, b: object): [Answer, Answer] {
  const differ = ([name, value]: [string, unknown], other: object) =>
    (other as Record<string, unknown>)[name] !== value;
  return [
    Object.fromEntries(Object.entries(a).filter((entry) => differ(entry, b))),
    Object.fromEntries(Object.entries(b).filter((entry) => differ(entry, a))),
  ];
}
