/** What of a device's answers no correct IOMMU gives, but for what is known of the device beforehand. */
import { isDeepStrictEqual } from "node:util";
import { TraceNames } from "../../parsers/trace/records.ts";
import type { Bug } from "../../walkers/fuzz/bug.ts";
import type { Limits, WorldRecord } from "../../walkers/fuzz/world.ts";
import type { Layout } from "../../walkers/layout.ts";
import { hex } from "../../walkers/word64.ts";
import type { DeviceAnswer } from "../device/answer.ts";
import { type CodeAliases, NO_ALIASES } from "../verdicts/comparison.ts";
import type { FuzzCoverage } from "./coverage.ts";
import { type Departure, judgeWorld } from "./judge.ts";

export interface Expectations {
  /** Codes that the device gives for others. */
  readonly codeAliases: CodeAliases;
  /** Mistakes that it makes. Of each what entries and registers read as, what contexts come to and what walkers do counts. */
  readonly bugs: readonly Bug[];
  /** It records no fault where a cached translation denies the access. */
  readonly silentDenials?: boolean;
}

export const NOTHING_EXPECTED: Expectations = { codeAliases: NO_ALIASES, bugs: [] };

/** Where structures are, as far as somebody knows: a world does. */
export interface EntryPlaces {
  entryAt(address: bigint): KnownEntry | undefined;
}

export interface KnownEntry {
  readonly layout: Layout;
  readonly littleEndian: boolean;
  /** Empty where it has no level. */
  readonly uses: readonly { readonly level: number }[];
}

export class ExpectedDepartures {
  /** Requests that its mistakes explain. */
  excused = 0;
  readonly #expected: Expectations;
  readonly #foreign: NonNullable<Limits["foreign"]>;

  constructor(expected: Expectations, { foreign = [] }: Limits) {
    this.#expected = expected;
    this.#foreign = foreign;
  }

  /**
   * Departures that are not expected.
   * @param places of the structures that the records write
   */
  judge(
    records: readonly WorldRecord[],
    places: EntryPlaces,
    coverage: FuzzCoverage | null = null,
  ): Departure[] {
    const { codeAliases } = this.#expected;
    const all = judgeWorld(records, coverage, codeAliases).filter((one) => !this.#isForeign(one));
    let left = all;
    const bugs = all.length === 0 ? [] : this.#expected.bugs.filter((bug) => shows(records, places, bug));
    for (const made of togetherOf(bugs)) {
      if (left.length === 0) break;
      const seen = misread(records, places, made);
      const still = new Map(judgeWorld(seen, null, codeAliases, made).map((one) => [one.line, one]));
      left = left.filter(({ line }) => still.has(line));
      // With all of them made, it is what the device goes by.
      if (made === bugs)
        left = left.map((one) => ({
          ...one,
          seen: { records: seen, departure: still.get(one.line)!, bugs },
        }));
    }
    left = left.filter((one) => one.seen === undefined || !this.#isForeign(one.seen.departure));
    left = left.filter((one) => !this.#isAnothers(one, records));
    if (this.#expected.silentDenials === true) left = this.#unsaid(left, bugs, records, places);
    this.excused += all.length - left.length;
    return left;
  }

  /** Whether a request got what another one had got before, whose translation the cache takes for its own. */
  #isAnothers({ line, answer }: Departure, records: readonly WorldRecord[]): boolean {
    const request = records[line - 1]!;
    if (answer.result !== "ok" || answer.pa === undefined) return false;
    const pa = pageOf(answer.pa);
    return this.#expected.bugs.some(({ cacheKey }) => {
      if (cacheKey === undefined) return false;
      const keyOf = ({ dev, addr }: WorldRecord) => cacheKey(deviceId(dev), BigInt(addr as string));
      return records.slice(0, line - 1).some((record) => {
        const before = record.type === "dma" ? (record.observed as DeviceAnswer | undefined) : undefined;
        if (before?.pa === undefined || pageOf(before.pa) !== pa) return false;
        const same =
          record.dev === request.dev && pageOf(record.addr as string) === pageOf(request.addr as string);
        return !same && keyOf(record) === keyOf(request);
      });
    });
  }

  /** Departures but for refusals that would be right, were it recorded that they are for want of a right. */
  #unsaid(
    departures: readonly Departure[],
    bugs: readonly Bug[],
    records: readonly WorldRecord[],
    places: EntryPlaces,
  ): Departure[] {
    const silent = departures.filter((one) => isSilent(one) && wasTranslated(records, one.line));
    const said = asDenied(records, silent);
    let wrong = silent;
    for (const made of [[], ...togetherOf(bugs)]) {
      if (wrong.length === 0) break;
      const still = judgeWorld(misread(said, places, made), null, this.#expected.codeAliases, made);
      wrong = wrong.filter(({ line }) => still.some((one) => one.line === line));
    }
    return departures.filter((one) => !silent.includes(one) || wrong.includes(one));
  }

  /** Nobody knows what is read as a table there. */
  #isForeign({ outcome }: Departure): boolean {
    if (outcome.entry_addr === undefined) return false;
    const address = BigInt(outcome.entry_addr);
    return this.#foreign.some(({ base, bytes }) => address >= base && address < base + bytes);
  }
}

