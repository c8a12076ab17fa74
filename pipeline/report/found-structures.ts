import type { DecodedField, Layout } from "../../walkers/layout.ts";
import { FRAME_BYTES } from "../../walkers/memory.ts";
import { VENDORS } from "../../walkers/registry.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { FindingRecord } from "../output/records.ts";
import type { RecordedSystem } from "../replay/recorded-system.ts";

/** A table entry that a finding is about, as memory was then. */
export interface FoundStructure {
  readonly layout: Layout;
  readonly words: readonly bigint[];
  readonly fields: readonly DecodedField[];
  readonly reservedSet: readonly number[];
}

/**
 * The entries that findings name, decoded. A finding comes in the midst of whatever looks at memory: the entry is read
 * a little later, before memory changes again.
 */
export class FoundStructures {
  readonly #found = new Map<FindingRecord, FoundStructure>();
  #waiting: FindingRecord[] = [];

  of(finding: FindingRecord): FoundStructure | undefined {
    return this.#found.get(finding);
  }

  /** A finding that is to be shown. */
  add(finding: FindingRecord): void {
    if (finding.structure !== undefined && finding.entry_addr !== undefined) this.#waiting.push(finding);
  }

  /** Memory is about to change, or the trace has ended. */
  read(system: RecordedSystem): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const finding of waiting) {
      const structure = readStructure(finding, system);
      if (structure !== null) this.#found.set(finding, structure);
    }
  }
}

function readStructure(finding: FindingRecord, { memory, iommus }: RecordedSystem): FoundStructure | null {
  const layout = layoutOf(finding, iommus.units);
  const address = BigInt(finding.entry_addr!);
  const frame = Number(address / BigInt(FRAME_BYTES));
  const offset = Number(address % BigInt(FRAME_BYTES));
  if (layout === undefined || offset + layout.bytes > FRAME_BYTES) return null;
  if (!memory.peek(frame, offset, layout.bytes)) return null;
  const { view, at } = memory;
  const decoded = (littleEndian: boolean) => ({
    layout,
    words: layout.words(view, at, littleEndian),
    fields: layout.decode(view, at, littleEndian),
    reservedSet: layout.reservedSet(view, at, littleEndian),
  });
  const little = decoded(true);
  if (agrees(little, finding)) return little;
  const big = decoded(false);
  return agrees(big, finding) ? big : little;
}

function layoutOf({ iommu, structure }: FindingRecord, units: readonly IommuUnit[]): Layout | undefined {
  const unit = units.find(({ id }) => id === iommu);
  return unit && VENDORS[unit.model].layouts.find(({ name }) => name === structure);
}

/** The finding gives the value of a field, of an address the whole: which of two orders of bytes the entry has shows in it. */
function agrees({ fields }: FoundStructure, { field, value }: FindingRecord): boolean {
  const found = fields.find(({ name }) => name === field);
  if (found === undefined || value === undefined) return true;
  return found.text === value || found.value === BigInt(value);
}
