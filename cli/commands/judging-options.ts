import type { Options } from "yargs";
import { DIFFERENCES } from "../../pipeline/iommus/outcome.ts";
import type { ReplayOptions } from "../../pipeline/replay/options.ts";
import { PA_GRANULARITIES } from "../../pipeline/verdicts/pa-granularity.ts";
import { parseCodeAliases } from "../code-aliases.ts";
import { CliError } from "../errors.ts";
import { parseIotlb } from "../iotlb.ts";

/** Options of every command that replays whole traces: how answers are judged, and what is looked for. */
export const JUDGING_OPTIONS = {
  caches: {
    describe: "Judge by all that caches may hold (--no-caches: by memory as it is now)",
    type: "boolean",
    default: true,
  },
  findings: {
    describe: "Look for findings (--no-findings: only walk and compare)",
    type: "boolean",
    default: true,
  },
  strict: {
    describe: "A record with a field, register or type that is not known is an error record",
    type: "boolean",
    default: false,
  },
  iotlb: {
    describe: "IOTLBs to simulate, each entries x ways, e.g. 64x4,512x8: their hit rates",
    type: "string",
    requiresArg: true,
  },
  compare: {
    describe: "How deep to compare with what was observed",
    choices: DIFFERENCES,
    default: "record",
  },
  "pa-granularity": {
    describe: "Compare addresses exactly, or by the page of the translation",
    choices: PA_GRANULARITIES,
    default: "exact",
  },
  "code-alias": {
    describe:
      "Fault codes that the recorded system gives for another of the specification, e.g. 0x85=0x5,0x86=0x6",
    type: "string",
    requiresArg: true,
  },
} as const satisfies Record<string, Options>;

export interface JudgingArguments {
  caches: boolean;
  findings: boolean;
  strict: boolean;
  iotlb?: string | string[];
  compare: (typeof DIFFERENCES)[number];
  paGranularity: (typeof PA_GRANULARITIES)[number];
  codeAlias?: string | string[];
}

export type JudgingOptions = Pick<
  ReplayOptions,
  "caches" | "findings" | "strict" | "iotlb" | "compare" | "paGranularity" | "codeAliases"
>;

/** @throws CliError for values that are none */
export function judgingOptions(args: JudgingArguments): JudgingOptions {
  const { caches, findings, strict, compare, paGranularity } = args;
  const iotlb = parseIotlb(args.iotlb);
  if (iotlb.length > 0 && !caches)
    throw new CliError("--iotlb: expected caches to be kept track of, found --no-caches", true);
  const codeAliases = parseCodeAliases(args.codeAlias);
  return { caches, findings, strict, iotlb, compare, paGranularity, codeAliases };
}
