import type { WalkRequest } from "../../walkers/request.ts";
import { NO_LEVEL } from "../../walkers/result.ts";
import { addressText, hex, joined } from "../../walkers/word64.ts";
import type { StaleSource } from "../caches/history/stale-source.ts";
import type { VersionedMemory } from "../caches/history/versioned-memory.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { FindingDetails } from "./findings.ts";
import { owedCommand } from "./owed-command.ts";

/** What a finding says about a changed entry: what it is and was, and which command would have covered it. */
export interface StaleChange {
  /** "x86-64 page-table entry (level 1) at 0x1000 was changed in line 3 from 0x1 to 0x2". */
  readonly sentence: string;
  /** ". Expected INVLPG …"; "" where the vendor's commands are not known. */
  readonly expected: string;
  readonly fields: Omit<FindingDetails, "message">;
}

/**
 * Describes the change that an entry of a cache does not know of, as memory is now.
 * @param request of the device that the entry is for; changed
 */
export function staleChange(
  unit: IommuUnit,
  memory: VersionedMemory,
  request: WalkRequest,
  staleSource: StaleSource,
): StaleChange {
  const change = staleSource.change!;
  request.addrHi = staleSource.addrHi;
  request.addrLo = staleSource.addrLo;
  const structure = unit.caches?.structureAt(request, change.frame, change.offset) ?? null;
  const command = owedCommand(unit.vendor, unit.state, request, staleSource, change, structure);
  const address = addressText(change.frame, change.offset);
  const old = hex(joined(change.oldHi, change.oldLo));
  const now = wordAt(memory, change.frame, change.offset);
  const what = structure === null ? "table entry" : structure.name;
  const level = structure === null || structure.level === NO_LEVEL ? "" : ` (level ${structure.level})`;
  return {
    sentence: `${what}${level} at ${address} was changed in line ${change.line} from ${old} ${change.again ? `(it is ${now} now)` : `to ${now}`}`,
    expected: command === null ? "" : `. Expected ${command.text}`,
    fields: {
      changed_line: change.line,
      entry_addr: address,
      old,
      new: now,
      cache: staleSource.cache,
      ...(command === null
        ? {}
        : { command: command.text, data: command.words.map((w) => hex(joined(w.hi, w.lo))) }),
    },
  };
}

function wordAt(memory: VersionedMemory, frame: number, offset: number): string {
  if (!memory.fetch(frame, offset, 8)) return "a hole";
  return hex(memory.view.getBigUint64(memory.at, true));
}
