/**
 * Mutations of recordings: one record that writes an entry of a device, context or PASID table is taken apart into
 * stores, in either order, and a request that uses the entry comes after each. Whether that does harm is decided by what
 * the request comes to: neither what it came to before the stores nor what it comes to after them. Whether the replay
 * reports it, and reports nothing where it does no harm, is counted.
 */

import { TraceSource } from "../../parsers/trace/reader.ts";
import { readRecords, type TraceHandler } from "../../parsers/trace/record-source.ts";
import type { DmaRecord } from "../../parsers/trace/records.ts";
import { bytesSource } from "../../parsers/trace/source.ts";
import { aim } from "../../pipeline/iommus/iommus.ts";
import { replay } from "../../pipeline/library/replay-stream.ts";
import { DEFAULT_OPTIONS } from "../../pipeline/replay/options.ts";
import { Replay } from "../../pipeline/replay/replay.ts";
import { WalkRequest } from "../../walkers/request.ts";
import type { Tally } from "./cache-mutations.ts";

type Json = Record<string, unknown>;

const SMALLEST_STORE = 4;
const STORE = 8;
/** Records after the mutation that are kept: its invalidation, and what comes of it. */
const KEPT = 40;

/** A record that writes to an entry, and a request that uses it: their indexes; and where the entry is. */
interface Target {
  readonly store: number;
  readonly request: number;
  readonly start: bigint;
  readonly bytes: number;
}

const textOf = (records: readonly Json[]) =>
  Buffer.from(records.map((r) => `${JSON.stringify(r)}\n`).join(""));

/** Where the records of a trace begin to change entries that a request before them has used. */
export async function storesToEntries(records: readonly Json[]): Promise<Target[]> {
  const source = new TraceSource(bytesSource(textOf(records)), DEFAULT_OPTIONS);
  const silent = { outcome() {}, undecided() {}, decided() {}, record() {}, hold() {}, release() {} };
  const inner = new Replay(source.names, silent as never, {
    ...DEFAULT_OPTIONS,
    findings: false,
    stats: false,
  });
  const used = new Map<bigint, { readonly bytes: number; readonly request: number }>();
  const targets: Target[] = [];
  const request = new WalkRequest();
  const look = (line: number, record: DmaRecord) => {
    const route = inner.system.iommus.route(record);
    if ("code" in route) return;
    aim(request, route, record);
    const { walker, engine } = route.unit;
    walker.tables.observer = {
      entry(layout, frame, offset, _view, _at, stage) {
        if (stage === 0)
          used.set(BigInt(frame) * 4096n + BigInt(offset), { bytes: layout.bytes, request: line - 1 });
      },
    };
    engine.walkUncached(request, walker.newDevice(), walker.newPasidContext());
    walker.tables.observer = null;
  };
  const dma = (line: number, record: DmaRecord) => {
    inner.dma(line, record);
    look(line, record);
  };
  const mem: TraceHandler["mem"] = (line, record) => {
    const { addr, data } = records[line - 1] as { addr: string; data: string };
    const at = BigInt(addr);
    for (const [start, { bytes, request: by }] of used)
      if (at >= start && at + BigInt(data.length / 2) <= start + BigInt(bytes))
        targets.push({ store: line - 1, request: by, start, bytes });
    inner.mem(line, record);
  };
  const mine: Record<PropertyKey, unknown> = { dma, mem };
  const handler: TraceHandler = new Proxy(inner, {
    get(replaying, name) {
      const value = mine[name] ?? Reflect.get(replaying, name, replaying);
      return typeof value === "function" ? value.bind(replaying) : value;
    },
  });
  await readRecords(source, handler, () => {});
  inner.close();
  // What belongs to an update that has begun before is taken apart with that one.
  return targets.filter((target) => begins(records, target));
}

/** What a device can tell of an outcome, and a cache. */
const answerOf = ({ result, pa, code, name, domain, asid, perm, page }: Json) =>
  JSON.stringify([result, pa, code, name, domain, asid, perm, page]);

