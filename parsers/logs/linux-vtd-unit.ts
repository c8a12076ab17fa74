/**
 * What Linux's VT-d driver says of its units (drivers/iommu/intel/dmar.c): capability registers and reserved regions
 * at boot, and errors of the invalidation queue (since 5.15 with the descriptors; some before too).
 */
import { hexWord, smallHex } from "./kernel-text.ts";

export type VtdUnitLine =
  | {
      readonly kind: "vtd-unit";
      /** "dmar0" */
      readonly iommu: string;
      readonly base: bigint;
      readonly cap: bigint;
      readonly ecap: bigint;
    }
  | { readonly kind: "vtd-address-width"; readonly bits: number }
  | { readonly kind: "vtd-reserved-region"; readonly base: bigint; readonly end: bigint }
  /** Tables of the kernel that ran before (kdump). */
  | { readonly kind: "vtd-copied-tables"; readonly iommu: string }
  | {
      readonly kind: "vtd-queue-error";
      readonly error: "queue" | "time-out" | "completion";
      /** IQEI, or the requester id of the device that did not answer; undefined where the line is torn. */
      readonly detail: number | undefined;
    }
  /** A descriptor at the queue's head, or the one before it; `words` are as many as the line has whole. */
  | {
      readonly kind: "vtd-descriptor";
      readonly where: "head" | "prior" | "invalid";
      readonly name: string;
      readonly words: readonly bigint[];
    }
  | { readonly kind: "vtd-queue-cleared"; readonly error: "queue" | "time-out" | "completion" };

const UNIT =
  /(?:dmar(\d+)|IOMMU (\d+)): reg_base_addr ([0-9a-f]{1,16}) ver [0-9a-f]+:[0-9a-f]+ cap ([0-9a-f]{1,16}) ecap ([0-9a-f]{1,16})(?![0-9a-fx])/i;
const WIDTH = /Host address width (\d{1,2})(?!\d)/;
const RMRR = /RMRR base: 0x([0-9a-f]{1,16}) end: 0x([0-9a-f]{1,16})(?![0-9a-fx])/i;
const COPIED = /Copied translation tables from previous kernel for (\S+)/;
const ERROR =
  /VT-d detected Invalidation (Queue|Time-out|Completion) Error(?:: (?:Reason|SID) ([0-9a-f]{1,8}))?/;
const DESCRIPTOR =
  /QI (HEAD|PRIOR): (.*?) ?qw0 = 0x([0-9a-f]{1,16})(?:, qw1 = 0x([0-9a-f]{1,16})(?![0-9a-fx]))?/i;
/** 5.1 to 5.14, and before. */
const INVALID =
  /VT-d detected invalid descriptor: (?:qw0 = |low=)([0-9a-f]{1,16}), (?:qw1 = |high=)([0-9a-f]{1,16})/i;
const CLEARED = /Invalidation (Queue|Time-out|Completion) Error \(I[QTC]E\) cleared/;

const ERRORS: Readonly<Record<string, "queue" | "time-out" | "completion">> = {
  Queue: "queue",
  "Time-out": "time-out",
  Completion: "completion",
};

/** The lines that stand in one: the kernel prints queue errors without a line break behind them. */
export function vtdUnitLines(text: string): readonly VtdUnitLine[] {
  const parts = text.split(
    /(?<=[0-9a-fx])\s*(?:DMAR: )?(?=VT-d detected |QI (?:HEAD|PRIOR): |Invalidation \S+ Error \()/,
  );
  if (parts.length > 1) return parts.flatMap((part) => vtdUnitLine(part) ?? []);
  const only = vtdUnitLine(text);
  return only === undefined ? [] : [only];
}

function vtdUnitLine(text: string): VtdUnitLine | undefined {
  const cleared = CLEARED.exec(text);
  if (cleared !== null) return { kind: "vtd-queue-cleared", error: ERRORS[cleared[1]!]! };
  const error = ERROR.exec(text);
  if (error !== null)
    return { kind: "vtd-queue-error", error: ERRORS[error[1]!]!, detail: smallHex(error[2]) };
  const descriptor = DESCRIPTOR.exec(text);
  if (descriptor !== null)
    return {
      kind: "vtd-descriptor",
      where: descriptor[1]!.toUpperCase() === "HEAD" ? "head" : "prior",
      name: descriptor[2]!,
      words: descriptor.slice(3, 5).flatMap((word) => hexWord(word) ?? []),
    };
  const invalid = INVALID.exec(text);
  if (invalid !== null)
    return {
      kind: "vtd-descriptor",
      where: "invalid",
      name: "",
      words: invalid.slice(1, 3).map((word) => hexWord(word)!),
    };
  const unit = UNIT.exec(text);
  if (unit !== null)
    return {
      kind: "vtd-unit",
      iommu: `dmar${unit[1] ?? unit[2]}`,
      base: hexWord(unit[3])!,
      cap: hexWord(unit[4])!,
      ecap: hexWord(unit[5])!,
    };
  const width = WIDTH.exec(text);
  if (width !== null) return { kind: "vtd-address-width", bits: Number(width[1]) };
  const region = RMRR.exec(text);
  if (region !== null)
    return { kind: "vtd-reserved-region", base: hexWord(region[1])!, end: hexWord(region[2])! };
  const copied = COPIED.exec(text);
  return copied === null ? undefined : { kind: "vtd-copied-tables", iommu: copied[1]! };
}
