import type { WalkRequest } from "../../walkers/request.ts";
import { NO_LEVEL } from "../../walkers/result.ts";
import { addressText, hex, joined } from "../../walkers/word64.ts";
import type { RootChange } from "../caches/history/root-changes.ts";
import type { StaleSource } from "../caches/history/stale-source.ts";
import type { Change, VersionedMemory } from "../caches/history/versioned-memory.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { FindingRecord } from "../output/records.ts";
import type { FindingDetails } from "./findings.ts";
import { type OwedCommandText, owedCommand, owedForRoot } from "./owed-command.ts";

/** What a finding says about a changed entry: what it is and was, and which command would have covered it. */
export interface StaleChange {
  /** "x86-64 page-table entry (level 1) at 0x1000 was changed in line 3 from 0x1 to 0x2". */
  readonly sentence: string;
  /** What an invalidation has to cover. */
  readonly covered: string;
  /** "no invalidation covers it". */
  readonly uncovered: string;
  /** ". Expected INVLPG …"; "" where the vendor's commands are not known. */
  readonly expected: string;
  readonly fields: Omit<FindingDetails, "message">;
}

/** Of translations that outlive the context that they were made through. */
const LEFT = {
  covered: "the translations that came from it",
  uncovered: "invalidated, but not the translations that came from it",
};

/** Of a second stage under a first one: what both came to has been invalidated. */
const SECOND_STAGE = {
  covered: "it in the second stage",
  uncovered: "no invalidation of the second stage covers it",
};
const WHOLE = { covered: "it", uncovered: "no invalidation covers it" };

/**
 * Describes the change that an entry of a cache does not know of, as memory and registers are now.
 * @param request of the device that the entry is for; changed
 * @returns null where no change is known
 */
export function staleChange(
  unit: IommuUnit,
  memory: VersionedMemory,
  request: WalkRequest,
  staleSource: StaleSource,
): StaleChange | null {
  const { change, root } = staleSource;
  if (change !== null) return ofEntry(unit, memory, request, staleSource, change);
  return root === null ? null : ofRoot(unit, request, staleSource, root);
}

function ofEntry(
  unit: IommuUnit,
  memory: VersionedMemory,
  request: WalkRequest,
  staleSource: StaleSource,
  change: Change,
): StaleChange {
  request.addrHi = staleSource.addrHi;
  request.addrLo = staleSource.addrLo;
  if (staleSource.from !== undefined && request.binding === null) request.device = staleSource.from;
  const structure = unit.caches?.structureAt(request, change.frame, change.offset) ?? null;
  const command = owedCommand(unit.vendor, unit.state, request, staleSource, change, structure);
  const address = addressText(change.frame, change.offset);
  const old = hex(joined(change.oldHi, change.oldLo));
  const now = wordAt(memory, change.frame, change.offset);
  const what = structure === null ? "table entry" : structure.name;
  const level = structure === null || structure.level === NO_LEVEL ? "" : ` (level ${structure.level})`;
  return {
    sentence: `${what}${level} at ${address} was changed in line ${change.line} from ${old} ${change.again ? `(it is ${now} now)` : `to ${now}`}`,
    ...(staleSource.left ? LEFT : staleSource.secondStage ? SECOND_STAGE : WHOLE),
    expected: command === null ? "" : `. Expected ${command.text}`,
    fields: {
      changed_line: change.line,
      entry_addr: address,
      old,
      new: now,
      cache: staleSource.cache,
      ...commandFields(command),
    },
  };
}

/** A register that says where tables are was changed, and what the old tables said is still in use. */
function ofRoot(
  unit: IommuUnit,
  request: WalkRequest,
  staleSource: StaleSource,
  root: RootChange,
): StaleChange {
  const owed = owedForRoot(unit.vendor, unit.state, request, staleSource);
  const old = hex(joined(root.old.hi, root.old.lo));
  const now = hex(joined(root.now.hi, root.now.lo));
  return {
    sentence: `register ${root.register} was changed in line ${root.line} from ${old} to ${now}`,
    covered: "what was cached of the old tables",
    uncovered: "no invalidation covers what was cached of the old tables",
    expected: owed.length === 0 ? "" : `. Expected ${owed.map(({ text }) => text).join(", then ")}`,
    fields: {
      changed_line: root.line,
      register: root.register,
      old,
      new: now,
      cache: staleSource.cache,
      ...commandFields(owed[0]),
    },
  };
}

/** The fields about the command that was owed. */
function commandFields(command: OwedCommandText | null | undefined): Partial<FindingRecord> {
  if (!command) return {};
  const { text, words, register } = command;
  return {
    command: text,
    data: words.map((w) => hex(joined(w.hi, w.lo))),
    ...(register === undefined ? {} : { command_register: register }),
  };
}

function wordAt(memory: VersionedMemory, frame: number, offset: number): string {
  if (!memory.fetch(frame, offset, 8)) return "a hole";
  return hex(memory.view.getBigUint64(memory.at, true));
}
