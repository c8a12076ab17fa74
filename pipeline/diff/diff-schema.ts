import { ADDRESS_TYPES } from "../../parsers/trace/accesses.ts";
import { device, integer, objectSchema, oneOf, optional, text } from "../../parsers/trace/field.ts";
import { OBSERVED_RESULTS } from "../../parsers/trace/schema.ts";
import {
  access,
  count,
  counts,
  type Description,
  type Descriptions,
  hexText,
  length,
  line,
  listOf,
  MAX_SAFE,
  only,
  pasid,
  schemaField,
} from "../output/output-fields.ts";
import { ALIGNED_BY } from "./aligner.ts";
import { ANSWER_KINDS } from "./answer-kinds.ts";
import { DIFF_CLASSES, type DiffRecord } from "./difference.ts";
import { type DiffSummaryRecord, NOTE_CODES } from "./summary-record.ts";

const seq = (doc: string) => integer(-MAX_SAFE, MAX_SAFE, doc);

const answer = (stream: string) =>
  schemaField(
    objectSchema(
      { result: optional(oneOf(OBSERVED_RESULTS, "What became of the request")) },
      `What ${stream} says: members of observed, or of an outcome; class request: first the fields that differ`,
    ),
  );

const DIFF: Description<DiffRecord> = {
  line_a: optional(line),
  line_b: optional(line),
  seq: optional(seq("Of the first input, or of the one that has the request")),
  seq_b: optional(seq("Of the second, where it is another")),
  dev: device("The device, as the input spells it"),
  pasid: optional(pasid),
  addr: hexText("Input address"),
  len: length,
  access,
  priv: optional(only(true, "A privileged request")),
  at: optional(oneOf(ADDRESS_TYPES, "Its address type, where it is not untranslated")),
  class: oneOf(DIFF_CLASSES, "How they differ, from the coarsest to the finest"),
  a: optional(answer("the first input")),
  b: optional(answer("the second input")),
};

const stream = schemaField(
  objectSchema(
    {
      path: text('Path of the file; "-" for standard input'),
      kind: oneOf(["trace", "outcomes"], "A trace, or the output of a replay"),
      side: optional(oneOf(ANSWER_KINDS, "trace: whose answers were compared")),
      requests: count("Requests"),
      unanswered: optional(count("Requests without an answer")),
      errors: optional(count("Records that could not be used")),
    },
    "One input",
  ),
);

const SUMMARY: Description<DiffSummaryRecord> = {
  a: stream,
  b: stream,
  aligned_by: oneOf(ALIGNED_BY, "How requests found each other in the end"),
  compared: count("Pairs whose answers were compared"),
  same: count("Those that are the same"),
  differ: count("Those that differ and that no rule ignores"),
  differences: count("Differences of all classes"),
  by_class: counts("Differences by class", { enum: DIFF_CLASSES }),
  by_device: counts("Differences by device"),
  by_pasid: counts("Differences by PASID, or none"),
  by_code: counts("Differences by what the answers come to, first→second"),
  first: optional(schemaField(objectSchema(DIFF, "The first difference"))),
  kinds: optional(
    listOf(
      {
        class: oneOf(DIFF_CLASSES, "How they differ"),
        change: optional(text("What the answers come to, first→second")),
        count: count("Differences"),
        first: schemaField({
          type: "object",
          properties: {},
          description: "The first of them: a diff record",
        }),
      },
      "With --summary --json: kinds of difference, from the coarsest class; of one the most frequent first",
    ),
  ),
  ignored: optional(counts("Differences by the rule that ignores them")),
  unaligned: optional(
    schemaField(
      objectSchema(
        {
          a: count("Requests of the first input"),
          b: count("Requests of the second"),
          window: count("The window"),
        },
        "Requests for which no alignment was found within the window",
      ),
    ),
  ),
  filtered: optional(count("Pairs, and requests of one side, that a filter has left out")),
  notes: listOf(
    { code: oneOf(NOTE_CODES, "For scripts"), message: text("For people") },
    "What must not be overlooked",
  ),
};

/** The output records of `diff` beside `error`. */
export const DIFF_RECORDS: Descriptions = {
  diff: [DIFF, "A difference between two inputs"],
  "diff-summary": [SUMMARY, "Counters of a whole comparison; the last record"],
};
