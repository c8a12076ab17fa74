import { FRAME_BYTES, type GuestMemory } from "../../../walkers/memory.ts";
import type { IommuModel } from "../../../walkers/models.ts";
import { deviceName } from "../../../walkers/models.ts";
import type { Binding } from "../../../walkers/request.ts";
import { anythingAt, type Complaint, Entry } from "../../../walkers/tables/entry.ts";
import { judge } from "../../../walkers/tables/judge.ts";
import { TABLE_RULES, type TableRule } from "../../../walkers/tables/table-rules.ts";
import type { RootTable, TableSpec, TableTree, Tag } from "../../../walkers/tables/tree.ts";
import { addressText, hex } from "../../../walkers/word64.ts";
import { TagIndex } from "./tags.ts";

/**
 * Frames of one table that are looked at: a linear stream table or a process directory of 2^20 entries of 64 bytes.
 */
const MAX_TABLE_FRAMES = 1 << 14;
/** Tables that are looked at, and how often one of them as the table of other ids: garbage has no end otherwise. */
const MAX_TABLES = 1 << 16;
const MAX_ALIASES = 4;
/** Entries that are not valid of which one counts. */
const OTHERS = 64;

/** Something wrong with a table: what a finding says. */
export interface TableFinding {
  readonly rule: TableRule;
  /** Device number, or -1. */
  readonly device: number;
  /** Two findings of one key are the same. */
  readonly key: string;
  readonly message: string;
  readonly structure: string;
  readonly index?: number;
  /** Bytes of a frame that the entry has; where it is not known: none. */
  readonly place?: { readonly frame: number; readonly from: number; readonly to: number };
  /** Byte address, hex. */
  readonly entry_addr?: string;
  /** First and last PASID that the entry stands for. */
  readonly pasids?: readonly [number, number];
  readonly field?: string;
  readonly bits?: string;
  readonly value?: string;
  readonly source: string;
  readonly changed_line?: number;
  readonly until_line?: number;
  readonly request_line?: number;
  readonly requests?: number;
}

/** What is wrong with how an entry was changed. */
export interface EntryChange {
  readonly rule: TableRule;
  /** "191:140": what was changed; undefined: nothing of the entry is to blame. */
  readonly bits: string | undefined;
  readonly text: string;
  readonly details: ChangeDetails;
}

/** Lines of a change, as a `finding` record has them. */
export interface ChangeDetails {
  /** Of the first write, and of the last. */
  readonly changed_line: number;
  readonly until_line: number;
  /** Of a request that came between them. */
  readonly request_line?: number;
  readonly requests?: number;
}

/** A table that something leads to. */
export interface LiveTable {
  readonly spec: TableSpec;
  readonly key: string;
  /** The part of the key that does not depend on ids. */
  readonly place: string;
  /** Distance from the root. */
  readonly depth: number;
  /** Host frame of each of its frames; -1 where the second stage faults. */
  readonly frames: readonly number[];
  /** Entries and roots that lead here; 0: nothing does any more. */
  users: number;
  /** What the valid entries lead to, and their tags; an entry with neither is absent. */
  readonly held: Map<number, { readonly tables: readonly LiveTable[]; readonly tags: readonly Tag[] }>;
}

/** Valid entries of tables that may still be kept: of one linter, or of several that share it. */
export interface TableRoom {
  entries: number;
}

/** Told which frames hold tables: the n-th frame of a table is `table.frames[n]`. */
export interface FrameUser {
  tableComes(table: LiveTable): void;
  tableGoes(table: LiveTable): void;
}

/**
 * Judges the tables of one IOMMU: those that its registers and bindings lead to. An entry is judged when its table
 * comes into use, and again whenever `judge` is called for it; what it leads to comes and goes with it.
 */
