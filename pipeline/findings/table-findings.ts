import type { TraceMemory as RecordedMemory } from "../../parsers/memory/guest-memory.ts";
import type { DmaRecord, TraceNames } from "../../parsers/trace/records.ts";
import { MAX_PASID, type RecordOf } from "../../parsers/trace/schema.ts";
import type { Invalidation } from "../../walkers/invalidation.ts";
import { deviceName } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";
import type { Binding } from "../../walkers/request.ts";
import type { TableTree } from "../../walkers/tables/tree.ts";
import type { VersionedMemory } from "../caches/history/versioned-memory.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Route } from "../iommus/iommus.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { Analysis } from "./analysis.ts";
import type { FindingDetails, Findings } from "./findings.ts";
import {
  type EntryChange,
  type FrameUser,
  type LiveTable,
  type TableFinding,
  TableLinter,
  type TableRoom,
} from "./tables/linter.ts";
import { PeekedMemory } from "./tables/peeked-memory.ts";
import { EFFORT_RULES, TableEffort } from "./tables/table-effort.ts";
import { WrittenEntries } from "./tables/written-entries.ts";
import { WrittenLines } from "./tables/written-lines.ts";
import type { TableEntry } from "./updates/entry-history.ts";
import { UpdateFindings } from "./updates/update-findings.ts";
import { UpdatedEntries } from "./updates/updated-entries.ts";

const WITH_SEGMENT = /^[0-9a-f]{4}:[0-9a-f]{2}:/i;

/** What is looked after of one IOMMU. */
interface UnitTables {
  readonly unit: IommuUnit;
  readonly format: TableTree;
  readonly linter: TableLinter;
  /** Registers and properties that the tables were judged under. */
  judgedUnder: string;
  /** As they are now, and the line of the record that made them so; 0: the tables were judged since. */
  now: string;
  changed: number;
  readonly bindings: Map<number, Binding>;
  /** Entries that were judged when all were last; -1: they were not yet. */
  entries: number;
}

/** What of the memory limit may go to entries of tables; what one takes, about; and how many are always kept. */
const SHARE_OF_TABLES = 1 / 16;
const ENTRY_BYTES = 128;
const FEW_ENTRIES = 4096;

/**
 * Findings on device, context and PASID tables in the course of a replay.
 *
 * When: tables are looked through as a whole when they come into use, that is at the first request (or command, or
 * invalidation) after registers or a binding lead to them. From then on a `mem` record that writes to one of their
 * pages marks the entries that it touches, and marked entries are judged at the next record that is no `mem` record:
 * an entry that is rewritten in pieces is judged once, in its final state. How it was rewritten, and what requests and
 * invalidations came in between, is judged by itself (`UpdatedEntries`).
 * A finding has the line of the last record that wrote to the entry; where that is not known (a snapshot), or other
 * registers make an entry wrong that was not, of the record that brought its table into use.
 *
 * Cost: a look-up by frame number per `mem` record; for requests nothing, while no entry is being changed.
 */
export class TableFindings implements Analysis, FrameUser {
  /** There is something to do at the next record that is no `mem` record. */
  #pending = false;
  /** What is being written is, in part, of a table in use. */
  #concerned = false;
  readonly #findings: Findings;
  readonly #names: TraceNames;
  readonly #units: () => readonly IommuUnit[];
  readonly #recorded: RecordedMemory;
  readonly #memory: PeekedMemory;
  readonly #tables = new Map<IommuUnit, UnitTables>();
  readonly #written: WrittenEntries;
  readonly #lines = new WrittenLines();
  readonly #effort = new TableEffort();
  /** Of all IOMMUs. */
  readonly #room: TableRoom;
  readonly #updates: UpdatedEntries;
  readonly #owners = new Map<LiveTable, UnitTables>();
  /** Devices whose binding may have changed, and the line where. */
  readonly #rebound = new Map<number, number>();
  /** The IOMMUs that these were bound to, or unbound from. */
  readonly #boundBy = new Map<number, Set<IommuUnit>>();
  /** By device id, the first name that the trace has for it, of so many devices; and the last PCI segment. */
  readonly #textOf = new Map<number, string>();
  #named = 0;
  #segment = "";
  /** The unit whose tables are judged, and the line that findings are put down to. */
  #owner: UnitTables | null = null;
  #line = 0;
  /** Frames of tables that were in use, and judged, before the registers changed. */
  #judged: ReadonlySet<number> | null = null;
  /** What is being written. */
  #addrHi = 0;
  #addrLo = 0;
  #bytes = 0;

