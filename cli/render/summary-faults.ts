import type { DistinctFault } from "../../pipeline/summary/distinct-faults.ts";
import type { SummarySink } from "../../pipeline/summary/summary-sink.ts";
import type { Align } from "../../pipeline/words/columns.ts";
import { paint } from "../../pipeline/words/paint.ts";
import { faultTitle } from "../../pipeline/words/sentence.ts";
import { shellWord } from "../../pipeline/words/shell-word.ts";
import { MODEL_OWNER } from "../../walkers/models.ts";
import { NO_LEVEL } from "../../walkers/result.ts";
import { INDENT, MAX_ROWS, moreCommand, pasidCell, type SummaryView, tableLines } from "./summary-parts.ts";

const COLUMNS: readonly Align[] = ["right", "left", "right", "left", "left", "right"];

/** Faults by device, PASID and cause, the most frequent first, and the commands that show more of the first. */
export function summaryFaults({ faults }: SummarySink, view: SummaryView): string[] {
  const all = [...faults.all].sort((a, b) => b.requests - a.requests);
  if (all.length === 0) return [];
  const rows = all
    .slice(0, MAX_ROWS)
    .map((group) => [
      `${group.requests}`,
      group.names.device,
      pasidCell(group.pasid),
      faultTitle(group.fault),
      causeOf(group),
      `${group.first.line}`,
    ]);
  const left = all.slice(MAX_ROWS).reduce((sum, { requests }) => sum + requests, faults.others);
  return [
    paint("strong", "Faults by device, PASID and cause"),
    ...tableLines(["count", "device", "PASID", "fault", "cause", "first line"], rows, COLUMNS),
    ...(left > 0 ? [`${INDENT}… ${left} more`] : []),
    ...commands(all[0]!, view),
  ];
}

function causeOf({ reason, stage, level }: DistinctFault): string {
  const where = [
    ...(stage === 0 ? [] : [`stage ${stage}`]),
    ...(level === NO_LEVEL ? [] : [`level ${level}`]),
  ];
  return [reason, ...where].join(", ");
}

function commands({ fault, first, names, pasid }: DistinctFault, { trace, options }: SummaryView): string[] {
  const what = first.code ?? shellWord(fault.name);
  const space = `--dev ${shellWord(names.device)} --pasid ${pasid < 0 ? "none" : pasid}`;
  return [
    moreCommand(`walk ${shellWord(trace)} --line ${first.line}`),
    moreCommand(`explain ${MODEL_OWNER[first.model]} ${what}`),
    moreCommand(`${shellWord(trace)}${options("dev", "pasid", "code")} ${space} --code ${what}`),
  ];
}