/** Whether a world has anything that a mistake reads as something else, or may: contexts are not looked into. */
function shows(records: readonly WorldRecord[], places: EntryPlaces, bug: Bug): boolean {
  if (bug.contexts !== undefined || bug.walker !== undefined) return true;
  const seen = misread(records, places, [bug]);
  return seen.some(({ data, regs }, i) => {
    const record = records[i]!;
    return data !== record.data || (regs !== record.regs && !isDeepStrictEqual(regs, record.regs));
  });
}

/** 0: it has none. */
function deviceId(name: unknown): number {
  const device = new TraceNames().devices.parse(name as string);
  return typeof device === "object" ? device.id : 0;
}

function pageOf(address: string): bigint {
  return BigInt(address) >> 12n;
}

/** What was refused without a word. */
function isSilent({ answer }: Departure): boolean {
  return answer.result === "fault" && answer.recorded === false && answer.code === undefined;
}

/** Whether the page of a request has been translated before: a cache may have it. */
function wasTranslated(records: readonly WorldRecord[], line: number): boolean {
  const asked = pageOf(records[line - 1]!.addr as string);
  return records.slice(0, line - 1).some((record) => {
    const answer = record.type === "dma" ? (record.observed as DeviceAnswer | undefined) : undefined;
    return answer?.result === "ok" && pageOf(record.addr as string) === asked;
  });
}

/** The same, were it said of what was refused that this is for want of a right. */
function asDenied(records: readonly WorldRecord[], refused: readonly Departure[]): WorldRecord[] {
  const lines = new Set(refused.map(({ line }) => line));
  return records.map((record, i) =>
    lines.has(i + 1)
      ? {
          ...record,
          observed: { ...(record.observed as DeviceAnswer), reason: "PERMISSION", recorded: true },
        }
      : record,
  );
}

/** Mistakes that are made at once: all of them, all but one, which not every part of a device makes, or one alone. */
function togetherOf(bugs: readonly Bug[]): readonly (readonly Bug[])[] {
  if (bugs.length < 2) return bugs.length === 0 ? [] : [bugs];
  return [bugs, ...bugs.map((one) => bugs.filter((bug) => bug !== one)), ...bugs.map((one) => [one])];
}

/** A world as a device sees it that makes mistakes: its entries and registers are what they read as. */
export function misread(
  records: readonly WorldRecord[],
  places: EntryPlaces,
  bugs: readonly Bug[],
): WorldRecord[] {
  const misreadings = bugs.flatMap(({ misreads = [] }) => misreads);
  const registers = bugs.flatMap(({ registers = {} }) => Object.entries(registers));
  return records.map((record) => {
    if (record.type === "mem") {
      const entry = places.entryAt(BigInt(record.addr as string));
      if (entry === undefined) return record;
      const bytes = Buffer.from(record.data as string, "hex");
      if (bytes.length !== entry.layout.bytes) return record;
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const structure = structureOf(entry, view);
      const mine = misreadings.filter(({ layout }) => layout === structure);
      if (mine.length === 0) return record;
      for (const { change } of mine) change(view, entry.littleEndian, entry.uses[0]?.level ?? 0);
      return { ...record, data: bytes.toString("hex") };
    }
    if (record.type !== "iommu" || registers.length === 0) return record;
    const regs = { ...(record.regs as Record<string, string>) };
    for (const [name, { layout, values }] of registers)
      if (regs[name] !== undefined) regs[name] = withFields(BigInt(regs[name]), layout, values);
    return { ...record, regs };
  });
}

/** A world knows an entry by what it was made as; it may have become another one since. */
function structureOf({ layout, littleEndian }: KnownEntry, view: DataView): Layout {
  if (layout.told === null) return layout;
  const word = view.getBigUint64(0, littleEndian);
  return layout.told(Number(word >> 32n) | 0, Number(word & 0xffff_ffffn) | 0);
}

function withFields(value: bigint, layout: Layout, values: Readonly<Record<string, number>>): string {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, value, true);
  layout.encode(values, view, 0);
  return hex(view.getBigUint64(0, true));
}