  constructor(
    findings: Findings,
    names: TraceNames,
    memory: RecordedMemory,
    past: VersionedMemory,
    units: () => readonly IommuUnit[],
    memoryLimit: number,
  ) {
    this.#room = { entries: Math.max((memoryLimit * SHARE_OF_TABLES) / ENTRY_BYTES, FEW_ENTRIES) };
    this.#findings = findings;
    this.#names = names;
    this.#recorded = memory;
    this.#memory = new PeekedMemory(memory);
    const changes = new UpdateFindings((entry, line, change) => this.#changed(entry, line, change));
    this.#updates = new UpdatedEntries(this.#memory, past, (table) => this.#owners.get(table)?.unit, changes);
    this.#written = new WrittenEntries(this.#updates);
    this.#units = units;
  }

  // ── what the records say ──

  /** An `iommu` or `reg` record of an IOMMU. */
  configured(line: number, unit: IommuUnit): void {
    this.#settle();
    const owner = this.#ownerOf(unit);
    const now = describe(unit, owner.format);
    if (now !== owner.now) {
      owner.now = now;
      owner.changed = line;
    }
    this.#pending = true;
  }

  /** A `bind` or `unbind` record of a device (its number in the trace). */
  bound(_line: number, unit: IommuUnit, { dev }: RecordOf<"bind">): void {
    this.#note(unit, dev.canonical);
  }

  unbound(unit: IommuUnit, device: number): void {
    this.#note(unit, device);
  }

  #note(unit: IommuUnit, device: number): void {
    const units = this.#boundBy.get(device) ?? new Set();
    this.#boundBy.set(device, units.add(unit));
  }

  rebound(line: number, device: number): void {
    this.#settle();
    this.#rebound.set(device, line);
    this.#pending = true;
  }

  replacing(): void {
    this.#settle();
    this.#updates.clear();
  }

  replaced(line: number): void {
    for (const unit of this.#units()) {
      const owner = this.#ownerOf(unit);
      owner.linter.clear();
      owner.judgedUnder = "";
      owner.changed = line;
    }
    this.#lines.clear();
    this.#pending = true;
  }

