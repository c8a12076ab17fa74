import { integer, oneOf, optional, text } from "../../parsers/trace/field.ts";
import { SEVERITIES } from "../../walkers/tables/rule.ts";
import { DIFFERENCES, VERDICTS } from "../iommus/outcome.ts";
import {
  count,
  counts,
  type Description,
  type Descriptions,
  hexText,
  level,
  line,
  listOf,
  pasid,
  reason,
  schemaField,
} from "../output/output-fields.ts";
import type { OverviewRecord } from "./overview.ts";
import { WRONG_VERDICTS } from "./wrong-answers.ts";

const iommu = optional(text("The IOMMU"));
const verdicts = (doc: string) => counts(doc, { enum: VERDICTS });
const record = (type: string, doc: string) =>
  schemaField({
    type: "object",
    properties: {},
    description: `${doc}: an ${type} record`.replace("an f", "a f"),
  });
const whose = { iommu, dev: text("The device, as the trace spells it"), pasid: optional(pasid) };

const OVERVIEW: Description<OverviewRecord> = {
  trace: text('Path of the trace; "-" for standard input'),
  lines: count("Lines of the input"),
  iommus: listOf({ iommu, model: text("Table format") }, "IOMMUs with requests"),
  devices: count("Devices"),
  requests: count("Requests that were replayed"),
  ok: count("Those that were translated"),
  faults: count("Those that fault"),
  msi: count("Interrupts"),
  verdicts: verdicts("Requests by verdict"),
  unjudged: count("Requests without a verdict: nothing was observed"),
  answers: listOf(
    {
      verdict: oneOf(WRONG_VERDICTS, "The verdict"),
      diff: optional(oneOf(DIFFERENCES, "What differs first")),
      count: count("Requests"),
      spaces: count("Pairs of a device and a PASID that they are of"),
      first: record("outcome", "The first of them, as memory answers it"),
      observed: optional(schemaField({ description: "What was observed of it" })),
    },
    "Answers that memory does not give, the worst first",
  ),
  findings: listOf(
    {
      rule: text("The rule"),
      severity: oneOf(SEVERITIES, "How bad"),
      count: count("Findings"),
      latent: optional(count("Those that no recorded answer shows")),
      first: record("finding", "The first of them"),
    },
    "Findings by rule, the worst first",
  ),
  fault_kinds: listOf(
    {
      ...whose,
      code: optional(hexText("The native fault code")),
      name: text("The specification's name for it"),
      reason,
      stage: optional(integer(1, 2, "Stage of the failing entry")),
      level: optional(level),
      count: count("Requests"),
      first_line: line,
      last_line: line,
      verdicts: optional(verdicts("Requests by verdict")),
    },
    "Faults by device, PASID and cause, the most frequent first",
  ),
  other_faults: optional(count("Requests whose fault is none of these, where there are too many kinds")),
  spaces: listOf(
    {
      ...whose,
      requests: count("Requests"),
      ok: count("Translated"),
      faults: count("Faulted"),
      msi: count("Interrupts"),
      bytes: count("Bytes asked for"),
      verdicts: optional(verdicts("Requests by verdict")),
      first_line: line,
      last_line: line,
    },
    "Requests by device and PASID, the most first",
  ),
  other_requests: optional(count("Requests of devices and PASIDs beyond these, where there are too many")),
  errors: count("Records that could not be used"),
  first_error: optional(record("error", "The first of them")),
  filtered: optional(count("Requests that a filter has left out")),
  unknown: optional(counts("Records of unknown types")),
  unknown_names: optional(counts("Fields, registers and properties that nothing here knows")),
  forgotten: optional(count("Cached entries that were dropped for want of memory")),
};

/** What `replay --summary --json` writes. */
export const OVERVIEW_RECORDS: Descriptions = {
  overview: [OVERVIEW, "What a replay comes to, at a glance"],
};
