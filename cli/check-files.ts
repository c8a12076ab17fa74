import { openInput, readUpTo } from "../parsers/bind/input-file.ts";
import { readRequest } from "../parsers/bind/read-request.ts";
import type { BindRequest } from "../parsers/bind/request.ts";
import type { HostIommu } from "../parsers/caps/host.ts";
import { openCapabilities } from "../parsers/caps/open-caps.ts";
import { TraceMemory } from "../parsers/memory/guest-memory.ts";
import { openSnapshot } from "../parsers/memory/open-snapshot.ts";
import type { SnapshotFormat } from "../parsers/memory/snapshot-formats.ts";
import { nearest } from "../parsers/trace/nearest.ts";
import { readyZstd } from "../parsers/zstd.ts";
import { checkBind } from "../pipeline/bind-check/check-bind.ts";
import type { BindFinding } from "../walkers/pasid-tables/bind-findings.ts";
import { CliError } from "./errors.ts";

/** Larger than any configuration. */
const MAX_CONFIG_BYTES = 2 ** 20;
/** Every entry that a table of 20 PASID bits can have, and the directories over them. */
const ALL_ENTRIES = 2 ** 21;
const LOW_HALF = 0xffff_ffffn;

export interface CheckOptions {
  readonly config: string;
  readonly host: string;
  /** Undefined: each IOMMU of the host. */
  readonly iommu: string | undefined;
  readonly snapshot: string | undefined;
  readonly base: bigint;
  readonly format: SnapshotFormat;
}

/** What was found of one IOMMU. */
export interface Checked {
  readonly host: HostIommu;
  readonly request: BindRequest;
  readonly findings: readonly BindFinding[];
}

/**
 * Reads the files of a check and carries it out.
 * @throws CliError or TraceError where one of them cannot be used
 */
export async function checkFiles(options: CheckOptions): Promise<Checked[]> {
  const request = await readConfig(options.config);
  const hosts = await readHosts(options.host, options.iommu);
  await readyZstd();
  const memory = options.snapshot === undefined ? null : openMemory(options.snapshot, options);
  try {
    const checked = hosts.map((host) => {
      const { findings } = checkBind({
        request,
        model: host.model,
        state: host.state,
        memory,
        others: [],
        dev: "",
        maxEntries: ALL_ENTRIES,
      });
      return { host, request, findings };
    });
    const error = memory?.takeError() ?? null;
    if (error !== null) throw new CliError(`--snapshot: ${error.message}`);
    return checked;
  } finally {
    memory?.close();
  }
}

async function readConfig(path: string): Promise<BindRequest> {
  const source = await openInput(path, "a configuration");
  try {
    const bytes = await readUpTo(source, new Uint8Array(0), MAX_CONFIG_BYTES);
    if (bytes.length === MAX_CONFIG_BYTES)
      throw new CliError(`${path}: expected a configuration, found ${MAX_CONFIG_BYTES} bytes or more`);
    const request = readRequest(bytes);
    if (typeof request === "string") throw new CliError(`${path}: ${request}`);
    return request;
  } finally {
    await source.close();
  }
}

async function readHosts(path: string, wanted: string | undefined): Promise<readonly HostIommu[]> {
  const capabilities = await openCapabilities(path);
  if (typeof capabilities === "string") throw new CliError(`${path}: ${capabilities}`);
  const { hosts, problems } = capabilities;
  // A verdict on half of the capabilities would be none.
  if (problems.length > 0) throw new CliError(`${path}: ${problems.join("; ")}`);
  if (wanted === undefined) return hosts;
  const host = hosts.find(({ id }) => id === wanted);
  if (host !== undefined) return [host];
  const ids = hosts.map(({ id }) => id);
  const near = nearest(wanted, ids);
  const hint = near === undefined ? "" : `; did you mean ${near}?`;
  throw new CliError(`--iommu: expected one of ${ids.join(", ")}, found ${JSON.stringify(wanted)}${hint}`);
}

function openMemory(path: string, { base, format }: CheckOptions): TraceMemory {
  const opened = openSnapshot(path, ".", {
    allow: [path],
    expected: "a memory file",
    format,
    baseHi: Number(base >> 32n) | 0,
    baseLo: Number(base & LOW_HALF) | 0,
  });
  if (!opened.ok) throw new CliError(`--snapshot: ${opened.error}`);
  const memory = new TraceMemory();
  memory.replace(opened.image);
  return memory;
}