  writing(addrHi: number, addrLo: number, bytes: number): void {
    this.#addrHi = addrHi;
    this.#addrLo = addrLo;
    this.#bytes = bytes;
    this.#concerned = this.#written.concerns(addrHi, addrLo, bytes);
    if (this.#concerned) this.#written.writing(addrHi, addrLo, bytes);
  }

  written(line: number): void {
    this.#lines.written(this.#addrHi, this.#addrLo, this.#bytes, line);
    if (!this.#concerned) return;
    this.#written.written(line);
    this.#pending = true;
  }

  // ── judging ──

  /** What is wrong with tables is said before the record that uses them: everything that is due is judged. */
  before(): void {
    if (!this.#pending) return;
    // What was written before registers or bindings changed has been judged then.
    for (const unit of this.#units()) {
      const owner = this.#ownerOf(unit);
      if (owner.changed !== 0) this.#reconfigure(owner);
    }
    this.#useBindings();
    this.#settle();
    this.#pending = false;
  }

  /** Judges the entries that were written to. */
  #settle(): void {
    if (!this.#written.any) return;
    for (const entry of this.#written.take()) {
      const { table, index } = entry;
      const owner = this.#owners.get(table);
      if (owner === undefined) continue;
      this.#attribute(owner, entry.line);
      owner.linter.judge(table, index);
      this.#sayLeft(owner);
    }
  }

  /** The trace ends: registers that were changed without any request after it say nothing. */
  finish(): void {
    this.#useBindings();
    this.#settle();
    this.#updates.clear();
  }

  // ── how entries are changed ──

  request(line: number, route: Route, record: DmaRecord, outcome: Outcome): void {
    this.#updates.request(line, route, record, outcome);
  }

  attentive(unit: IommuUnit): boolean {
    return this.#updates.concern(unit);
  }

  faulted(line: number, _route: Route, record: DmaRecord, outcome: Outcome): void {
    this.#updates.faulted(line, record, outcome);
  }

  heedful(): boolean {
    return this.#updates.anyWindow;
  }

  command(_line: number, unit: IommuUnit, record: RecordOf<"cmd">): void {
    this.#updates.command(unit, record.data);
  }

  invalidated(_line: number, unit: IommuUnit, happened: Invalidation | null): void {
    if (happened !== null) this.#updates.invalidated(unit, happened);
  }

  #changed({ table, index }: TableEntry, line: number, change: EntryChange): void {
    const owner = this.#owners.get(table);
    if (owner === undefined) return;
    this.#attribute(owner, line);
    owner.linter.changed(table, index, change);
  }

  #reconfigure(owner: UnitTables): void {
    const { unit, format, linter } = owner;
    const line = owner.changed;
    owner.changed = 0;
    const under = describe(unit, format);
    if (under === owner.judgedUnder) return;
    this.#judged = owner.judgedUnder === "" ? null : this.#written.frames();
    owner.judgedUnder = under;
    format.configure(unit.state);
    this.#updates.clear();
    linter.clear();
    this.#attribute(owner, line);
    this.#judgeAll(owner);
    this.#judged = null;
  }

  /** Judges all tables of an IOMMU: under other registers, where that does not come to more and more. */
  #judgeAll(owner: UnitTables): void {
    const { unit, linter, bindings, entries } = owner;
    if (!this.#effort.allows(Math.max(entries, 0), this.#line)) {
      this.#findings.report(this.#line, EFFORT_RULES["tables-not-judged"], unit.id ?? "", {
        iommu: unit.id,
        message: `${entries} entries of tables are not looked through again: expected registers that keep their values over more requests`,
      });
      return;
    }
    const before = linter.judged;
    linter.useRegisters();
    for (const [device, binding] of bindings) linter.useBinding(binding, this.#names.devices.get(device).id);
    owner.entries = linter.judged - before;
    if (entries >= 0) this.#effort.spend(owner.entries);
    this.#sayLeft(owner);
  }

  /** Says once of an IOMMU that not all of its tables are looked through. */
  #sayLeft({ unit, linter }: UnitTables): void {
    if (linter.left === 0) return;
    this.#findings.report(this.#line, EFFORT_RULES["tables-not-judged"], unit.id ?? "", {
      iommu: unit.id,
      message:
        "there are more valid entries of tables than there is memory for: what the rest of them lead to is not looked through",
    });
  }

  #useBindings(): void {
    if (this.#rebound.size === 0) return;
    for (const [device, line] of this.#rebound) {
      for (const unit of this.#boundBy.get(device) ?? []) {
        const owner = this.#ownerOf(unit);
        if (owner.judgedUnder === "") this.#configureFirst(owner);
        const before = owner.bindings.get(device);
        const now = unit.binding(device);
        if (now === (before ?? null)) continue;
        this.#attribute(owner, line);
        if (now !== null) {
          owner.bindings.set(device, now);
          owner.linter.useBinding(now, this.#names.devices.get(device).id);
          this.#sayLeft(owner);
        } else owner.bindings.delete(device);
        if (before !== undefined) owner.linter.drop(before);
      }
    }
    this.#rebound.clear();
    this.#boundBy.clear();
  }

  /** A unit that no `iommu` or `reg` record has spoken of, or none before the trace ended. */
  #configureFirst(owner: UnitTables): void {
    owner.format.configure(owner.unit.state);
    owner.judgedUnder = describe(owner.unit, owner.format);
  }

  // ── which tables there are ──

  tableComes(table: LiveTable): void {
    this.#owners.set(table, this.#owner!);
    this.#written.tableComes(table);
  }

  tableGoes(table: LiveTable): void {
    this.#updates.gone(table);
    this.#owners.delete(table);
    this.#written.tableGoes(table);
  }

  // ── reporting ──

  #ownerOf(unit: IommuUnit): UnitTables {
    let owner = this.#tables.get(unit);
    if (owner === undefined) {
      const format = VENDORS[unit.model].tables(this.#memory);
      const nameOf = (id: number) => this.#nameOf(unit, id);
      const linter = new TableLinter(
        unit.model,
        format,
        this.#memory,
        (f) => this.#report(f),
        nameOf,
        this,
        this.#room,
      );
      owner = {
        unit,
        format,
        linter,
        judgedUnder: "",
        now: "",
        changed: 0,
        bindings: new Map(),
        entries: -1,
      };
      this.#tables.set(unit, owner);
    }
    return owner;
  }

  #attribute(owner: UnitTables, line: number): void {
    this.#owner = owner;
    this.#line = line;
  }

  #report(finding: TableFinding): void {
    const { unit } = this.#owner!;
    // Where a table should be is where the snapshot that could not be read may have it.
    if (this.#recorded.lost && finding.rule.id === "pointer-outside-memory") return;
    const key = `${unit.id ?? ""}\n${finding.key}`;
    if (this.#findings.has(finding.rule, key)) return;
    const details = tableFindingDetails(unit, finding, (id) => this.#nameOf(unit, id));
    this.#findings.report(this.#lineOf(finding), finding.rule, key, details);
  }

  #lineOf({ place, changed_line }: TableFinding): number {
    if (place === undefined || changed_line !== undefined || this.#judged?.has(place.frame))
      return this.#line;
    return this.#lines.of(place.frame, place.from, place.to) || this.#line;
  }

  /** A device as the trace spells it, or would: with a PCI segment where other devices have one. */
  #nameOf(unit: IommuUnit, id: number): string {
    const { devices } = this.#names;
    // Those that have been named since the last time.
    for (; this.#named < devices.size; this.#named++) {
      const { id: other, text } = devices.get(this.#named);
      if (!this.#textOf.has(other)) this.#textOf.set(other, text);
      if (WITH_SEGMENT.test(text)) this.#segment = text.slice(0, "0000:".length);
    }
    const known = this.#textOf.get(id);
    if (known !== undefined) return known;
    const name = deviceName(unit.model, id);
    return name.includes(".") ? this.#segment + name : name;
  }
}

/** What a `finding` record says about a table. */
function tableFindingDetails(
  unit: IommuUnit,
  finding: TableFinding,
  nameOf: (id: number) => string = (id) => deviceName(unit.model, id),
): FindingDetails {
  const { rule: _rule, device, key: _key, place: _place, message, pasids: span, ...rest } = finding;
  // A table can have entries for numbers that no PASID has.
  const pasids =
    span === undefined || span[0] > MAX_PASID
      ? undefined
      : ([span[0], Math.min(span[1], MAX_PASID)] as const);
  const single = pasids !== undefined && pasids[0] === pasids[1];
  return {
    iommu: unit.id,
    dev: device < 0 ? undefined : nameOf(device),
    pasid: single ? pasids[0] : undefined,
    message,
    ...(pasids === undefined || single ? {} : { pasids }),
    ...rest,
  };
}

/** Registers and properties that decide what tables look like. */
function describe(unit: IommuUnit, format: TableTree): string {
  const registers = format.registers.map((name) => {
    const value = unit.state.registers.get(name);
    return value === undefined ? "" : `${value.hi}:${value.lo}`;
  });
  return JSON.stringify([registers, [...unit.state.props]]);
}
