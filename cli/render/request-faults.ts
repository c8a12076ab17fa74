import type { DistinctFault } from "../../pipeline/summary/distinct-faults.ts";
import { ACCESS_WORDS } from "../../pipeline/words/access.ts";
import { paint } from "../../pipeline/words/paint.ts";
import { faultLines, faultTitle } from "../../pipeline/words/sentence.ts";
import { shellWord } from "../../pipeline/words/shell-word.ts";
import { occurrenceOfWalk } from "../../pipeline/words/walk-causes.ts";
import { causesOf, hasCode } from "../../walkers/fault.ts";
import { IOMMUS, MODEL_OWNER } from "../../walkers/models.ts";
import { NO_LEVEL } from "../../walkers/result.ts";
import { addressText, hex } from "../../walkers/word64.ts";
import type { RequestFaults } from "../explain-log/request-faults.ts";

const INDENT = "  ";
/** Pages that are named of one kind. */
const MAX_PAGES = 8;
const MAX_KINDS = 50;

/** Faults of the requests in a log, for a person. @param number of the first kind */
export function requestFaultLines({ path, faults }: RequestFaults, number: number): string[] {
  const lines = faults.slice(0, MAX_KINDS).flatMap((fault, i) => ["", ...kindLines(path, fault, number + i)]);
  const left = faults.length - MAX_KINDS;
  return left > 0 ? [...lines, "", `… ${left} more kinds of faults`] : lines;
}

function kindLines(path: string, kind: DistinctFault, number: number): string[] {
  const { names, pasid, first, fault, requests, lastLine, stage, level } = kind;
  const { title } = IOMMUS[MODEL_OWNER[first.model]];
  const where = names.iommu === undefined ? title : `${title}, ${names.iommu}`;
  const lines = first.line === lastLine ? `line ${lastLine}` : `lines ${first.line} to ${lastLine}`;
  const blocks = kind.addresses.blocks();
  const pages = blocks.slice(0, MAX_PAGES).map(({ frame }) => addressText(frame));
  const place = stage === 0 ? "" : `, stage ${stage}${level === NO_LEVEL ? "" : ` level ${level}`}`;
  const entry =
    first.entry_addr === undefined
      ? []
      : [`failing entry at ${first.entry_addr}: ${first.entry ?? "not in recorded memory"}`];
  return [
    `${number}. ${paint("strong", names.device)} (${where}): ${requests} fault${requests === 1 ? "" : "s"}, ${lines}`,
    ...[
      `${ACCESS_WORDS[first.access]} at ${pages.join(", ")}${blocks.length > MAX_PAGES ? ", …" : ""} (page), ${pasid < 0 ? "without PASID" : `PASID ${pasid}`}`,
      `${faultTitle(fault)}${place}`,
      ...faultLines(fault, occurrenceOfWalk(first, fault)),
      ...entry,
      paint("accent", `pasid-replay walk ${shellWord(path)} --line ${first.line}`),
    ].map((line) => INDENT + line),
  ];
}

/** The same as records. */
export function requestFaultRecords({ faults }: RequestFaults): object[] {
  return faults.map((kind) => {
    const { names, pasid, first, fault, requests, lastLine } = kind;
    const model = MODEL_OWNER[first.model];
    return {
      type: "fault-group",
      vendor: IOMMUS[model].title,
      model,
      iommu: names.iommu,
      dev: names.device,
      count: requests,
      first_line: first.line,
      first_ts: first.ts,
      last_line: lastLine,
      accesses: [first.access],
      pasids: [pasid < 0 ? null : pasid],
      addresses: kind.addresses
        .blocks()
        .slice(0, MAX_PAGES)
        .map(({ frame }) => addressText(frame)),
      code: hasCode(fault) ? hex(fault.code) : undefined,
      names: [fault.name],
      text: fault.text,
      history: {},
      causes: causesOf(fault, occurrenceOfWalk(first, fault)),
    };
  });
}
