import type { Layout } from "../../walkers/layout.ts";
import { NO_LEVEL } from "../../walkers/result.ts";
import type { WalkObserver } from "../../walkers/table-reader.ts";

/** Who wants to know which frames are read as tables. */
export interface TableReads {
  /** @param stage 0: a context or PASID structure */
  tableRead(layout: Layout, frame: number, stage: number, level: number): void;
}

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
  /** Told of every read; null: nobody. */
  listener: TableReads | null = null;

  clear(): void {
    this.reads = 0;
    this.structures = 0;
    this.firstLevel = NO_LEVEL;
    this.secondLevel = NO_LEVEL;
  }

  entry(
    layout: Layout,
    frame: number,
    _offset: number,
    _view: DataView | null,
    _at: number,
    stage: number,
    level: number,
  ): void {
    this.reads++;
    this.listener?.tableRead(layout, frame, stage, level);
    if (stage === 0) this.structures++;
    else if (stage === 1) this.firstLevel = level;
    else this.secondLevel = level;
  }
}
