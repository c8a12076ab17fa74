import type { TraceNames } from "../../parsers/trace/records.ts";
import { deviceName, type IommuModel } from "../../walkers/models.ts";

/** A device of an IOMMU as the trace spells it; one that it never names, as it would. */
export function spelledDevice({ devices }: TraceNames, model: IommuModel, id: number): string {
  for (let i = 0; i < devices.size; i++) if (devices.get(i).id === id) return devices.get(i).text;
  return deviceName(model, id);
}
