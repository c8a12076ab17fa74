import { type JsonSchema, objectSchema, oneOf, optional } from "../../parsers/trace/field.ts";
import { schemaOf } from "../../parsers/trace/input-schema.ts";
import { DIFF_RECORDS } from "../diff/diff-schema.ts";
import { type DiffErrorRecord, STREAMS } from "../diff/difference.ts";
import { INSPECT_RECORDS } from "../inspect/inspect-schema.ts";
import type { Description, Descriptions } from "../output/output-fields.ts";
import type { ErrorRecord } from "../output/records.ts";
import { OVERVIEW_RECORDS } from "../summary/overview-schema.ts";
import { ERROR, REPLAY_RECORDS } from "./replay-schema.ts";

/** Of `diff` as well, which reads two inputs. */
const ANY_ERROR: Description<ErrorRecord & Partial<DiffErrorRecord>> = {
  ...ERROR,
  stream: optional(oneOf(STREAMS, "diff: which of the two inputs")),
};

/** Every type of output record: of `replay`, of `diff` and of `inspect`. */
const RECORDS: Descriptions = {
  ...REPLAY_RECORDS,
  error: [ANY_ERROR, REPLAY_RECORDS.error![1]],
  ...OVERVIEW_RECORDS,
  ...DIFF_RECORDS,
  ...INSPECT_RECORDS,
};

/** JSON Schema (draft 2020-12) of one output record; records may have further fields. */
export function outputSchema(): JsonSchema {
  const fieldsFor: Readonly<Record<string, JsonSchema>> = {
    ok: { required: ["pa", "perm"] },
    fault: { required: ["reason", "name"] },
  };
  const described = Object.entries(RECORDS);
  return {
    ...schemaOf(
      "pasid-trace output record, version 1",
      described.map(([type, [fields, doc]]) => {
        const schema = objectSchema(fields, doc);
        if (type !== "outcome") return [type, schema];
        const allOf = Object.entries(fieldsFor).map(([result, needed]) => ({
          if: { properties: { result: { const: result } } },
          // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
          then: needed,
        }));
        return [type, { ...schema, allOf }];
      }),
    ),
    properties: { type: { enum: Object.keys(RECORDS), description: "What the record is" } },
  };
}
