import type { HostIommu } from "../../parsers/caps/host.ts";
import { limitsOf } from "../../parsers/caps/host-limits.ts";
import { openCapabilities } from "../../parsers/caps/open-caps.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { PropertyValue } from "../../walkers/registers.ts";
import { joined } from "../../walkers/word64.ts";
import { LibraryError } from "./library-error.ts";

/** One IOMMU of a host, as far as its capabilities are known: `registers` and `props` are settings of an `Iommu`. */
export interface IommuCapabilities {
  /** Its name in sysfs, or the id of its `iommu` record; "" where it has none. */
  readonly id: string;
  readonly model: IommuModel;
  /** What they were read from: "intel-iommu of sysfs", "struct iommu_hw_info_vtd". */
  readonly source: string;
  /** Defaults that were applied and things left out, one sentence each. */
  readonly notes: readonly string[];
  /** By their names in traces: "cap", "idr0". */
  readonly registers: Readonly<Record<string, bigint>>;
  readonly props: Readonly<Record<string, PropertyValue>>;
  /** What it can do with a PASID table. What is not known counts as there. */
  readonly limits: {
    /** 0: no PASIDs. */
    readonly pasidBits: number;
    /** Bits of the addresses that it puts out. */
    readonly outputBits: number;
    /** Bits of the addresses that a second stage takes, at most. */
    readonly secondInputBits: number;
    /** Formats of page tables. */
    readonly pageTables: readonly string[];
    /** A second stage can lie under the table. */
    readonly nested: boolean;
  };
}

/** What a source of capabilities holds. */
export interface FoundCapabilities {
  readonly iommus: readonly IommuCapabilities[];
  /** Records or files of it that could not be used. */
  readonly problems: readonly string[];
}

/**
 * What the IOMMUs of a host can do, as `pasid-replay caps`.
 *
 * @param path a folder such as /sys/class/iommu, a tar archive of one, a trace, JSON, or the bytes of an iommufd structure
 *   `iommu_hw_info_*`, raw or as hex digits; "-" is standard input
 * @throws LibraryError ("argument") where it is none of these, TraceError where it cannot be read
 */
export async function capabilities(path: string): Promise<FoundCapabilities> {
  if (typeof path !== "string")
    throw new LibraryError("argument", `path: expected a string, found ${typeof path}`);
  const found = await openCapabilities(path);
  if (typeof found === "string") throw new LibraryError("argument", `${path}: ${found}`);
  return { iommus: found.hosts.map(capabilitiesOf), problems: found.problems };
}

function capabilitiesOf({ id, model, source, notes, state }: HostIommu): IommuCapabilities {
  const { pasidBits, outputBits, secondInputBits, formats, noNesting } = limitsOf(model, state);
  const registers = [...state.registers].map(([name, { hi, lo }]) => [name, joined(hi, lo)] as const);
  return {
    id,
    model,
    source,
    notes,
    registers: Object.fromEntries(registers),
    props: Object.fromEntries(state.props),
    limits: { pasidBits, outputBits, secondInputBits, pageTables: [...formats], nested: noNesting === "" },
  };
}
