import type { Layout } from "../../walkers/layout.ts";
import { NO_LEVEL } from "../../walkers/result.ts";
import type { WalkObserver } from "../../walkers/table-reader.ts";

/** How far a walk got: what it read tells how many neighbours of its address or id share the outcome. */
export class ReadTrail implements WalkObserver {
  /** Entries and structures of all kinds. */
  reads = 0;
  /** Contexts and PASID structures among them. */
  structures = 0;
  /** Level of the first-stage entry read last; NO_LEVEL where there was none. */
  firstLevel = NO_LEVEL;
  /** The same of the second stage. */
  secondLevel = NO_LEVEL;

  clear(): void {
    this.reads = 0;
    this.structures = 0;
    this.firstLevel = NO_LEVEL;
    this.secondLevel = NO_LEVEL;
  }

  entry(
    _layout: Layout,
    _frame: number,
    _offset: number,
    _view: DataView | null,
    _at: number,
    stage: number,
    level: number,
  ): void {
    this.reads++;
    if (stage === 0) this.structures++;
    else if (stage === 1) this.firstLevel = level;
    else this.secondLevel = level;
  }
}
