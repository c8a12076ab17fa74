import type { DmaRecord } from "../../parsers/trace/records.ts";
import type { RecordOf } from "../../parsers/trace/schema.ts";
import type { Invalidation } from "../../walkers/invalidation.ts";
import type { Word64 } from "../../walkers/registers.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import type { DeviceUse } from "../caches/filling/device-tlbs.ts";
import type { TableFlaw } from "../caches/filling/live-changes.ts";
import type { UnflushedWrite } from "../caches/history/line-store.ts";
import type { StaleSource } from "../caches/history/stale-source.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Route } from "../iommus/iommus.ts";
import type { Outcome } from "../iommus/outcome.ts";

/**
 * Who looks on while a trace is replayed: findings, statistics. Each says what it wants to be told by having the
 * function for it, and is told in the order of the list that the replay has; what is reused must not be kept.
 */
export interface Analysis {
  /** A record comes that uses tables: a request, a command, an invalidation, a logged fault. */
  before?(): void;
  /** Bytes are about to be written to memory, from an address on. */
  writing?(addrHi: number, addrLo: number, bytes: number): void;
  /** They have been written, or those of them that could be. */
  written?(line: number): void;
  /** All memory is about to be replaced, and has been. */
  replacing?(): void;
  replaced?(line: number): void;
  /** Registers, properties or bindings are about to change. */
  reconfiguring?(): void;
  /** … one register of an IOMMU, by a `reg` record. */
  registerWriting?(line: number, unit: IommuUnit, record: RecordOf<"reg">): void;
  /** An `iommu` or `reg` record has changed what is known of an IOMMU. */
  configured?(line: number, unit: IommuUnit): void;
  /** A table was bound to a device, or was refused. */
  bound?(line: number, unit: IommuUnit, record: RecordOf<"bind">): void;
  /** A device (its number in the trace) has no binding of this IOMMU any more, or never had one. */
  unbound?(unit: IommuUnit, device: number): void;
  /** After a `bind` or `unbind` record of a device, whatever came of it. */
  rebound?(line: number, device: number): void;
  /** A request was walked and judged. `staleSource`: what an old answer came from, or could have come from. */
  request?(
    line: number,
    route: Route,
    record: DmaRecord,
    outcome: Outcome,
    staleSource: StaleSource | null,
  ): void;
  /**
   * Whether `request` must be told of a request even where nothing has happened since another one of the same page and
   * contexts. That begins with a record other than a request. Absent: it need not.
   */
  attentive?(unit: IommuUnit): boolean;
  /** … and it faults. */
  faulted?(line: number, route: Route, record: DmaRecord, outcome: Outcome): void;
  /** … and an entry that nothing invalidates is, or could be, what answered it. `request` may be changed. */
  stale?(
    line: number,
    route: Route,
    record: DmaRecord,
    request: WalkRequest,
    staleSource: StaleSource,
    showing: Showing,
  ): void;
  /** … and memory as it was before a write that nothing has flushed is, or could be, what answered it. */
  unflushed?(
    line: number,
    route: Route,
    record: DmaRecord,
    request: WalkRequest,
    write: UnflushedWrite,
    showing: Showing,
  ): void;
  /** … from an entry whose invalidation stands in a queue that has stopped, at a command in a line of the trace. */
  behindStop?(line: number, route: Route, record: DmaRecord, stoppedLine: number): void;
  /** … from an entry that was changed after the invalidation which covers it. */
  changedLater?(
    line: number,
    route: Route,
    record: DmaRecord,
    request: WalkRequest,
    staleSource: StaleSource,
  ): void;
  /** … and its device may keep an entry of its own that was changed. */
  staleDevice?(line: number, route: Route, record: DmaRecord, request: WalkRequest, use: DeviceUse): void;
  /** … and page-table entries that it went through are not as they must be, whatever is invalidated. */
  flawed?(line: number, route: Route, record: DmaRecord, request: WalkRequest, flaw: TableFlaw): void;
  /**
   * Whether `faulted` may say something of a request like one that it has been told of. That begins with a record other than
   * a request. Who has `faulted` without this may at any time.
   */
  heedful?(): boolean;
  /** A command was decoded: by `unit.commands`, which says what it is. */
  command?(line: number, unit: IommuUnit, record: RecordOf<"cmd">): void;
  /** A register asked for an invalidation: `unit.commandsOf` the register has decoded it. */
  registerCommand?(line: number, unit: IommuUnit, register: string, words: readonly Word64[]): void;
  /** Invalidations have been issued, or have taken effect. @param happened one that has, by itself; else null */
  invalidated?(line: number, unit: IommuUnit, happened: Invalidation | null): void;
  /** The recorded system has logged a fault. */
  logged?(line: number, record: RecordOf<"fault">, unit: IommuUnit): void;
  /** Software has mapped memory for a device, or undone it. */
  mapped?(line: number, record: RecordOf<"map">): void;
  unmapped?(line: number, record: RecordOf<"unmap">): void;
  /** Something is not in the trace. */
  lost?(line: number, record: RecordOf<"loss">): void;
  /** The trace has ended. @param lines lines of the whole input */
  finish?(lines: number): void;
}

/**
 * How an entry that an invalidation is owed for shows in a request: the recorded answer came from it ("answered"), or
 * did not ("latent"), or was not recorded ("hazard").
 */
export type Showing = "answered" | "latent" | "hazard";

export type Hook = keyof Analysis;
/** For each kind of news, those who want it. */
export type Analyses = { readonly [H in Hook]: readonly Required<Pick<Analysis, H>>[] };

const HOOKS: Readonly<Record<Hook, true>> = {
  before: true,
  writing: true,
  written: true,
  replacing: true,
  replaced: true,
  reconfiguring: true,
  registerWriting: true,
  configured: true,
  bound: true,
  unbound: true,
  rebound: true,
  request: true,
  attentive: true,
  faulted: true,
  heedful: true,
  stale: true,
  unflushed: true,
  behindStop: true,
  changedLater: true,
  staleDevice: true,
  flawed: true,
  command: true,
  registerCommand: true,
  invalidated: true,
  logged: true,
  mapped: true,
  unmapped: true,
  lost: true,
  finish: true,
};

/** What an analysis wants to be told. */
export function hooksOf(analysis: Analysis): readonly Hook[] {
  return (Object.keys(HOOKS) as Hook[]).filter((hook) => analysis[hook] !== undefined);
}

/** Sorts analyses by what they want to be told, once: who does not want something costs nothing when it happens. */
export function analysesOf(list: readonly Analysis[]): Analyses {
  const wanting = (hook: string) => list.filter((analysis) => analysis[hook as Hook] !== undefined);
  return Object.fromEntries(Object.keys(HOOKS).map((hook) => [hook, wanting(hook)])) as unknown as Analyses;
}
