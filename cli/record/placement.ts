import type { Capture, CapturedIommu } from "./capture.ts";
import type { TableFollower } from "./follower.ts";
import type { GuestMachine, MachineIommu } from "./machine.ts";
import type { PageMap } from "./page-map.ts";
import type { AskedStore } from "./store-channel.ts";

/** Words of a PCI function's configuration space that say where its registers are: Command, BAR0 and BAR1 (PCI 3.0, 6.1). */
const CONFIG_WORDS = [0x0n, 0x10n];

/** What is asked of the machine. */
export type PlacedMachine = Pick<GuestMachine, "iommus" | "place" | "registers">;

/**
 * Finds the registers of IOMMUs that are PCI functions as soon as the guest has mapped them: it waits meanwhile, so that
 * none of them has been written.
 */
export class Placement {
  readonly #machine: PlacedMachine;
  readonly #map: PageMap;
  readonly #follower: TableFollower;
  /** IOMMUs as they were at the start, or when they were found. */
  readonly #iommus: CapturedIommu[];

  constructor(machine: PlacedMachine, map: PageMap, follower: TableFollower, start: Capture) {
    this.#machine = machine;
    this.#map = map;
    this.#follower = follower;
    this.#iommus = [...start.iommus];
  }

  get iommus(): readonly CapturedIommu[] {
    return this.#iommus;
  }

  /** The plugin has seen a store. @throws QmpError */
  async stored({ address }: AskedStore): Promise<void> {
    const word = address & ~7n;
    const waiting = this.#machine.iommus.some((iommu) => configWords(iommu).includes(word));
    if (!waiting) return;
    for (const iommu of await this.#machine.place()) {
      const index = this.#machine.iommus.indexOf(iommu);
      const registers = await this.#machine.registers(iommu);
      this.#iommus[index] = { ...this.#iommus[index]!, registers };
      this.#follower.placed(index, registers);
      this.#map.ask(askedRegisters(this.#machine));
    }
  }
}

/** Registers that say where tables are, and where registers are, of all IOMMUs: their 64-bit words. */
export function askedRegisters({ iommus }: Pick<GuestMachine, "iommus">): bigint[] {
  const words = iommus.flatMap((iommu) => {
    const { base, kind } = iommu;
    if (base === null) return configWords(iommu);
    return kind.leading.map(({ offset }) => (base + BigInt(offset)) & ~7n);
  });
  return [...new Set(words)];
}

function configWords({ base, config }: MachineIommu): bigint[] {
  return base === null && config !== null ? CONFIG_WORDS.map((offset) => config + offset) : [];
}
