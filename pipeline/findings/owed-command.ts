import type { OwedCommand, StaleEntry } from "../../walkers/advice.ts";
import type { Caching } from "../../walkers/caching.ts";
import { decodeCommand, encodeCommand, formatCommand } from "../../walkers/commands/command.ts";
import { frameOf } from "../../walkers/memory.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { IommuState, Word64 } from "../../walkers/registers.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import { NO_LEVEL } from "../../walkers/result.ts";
import type { Vendor } from "../../walkers/vendor.ts";
import type { Structure } from "../caches/history/past-walks.ts";
import type { StaleSource } from "../caches/history/stale-source.ts";
import type { Change } from "../caches/history/versioned-memory.ts";

/** A command, as text in the vendor's own syntax and as words. */
export interface OwedCommandText {
  readonly text: string;
  readonly words: readonly Word64[];
  /** The register that asks for it; undefined: the queue. */
  readonly register: string | undefined;
}

/**
 * The command that would have dropped a stale entry.
 * @param state of the IOMMU
 * @param request at the first address that met it
 * @param structure the entry that changed, as a walk finds it now; null where none does
 * @returns null where the vendor has no commands
 */
export function owedCommand(
  { model, caching, advice }: Vendor,
  state: IommuState,
  request: WalkRequest,
  staleSource: StaleSource,
  change: Change,
  structure: Structure | null,
): OwedCommandText | null {
  if (advice === null) return null;
  return textOf(model, state, advice(staleEntry(caching, request, staleSource, change, structure), state));
}

/** The commands that would have dropped what an old root pointer led to, in their order; none where they are not known. */
export function owedForRoot(
  { model, rootAdvice }: Vendor,
  state: IommuState,
  request: WalkRequest,
  { domain }: StaleSource,
): readonly OwedCommandText[] {
  const owed = rootAdvice?.(state, request.device, domain) ?? [];
  return owed.map((command) => textOf(model, state, command));
}

function textOf(model: IommuModel, state: IommuState, owed: OwedCommand): OwedCommandText {
  const { name, fields, words: count, register } = owed;
  const words = encodeCommand(model, name, fields, count, register);
  return { text: formatCommand(decodeCommand(model, words, state, register)), words, register };
}

/** An entry of a table above device contexts or PASID entries is one word. */
const TABLE_ENTRY_BYTES = 8;

function staleEntry(
  caching: Caching,
  request: WalkRequest,
  staleSource: StaleSource,
  change: Change,
  structure: Structure | null,
): StaleEntry {
  const { cache, domain, space, regime, stages, ipaFrame } = staleSource;
  const translated = stages !== 0;
  // A translation of both stages begins with the first.
  const stage = translated ? structure?.stage || stages & 1 || stages : 0;
  // Which input addresses an entry of the second stage is behind is not known, but of the request's.
  const behind = cache === "devtlb" && structure?.stage === 2 && (stages & 1) !== 0;
  const whole = translated && (structure?.stage === 0 || behind);
  const nested = ipaFrame >= 0;
  return {
    cache,
    device: request.device,
    pasid: request.pasid,
    domain,
    space,
    regime,
    stage,
    nested,
    above:
      !translated && structure !== null && (structure.stage !== 0 || structure.bytes === TABLE_ENTRY_BYTES),
    level: structure === null || structure.level === NO_LEVEL ? 1 : structure.level,
    whole,
    table: whole || (structure !== null && pointedToTable(caching, structure, change)),
    frame: nested && stage === 2 ? ipaFrame : frameOf(staleSource.addrHi, staleSource.addrLo),
  };
}

/** Whether a page-table entry pointed to another table before a change of the word that it stands in. */
function pointedToTable(caching: Caching, entry: Structure, change: Change): boolean {
  return entry.stage !== 0 && caching.pointsToTable(entry.stage, entry.level, oldLowHalf(entry, change));
}

/** Low half of an entry before the change: of a big-endian one it stands last, its bytes the other way round. */
function oldLowHalf({ offset, bytes, littleEndian }: Structure, change: Change): number {
  const at = offset - change.offset + (littleEndian ? 0 : bytes - 4);
  const half = at < 4 ? change.oldLo : change.oldHi;
  if (littleEndian) return half;
  return (half << 24) | ((half & 0xff00) << 8) | ((half >>> 8) & 0xff00) | (half >>> 24);
}
