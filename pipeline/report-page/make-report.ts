import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { builtFile } from "../../parsers/package-files.ts";
import type { ReportLimits, TraceReport } from "../report/trace-report.ts";
import { shellWord } from "../words/shell-word.ts";
import type { ReportedTrace, ReportFormat, ReportView } from "./view.ts";

/** What is kept of a trace that is the only one; several share it. */
const LIMITS: ReportLimits = {
  buckets: 4096,
  walks: 400,
  maps: { devices: 2000, spaces: 500, stretches: 8000, stretchesOfSpace: 400 },
  enumeration: 4_000_000,
};
/** Traces that have as much as one alone. */
const FEW_TRACES = 4;

/** What is kept of each of so many traces. */
export function reportLimits(traces: number): ReportLimits {
  if (traces <= FEW_TRACES) return LIMITS;
  const part = (n: number, least: number) => Math.max(Math.floor((n * FEW_TRACES) / traces), least);
  return {
    buckets: 2 * part(LIMITS.buckets / 2, 64),
    walks: part(LIMITS.walks, 4),
    maps: {
      devices: part(LIMITS.maps.devices, 10),
      spaces: part(LIMITS.maps.spaces, 10),
      stretches: part(LIMITS.maps.stretches, 100),
      stretchesOfSpace: part(LIMITS.maps.stretchesOfSpace, 20),
    },
    enumeration: LIMITS.enumeration,
  };
}

/** What tells a file from another one of the same name; undefined where it cannot be read again. */
export async function reportedFile(path: string, { bytes }: TraceReport): Promise<ReportedTrace["file"]> {
  if (path === "-" || !statSync(path).isFile()) return undefined;
  const hash = createHash("sha256");
  try {
    await pipeline(createReadStream(path), hash);
  } catch {
    return undefined;
  }
  return { bytes, sha256: hash.digest("hex") };
}

/** Options without which a command about the same trace would not say the same. */
export function repeatedOptions(baseFolder: string | undefined, allowPaths: readonly string[]): string {
  const folder = baseFolder === undefined ? "" : ` --base-folder ${shellWord(baseFolder)}`;
  return `${folder}${allowPaths.map((path) => ` --allow-path ${shellWord(path)}`).join("")}`;
}

/** The text of a report. It has no colours: those are for terminals. */
export async function renderReport(view: ReportView, format: ReportFormat): Promise<string> {
  if (format === "md") {
    const { reportMarkdown } = await import("./markdown.ts");
    return reportMarkdown(view);
  }
  const { reportPage } = await import("./page.ts");
  const style = builtFile("cli/report-page/style.css");
  return reportPage(view, { style, script: builtFile("cli/report-page/main.js") });
}
