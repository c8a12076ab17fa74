import { type Collected, collectNext } from "../../parsers/logs/collect-next.ts";
import { likelyCauses, meaningsOf } from "../../parsers/logs/fault-causes.ts";
import type { LoggedFault } from "../../parsers/logs/iommu-events.ts";
import { LOG_FORMATS } from "../../parsers/logs/registry.ts";
import type { ImportReport } from "../../pipeline/import/import-logs.ts";
import type { Fault } from "../../walkers/fault.ts";
import { IOMMU_MODELS, IOMMUS, type IommuModel } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { importFiles } from "../import-files.ts";
import type { Output } from "../output.ts";
import { type DumpedTables, dumpedTables } from "./dump-trace.ts";
import { type FaultGroup, FaultGroups } from "./fault-groups.ts";
import { haveRequests, type RequestFaults, requestFaults } from "./request-faults.ts";

/** One kind of fault of one device, and all that can be said of it. */
export interface ExplainedGroup {
  readonly group: FaultGroup;
  /** "Intel VT-d"; for kinds of IOMMU without tables here, what the log calls them. */
  readonly vendor: string;
  /** Conditions that share the code. */
  readonly meanings: readonly Fault[];
  readonly tables: DumpedTables | undefined;
  readonly causes: readonly string[];
}

export interface ExplainedLogs {
  readonly groups: readonly ExplainedGroup[];
  readonly facts: FaultGroups;
  readonly report: ImportReport;
  readonly collect: readonly string[];
  /** Of the logs that have requests, those that fault. */
  readonly requests: readonly RequestFaults[];
}

/** Groups whose tables are walked: the others look like them. */
const MAX_WALKED = 64;

/** Records are not wanted here. */
const NOWHERE: Pick<Output, "write"> = { write: async () => {} };

/**
 * Reads logs of one machine, and explains the faults in them.
 * @throws TraceError where one cannot be opened
 */
export async function explainLogs(paths: readonly string[]): Promise<ExplainedLogs> {
  const facts = new FaultGroups();
  const report = await importFiles(paths, NOWHERE, {
    formats: LOG_FORMATS,
    hosts: [],
    memory: [],
    boot: [],
    outputPath: "-",
    onEvent: (event) => facts.take(event),
    onRecord(type, text) {
      if (type === "map" || type === "unmap") facts.mapping(type, JSON.parse(text));
    },
  });
  const groups: ExplainedGroup[] = [];
  for (const group of facts.groups) groups.push(await explained(group, facts, groups.length < MAX_WALKED));
  const requests: RequestFaults[] = [];
  // Standard input has been read, and is not there again.
  if (haveRequests(report.formats))
    for (const path of paths) if (path !== "-") requests.push(await requestFaults(path));
  return { groups, facts, report, requests, collect: collectNext(collectedBy(facts)) };
}

async function explained(group: FaultGroup, facts: FaultGroups, walked: boolean): Promise<ExplainedGroup> {
  const { first, dumped } = group;
  const { title, faults } = vendorOf(first);
  const meanings = meaningsOf(faults, first);
  const tables = walked && dumped !== undefined ? await dumpedTables(dumped, facts.units) : undefined;
  const outcome = tables?.walk?.pages.at(-1)?.result.fault;
  return { group, vendor: title, meanings, tables, causes: likelyCauses(first, meanings, facts, outcome) };
}

function vendorOf({ model }: LoggedFault): { title: string; faults: readonly Fault[] } {
  if (!(IOMMU_MODELS as readonly string[]).includes(model)) return { title: model, faults: [] };
  const known = model as IommuModel;
  return { title: IOMMUS[known].title, faults: VENDORS[known].faults };
}

function collectedBy(facts: FaultGroups): Collected {
  return {
    faults: facts.groups.map(({ first, dumped }) => ({ fault: first, tables: dumped?.vtd !== undefined })),
    mappings: facts.mappings > 0,
    units: facts.units.length > 0,
    queueErrors: facts.queueErrors.size > 0,
  };
}
