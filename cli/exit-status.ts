import type { Summary } from "../pipeline/output/statistics.ts";

/** Ran, and found nothing at the level of `--fail-on`. */
export const EXIT_OK = 0;
/** Ran, and found something at that level. */
export const EXIT_FOUND = 1;
/** Trouble: usage, an unreadable file, or a record that could not be used. */
export const EXIT_TROUBLE = 2;

export type ExitStatus = typeof EXIT_OK | typeof EXIT_FOUND | typeof EXIT_TROUBLE;

interface Level {
  /** The sentence that `--help` prints. */
  readonly text: string;
  /** What it cannot be told without. */
  readonly needs?: "caches" | "findings";
  readonly found: (summary: Summary) => boolean;
}

/** What `--fail-on` can ask for. */
export const FAIL_LEVELS = {
  never: { text: "nothing", found: () => false },
  mismatch: {
    text: "an observed outcome that no correct IOMMU gives (mismatch, stale-after-invalidation)",
    found: (s) => s.verdicts.has("mismatch") || s.verdicts.has("stale-after-invalidation"),
  },
  stale: {
    text: "a request that was answered from a stale entry for want of an invalidation",
    needs: "caches",
    found: (s) => s.owed > 0,
  },
  unflushed: {
    text: "a request that was answered as if a write had not reached memory",
    needs: "caches",
    found: (s) => s.verdicts.has("unflushed"),
  },
  empty: { text: "no request was replayed", found: (s) => s.walked === 0 },
  hazard: {
    text: "a request that a stale entry could answer differently",
    needs: "caches",
    found: (s) => s.verdicts.has("hazard"),
  },
  latent: {
    text: "an invalidation that is owed although no recorded answer shows it",
    needs: "findings",
    found: (s) => s.latent > 0,
  },
  fault: { text: "a request that faults", found: (s) => s.faults > 0 },
  finding: {
    text: "a finding of severity error",
    needs: "findings",
    found: (s) => s.severities.has("error"),
  },
  warning: {
    text: "a finding of severity error or warning, or a record of unknown type",
    found: (s) => s.severities.has("error") || s.severities.has("warning") || s.unknown.size > 0,
  },
} as const satisfies Record<string, Level>;

export type FailLevel = keyof typeof FAIL_LEVELS;

/** What a level needs that is switched off; undefined: nothing. */
export function missingFor(
  level: FailLevel,
  on: { readonly caches: boolean; readonly findings: boolean },
): "--no-caches" | "--no-findings" | undefined {
  const { needs }: Level = FAIL_LEVELS[level];
  if (needs === "findings" && !on.findings) return "--no-findings";
  const byCaches = needs === "caches" || level === "latent";
  return byCaches && !on.caches ? "--no-caches" : undefined;
}

/** Exit status of a replay. A record that could not be used outweighs whatever was found in the others. */
export function exitStatusOf(summary: Summary, levels: readonly FailLevel[]): ExitStatus {
  if (summary.errors > 0) return EXIT_TROUBLE;
  return levels.some((level) => FAIL_LEVELS[level].found(summary)) ? EXIT_FOUND : EXIT_OK;
}
