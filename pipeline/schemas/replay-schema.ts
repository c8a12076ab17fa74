import { ADDRESS_TYPES } from "../../parsers/trace/accesses.ts";
import {
  boolean,
  device,
  integer,
  objectSchema,
  oneOf,
  opaque,
  optional,
  text,
} from "../../parsers/trace/field.ts";
import { FAULT_CLASSES, MAX_PASID, OBSERVED_RESULTS } from "../../parsers/trace/schema.ts";
import { TABLE_MODELS } from "../../walkers/models.ts";
import { SEVERITIES } from "../../walkers/tables/rule.ts";
import { DIFFERENCES, VERDICTS } from "../iommus/outcome.ts";
import {
  access,
  count,
  counts,
  type Description,
  type Descriptions,
  HEX,
  hexText,
  length,
  level,
  line,
  listOf,
  MAX_SAFE,
  only,
  pageSizes,
  pasid,
  reason,
  schemaField,
} from "../output/output-fields.ts";
import type {
  ErrorRecord,
  FindingRecord,
  MarkRecord,
  OutcomeRecord,
  StatsRecord,
  SummaryRecord,
  TotalRecord,
  TraceRecord,
} from "../output/records.ts";

const trace = optional(text("Path of the trace, where several are replayed into one output"));

const run = {
  type: "array",
  prefixItems: [hexText("Physical address").schema(), integer(1, MAX_SAFE, "Bytes").schema()],
  minItems: 2,
  items: false,
};

export const OUTCOME: Description<OutcomeRecord> = {
  trace,
  line,
  seq: optional(integer(-MAX_SAFE, MAX_SAFE, "As the input gives it")),
  ts: optional(opaque("As the input gives it")),
  iommu: optional(text("The IOMMU")),
  dev: device("The device, as the input spells it"),
  pasid: optional(integer(0, MAX_PASID, "PASID, where the request has one")),
  addr: hexText("Input address"),
  len: length,
  access,
  priv: optional(boolean("As the input gives it")),
  at: optional(oneOf(ADDRESS_TYPES, "As the input gives it")),
  model: oneOf(TABLE_MODELS, "Format of the table that was walked"),
  result: oneOf(OBSERVED_RESULTS, "What became of the request; msi: an interrupt-range write"),
  pa: optional(hexText("ok: physical address of the first byte")),
  page: optional(integer(1, MAX_SAFE, "ok: bytes that one TLB entry of this translation would map")),
  perm: optional(
    schemaField({
      type: "string",
      pattern: "^[r-][w-][x-]$",
      description: "ok: what the walk grants; - for what it denies",
    }),
  ),
  domain: optional(integer(0, 2 ** 32 - 1, "VT-d DID, AMD DomainID, Arm VMID, RISC-V GSCID")),
  asid: optional(integer(0, 2 ** 32 - 1, "Arm ASID, RISC-V PSCID")),
  passthrough: optional(only(true, "ok: no stage translated")),
  sg: optional(
    schemaField({
      type: "array",
      minItems: 2,
      items: run,
      description: "ok: physical runs, where there are several",
    }),
  ),
  reason: optional(reason),
  code: optional(hexText("fault: the native code, where the specification gives it one")),
  name: optional(text("fault: the specification's name for the code")),
  stage: optional(integer(1, 2, "fault: the stage whose page table faulted")),
  level: optional(level),
  class: optional(oneOf(FAULT_CLASSES, "fault: Arm's class")),
  entry_addr: optional(hexText("fault: address of the failing entry")),
  entry: optional(hexText("fault: its first 64 bits")),
  recorded: optional(only(false, "fault: the specification writes no record of it")),
  hole: optional(only(true, "fault: the fetch left all recorded memory")),
  fault_addr: optional(hexText("fault: where it is, if not at addr")),
  flags: optional(hexText("fault: flag bits of the native record")),
  other_code: optional(
    hexText("fault: a code that is as right: the specification does not say which condition is reported"),
  ),
  reads: count("Memory reads of an uncached walk"),
  other_result: optional(
    oneOf(OBSERVED_RESULTS, "A result that is as right: the specification can be read in two ways"),
  ),
  verdict: optional(oneOf(VERDICTS, "How it compares with what was observed")),
  diff: optional(oneOf(DIFFERENCES, "mismatch: the first thing that differs")),
  changed_line: optional(
    integer(1, MAX_SAFE, "stale, unflushed, hazard: line of the change that was not seen"),
  ),
};

