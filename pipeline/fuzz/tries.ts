import type { Random } from "../../walkers/fuzz/random.ts";
import type { WorldEntry } from "../../walkers/fuzz/world.ts";

/** Things to choose from that are drawn before the one of them is taken that was tried least. */
const DRAWN = 4;

/**
 * How often each kind of thing was tried. Chance alone tries some of them ten times before others once; of a few drawn
 * ones the one tried least often lets none wait, and none come in a fixed order.
 */
export class Tries {
  readonly #counts = new Map<string, number>();

  /** @param draw something to try @param kindOf what kind of thing it is */
  choose<T>(draw: () => T, kindOf: (drawn: T) => string): T {
    let best = draw();
    let least = this.#count(kindOf(best));
    for (let i = 1; i < DRAWN && least > 0; i++) {
      const other = draw();
      const count = this.#count(kindOf(other));
      if (count < least) [best, least] = [other, count];
    }
    this.#counts.set(kindOf(best), least + 1);
    return best;
  }

  #count(kind: string): number {
    return this.#counts.get(kind) ?? 0;
  }
}

/** What part a structure has in walks: entries of page tables are of one layout at every level, and not alike. */
export function roleOf({ layout, uses: [use] }: WorldEntry): string {
  return use === undefined ? layout.name : `${layout.name} ${use.stage} ${use.level} ${use.table}`;
}

/** An entry of any layout, and of any part in walks: of some there are few, and of leaves many. */
export function anyEntry(entries: readonly WorldEntry[], random: Random, tries: Tries): WorldEntry {
  const layout = random.pick([...new Set(entries.map((entry) => entry.layout))]);
  const byRole = new Map<string, WorldEntry[]>();
  for (const entry of entries) {
    if (entry.layout !== layout) continue;
    const role = roleOf(entry);
    const alike = byRole.get(role);
    if (alike === undefined) byRole.set(role, [entry]);
    else alike.push(entry);
  }
  const roles = [...byRole.keys()];
  return random.pick(byRole.get(tries.choose(() => random.pick(roles), String))!);
}
