import { causeKey } from "../../parsers/logs/fault-causes.ts";
import type { IommuEvent, LoggedFault, LogPlace } from "../../parsers/logs/iommu-events.ts";
import { historyText } from "../../pipeline/mappings/history-text.ts";
import { type FaultCause, MappingHistory } from "../../pipeline/mappings/mapping-history.ts";

/** Faults of one device with one cause. */
export interface FaultGroup {
  /** The first of them. */
  readonly first: LoggedFault;
  /** The first that came with all that a walk needs, or with a device table entry. */
  dumped: LoggedFault | undefined;
  last: LogPlace;
  count: number;
  /** Distinct addresses: the first few, in the order of the log. */
  readonly addresses: bigint[];
  moreAddresses: boolean;
  readonly pasids: Set<number | undefined>;
  /** undefined: the log does not say. */
  readonly accesses: Set<LoggedFault["access"]>;
  /** What software had done with the addresses: how often each, and the first of them in words. */
  readonly histories: Map<FaultCause, { count: number; readonly text: string }>;
}

/** Something else that a log says, said once. */
export interface Counted {
  readonly text: string;
  readonly first: LogPlace;
  count: number;
}

const MAX_GROUPS = 4096;
const MAX_ADDRESSES = 8;
const MAX_PASIDS = 64;
const PAGE = 4096n;

/** Collects what kernels report, by device and cause, in bounded memory. */
export class FaultGroups {
  readonly history = new MappingHistory();
  readonly units: Extract<IommuEvent, { kind: "unit" }>[] = [];
  readonly reserved: Extract<IommuEvent, { kind: "reserved" }>[] = [];
  readonly queueErrors = new Map<string, Counted>();
  readonly notes = new Map<string, Counted>();
  readonly commands: Extract<IommuEvent, { kind: "command" }>[] = [];
  /** Mappings have been seen, so that histories can be told. */
  mappings = 0;
  /** Faults that have no group any more. */
  ungrouped = 0;
  readonly #groups = new Map<string, FaultGroup>();

  /** The most frequent first. */
  get groups(): readonly FaultGroup[] {
    return [...this.#groups.values()].sort((a, b) => b.count - a.count || a.first.at.line - b.first.at.line);
  }

  take(event: IommuEvent): void {
    switch (event.kind) {
      case "fault":
        this.#fault(event);
        return;
      case "unit":
        if (this.units.length < MAX_GROUPS) this.units.push(event);
        return;
      case "reserved":
        if (this.reserved.length < MAX_GROUPS) this.reserved.push(event);
        return;
      case "queue-error":
        count(
          this.queueErrors,
          event.iommu === undefined ? event.text : `${event.iommu}: ${event.text}`,
          event.at,
        );
        return;
      case "note":
        count(this.notes, event.what, event.at);
        return;
      case "command":
        // Those of a whole ring say nothing by themselves.
        if (!event.executed && this.commands.length < MAX_ADDRESSES) this.commands.push(event);
        return;
      default:
        return;
    }
  }

  /** A `map` or `unmap` record of the same logs. */
  mapping(type: "map" | "unmap", record: Readonly<Record<string, unknown>>): void {
    this.mappings++;
    const { dev, addr, size, pa, access, ts } = record as Record<string, string | undefined>;
    const seconds = secondsOf(ts);
    this.history[type](
      {
        dev,
        addr: BigInt(addr!),
        size: BigInt(size!),
        pa: pa === undefined ? undefined : BigInt(pa),
        access: access as "r" | "w" | "rw" | undefined,
      },
      { line: this.mappings, seconds },
    );
  }

  #fault(fault: LoggedFault): void {
    const key = causeKey(fault);
    let group = this.#groups.get(key);
    if (group === undefined) {
      if (this.#groups.size >= MAX_GROUPS) {
        this.ungrouped++;
        return;
      }
      group = {
        first: fault,
        dumped: undefined,
        last: fault.at,
        count: 0,
        addresses: [],
        moreAddresses: false,
        pasids: new Set(),
        accesses: new Set(),
        histories: new Map(),
      };
      this.#groups.set(key, group);
    }
    group.count++;
    group.last = fault.at;
    if (group.dumped === undefined && isDumped(fault)) group.dumped = fault;
    group.accesses.add(fault.access);
    if (group.pasids.size < MAX_PASIDS) group.pasids.add(fault.pasid);
    if (fault.addr !== undefined && !group.addresses.includes(fault.addr)) {
      if (group.addresses.length < MAX_ADDRESSES) group.addresses.push(fault.addr);
      else group.moreAddresses = true;
    }
    if (this.mappings > 0) this.#history(group, fault);
  }

  #history(group: FaultGroup, { dev, addr, pageOnly, access, at, smmu }: LoggedFault): void {
    // An SMMU's streams have the names of devices where the driver printed them.
    const name = smmu?.client ?? dev;
    if (name === undefined || addr === undefined || !/^(?:[0-9a-f]{4}:)?[0-9a-f]{2}:/i.test(name)) return;
    const request = { dev: name, addr, span: pageOnly ? PAGE : 1n, access };
    const moment = { line: at.line, seconds: secondsOf(at.ts) };
    const found = this.history.of(request, moment);
    const known = group.histories.get(found.cause);
    if (known === undefined)
      group.histories.set(found.cause, { count: 1, text: historyText(found, request, moment) });
    else known.count++;
  }
}

function isDumped({ vtd, amd, dev, code, pasid }: LoggedFault): boolean {
  if (vtd !== undefined && dev !== undefined) return vtd.gap(devfnOf(dev), pasid, code) === undefined;
  return amd !== undefined && amd.dte.length > 0;
}

function devfnOf(dev: string): number {
  const [slot, fn] = dev.split(":").at(-1)!.split(".");
  return (Number.parseInt(slot!, 16) << 3) | Number(fn);
}

function count(counted: Map<string, Counted>, text: string, at: LogPlace): void {
  const known = counted.get(text);
  if (known !== undefined) known.count++;
  else if (counted.size < MAX_GROUPS) counted.set(text, { text, first: at, count: 1 });
}

/** Seconds of a time stamp: undefined where it is none, or a time of day. */
function secondsOf(ts: unknown): number | undefined {
  const seconds = typeof ts === "string" && ts !== "" ? Number(ts) : ts;
  return typeof seconds === "number" && !Number.isNaN(seconds) ? seconds : undefined;
}
