import type { IommuModel } from "../../walkers/models.ts";
import { IommuState } from "../../walkers/registers.ts";

/** By what the log of an emulator tells one IOMMU from another, where its lines do not name it. */
export interface UnitPlace {
  /** Addresses of its registers. */
  readonly first: bigint;
  readonly last: bigint;
  /** Names of its devices' address spaces. */
  readonly spaces: readonly string[];
}

/** One IOMMU of a host, as far as its capabilities are known. */
export interface HostIommu {
  /** Its name in sysfs, or the id of its `iommu` record; "" where it has none. */
  readonly id: string;
  readonly model: IommuModel;
  readonly state: IommuState;
  /** What the capabilities were read from: "intel-iommu of sysfs", "struct iommu_hw_info_vtd". */
  readonly source: string;
  /** Defaults that were applied and things left out, one sentence each. */
  readonly notes: readonly string[];
  /** Its id is the one that the log has for it: an IOMMU of another id is another one, and has not its registers. */
  readonly exact?: boolean;
  readonly place?: UnitPlace;
}

/** What a source of capabilities holds. */
export interface HostCapabilities {
  readonly hosts: readonly HostIommu[];
  /** Records or files of it that could not be used. */
  readonly problems: readonly string[];
}

/** A new state with these registers. */
export function stateOf(registers: Readonly<Record<string, bigint>>): IommuState {
  const state = new IommuState();
  for (const [name, value] of Object.entries(registers)) state.setRegister(name, value);
  return state;
}
