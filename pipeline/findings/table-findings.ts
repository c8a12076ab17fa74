import type { GuestMemory as RecordedMemory } from "../../parsers/memory/guest-memory.ts";
import type { TraceNames } from "../../parsers/trace/records.ts";
import { FRAME_BYTES, FRAME_MASK, FRAME_SHIFT, frameOf, type GuestMemory } from "../../walkers/memory.ts";
import type { Binding } from "../../walkers/request.ts";
import type { IommuUnit } from "../iommu-unit.ts";
import type { FindingDetails, Findings } from "./findings.ts";
import { tablesOf } from "./tables/formats.ts";
import {
  deviceName,
  type FrameUser,
  type LiveTable,
  type TableFinding,
  TableLinter,
} from "./tables/linter.ts";
import type { TableFormat } from "./tables/table.ts";

/** Guest memory for a look that leaves no trace in it: neither `generation` nor what is watched depends on it. */
class PeekedMemory implements GuestMemory {
  readonly #memory: RecordedMemory;

  constructor(memory: RecordedMemory) {
    this.#memory = memory;
  }

  get view(): DataView {
    return this.#memory.view;
  }

  get at(): number {
    return this.#memory.at;
  }

  get generation(): number {
    return this.#memory.generation;
  }

  fetch(frame: number, offset: number, bytes: number): boolean {
    return this.#memory.peek(frame, offset, bytes);
  }
}

const WITH_SEGMENT = /^[0-9a-f]{4}:[0-9a-f]{2}:/i;

/** What is looked after of one IOMMU. */
interface UnitTables {
  readonly unit: IommuUnit;
  readonly format: TableFormat;
  readonly linter: TableLinter;
  /** Registers and properties that the tables were judged under. */
  judgedUnder: string;
  /** As they are now, and the line of the record that made them so; 0: the tables were judged since. */
  now: string;
  changed: number;
  readonly bindings: Map<number, Binding>;
}

/** An entry that was written to since it was last judged. */
interface WrittenEntry {
  readonly owner: UnitTables;
  readonly table: LiveTable;
  readonly index: number;
  /** The valid entry that it was; null where it was none. */
  readonly before: DataView | null;
  /** Line of the last record that wrote to it. */
  line: number;
  /** It was not valid after one of the writes. */
  wasInvalid: boolean;
}

/**
 * Findings on device, context and PASID tables in the course of a replay.
 *
 * When: tables are looked through as a whole when they come into use, that is at the first request (or command, or
 * invalidation) after registers or a binding lead to them. From then on a `mem` record that writes to one of their
 * pages marks the entries that it touches, and marked entries are judged at the next record that is no `mem` record:
 * an entry that is rewritten in pieces is judged once, in its final state. What has been seen in between is only
 * whether the entry was ever invalid, since a valid entry must not become another one without having been so.
 * A finding has the line of the last record that wrote to the entry, or of the record that brought its table
 * into use.
 *
 * Cost: a look-up by frame number per `mem` record; nothing for requests.
 */
export class TableFindings implements FrameUser {
  /** There is something to do at the next record that is no `mem` record. */
  pending = false;
  readonly #findings: Findings;
  readonly #names: TraceNames;
  readonly #units: () => readonly IommuUnit[];
  readonly #memory: PeekedMemory;
  readonly #tables = new Map<IommuUnit, UnitTables>();
  /** Tables, and which of their frames it is, by frame number. */
  readonly #frames = new Map<number, { readonly table: LiveTable; readonly slot: number }[]>();
  readonly #owners = new Map<LiveTable, UnitTables>();
  readonly #written = new Map<LiveTable, Map<number, WrittenEntry>>();
  /** Entries that the write under way touches. */
  readonly #touched: WrittenEntry[] = [];
  /** Devices whose binding may have changed, and the line where. */
  readonly #rebound = new Map<number, number>();
  /** The unit whose tables are judged, and the line that findings are put down to. */
  #owner: UnitTables | null = null;
  #line = 0;

  constructor(
    findings: Findings,
    names: TraceNames,
    memory: RecordedMemory,
    units: () => readonly IommuUnit[],
  ) {
    this.#findings = findings;
    this.#names = names;
    this.#memory = new PeekedMemory(memory);
    this.#units = units;
  }

  // ── what the records say ──

  /** An `iommu` or `reg` record. */
  configured(line: number): void {
    this.settle();
    for (const unit of this.#units()) {
      const owner = this.#ownerOf(unit);
      const now = describe(unit, owner.format);
      if (now === owner.now) continue;
      owner.now = now;
      owner.changed = line;
    }
    this.pending = true;
  }

  /** A `bind` or `unbind` record of a device (its number in the trace). */
  rebound(line: number, device: number): void {
    this.settle();
    this.#rebound.set(device, line);
    this.pending = true;
  }