export class TableLinter {
  readonly #format: TableTree;
  readonly #memory: GuestMemory;
  readonly #frames: FrameUser | null;
  readonly #report: (finding: TableFinding) => void;
  readonly #nameOf: (device: number) => string;
  readonly #tables = new Map<string, LiveTable>();
  /** How many tables there are at one place in one context. */
  readonly #aliases = new Map<string, number>();
  readonly #tags = new TagIndex();
  /** By who holds them: REGISTERS, or a binding. */
  readonly #roots = new Map<Binding | null, LiveTable[]>();
  /** Valid entries that were judged so far; of others, which take hardly any time, some count as one. */
  judged = 0;
  /** Entries whose tables and tags were not looked at, since there was no room to keep them. */
  left = 0;
  readonly #room: TableRoom;

  constructor(
    model: IommuModel,
    format: TableTree,
    memory: GuestMemory,
    report: (finding: TableFinding) => void,
    nameOf: (device: number) => string = (device) => deviceName(model, device),
    frames: FrameUser | null = null,
    room: TableRoom = { entries: Number.POSITIVE_INFINITY },
  ) {
    this.#room = room;
    this.#nameOf = nameOf;
    this.#format = format;
    this.#memory = memory;
    this.#report = report;
    this.#frames = frames;
  }

  /** Takes up the tables that the registers lead to now, and lets go of those that they led to before. */
  useRegisters(): void {
    this.#use(null, this.#format.roots());
  }

  /** Takes up the table of a binding. */
  useBinding(binding: Binding, device: number): void {
    this.#use(binding, this.#format.bound(binding, device));
  }

  /** Lets go of what a binding (null: the registers) led to. */
  drop(root: Binding | null): void {
    const held = this.#roots.get(root);
    if (held === undefined) return;
    this.#roots.delete(root);
    for (const table of held) this.#release(table);
  }

  /** Lets go of everything. */
  clear(): void {
    for (const root of [...this.#roots.keys()]) this.drop(root);
    this.#tags.clear();
  }

  /** Host address of an entry: frame and byte offset in it; null where the second stage faults. */
  static place(table: LiveTable, index: number): { readonly frame: number; readonly offset: number } | null {
    const { spec } = table;
    const byte = spec.offset + index * spec.kind.layout.bytes;
    const frame = table.frames[Math.floor(byte / FRAME_BYTES)];
    return frame === undefined || frame < 0 ? null : { frame, offset: byte % FRAME_BYTES };
  }

  /** Judges one entry as it is now. */
  judge(table: LiveTable, index: number): void {
    const place = TableLinter.place(table, index);
    if (place === null) return;
    const { kind } = table.spec;
    const memory = this.#memory;
    const valid =
      memory.fetch(place.frame, place.offset, kind.layout.bytes) && kind.valid(memory.view, memory.at);
    const before = table.held.get(index);
    if (table.held.delete(index)) this.#room.entries++;
    for (const tag of before?.tags ?? []) this.#tags.remove(tag);
    if (valid) this.#judgeValid(table, index, place.frame, place.offset);
    for (const below of before?.tables ?? []) this.#release(below);
  }

  /** Reports how an entry was changed. */
  changed(table: LiveTable, index: number, { rule, bits, text, details }: EntryChange): void {
    const { source } = table.spec.kind.updates;
    const complaint = { rule, field: undefined, bits, value: undefined, text, source };
    this.#complain(table, index, complaint, `${details.changed_line} ${details.until_line}`, details);
  }

  #use(root: Binding | null, roots: readonly RootTable[]): void {
    const before = this.#roots.get(root) ?? [];
    const tables: LiveTable[] = [];
    this.#roots.set(root, tables);
    for (const given of roots) {
      const table = this.#acquire(given.table, 0);
      if (table === null) continue;
      tables.push(table);
      this.#checkRoot(given, table);
    }
    for (const table of before) this.#release(table);
  }

  #checkRoot(root: RootTable, table: LiveTable): void {
    const first = table.frames[0]!;
    if (first >= 0 && anythingAt(this.#memory, first)) return;
    const at = addressText(root.table.frame, root.table.offset);
    const expected = first < 0 ? "an address that the second stage translates" : "a table in recorded memory";
    this.#report({
      rule: TABLE_RULES["pointer-outside-memory"],
      device: root.table.device,
      key: `${root.from}\n${at}`,
      message: `${root.from}: ${root.field} is ${at}: expected ${expected}`,
      structure: root.from,
      field: root.field,
      value: at,
      source: root.source,
    });
  }

