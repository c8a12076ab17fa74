import type { DiffResult, StreamReport } from "./diff.ts";
import type { ChangeTally } from "./diff-summary.ts";

export const NOTE_CODES = [
  "setup-differs",
  "seq-not-followed",
  "different-requests",
  "different-workloads",
  "not-aligned",
  "not-answered",
  "nothing-compared",
  "rule-expired",
  "rule-unused",
] as const;

/** What must not be overlooked in a comparison; the code is for scripts, the message for people. */
export interface DiffNote {
  readonly code: (typeof NOTE_CODES)[number];
  readonly message: string;
}

const SETUP_WORDS = {
  memory: "writes to guest memory",
  registers: "registers and properties",
  bindings: "bindings",
  invalidations: "commands and invalidations",
} as const;

/** Of fewer requests, nobody can tell whether they are one workload. */
const MANY_REQUESTS = 16;

/** Everything about a comparison that its reader must know to trust the numbers. */
export function diffNotes(result: DiffResult): DiffNote[] {
  const { counts, unaligned, leftSeq, ignore } = result;
  const notes: DiffNote[] = [];
  const note = (code: DiffNote["code"], message: string) => notes.push({ code, message });
  for (const { setup, lineA, lineB } of result.setup)
    note(
      "setup-differs",
      `the traces do not set up the same ${SETUP_WORDS[setup]}: first ${where(lineA, lineB)}; answers may differ for that reason`,
    );
  if (leftSeq !== null)
    note(
      "seq-not-followed",
      `${leftSeq.reason} (${where(leftSeq.lineA, leftSeq.lineB)}): from there on requests are aligned by what they ask for`,
    );
  const requests = counts.byClass.get("request") ?? 0;
  if (requests > 0)
    note(
      "different-requests",
      `where seq is equal, ${requests} of the requests are not the same in both: their answers are not compared`,
    );
  const common = counts.compared + counts.unanswered;
  const fewer = Math.min(result.a.requests, result.b.requests);
  if (result.filtered === undefined && fewer >= MANY_REQUESTS && common * 2 < fewer)
    note(
      "different-workloads",
      `only ${common} of ${fewer} requests are in both: these do not look like the same workload`,
    );
  if (unaligned.stretches > 0)
    note(
      "not-aligned",
      `no alignment was found within a window of ${result.window} requests, from ${where(unaligned.lineA, unaligned.lineB)} on: ` +
        `${unaligned.a} requests of A and ${unaligned.b} of B are counted as only in one of them and may be in both`,
    );
  if (counts.unanswered > 0)
    note(
      "not-answered",
      `${counts.unanswered} of the requests in both are not compared: a side has no answer there`,
    );
  if (counts.compared === 0 && counts.total === 0) note("nothing-compared", "no request was compared");
  for (const { name, expires } of ignore.expired)
    note("rule-expired", `ignore rule ${JSON.stringify(name)} expired on ${expires} and is not applied`);
  for (const { name } of ignore.stale)
    note("rule-unused", `ignore rule ${JSON.stringify(name)} matched nothing`);
  return notes;
}

function where(lineA: number | null, lineB: number | null): string {
  return `${lineA === null ? "nothing more" : `line ${lineA}`} in A, ${lineB === null ? "nothing more" : `line ${lineB}`} in B`;
}

/** The last record of a comparison. @param kinds with the kinds of difference, each with its first */
export function diffSummaryRecord(result: DiffResult, kinds = false) {
  const { counts, ignore, unaligned } = result;
  const { type: _, ...first } = counts.first ?? { type: "diff" };
  return {
    type: "diff-summary" as const,
    a: streamRecord(result.a),
    b: streamRecord(result.b),
    aligned_by: result.alignedBy,
    compared: counts.compared,
    same: counts.same,
    differ: counts.differ,
    differences: counts.total,
    by_class: counts.classCounts(),
    by_device: counts.byDevice.record(),
    by_pasid: counts.byPasid.record(),
    by_code: counts.byCode.record(),
    ...(counts.first === null ? {} : { first }),
    ...(kinds ? { kinds: counts.changes().map(kindRecord) } : {}),
    ...(ignore.rules.length === 0
      ? {}
      : { ignored: Object.fromEntries(ignore.rules.map(({ name, count }) => [name, count])) }),
    ...(unaligned.stretches === 0
      ? {}
      : { unaligned: { a: unaligned.a, b: unaligned.b, window: result.window } }),
    ...(result.filtered === undefined ? {} : { filtered: result.filtered }),
    notes: diffNotes(result),
  };
}

/** What a comparison comes to: the last record of `diff`. */
export type DiffSummaryRecord = ReturnType<typeof diffSummaryRecord>;

function kindRecord({ class: diffClass, transition, count, example }: ChangeTally) {
  return { class: diffClass, ...(transition === "" ? {} : { change: transition }), count, first: example };
}

function streamRecord({ path, kind, answers, requests, unanswered, errorCount }: StreamReport) {
  return {
    path,
    kind,
    ...(kind === "trace" ? { side: answers } : {}),
    requests,
    ...(unanswered === 0 ? {} : { unanswered }),
    ...(errorCount === 0 ? {} : { errors: errorCount }),
  };
}