  /** All memory was replaced. */
  replaced(line: number): void {
    this.#written.clear();
    for (const unit of this.#units()) {
      const owner = this.#ownerOf(unit);
      owner.linter.clear();
      owner.judgedUnder = "";
      owner.changed = line;
    }
    this.pending = true;
  }

  /** Whether bytes from an address on are, in part, of a table in use: then `writing` and `written` are to be called. */
  concerns(addrHi: number, addrLo: number, bytes: number): boolean {
    const frames = this.#frames;
    if (frames.size === 0) return false;
    const first = frameOf(addrHi, addrLo);
    if (frames.has(first)) return true;
    const last = first + (((addrLo & FRAME_MASK) + bytes - 1) >>> FRAME_SHIFT);
    for (let frame = first + 1; frame <= last; frame++) if (frames.has(frame)) return true;
    return false;
  }

  /** Bytes are about to be written. */
  writing(addrHi: number, addrLo: number, bytes: number): void {
    this.#touched.length = 0;
    const first = frameOf(addrHi, addrLo);
    let from = addrLo & FRAME_MASK;
    for (let frame = first, left = bytes; left > 0; frame++) {
      const to = Math.min(from + left, FRAME_BYTES);
      for (const { table, slot } of this.#frames.get(frame) ?? []) this.#touch(table, slot, from, to);
      left -= to - from;
      from = 0;
    }
  }

  /** They have been written. */
  written(line: number): void {
    for (const entry of this.#touched) {
      entry.line = line;
      if (!this.#validNow(entry.table, entry.index)) entry.wasInvalid = true;
    }
    if (this.#touched.length > 0) this.pending = true;
    this.#touched.length = 0;
  }

  // ── judging ──

  /** A record that uses tables comes next: everything that is due is judged. */
  use(): void {
    // What was written before registers or bindings changed has been judged then.
    for (const unit of this.#units()) {
      const owner = this.#ownerOf(unit);
      if (owner.changed !== 0) this.#reconfigure(owner);
    }
    this.#useBindings();
    this.settle();
    this.pending = false;
  }

  /** Judges the entries that were written to. */
  settle(): void {
    if (this.#written.size === 0) return;
    const entries: WrittenEntry[] = [];
    for (const some of this.#written.values()) entries.push(...some.values());
    this.#written.clear();
    // From the roots down: what nothing leads to any more is not judged.
    entries.sort((a, b) => a.table.depth - b.table.depth);
    for (const entry of entries) {
      const { owner, table, index } = entry;
      if (table.users === 0) continue;
      this.#attribute(owner, entry.line);
      owner.linter.judge(table, index);
      if (entry.before !== null && !entry.wasInvalid) this.#compare(entry, entry.before);
    }
  }

  /** The trace ends: registers that were changed without any request after it say nothing. */
  finish(): void {
    this.#useBindings();
    this.settle();
  }

  #reconfigure(owner: UnitTables): void {
    const { unit, format, linter } = owner;
    const line = owner.changed;
    owner.changed = 0;
    const under = describe(unit, format);
    if (under === owner.judgedUnder) return;
    owner.judgedUnder = under;
    format.configure(unit.state);
    linter.clear();
    this.#attribute(owner, line);
    linter.useRegisters();
    for (const [device, binding] of owner.bindings)
      linter.useBinding(binding, this.#names.devices.get(device).id);
  }

  #useBindings(): void {
    if (this.#rebound.size === 0) return;
    for (const [device, line] of this.#rebound) {
      for (const unit of this.#units()) {
        const owner = this.#ownerOf(unit);
        if (owner.judgedUnder === "") this.#configureFirst(owner);
        const before = owner.bindings.get(device);
        const now = unit.binding(device);
        if (now === (before ?? null)) continue;
        this.#attribute(owner, line);
        if (now !== null) {
          owner.bindings.set(device, now);
          owner.linter.useBinding(now, this.#names.devices.get(device).id);
        } else owner.bindings.delete(device);
        if (before !== undefined) owner.linter.drop(before);
      }
    }
    this.#rebound.clear();
  }

  /** A unit that no `iommu` or `reg` record has spoken of, or none before the trace ended. */
  #configureFirst(owner: UnitTables): void {
    owner.format.configure(owner.unit.state);
    owner.judgedUnder = describe(owner.unit, owner.format);
  }

  #compare(entry: WrittenEntry, before: DataView): void {
    const { owner, table, index } = entry;
    const { kind } = table.spec;
    const place = TableLinter.place(table, index);
    const memory = this.#memory;
    if (place === null || !memory.fetch(place.frame, place.offset, kind.layout.bytes)) return;
    const { view, at } = memory;
    if (!kind.valid(view, at)) return;
    const used = kind.used?.(before, 0) ?? -1;
    const changed: string[] = [];
    for (let unit = 0; unit * kind.unit < kind.layout.bytes; unit++) {
      const start = unit * kind.unit;
      let differs = false;
      for (let b = start; b < Math.min(start + kind.unit, kind.layout.bytes); b++)
        if (before.getUint8(b) !== view.getUint8(at + b)) differs = true;
      if (differs && (used & (1 << unit)) !== 0)
        changed.unshift(`${(start + kind.unit) * 8 - 1}:${start * 8}`);
    }
    if (changed.length > 1) owner.linter.changedWhileValid(table, index, changed.join(","));
  }

  // ── frames ──

  tableComes(table: LiveTable): void {
    this.#owners.set(table, this.#owner!);
    table.frames.forEach((frame, slot) => {
      if (frame < 0) return;
      const tables = this.#frames.get(frame);
      if (tables === undefined) this.#frames.set(frame, [{ table, slot }]);
      else tables.push({ table, slot });
    });
  }

  tableGoes(table: LiveTable): void {
    this.#owners.delete(table);
    this.#written.delete(table);
    for (const frame of table.frames) {
      const left = this.#frames.get(frame)?.filter((user) => user.table !== table);
      if (left === undefined) continue;
      if (left.length === 0) this.#frames.delete(frame);
      else this.#frames.set(frame, left);
    }
  }

  /** Marks the entries of a table that bytes `from` to `to` - 1 of one of its frames belong to. */
  #touch(table: LiveTable, slot: number, from: number, to: number): void {
    const { spec } = table;
    const { bytes } = spec.kind.layout;
    const base = slot * FRAME_BYTES - spec.offset;
    const first = Math.max(Math.floor((base + from) / bytes), 0);
    const last = Math.min(Math.floor((base + to - 1) / bytes), spec.entries - 1);
    let written = this.#written.get(table);
    for (let index = first; index <= last; index++) {
      let entry = written?.get(index);
      if (entry === undefined) {
        if (written === undefined) {
          written = new Map();
          this.#written.set(table, written);
        }
        const before = this.#copyOfValid(table, index);
        const owner = this.#owners.get(table)!;
        entry = { owner, table, index, before, line: 0, wasInvalid: false };
        written.set(index, entry);
      }
      this.#touched.push(entry);
    }
  }

  #validNow(table: LiveTable, index: number): boolean {
    const place = TableLinter.place(table, index);
    const { kind } = table.spec;
    const memory = this.#memory;
    return (
      place !== null &&
      memory.fetch(place.frame, place.offset, kind.layout.bytes) &&
      kind.valid(memory.view, memory.at)
    );
  }

  #copyOfValid(table: LiveTable, index: number): DataView | null {
    if (!this.#validNow(table, index)) return null;
    const { view, at } = this.#memory;
    const copy = new Uint8Array(table.spec.kind.layout.bytes);
    copy.set(new Uint8Array(view.buffer, view.byteOffset + at, copy.length));
    return new DataView(copy.buffer);
  }

  // ── reporting ──

  #ownerOf(unit: IommuUnit): UnitTables {
    let owner = this.#tables.get(unit);
    if (owner === undefined) {
      const format = tablesOf(unit.model, this.#memory);
      const nameOf = (id: number) => this.#nameOf(unit, id);
      const linter = new TableLinter(unit.model, format, this.#memory, (f) => this.#report(f), nameOf, this);
      owner = { unit, format, linter, judgedUnder: "", now: "", changed: 0, bindings: new Map() };
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
    const details = tableFindingDetails(unit, finding, (id) => this.#nameOf(unit, id));
    this.#findings.report(this.#line, finding.rule, `${unit.id ?? ""}\n${finding.key}`, details);
  }

  /** A device as the trace spells it, or would: with a PCI segment where other devices have one. */
  #nameOf(unit: IommuUnit, id: number): string {
    const { devices } = this.#names;
    let segment = "";
    for (let i = 0; i < devices.size; i++) {
      const { id: other, text } = devices.get(i);
      if (other === id) return text;
      if (WITH_SEGMENT.test(text)) segment = text.slice(0, "0000:".length);
    }
    const name = deviceName(unit.model, id);
    return name.includes(".") ? segment + name : name;
  }
}

/** What a `finding` record says about a table. */
export function tableFindingDetails(
  unit: IommuUnit,
  finding: TableFinding,
  nameOf: (id: number) => string = (id) => deviceName(unit.model, id),
): FindingDetails {
  const { rule: _rule, device, key: _key, message, pasids, ...rest } = finding;
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
function describe(unit: IommuUnit, format: TableFormat): string {
  const registers = format.registers.map((name) => {
    const value = unit.state.registers.get(name);
    return value === undefined ? "" : `${value.hi}:${value.lo}`;
  });
  return JSON.stringify([registers, [...unit.state.props]]);
}
