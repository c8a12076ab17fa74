import { type JsonSchema, objectSchema } from "./field.ts";
import { RECORD_TYPES, RECORDS } from "./schema.ts";

export const JSON_SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema";

/**
 * JSON Schema (draft 2020-12) of one input record. It accepts whatever the reader accepts, so records of unknown
 * types and unknown fields too. The reader refuses a little more: device numbers that are too large for their prefix.
 */
export function inputSchema(): JsonSchema {
  return {
    ...schemaOf(
      "pasid-trace input record, version 1",
      RECORD_TYPES.map((type) => [type, objectSchema(RECORDS[type].fields, RECORDS[type].doc)]),
    ),
    properties: { type: { type: "string", description: "What the record is" } },
  };
}

/** A schema for records of which `type` says what they are, with the definition of each type. */
export function schemaOf(title: string, definitions: readonly (readonly [string, JsonSchema])[]): JsonSchema {
  return {
    $schema: JSON_SCHEMA_DIALECT,
    title,
    type: "object",
    required: ["type"],
    allOf: definitions.map(([type]) => ({
      if: { required: ["type"], properties: { type: { const: type } } },
      // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
      then: { $ref: `#/$defs/${type}` },
    })),
    $defs: Object.fromEntries(
      definitions.map(([type, schema]) => [
        type,
        { ...schema, properties: { type: { const: type }, ...(schema.properties as object) } },
      ]),
    ),
  };
}