export const FINDING: Description<FindingRecord> = {
  trace,
  line,
  severity: oneOf(SEVERITIES, "How bad it is"),
  rule: text("The rule that found it"),
  iommu: optional(text("The IOMMU")),
  dev: optional(device("The device")),
  pasid: optional(pasid),
  message: text("What was found"),
  pasids: optional(
    schemaField({
      type: "array",
      prefixItems: [integer(0, MAX_PASID, "First").schema(), integer(0, MAX_PASID, "Last").schema()],
      minItems: 2,
      items: false,
      description: "PASIDs that a table entry stands for, where there are several",
    }),
  ),
  structure: optional(text("Structure, or register, that it is in")),
  index: optional(integer(0, MAX_SAFE, "Which entry of its table")),
  entry_addr: optional(hexText("Address of the entry")),
  field: optional(text("The field, by the specification's name")),
  bits: optional(text("Its bits, by the structure's own numbers")),
  value: optional(hexText("Its value; of an address, all of its bits")),
  source: optional(text("Document and section")),
  changed_line: optional(integer(1, MAX_SAFE, "Line of the change, or of its first write")),
  until_line: optional(
    integer(1, MAX_SAFE, "Line of the last write of the change, or of what made it valid again"),
  ),
  first_line: optional(
    integer(
      1,
      MAX_SAFE,
      "Line of the first request that could see the old entry, or of the first that is lost",
    ),
  ),
  issued_line: optional(integer(1, MAX_SAFE, "Line of the first invalidation that nothing waits for")),
  request_line: optional(
    integer(1, MAX_SAFE, "Line of the request that the log may mean, or that came between the writes"),
  ),
  invalidated_line: optional(integer(1, MAX_SAFE, "Line from which on an invalidation covers the old entry")),
  fault_line: optional(integer(1, MAX_SAFE, "Line of a logged fault that the old entry explains")),
  reused_line: optional(integer(1, MAX_SAFE, "Line that maps elsewhere what the old entry maps")),
  requests: optional(count("Requests that could see the old entry")),
  answered: optional(count("Of these, those that the recorded system answered from it")),
  latent: optional(only(true, "No recorded answer shows it")),
  old: optional(hexText("The changed word before")),
  new: optional(text("The changed word now, or what is there instead")),
  cache: optional(
    oneOf(
      ["context", "pasid", "iotlb", "paging-structures", "devtlb"],
      "The cache that may hold the old entry",
    ),
  ),
  command: optional(text("The invalidation that was owed, in the vendor's own syntax")),
  data: optional(
    schemaField({ type: "array", items: hexText("").schema(), description: "Words of the command" }),
  ),
  command_register: optional(text("The register that asks for it, where the queue is off")),
  register: optional(text("The register that was changed")),
  forgotten: optional(count("Cached entries that were dropped")),
  what: optional(text("What is not in the trace, in a word or two")),
  count: optional(count("How many of them; of a name, records that have it")),
};

export const ERROR: Description<ErrorRecord> = {
  trace,
  line,
  code: oneOf(["json", "schema", "range", "io"], "Kind of trouble"),
  message: text("Field, what was expected, what was found"),
};

export const MARK: Description<MarkRecord> = {
  trace,
  line,
  label: schemaField({ type: "string", description: "The label" }),
};

