import { TABLE_RULES } from "../../../walkers/tables/table-rules.ts";
import type { EntryKind } from "../../../walkers/tables/tree.ts";
import type { EntryChange } from "../tables/linter.ts";
import type { EntryHistory, TableEntry } from "./entry-history.ts";
import { type EntryState, piecesToChange, type Store, type Torn, tornBy } from "./stores.ts";
import type { UpdateJudge } from "./updated-entries.ts";
import type { UpdateWindow } from "./windows.ts";

const RULES = {
  changed: TABLE_RULES["changed-while-valid"],
  removed: TABLE_RULES["removed-while-valid"],
  early: TABLE_RULES["valid-before-complete"],
} as const;

/** Takes what is wrong with how an entry was changed. @param line of the record that it is put down to */
export type ReportChange = (entry: TableEntry, line: number, change: EntryChange) => void;

/** Says what is wrong with how entries were changed. */
export class UpdateFindings implements UpdateJudge {
  readonly #report: ReportChange;

  constructor(report: ReportChange) {
    this.#report = report;
  }

  over(history: EntryHistory, separate: readonly number[]): void {
    const { stores } = history;
    let { base } = history;
    let start = 0;
    for (const end of [...separate, stores.length]) {
      if (end <= start) continue;
      this.#judge(history, base, start, stores.slice(start, end));
      base = stores[end - 1]!.after;
      start = end;
    }
  }

  served(history: EntryHistory): void {
    const { base, stores, uses, entries } = history;
    if (uses.length === 0) return;
    const torn = tornBy(entries[0]!.table.spec.kind, base, stores);
    if (torn !== null) this.#harmed(history, torn, 0, stores);
  }

  /** @param start number of the first of `stores` in the history */
  #judge(history: EntryHistory, base: EntryState, start: number, stores: readonly Store[]): void {
    const entry = history.entries[0]!;
    const { kind } = entry.table.spec;
    const torn = tornBy(kind, base, stores);
    if (torn === null) return;
    if (this.#harmed(history, torn, start, stores)) return;
    const bits = bitsText(torn.bytes, kind);
    const first = stores[torn.first]!.line;
    const last = stores[torn.last]!.line;
    const rule = RULES[torn.pattern];
    const text = `bits ${bits} ${HOW[torn.pattern](lines(first, last), stores[torn.invalid]?.line)}: expected ${expected(torn, kind)}`;
    this.#report(entry, last, { rule, bits, text, details: { changed_line: first, until_line: last } });
  }

  /** Says which request met a half, if one did. */
  #harmed(history: EntryHistory, torn: Torn, start: number, stores: readonly Store[]): boolean {
    const entry = history.entries[0]!;
    const { kind } = entry.table.spec;
    for (const use of history.uses) {
      const half = torn.halves.find(
        ([first, last]) => use.stores > start + first && use.stores <= start + last,
      );
      if (half === undefined || use.after === null || use.after === use.answer) continue;
      const [first, last] = half.map((store) => stores[store]!.line) as [number, number];
      const rule = TABLE_RULES["half-written-entry-used"];
      const bits = bitsText(torn.bytes, kind);
      const text = `the request in line ${use.line} used it between the writes in lines ${first} and ${last} (bits ${bits}), half as it was and half as it became: expected ${expected(torn, kind)}`;
      const details = { changed_line: first, until_line: last, request_line: use.line };
      this.#report(entry, use.line, { rule, bits, text, details });
      return true;
    }
    return false;
  }

  reopened(window: UpdateWindow, now: EntryState, until: number): void {
    const { entry, before, line, refused, firstLine, observed, emptied, passedLine } = window;
    if (passedLine !== 0) this.#passed(window, until);
    if (refused === 0) return;
    const { kind } = entry.table.spec;
    const avoidable = !emptied && piecesToChange(kind, before, now) === 1;
    if (!avoidable && !observed) return;
    const requests =
      refused === 1
        ? `the request in line ${firstLine} was`
        : `${refused} requests from line ${firstLine} on were`;
    const expectation = avoidable
      ? `could have been hitless, since all that changes is in ${Math.min(kind.updates.read, kind.updates.store)} bytes that one store changes`
      : "expected no request of the device meanwhile";
    const text = `it was made invalid in line ${line} and valid again in line ${until}, and ${requests} refused in between: ${expectation}`;
    const rule = TABLE_RULES[avoidable ? "avoidable-refusal" : "refused-while-replaced"];
    const details = { changed_line: line, until_line: until, request_line: firstLine, requests: refused };
    this.#report(entry, firstLine, { rule, bits: undefined, text, details });
  }

  #passed({ entry, line, passedLine }: UpdateWindow, until: number): void {
    const { gate, refusing } = entry.table.spec.kind.updates;
    const text = `it was made invalid in line ${line} and valid again in line ${until}, and the request in line ${passedLine} passed untranslated in between, as ${gate}=0 has it: expected ${refusing} meanwhile`;
    const rule = TABLE_RULES["passed-while-replaced"];
    const details = { changed_line: line, until_line: until, request_line: passedLine };
    this.#report(entry, passedLine, { rule, bits: undefined, text, details });
  }
}

const HOW: Readonly<Record<Torn["pattern"], (where: string, invalid: number | undefined) => string>> = {
  changed: (where, invalid) =>
    invalid === undefined
      ? `changed while it was valid (${where})`
      : `changed (${where}) although no invalidation of what it was before line ${invalid} was complete`,
  removed: (where) => `were cleared (${where}) while the IOMMU may have held it for valid`,
  early: (where) => `were written after it was made valid (${where})`,
};

function expected({ pattern }: Torn, { updates }: EntryKind): string {
  const { read, store, gate } = updates;
  if (pattern === "early") return `${gate} to be set last`;
  const stores = read === store ? "" : `, and a store changes ${store}`;
  return `${gate} to be cleared alone, the entry to be invalidated and waited for, and only then the rest to be written, since the IOMMU reads ${read} bytes at once${stores}`;
}

function lines(first: number, last: number): string {
  return first === last ? `line ${first}` : `lines ${first} to ${last}`;
}

/** "255:128,127:0": bits of the pieces that some bytes lie in. */
function bitsText(bytes: bigint, { layout, updates }: EntryKind): string {
  const size = Math.min(updates.read, updates.store, layout.bytes);
  const pieces: string[] = [];
  for (let at = 0; at < layout.bytes; at += size)
    if (((bytes >> BigInt(at)) & ((1n << BigInt(size)) - 1n)) !== 0n)
      pieces.unshift(`${(at + size) * 8 - 1}:${at * 8}`);
  return pieces.join(",");
}
