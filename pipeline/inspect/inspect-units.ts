import type { Devices } from "../../parsers/trace/devices.ts";
import type { Binding } from "../../walkers/request.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import { Budget } from "./budget.ts";
import { type InspectionOptions, UnitInspector } from "./inspector.ts";
import type { InspectionSink } from "./sink.ts";
import { bySize, Tally } from "./tally.ts";

/**
 * Enumerates the tables of IOMMUs as memory is now, and sums up.
 * @param line the state is that after this line
 * @param walks that may be made in all
 */
export async function inspectUnits(
  units: readonly IommuUnit[],
  devices: Devices,
  options: InspectionOptions,
  line: number,
  walks: number,
  sink: InspectionSink,
): Promise<void> {
  const budget = new Budget(walks);
  const total = new Tally();
  for (const unit of units) {
    const inspector = new UnitInspector(unit, devices, options, sink, budget);
    await inspector.run(boundTo(unit, devices));
    total.include(inspector.tally);
  }
  sink.summary({
    type: "inspect-summary",
    line,
    iommus: units.length,
    devices: total.devices,
    plain_devices: total.plainDevices,
    pasids: total.pasids,
    ranges: total.allRanges,
    bytes: total.allBytes,
    pages: bySize(total.allPages),
    faulty: total.allFaulty + total.faultyContexts,
    walks: budget.spent,
    complete: total.complete,
  });
  await sink.pause(false);
}

/** The bindings of an IOMMU by device id. */
function boundTo(unit: IommuUnit, devices: Devices): Map<number, Binding> {
  const bound = new Map<number, Binding>();
  for (const [device, binding] of unit.bindings) bound.set(devices.get(device).id, binding);
  return bound;
}
