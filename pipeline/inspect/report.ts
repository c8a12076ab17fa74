import { FRAME_BYTES } from "../../walkers/memory.ts";
import { NO_LEVEL, type WalkResult } from "../../walkers/result.ts";
import type { AddressSpace, StageTables } from "./address-space.ts";
import type { InspectedDevice, InspectedDevices, InspectedTable, InspectionNote } from "./records.ts";
import { byteAddress } from "./vendor.ts";

/** Whose requests an address space is that of. */
export interface SpaceName {
  readonly iommu: string | undefined;
  readonly dev: string;
  /** Undefined: requests without PASID. */
  readonly pasid: number | undefined;
}

export function hexOf(value: bigint): string {
  return `0x${value.toString(16)}`;
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
    for (const { tables: t, from } of seen)
      tables.push({
        stage,
        format: t.format,
        root: hexOf(byteAddress(t.frame, t.offset)),
        levels: t.levels,
        granule: t.granule === 12 ? undefined : 2 ** (t.granule - 10),
        from: seen.length > 1 ? hexOf(byteAddress(from)) : undefined,
      });
  }
  return tables;
}

export function pasidTableOf(
  table: { readonly kind: string; readonly address: bigint } | undefined,
  pasids: number,
): InspectedDevice["pasid_table"] {
  return table && { kind: table.kind, addr: hexOf(table.address), pasids };
}

/** A note about a fault: of a context, or of page-table entries for `frames` from `frame` on. */
export function faultOf(
  name: SpaceName,
  out: WalkResult,
  frame?: number,
  frames?: number,
): Omit<InspectionNote, "type"> {
  const fault = out.fault!;
  return {
    note: "faulty",
    ...name,
    iova: frame === undefined ? undefined : hexOf(byteAddress(frame)),
    size: frames === undefined ? undefined : frames * FRAME_BYTES,
    reason: out.reason,
    code: `0x${fault.code.toString(16)}`,
    name: fault.name,
    stage: out.stage === 0 ? undefined : out.stage,
    level: out.level === NO_LEVEL ? undefined : out.level,
    entry_addr: out.entryFrame < 0 ? undefined : hexOf(byteAddress(out.entryFrame, out.entryOffset)),
    entry:
      out.entryFrame >= 0 && out.entryKnown
        ? hexOf((BigInt(out.entryHi >>> 0) << 32n) | BigInt(out.entryLo >>> 0))
        : undefined,
    hole: out.hole ? true : undefined,
    message: fault.text,
  };
}

interface Group {
  readonly first: number;
  last: number;
  readonly translation: InspectedDevices["translation"];
  readonly domain: number;
}

/** Gathers devices one after another that have no tables: there may be as many as there are ids. */
export class PlainDevices {
  readonly #write: (group: Group) => void;
  #group: Group | null = null;

  constructor(write: (group: Group) => void) {
    this.#write = write;
  }

  add(id: number, translation: Group["translation"], domain: number): void {
    const group = this.#group;
    if (
      group !== null &&
      group.translation === translation &&
      group.domain === domain &&
      group.last === id - 1
    )
      group.last = id;
    else {
      this.end();
      this.#group = { first: id, last: id, translation, domain };
    }
  }

  end(): void {
    const group = this.#group;
    this.#group = null;
    if (group !== null) this.#write(group);
  }
}
