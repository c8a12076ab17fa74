import type { Device, Devices } from "../../parsers/trace/devices.ts";
import { deviceName, IOMMUS, type IommuModel } from "../../walkers/models.ts";

/** Names of devices by their ids: the trace's own where it has one, and others made in the same way. */
export class DeviceNames {
  readonly #model: IommuModel;
  /** Unnamed devices have PCI names. */
  readonly #pci: boolean;
  /** "ssss:" where the trace writes the one segment that it knows, else "". */
  readonly #segment: string;
  /** null: several devices of the trace share the id (in several segments). */
  readonly #named = new Map<number, string | null>();

  constructor(model: IommuModel, devices: Devices) {
    const all = Array.from({ length: devices.size }, (_, i) => devices.get(i));
    for (const { id, text, canonical, index } of all)
      if (canonical === index) this.#named.set(id, this.#named.has(id) ? null : text);
    const pci = all.filter(({ text }) => isPci(text));
    this.#model = model;
    this.#pci = pci.length > 0 || IOMMUS[model].device.pci;
    const segments = new Set(pci.map(segmentOf));
    this.#segment = segments.size === 1 ? [...segments][0]! : "";
  }

  of(id: number): string {
    const named = this.#named.get(id);
    if (named !== undefined && named !== null) return named;
    const name = deviceName(this.#model, id, this.#pci);
    return isPci(name) ? this.#segment + name : name;
  }
}

function isPci(text: string): boolean {
  return text.includes(".");
}

/** "ssss:" of a PCI name, "" where it has none. */
function segmentOf({ text }: Device): string {
  const parts = text.split(":");
  return parts.length === 3 ? `${parts[0]}:` : "";
}
