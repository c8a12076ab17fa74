import { hasCode } from "../../walkers/fault.ts";
import { NO_LEVEL } from "../../walkers/result.ts";
import { hex } from "../../walkers/word64.ts";
import type { ErrorRecord, FindingRecord, OutcomeRecord, SummaryRecord } from "../output/records.ts";
import type { DistinctFault } from "./distinct-faults.ts";
import type { RuleFindings } from "./finding-groups.ts";
import { requestResults } from "./request-results.ts";
import type { SpaceCounts } from "./space-counts.ts";
import type { SummarySink } from "./summary-sink.ts";
import type { WrongAnswers } from "./wrong-answers.ts";

/** What a summary for people says, in full and for machines. Lists have the worst, or the most, first. */
export interface OverviewRecord
  extends Pick<
    SummaryRecord,
    "lines" | "verdicts" | "errors" | "filtered" | "unknown" | "unknown_names" | "forgotten"
  > {
  readonly type: "overview";
  readonly trace: string;
  readonly iommus: readonly { readonly iommu?: string; readonly model: string }[];
  readonly devices: number;
  readonly requests: number;
  readonly ok: number;
  readonly faults: number;
  readonly msi: number;
  /** Requests without a verdict: nothing was observed. */
  readonly unjudged: number;
  readonly answers: readonly ReturnType<typeof answerKind>[];
  readonly findings: readonly ReturnType<typeof findingKind>[];
  readonly fault_kinds: readonly ReturnType<typeof faultKind>[];
  /** Requests whose fault is none of these, where there are too many kinds. */
  readonly other_faults?: number;
  readonly spaces: readonly ReturnType<typeof spaceOf>[];
  /** Requests of devices and PASIDs beyond these, where there are too many. */
  readonly other_requests?: number;
  readonly first_error?: ErrorRecord;
}

/** @param trace its path; "-" for standard input */
export function overviewRecord(sink: SummarySink, trace: string): OverviewRecord {
  const { spaces, faults, answers, findings, errors, stats } = sink;
  const { lines, verdicts, filtered, unknown, unknown_names, forgotten } = sink.summary!;
  const results = requestResults(spaces);
  const judged = Object.values(verdicts).reduce((sum, n) => sum + n, 0);
  const [first_error] = errors.errors;
  return {
    type: "overview",
    trace,
    lines,
    iommus: stats.map(({ iommu, model }) => ({ ...(iommu === undefined ? {} : { iommu }), model })),
    ...results,
    verdicts,
    unjudged: results.requests - judged,
    answers: answers.worstFirst().map(answerKind),
    findings: findings.worstFirst().map(findingKind),
    fault_kinds: [...faults.all].sort((a, b) => b.requests - a.requests).map(faultKind),
    ...(faults.others === 0 ? {} : { other_faults: faults.others }),
    spaces: [...spaces.all].sort((a, b) => b.requests - a.requests).map(spaceOf),
    ...(spaces.others === null ? {} : { other_requests: spaces.others.requests }),
    errors: errors.errorCount,
    ...(first_error === undefined ? {} : { first_error }),
    ...(filtered === undefined ? {} : { filtered }),
    ...(unknown === undefined ? {} : { unknown }),
    ...(unknown_names === undefined ? {} : { unknown_names }),
    ...(forgotten === undefined ? {} : { forgotten }),
  };
}

function answerKind({ verdict, difference, count, spaces, first, observed }: WrongAnswers) {
  return {
    verdict,
    ...(difference === "" ? {} : { diff: difference }),
    count,
    spaces: spaces.size,
    first: first satisfies OutcomeRecord,
    ...(observed === "" ? {} : { observed: parsedOrText(observed) }),
  };
}

/** As the trace gives it; a text where it is none of JSON. */
function parsedOrText(observed: string): unknown {
  try {
    return JSON.parse(observed);
  } catch {
    return observed;
  }
}

function findingKind({ rule, severity, count, latent, examples }: RuleFindings) {
  return {
    rule,
    severity,
    count,
    ...(latent === 0 ? {} : { latent }),
    first: examples[0]! satisfies FindingRecord,
  };
}

function faultKind(group: DistinctFault) {
  const { names, pasid, fault, reason, stage, level, requests, first, lastLine, verdicts } = group;
  return {
    ...whose(names.iommu, names.device, pasid),
    ...(hasCode(fault) ? { code: hex(fault.code) } : {}),
    name: fault.name,
    reason,
    ...(stage === 0 ? {} : { stage }),
    ...(level === NO_LEVEL ? {} : { level }),
    count: requests,
    first_line: first.line,
    last_line: lastLine,
    ...(verdicts.size === 0 ? {} : { verdicts: Object.fromEntries(verdicts) }),
  };
}

function spaceOf({
  iommu,
  device,
  pasid,
  requests,
  ok,
  faults,
  msi,
  bytes,
  firstLine,
  lastLine,
  verdicts,
}: SpaceCounts) {
  return {
    ...whose(iommu, device, pasid),
    requests,
    ok,
    faults,
    msi,
    bytes,
    ...(verdicts.size === 0 ? {} : { verdicts: Object.fromEntries(verdicts) }),
    first_line: firstLine,
    last_line: lastLine,
  };
}

function whose(iommu: string | undefined, dev: string, pasid: number) {
  return { ...(iommu === undefined ? {} : { iommu }), dev, ...(pasid < 0 ? {} : { pasid }) };
}