const TRACE: Description<TraceRecord> = {
  path: text("The trace whose output follows"),
  error: optional(text("Why it was not replayed: nothing of it follows")),
  merged: optional(only(true, "Of merge: what follows are the counters of all traces together")),
};

const STATS: Description<StatsRecord> = {
  trace,
  iommu: optional(text("The IOMMU")),
  model: oneOf(TABLE_MODELS, "Format of the tables"),
  requests: count("Requests"),
  ok: count("Translated"),
  faults: count("Faulted"),
  msi: count("Interrupt-range writes"),
  bytes: count("Bytes requested"),
  devices: count("Different devices"),
  pasids: count("Different PASIDs"),
  domains: count("Different domains"),
  by_reason: counts("Faults by generic reason", reason.schema()),
  by_code: counts("Faults by native code", { pattern: `^${HEX}$` }),
  page_sizes: pageSizes("Translations by page size in bytes"),
  reads: schemaField({
    ...objectSchema(
      {
        total: count("Sum"),
        min: count("Smallest"),
        mean: schemaField({ type: "number", minimum: 0 }),
        p50: count("Median"),
        p99: count("99th percentile"),
        max: count("Largest"),
        counts: counts("Requests by their number of reads", { pattern: "^[0-9]+$" }),
      },
      "Memory reads per request, uncached",
    ),
  }),
  latent: optional(
    count("Requests answered rightly that an old entry could have answered, for want of an invalidation"),
  ),
  invalidations: optional(counts("Invalidations by name; on the first record of an IOMMU")),
  redundant_invalidations: optional(
    count("Invalidations that covered nothing that a cache could hold; likewise"),
  ),
  covered_pages: optional(count("Cached pages that invalidations covered; likewise")),
  over_wide_pages: optional(
    count(
      "Of these, those at least that were still right, and that a narrower one would have left; likewise",
    ),
  ),
  cached_pages: optional(count("Translations that a cache may hold in the end; likewise")),
  iotlb: optional(
    listOf(
      {
        entries: integer(1, MAX_SAFE, "Entries in all"),
        ways: integer(1, MAX_SAFE, "Entries of one set"),
        hits: count("Pages found"),
        misses: count("Pages not found"),
        rate: schemaField({ type: "number", minimum: 0, maximum: 1 }),
      },
      "Simulated IOTLBs; likewise",
    ),
  ),
};

const SUMMARY: Description<SummaryRecord> = {
  trace,
  lines: count("Lines of the input"),
  records: counts("Records by type"),
  errors: count("Records that could not be used"),
  findings: counts("Findings by rule"),
  latent: optional(count("Findings of what no recorded answer shows")),
  verdicts: counts("Outcomes by verdict", { enum: VERDICTS }),
  unknown: optional(counts("Records of unknown types")),
  unknown_names: optional(counts("Fields, registers and properties that nothing here knows")),
  filtered: optional(
    count("Requests that a filter has left out: they were replayed, and are counted nowhere but in records"),
  ),
  forgotten: optional(
    count("Cached entries that were dropped for want of memory: verdicts may be incomplete"),
  ),
};

const { trace: _, ...COUNTERS } = SUMMARY;
const TOTAL: Description<TotalRecord> = {
  traces: count("Traces that were replayed"),
  failed: optional(count("Traces that could not be")),
  missing: optional(count("Traces of which merge expected an output and found none")),
  ...COUNTERS,
};

/** The records of `replay`. */
export const REPLAY_RECORDS: Descriptions = {
  outcome: [OUTCOME, "What became of one request"],
  finding: [FINDING, "Something worth a look"],
  error: [ERROR, "A record of the input that could not be used"],
  mark: [MARK, "A label of the input"],
  trace: [TRACE, "Opens the output of one of several traces"],
  stats: [STATS, "Counters of one IOMMU and table format"],
  summary: [SUMMARY, "Counters of a whole replay; the last record of a trace"],
  total: [TOTAL, "Counters of several replays together; the last record"],
};
