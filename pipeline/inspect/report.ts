import { FRAME_BYTES, FRAME_SHIFT, FRAMES } from "../../walkers/memory.ts";
import type { AddressSpace, StageTables } from "../../walkers/page-tables/address-space.ts";
import { NO_LEVEL, type WalkResult } from "../../walkers/result.ts";
import { byteAddress, hex, joined } from "../../walkers/word64.ts";
import type { InspectedPasid, InspectedTable, InspectionNote } from "./records.ts";

/** Whose requests an address space is that of. */
export interface SpaceName {
  readonly iommu: string | undefined;
  readonly dev: string;
  /** Undefined: requests without PASID. */
  readonly pasid: number | undefined;
}

/** The tables of an address space, each once; with its first input address where a stage has several. */
export function tablesOf(space: AddressSpace): InspectedTable[] {
  const tables: InspectedTable[] = [];
  for (const stage of [1, 2] as const) {
    const seen: { tables: StageTables; from: number }[] = [];
    for (const region of space.regions) {
      const of = stage === 1 ? region.first : region.second;
      if (of !== null && !seen.some((known) => known.tables === of))
        seen.push({ tables: of, from: region.from });
    }
    for (const { tables: t, from } of seen) {
      const granule = t.geometry.pageShift;
      tables.push({
        stage,
        format: t.format,
        root: hex(byteAddress(t.frame, t.offset)),
        levels: t.levels,
        granule: granule === FRAME_SHIFT ? undefined : 2 ** (granule - 10),
        from: seen.length > 1 ? hex(byteAddress(from)) : undefined,
      });
    }
  }
  return tables;
}

/** The fault of requests that a context or PASID entry refuses. */
export function refusalOf(out: WalkResult): InspectedPasid["fault"] {
  const fault = out.fault!;
  return { code: `0x${fault.code.toString(16)}`, name: fault.name, reason: out.reason };
}

/** A note about a fault: of a context, or of page-table entries for `frames` from `frame` on. */
export function faultNote(
  name: SpaceName,
  out: WalkResult,
  frame?: number,
  frames?: number,
): Omit<InspectionNote, "type"> {
  const fault = out.fault!;
  return {
    note: "faulty",
    ...name,
    iova: frame === undefined ? undefined : hex(byteAddress(frame)),
    size: frames === undefined ? undefined : frames * FRAME_BYTES,
    ...refusalOf(out),
    stage: out.stage === 0 ? undefined : out.stage,
    level: out.level === NO_LEVEL ? undefined : out.level,
    entry_addr:
      out.entryFrame < 0 || out.entryFrame >= FRAMES
        ? undefined
        : hex(byteAddress(out.entryFrame, out.entryOffset)),
    entry: out.entryFrame >= 0 && out.entryKnown ? hex(joined(out.entryHi, out.entryLo)) : undefined,
    hole: out.hole ? true : undefined,
    message: fault.text,
  };
}

/** A run of ids, first and last, of which the same can be said: `write` says it. */
interface IdGroup {
  readonly key: string;
  readonly first: number;
  last: number;
  readonly write: (first: number, last: number) => void;
}

/** Gathers ids one after another of which the same can be said: there may be as many as there are ids. */
export class IdGroups {
  #group: IdGroup | null = null;

  /**
   * @param key what is said of them
   * @param last last of the ids that this is said of
   * @param write says it of the first such ids and all that follow them without a gap
   */
  add(key: string, first: number, last: number, write: IdGroup["write"]): void {
    const group = this.#group;
    if (group !== null && group.key === key && group.last === first - 1) group.last = last;
    else {
      this.end();
      this.#group = { key, first, last, write };
    }
  }

  /** Something else is said next. */
  end(): void {
    const group = this.#group;
    this.#group = null;
    group?.write(group.first, group.last);
  }
}