  #acquire(spec: TableSpec, depth: number): LiveTable | null {
    const { kind } = spec;
    const place = `${kind.layout.name}/${kind.span}\n${spec.context}\n${spec.frame}:${spec.offset}`;
    const key = `${place}\n${spec.first}+${spec.entries}<${spec.limit},${spec.also ?? ""}`;
    const known = this.#tables.get(key);
    if (known !== undefined) {
      known.users++;
      return known;
    }
    const aliases = this.#aliases.get(place) ?? 0;
    if (this.#tables.size >= MAX_TABLES || aliases >= MAX_ALIASES) return null;
    this.#aliases.set(place, aliases + 1);
    const table: LiveTable = { spec, key, place, depth, frames: framesOf(spec), users: 1, held: new Map() };
    this.#tables.set(key, table);
    this.#frames?.tableComes(table);
    this.#judgeAll(table);
    return table;
  }

  #release(table: LiveTable): void {
    if (--table.users > 0) return;
    this.#tables.delete(table.key);
    const aliases = this.#aliases.get(table.place)! - 1;
    if (aliases > 0) this.#aliases.set(table.place, aliases);
    else this.#aliases.delete(table.place);
    this.#frames?.tableGoes(table);
    for (const { tables, tags } of table.held.values()) {
      for (const tag of tags) this.#tags.remove(tag);
      for (const below of tables) this.#release(below);
    }
    this.#room.entries += table.held.size;
    table.held.clear();
  }

  /** Judges the entries of a table that has just come into use; what is not in memory has none. */
  #judgeAll(table: LiveTable): void {
    const { kind, offset, entries } = table.spec;
    const { bytes } = kind.layout;
    const memory = this.#memory;
    this.judged += Math.floor(entries / OTHERS);
    let index = 0;
    for (const [n, frame] of table.frames.entries()) {
      const end = Math.min(entries, Math.floor(((n + 1) * FRAME_BYTES - offset) / bytes));
      if (frame < 0) {
        index = end;
        continue;
      }
      const start = (offset + index * bytes) % FRAME_BYTES;
      const whole = end > index && memory.fetch(frame, start, (end - index) * bytes);
      let { view, at } = memory;
      for (const first = index; index < end; index++) {
        const inFrame = start + (index - first) * bytes;
        if (whole) {
          if (!kind.valid(view, at + inFrame - start)) continue;
        } else if (!memory.fetch(frame, inFrame, bytes) || !kind.valid(memory.view, memory.at)) continue;
        this.#judgeValid(table, index, frame, inFrame);
        // Judging looks at other memory.
        if (whole && memory.fetch(frame, start, (end - first) * bytes)) ({ view, at } = memory);
      }
    }
  }

  #judgeValid(table: LiveTable, index: number, frame: number, offset: number): void {
    const { spec } = table;
    const { bytes } = spec.kind.layout;
    const memory = this.#memory;
    if (!memory.fetch(frame, offset, bytes)) return;
    this.judged++;
    const copy = new Uint8Array(bytes);
    copy.set(new Uint8Array(memory.view.buffer, memory.view.byteOffset + memory.at, bytes));
    const entry = new Entry(spec, index, new DataView(copy.buffer), memory);
    if (!reachable(spec, entry.first)) {
      this.#complain(table, index, unreachable(entry), wordsOf(entry));
      return;
    }
    judge(entry);
    for (const complaint of entry.complaints) this.#complain(table, index, complaint, wordsOf(entry));
    if (entry.tables.length === 0 && entry.tags.length === 0) return;
    if (this.#room.entries <= 0) {
      this.left++;
      return;
    }
    this.#room.entries--;
    for (const tag of entry.tags) this.#addTag(table, index, entry, tag);
    const tables = entry.tables
      .map((below) => this.#acquire(below, table.depth + 1))
      .filter((below) => below !== null);
    table.held.set(index, { tables, tags: entry.tags });
  }

  #addTag(table: LiveTable, index: number, entry: Entry, tag: Tag): void {
    const other = this.#tags.add(tag, this.#label(table, index));
    if (other === null) return;
    entry.complaints.length = 0;
    entry.complain(
      TABLE_RULES["tag-reused"],
      tag.field,
      `expected ${tag.name} to mean ${other.points}, as in ${other.by}, found ${tag.points}`,
      tag.source,
    );
    this.#complain(table, index, entry.complaints[0]!, `${tag.target}\n${other.points}`);
  }

  #complain(
    table: LiveTable,
    index: number,
    complaint: Complaint,
    state: string,
    details?: ChangeDetails,
  ): void {
    const { spec } = table;
    const { rule, field, bits, value, text, source, once } = complaint;
    const { ids, span } = spec.kind;
    const first = spec.first + index * span;
    const place = TableLinter.place(table, index);
    const at = place === null ? "" : addressText(place.frame, place.offset);
    this.#report({
      rule,
      device: ids === "pasid" ? spec.device : span === 1 ? first : -1,
      key: once ? `${spec.kind.layout.name}\n${field}` : `${at}\n${field ?? bits ?? ""}\n${state}`,
      message: `${this.#label(table, index)}: ${text}`,
      structure: spec.kind.layout.name,
      index,
      ...(place === null
        ? {}
        : {
            place: { frame: place.frame, from: place.offset, to: place.offset + spec.kind.layout.bytes },
            entry_addr: at,
          }),
      ...(ids === "pasid" ? { pasids: [first, first + span - 1] as const } : {}),
      ...(field === undefined ? {} : { field }),
      ...(bits === undefined ? {} : { bits }),
      ...(value === undefined ? {} : { value: hex(value) }),
      ...details,
      source,
    });
  }

  /** "VT-d scalable-mode PASID table entry 3 (PASID 67) at 0x1000". */
  #label(table: LiveTable, index: number): string {
    const { spec } = table;
    const { ids, span } = spec.kind;
    const first = spec.first + index * span;
    const last = first + span - 1;
    const id =
      ids === "pasid"
        ? span === 1
          ? `PASID ${first}`
          : `PASIDs ${first} to ${last}`
        : span === 1
          ? this.#nameOf(first)
          : `${this.#nameOf(first)} to ${this.#nameOf(last)}`;
    const place = TableLinter.place(table, index);
    const at = place === null ? "" : ` at ${addressText(place.frame, place.offset)}`;
    return `${spec.kind.layout.name} ${index} (${id})${at}`;
  }
}

function framesOf(spec: TableSpec): number[] {
  const bytes = spec.offset + spec.entries * spec.kind.layout.bytes;
  const count = Math.min(Math.ceil(bytes / FRAME_BYTES), MAX_TABLE_FRAMES);
  return Array.from({ length: Math.max(count, 1) }, (_, i) =>
    spec.resolve === undefined ? spec.frame + i : spec.resolve(spec.frame + i),
  );
}

function wordsOf(entry: Entry): string {
  return entry.layout
    .words(entry.view, entry.at, entry.table.kind.littleEndian)
    .map((word) => word.toString(16))
    .join(",");
}

function reachable({ kind: { span }, limit, also }: TableSpec, first: number): boolean {
  return first < limit || (also !== undefined && also >= first && also < first + span);
}

function unreachable(entry: Entry): Complaint {
  const { kind, limit } = entry.table;
  const what = kind.ids === "pasid" ? "PASID" : "device id";
  return {
    rule: TABLE_RULES["unreachable-entry"],
    field: undefined,
    bits: undefined,
    value: undefined,
    text: `valid, and ${what} ${entry.first} cannot be looked up: expected ${what}s below ${limit}`,
    source: entry.layout.source,
  };
}
