/**
 * Departures from what an entry says no more: until it is invalidated a device may go by what it held, and where it is wrong
 * then, it is so about the entry as it was. What the entry reads as now says nothing of that.
 */
import type { Bug } from "../../walkers/fuzz/bug.ts";
import type { WorldRecord } from "../../walkers/fuzz/world.ts";
import type { CodeAliases } from "../verdicts/comparison.ts";
import { type Departure, judgeWorld, type SeenDeparture } from "./judge.ts";

/**
 * What a request departs from as well without the last change of one of the entries that its walk reads; null: there is no
 * such change, or a command came after each, or the answer is right without it, or is no nearer to what was expected where it has to be.
 * @param places of the entries, as records have addresses, in the order of the walk
 * @param bugs mistakes that are made beside
 * @param isOther whether one is another departure than that of the entry as it is
 * @param nearer the answer has to be no further from what was expected then
 */
export function formerDeparture(
  records: readonly WorldRecord[],
  { line, outcome, answer }: Departure,
  places: readonly string[],
  codeAliases: CodeAliases,
  bugs: readonly Bug[],
  isOther: (departure: Departure) => boolean,
  nearer: boolean,
): SeenDeparture | null {
  if (outcome.verdict !== "mismatch" || (answer.code !== undefined && answer.code === outcome.code))
    return null;
  for (const place of places.toReversed()) {
    const before = withoutLastChange(records.slice(0, line), place);
    if (before === null) continue;
    const departure = judgeWorld(before, null, codeAliases, bugs).find((one) => one.line === line);
    if (departure?.outcome.verdict !== "mismatch" || !isOther(departure)) continue;
    const further = nearer && outcome.result === answer.result && departure.outcome.result !== answer.result;
    if (!further) return { records: before, departure, bugs };
  }
  return null;
}

/**
 * What a request that was answered as from a cache departs from where it is the first: a device that departs so need not have
 * kept anything. Null: it is none, or right then.
 */
export function firstDeparture(
  records: readonly WorldRecord[],
  { line, outcome }: Departure,
  codeAliases: CodeAliases,
  bugs: readonly Bug[],
): SeenDeparture | null {
  if (outcome.verdict !== "stale-after-invalidation") return null;
  const alone = records.slice(0, line).filter(({ type }, i) => type !== "dma" || i === line - 1);
  const [departure] = judgeWorld(alone, null, codeAliases, bugs);
  return departure === undefined ? null : { records: alone, departure, bugs };
}

/** The same lines, the last write of a place being that of what was there; null: it may not be held any more. */
function withoutLastChange(records: readonly WorldRecord[], place: string): WorldRecord[] | null {
  const writes = (record: WorldRecord) => record.type === "mem" && record.addr === place;
  const last = records.findLastIndex(writes);
  const was = records.slice(0, Math.max(last, 0)).findLast(writes);
  if (was === undefined || was.data === records[last]!.data) return null;
  if (records.slice(last).some(({ type }) => type === "cmd")) return null;
  return records.with(last, was);
}