/** Takes records apart, one at a time. */
export async function splitStores(records: readonly Json[], targets: readonly Target[]): Promise<Tally> {
  const tally: Tally = { tried: 0, shown: 0, reported: 0, failures: [] };
  for (const target of targets)
    for (const reversed of [false, true]) await split(records, target, reversed, tally);
  return tally;
}

/** Whether an update begins with a record. */
function begins(records: readonly Json[], target: Target): boolean {
  let first = target.store;
  while (isWrite(records[first - 1])) first--;
  for (let store = first; store < target.store; ) {
    const update = updateFrom(records, { ...target, store });
    if (update.includes(target.store)) return false;
    store = Math.max(store, ...update) + 1;
  }
  return true;
}

const isWrite = (record: Json | undefined) => record?.type === "mem" && record.by === undefined;

interface Range {
  readonly from: bigint;
  readonly to: bigint;
}

function rangeOf({ addr, data }: Json): Range {
  const from = BigInt(addr as string);
  return { from, to: from + BigInt((data as string).length / 2) };
}

/** The records of one update: of the same entry, with nothing but writes between them, none of a place that one before has written. */
function updateFrom(records: readonly Json[], { store, start, bytes }: Target): number[] {
  const update: number[] = [];
  const written: Range[] = [];
  for (let i = store; isWrite(records[i]); i++) {
    const range = rangeOf(records[i]!);
    if (range.from < start || range.to > start + BigInt(bytes)) continue;
    if (written.some(({ from, to }) => from < range.to && range.from < to)) break;
    written.push(range);
    update.push(i);
  }
  return update;
}

function partsOf({ addr, data }: { addr: string; data: string }): Json[] {
  const bytes = data.length / 2;
  const size = bytes > STORE ? STORE : SMALLEST_STORE;
  return Array.from({ length: Math.ceil(bytes / size) }, (_, i) => ({
    type: "mem",
    addr: `0x${(BigInt(addr) + BigInt(i * size)).toString(16)}`,
    data: data.slice(2 * i * size, 2 * (i + 1) * size),
  }));
}

async function split(records: readonly Json[], target: Target, reversed: boolean, tally: Tally) {
  const { store, request } = target;
  const update = updateFrom(records, target);
  const parts = update.flatMap((i) => partsOf(records[i] as { addr: string; data: string }));
  if (parts.length < 2) return;
  const { observed: _observed, ...probe } = records[request]!;
  if (reversed) parts.reverse();
  // A request after every store: before the first and after the last it says what is right.
  const last = update.at(-1)!;
  // What is written between them elsewhere comes first.
  const elsewhere = records.slice(store, last).filter((_, i) => !update.includes(store + i));
  const mutated = [
    ...records.slice(0, store),
    ...elsewhere,
    probe,
    ...parts.flatMap((part) => [part, probe]),
    ...records.slice(last + 1, last + KEPT),
  ];
  const lineOf = (stores: number) => store + elsewhere.length + 1 + 2 * stores;
  const answers = new Map<number, string>();
  const reported: unknown[] = [];
  for await (const r of replay(textOf(mutated), { stats: false })) {
    if (r.type === "outcome") answers.set(r.line, answerOf(r as unknown as Json));
    if (r.type === "finding" && r.rule === "half-written-entry-used" && r.line <= lineOf(parts.length))
      reported.push(r.request_line);
  }
  const lawful = [answers.get(lineOf(0)), answers.get(lineOf(parts.length))];
  const harmed = parts.map((_, i) => lineOf(i)).filter((line) => !lawful.includes(answers.get(line)));
  tally.tried++;
  if (harmed.length > 0) tally.shown++;
  if (harmed.length > 0 && reported.length === 1 && harmed.includes(reported[0] as number)) tally.reported++;
  else if (harmed.length > 0 || reported.length > 0)
    tally.failures.push(
      `record ${store + 1}${reversed ? ", reversed" : ""}: harmed are requests in lines ${harmed}, reported is ${reported}`,
    );
}
