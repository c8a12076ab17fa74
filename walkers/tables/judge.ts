import { byteAddress } from "../word64.ts";
import type { Entry } from "./entry.ts";
import { brokenRules } from "./entry-rule.ts";
import { TABLE_RULES } from "./table-rules.ts";
import type { Reach, Resolver } from "./tree.ts";

/** Finds out all that is wrong with a valid entry, which tags it has, and which tables it leads to. */
export function judge(entry: Entry): void {
  const { kind } = entry.table;
  const refused = judgeRules(entry);
  if (kind.ignored !== undefined) entry.reservedBits(TABLE_RULES["ignored-entry-bits"], kind.ignored, [], "");
  kind.notes?.(entry);
  // What the IOMMU refuses leads nowhere.
  if (!refused) follow(entry);
}

/** @returns whether any rule is broken */
function judgeRules(entry: Entry): boolean {
  const { view, at } = entry;
  const { rules, reserved } = entry.table.kind;
  const broken = brokenRules(rules, view, at);
  for (const number of broken) {
    const { field, kind, source } = rules!.rule(number);
    if (field !== null) entry.complain(kind, field, rules!.expected(number, view, at), source);
    else if (reserved !== undefined)
      entry.reservedBits(kind, reserved.words(view, at), reserved.addresses, reserved.width);
  }
  return broken.length > 0;
}

function follow(entry: Entry): void {
  for (const pointer of entry.table.kind.points?.(entry) ?? []) {
    const { field, frame, offset, aligned, reach, resolve, table, tag } = pointer;
    if (aligned !== undefined && entry.address(field) !== byteAddress(frame, offset))
      entry.complain(TABLE_RULES["misaligned-table"], field, `expected an address aligned to ${aligned}`);
    const there = reach === null || isThere(entry, field, frame, reach, resolve);
    if (tag !== undefined) entry.tag(tag());
    if (there && table !== undefined) entry.leadsTo(table);
  }
}

/** Complains about an address that leads nowhere. */
function isThere(
  entry: Entry,
  field: string,
  frame: number,
  { frames, width }: Reach,
  resolve: Resolver | undefined,
): boolean {
  return entry.pointer(
    field,
    frame,
    resolve === undefined ? frames : Number.POSITIVE_INFINITY,
    width,
    resolve,
  );
}
