import { rules } from "../../../walkers/tables/rule.ts";

/** What is not looked at for want of time or memory. */
export const EFFORT_RULES = rules({
  "tables-not-judged": {
    severity: "info",
    text: "Registers that say where tables are, or what they mean, have changed so often that all tables are no longer looked through after each change; or there are more valid entries than there is memory for.",
    source: "pasid-replay: the work grows with the trace",
  },
});

/** Entries that are judged again, all in all, because registers have changed; and so many more for each line of the trace. */
const ENTRIES = 1 << 20;
const ENTRIES_PER_LINE = 16;

/** Bounds how often all tables are judged anew: each time may take as long as there are tables. */
export class TableEffort {
  #again = 0;

  /** @param entries how many it may take @returns whether so many may be judged again at a line */
  allows(entries: number, line: number): boolean {
    return this.#again + entries <= ENTRIES + ENTRIES_PER_LINE * line;
  }

  /** So many were. */
  spend(entries: number): void {
    this.#again += entries;
  }
}
