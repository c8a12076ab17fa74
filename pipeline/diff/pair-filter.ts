import { codeText } from "../filter/code-text.ts";
import { type Answer, parseAnswer } from "./answer.ts";
import type { AnswerStream } from "./answer-stream.ts";
import { AT_SHIFT } from "./request-queue.ts";

/** No request of this stream. */
export const NOBODY = -1;

/**
 * Which requests of a comparison are wanted: those of which either side is. All are aligned, and their streams read to
 * the end.
 */
export class PairFilter {
  /** Pairs, and requests of one side, that are not wanted. */
  leftOut = 0;
  readonly #a: AnswerStream;
  readonly #b: AnswerStream;

  constructor(a: AnswerStream, b: AnswerStream) {
    this.#a = a;
    this.#b = b;
  }

  /** @param i and `j`: indices in the queues, or NOBODY */
  wants(i: number, j: number): boolean {
    const wanted = (i !== NOBODY && wantsAt(this.#a, i)) || (j !== NOBODY && wantsAt(this.#b, j));
    if (!wanted) this.leftOut++;
    return wanted;
  }
}

function wantsAt(stream: AnswerStream, i: number): boolean {
  const { filter, queue } = stream;
  if (filter === null) return true;
  return (
    filter.device(queue.deviceAt(i).text) &&
    filter.pasid(queue.pasid[i]!) &&
    filter.addressType(queue.kind[i]! >>> AT_SHIFT) &&
    filter.iommu(stream.iommuAt(i)) &&
    filter.line(queue.line[i]!) &&
    filter.address(queue.addrHi[i]!, queue.addrLo[i]!, queue.len[i]!) &&
    (!filter.faultsOnly || (queue.hasText(i) && isWantedFault(parseAnswer(queue.textAt(i)))))
  );

  function isWantedFault({ result, code, name, reason }: Answer): boolean {
    const known = typeof code === "string" ? (codeText(code) ?? code) : "";
    return result === "fault" && filter!.fault(known, text(name), text(reason));
  }
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
