/** What the descriptions of output records are made of: they are written, never read. */
import { ACCESSES } from "../../parsers/trace/accesses.ts";
import {
  type DescribedFields,
  type Field,
  integer,
  type JsonSchema,
  objectSchema,
  oneOf,
} from "../../parsers/trace/field.ts";
import { MAX_LENGTH, MAX_PASID } from "../../parsers/trace/schema.ts";
import { FAULT_REASONS } from "../../walkers/fault.ts";

/** A field of an output record: only described, never read. */
type Described = Pick<Field<unknown>, "schema"> & { readonly optional?: true };
/** Fields of a record type, all of them, with those that may be absent marked so. */
export type Description<R> = {
  readonly [K in Exclude<keyof R, "type">]-?: Record<never, never> extends Pick<R, K>
    ? Described & { readonly optional: true }
    : Described;
};

export const MAX_SAFE = Number.MAX_SAFE_INTEGER;
export const HEX = "0x(0|[1-9a-f][0-9a-f]{0,15})";

export const line = integer(1, MAX_SAFE, "Line of the input");
export const count = (doc: string) => integer(0, MAX_SAFE, doc);

/** Hex as writers write it: lowercase, without padding. */
export function hexText(doc: string): Field<unknown> {
  return schemaField({ type: "string", pattern: `^${HEX}$`, description: doc });
}

export function only(value: boolean, doc: string): Field<unknown> {
  return schemaField({ const: value, description: doc });
}

/** Counts by name. */
export function counts(doc: string, names: JsonSchema = {}): Field<unknown> {
  return schemaField({
    type: "object",
    propertyNames: names,
    additionalProperties: count("").schema(),
    description: doc,
  });
}

export function schemaField(schema: JsonSchema): Field<unknown> {
  return { doc: `${schema.description}`, read: () => undefined, schema: () => schema };
}

export const reason = oneOf(Object.keys(FAULT_REASONS), "fault: the generic reason");
export const pasid = integer(0, MAX_PASID, "The PASID");
export const access = oneOf(ACCESSES, "Kind of access");
export const length = integer(1, MAX_LENGTH, "Bytes");
/** Bytes of address space: all of it has more than a number holds exactly. */
export const bytes = (doc: string) => schemaField({ type: "integer", minimum: 0, description: doc });
export const level = integer(-1, 6, "fault: level of the failing entry; Arm's own numbers for Arm");
/** Counts by page size. */
export const pageSizes = (doc: string) => counts(doc, { pattern: "^[0-9]+$" });

/** A list of objects with these fields. */
export function listOf(fields: DescribedFields, doc: string): Field<unknown> {
  return schemaField({ type: "array", items: objectSchema(fields, doc), description: doc });
}

/** Descriptions of record types by their names, each with the sentence about it. */
export type Descriptions = Readonly<Record<string, readonly [fields: DescribedFields, doc: string]>>;
