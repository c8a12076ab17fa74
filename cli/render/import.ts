import type { ImportReport } from "../../pipeline/import/import-logs.ts";
import { counted } from "./columns.ts";

/** Kinds of ignored lines that are named. */
const NAMED_KINDS = 12;

/** What became of the lines of a log, for a person. */
export function importText(report: ImportReport): string {
  const { lines, understood, ignored, records, lost, formats, broken, leftOut } = report;
  const others = lines - understood - ignored.total;
  const kinds = ignored.sorted();
  const out = [
    `${counted(lines, "line")}: ${understood} understood, ${ignored.total} ignored, ${Math.max(0, others)} of something else`,
    `formats: ${formats.length === 0 ? "none that is known" : formats.join(", ")}`,
  ];
  if (kinds.length > 0) {
    const named = kinds.slice(0, NAMED_KINDS).map(([kind, count]) => `  ${count} ${kind}`);
    const rest = kinds.slice(NAMED_KINDS).reduce((sum, [, count]) => sum + count, 0);
    out.push(
      "ignored:",
      ...named,
      ...(rest > 0 ? [`  ${rest} of ${kinds.length - NAMED_KINDS} more kinds`] : []),
    );
  }
  const made = records.sorted().map(([type, count]) => `${count} ${type}`);
  out.push(`records: ${made.join(", ") || "none"}`);
  if (leftOut !== undefined)
    out.push(
      `of these left out by the filter: ${counted(leftOut, "request or fault", "requests and faults")}`,
    );
  for (const { loss, count, line } of lost.values())
    out.push(`${loss.severity}: ${loss.what}: ${count} from line ${line} on: ${loss.message}`);
  for (const message of broken) out.push(`error: ${message}`);
  return `${out.join("\n")}\n`;
}
