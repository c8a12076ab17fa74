import { type TableFinding, TableLinter } from "../../pipeline/findings/tables/linter.ts";
import type { IommuUnit } from "../../pipeline/iommus/iommu-unit.ts";
import type { GuestMemory } from "../../walkers/memory.ts";
import { VENDORS } from "../../walkers/registry.ts";

/**
 * Judges every device, context and PASID table entry that an IOMMU's registers and bindings lead to, in memory as it is.
 * Registers count where the root register is known and translation is on.
 *
 * @param memory what the tables are read from; a walker's cached contexts are not looked at
 * @param idOf the number (requester id, StreamID, DeviceID, device_id) of a device that a binding is kept under
 * @returns findings in the order of the tables, each once; `tableFindingDetails` makes them fields of a record
 */
export function lintTables(
  unit: IommuUnit,
  memory: GuestMemory,
  idOf: (device: number) => number = (device) => device,
): TableFinding[] {
  const found = new Map<string, TableFinding>();
  const format = VENDORS[unit.model].tables(memory);
  format.configure(unit.state);
  const linter = new TableLinter(unit.model, format, memory, (finding) => {
    const key = `${finding.rule.id}\n${finding.key}`;
    if (!found.has(key)) found.set(key, finding);
  });
  linter.useRegisters();
  for (const [device, binding] of unit.bindings) linter.useBinding(binding, idOf(device));
  return [...found.values()];
}
