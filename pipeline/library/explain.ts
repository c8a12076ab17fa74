import { causesOf, type Fault, type FaultReason, hasCode, type Occurrence } from "../../walkers/fault.ts";
import { occurrenceOf } from "../../walkers/fault-record.ts";
import type { DecodedField, Layout } from "../../walkers/layout.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { LibraryError, unknownName } from "./library-error.ts";
import { bytesOfWords, vendorOf } from "./words.ts";

/** A fault of a specification, in words. */
export interface ExplainedFault {
  /** The native code; undefined where the specification has none: the request is only terminated. */
  readonly code: number | undefined;
  /** As the specification spells it. */
  readonly name: string;
  /** The generic reasons that it is reported for, the likeliest first. */
  readonly reasons: readonly FaultReason[];
  /** One sentence on what it means. */
  readonly text: string;
  /** Document and section. */
  readonly source: string;
  /** What most often brings it about. */
  readonly causes: readonly string[];
}

/** A structure in memory, or a register, taken apart. */
export interface ExplainedEntry {
  /** The structure, by the specification's name. */
  readonly structure: string;
  /** Document and section. */
  readonly source: string;
  readonly fields: readonly DecodedField[];
  /** Numbers of the reserved bits that are set. */
  readonly reservedSet: readonly number[];
}

/** A raw fault record, and the faults that it may be of. */
export interface ExplainedRecord extends ExplainedEntry {
  readonly code: number;
  readonly faults: readonly ExplainedFault[];
}

/**
 * The faults that a specification defines, as `pasid-replay explain`.
 *
 * @param what a native code, or a name as the specification spells it, in any case; without it, all. Several conditions may
 *   share a code
 * @throws LibraryError ("argument") for a model that is none, or a code or name that it does not have
 */
export function explain(model: IommuModel, what?: number | string): ExplainedFault[] {
  const { faults } = vendorOf(model);
  const found = what === undefined ? faults : faults.filter((fault) => isNamed(fault, what));
  if (found.length === 0)
    throw new LibraryError(
      "argument",
      `expected a code or a name of a fault of ${model}, found ${JSON.stringify(what)}`,
    );
  return found.map((fault) => explained(fault));
}

function isNamed(fault: Fault, what: number | string): boolean {
  if (typeof what === "number") return hasCode(fault) && fault.code === what;
  return fault.name.toLowerCase() === what.toLowerCase();
}

function explained(fault: Fault, known: Occurrence = {}): ExplainedFault {
  const { code, name, reason, others = [], text, source } = fault;
  return {
    code: hasCode(fault) ? code : undefined,
    name,
    reasons: known.reasons ?? [reason, ...others],
    text,
    source,
    causes: causesOf(fault, known),
  };
}

/**
 * Takes a raw fault record apart: a VT-d fault recording register, an SMMUv3 event, an AMD-Vi event log entry, a RISC-V fault
 * queue record.
 *
 * @param words of 64 bits, lowest address first; all of them
 * @throws LibraryError ("argument") for a model that is none, or words that are no such record
 */
export function explainRecord(model: IommuModel, words: readonly bigint[]): ExplainedRecord {
  const { faults, faultRecord } = vendorOf(model);
  const record = bytesOfWords(words, faultRecord.bytes, Math.ceil(faultRecord.bytes / 8));
  const code = faultRecord.code(record);
  const known = occurrenceOf(faultRecord, record);
  return {
    ...entryOf(faultRecord.layout(code), record),
    code,
    faults: faults
      .filter((fault) => hasCode(fault) && fault.code === code)
      .map((fault) => explained(fault, known)),
  };
}

/** The structures and registers whose fields are known, by the specification's names. */
export function structures(model: IommuModel): string[] {
  return vendorOf(model).layouts.map(({ name }) => name);
}

/**
 * Takes a table entry or a register apart.
 *
 * @param structure one of `structures(model)`, in any case
 * @param words of 64 bits, lowest address first; the first ones will do: the others are zero
 * @throws LibraryError ("argument") for a structure that is none, or too many words
 */
export function explainEntry(model: IommuModel, structure: string, words: readonly bigint[]): ExplainedEntry {
  const { layouts } = vendorOf(model);
  const layout = layouts.find(({ name }) => name.toLowerCase() === `${structure}`.toLowerCase());
  if (layout === undefined) throw unknownName("structure", structures(model), structure);
  return entryOf(layout, bytesOfWords(words, layout.bytes));
}

function entryOf(layout: Layout, view: DataView): ExplainedEntry {
  const { name, source } = layout;
  return {
    structure: name,
    source,
    fields: layout.decode(view, 0),
    reservedSet: layout.reservedSet(view, 0),
  };
}
