import type { LogOutput } from "./format.ts";
import { LogUnits } from "./log-units.ts";
import { TableBuilder } from "./table-builder.ts";

/**
 * Where tables are placed whose address no log gives: the first MiB belongs to the firmware, so that no kernel has
 * tables there.
 */
const PLACED_BASE = 0x1000n;

/** What the logs of one machine share, whatever their formats: its IOMMUs, and the tables that have been written. */
export interface Machine {
  readonly units: LogUnits;
  readonly tables: TableBuilder;
}

const machines = new WeakMap<LogOutput, Machine>();

/** The machine whose logs are read into this output. */
export function machineOf(output: LogOutput): Machine {
  let machine = machines.get(output);
  if (machine === undefined) {
    machine = { units: new LogUnits(output), tables: new TableBuilder(output, PLACED_BASE) };
    machines.set(output, machine);
  }
  return machine;
}
