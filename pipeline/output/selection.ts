import { FAULT, MSI, OK } from "../../walkers/result.ts";
import type { Outcome, Verdict } from "../iommus/outcome.ts";
import type { OtherRecord } from "./sink.ts";

/** What `--only` can ask for, with the sentence that `--help` prints. */
export const SELECTIONS = {
  ok: "requests that were translated",
  faults: "requests that faulted",
  msi: "interrupt requests",
  matches: "requests whose observed outcome is right",
  mismatches: "requests whose observed outcome no correct IOMMU gives",
  stale: "requests answered from a stale entry, lawfully or not",
  unflushed: "requests answered as if a write had not reached memory",
  hazards: "requests that a stale entry could still answer",
  unknown: "requests that need memory of a snapshot that could not be read",
  findings: "findings",
  marks: "marks",
} as const;

/** A name of `SELECTIONS`. */
export type SelectionName = keyof typeof SELECTIONS;

/** Which output records to write; errors, stats and summary are not its business. */
export interface Selection {
  /** By OK, FAULT and MSI: write all outcomes of this status. */
  readonly statuses: readonly boolean[];
  readonly verdicts: ReadonlySet<Verdict>;
  readonly findings: boolean;
  readonly marks: boolean;
}

/** No names: everything. */
export function selectionOf(names: readonly SelectionName[] | undefined): Selection {
  const all = names === undefined;
  const has = (name: SelectionName) => all || names.includes(name);
  const statuses: boolean[] = [];
  statuses[OK] = has("ok");
  statuses[FAULT] = has("faults");
  statuses[MSI] = has("msi");
  const verdicts = new Set<Verdict>();
  if (has("matches")) verdicts.add("match");
  if (has("mismatches")) verdicts.add("mismatch");
  if (has("stale")) verdicts.add("stale").add("stale-after-invalidation");
  if (has("unflushed")) verdicts.add("unflushed");
  if (has("hazards")) verdicts.add("hazard");
  if (has("unknown")) verdicts.add("unknown");
  return { statuses, verdicts, findings: has("findings"), marks: has("marks") };
}

/** Selects nothing: for statistics alone. */
export const SELECT_NOTHING: Selection = selectionOf([]);

export function selects(selection: Selection, outcome: Outcome): boolean {
  return (
    selection.statuses[outcome.status]! || (outcome.verdict !== "" && selection.verdicts.has(outcome.verdict))
  );
}

export function selectsRecord(selection: Selection, { type }: OtherRecord): boolean {
  if (type === "finding") return selection.findings;
  return type !== "mark" || selection.marks;
}
