import { INTERRUPT_END, INTERRUPT_FIRST } from "../interrupt-range.ts";
import {
  type AddressSpace,
  lowRegion,
  radix512Tables,
  type StageTables,
  signedRegions,
  translationOf,
} from "../page-tables/address-space.ts";
import { amdV1InputBits, usedShift } from "../page-tables/amd-v1.ts";
import { x86InputBits } from "../page-tables/x86-64.ts";
import type { WalkResult } from "../result.ts";
import type { Enumeration } from "../tables/enumeration.ts";
import type { DeviceContext, PasidContext } from "./context.ts";
import { HYPERTRANSPORT_BOUNDARIES } from "./hypertransport.ts";
import type { AmdViWalker } from "./walker.ts";

/** AMD-Vi: device table and guest CR3 tables. */
export class AmdViEnumeration implements Enumeration<DeviceContext, PasidContext> {
  readonly walker: AmdViWalker;

  constructor(walker: AmdViWalker) {
    this.walker = walker;
  }

  /** V=0 (48882, table 8): nothing in the entry counts, and requests are forwarded as if there were no IOMMU. */
  unused(device: DeviceContext): boolean {
    return device.valid === 0;
  }

  takesPasids(): boolean {
    return true;
  }

  defaultPasid(device: DeviceContext): number | undefined {
    return device.giov !== 0 ? 0 : undefined;
  }

  absent(out: WalkResult): boolean {
    return out.reason === "SOURCEID_INVALID" || out.reason === "PASID_INVALID";
  }

  blocks(): boolean {
    return false;
  }

  space(device: DeviceContext, process: PasidContext, withPasid: boolean): AddressSpace {
    const guest = process.guest !== 0;
    const first = guest ? radix512Tables(1, "x86-64", process.root, device.guestLevels) : null;
    const hosted = device.valid !== 0 && device.mode !== 0;
    const host = hosted ? hostTables(device) : null;
    const bits = hosted ? amdV1InputBits(device.mode) : 64;
    return {
      translation: translationOf(first, host),
      regions: guest
        ? withPasid
          ? signedRegions(x86InputBits(device.guestLevels), first, host)
          : lowRegion(x86InputBits(device.guestLevels), first, host)
        : lowRegion(bits, null, host),
      boundaries: this.#boundaries(withPasid),
      withheld: null,
      narrow: null,
      domain: device.domain,
      asid: -1,
    };
  }

  /** The interrupt address range, and for requests without PASID the HyperTransport and exclusion ranges. */
  #boundaries(withPasid: boolean): number[] {
    const { exclusion, exclusionFirst, exclusionLast, ignoresHyperTransport } = this.walker.configuration;
    const frames = [INTERRUPT_FIRST, INTERRUPT_END];
    if (exclusion !== 0 && !withPasid) frames.push(exclusionFirst, exclusionLast + 1);
    if (ignoresHyperTransport === 0 && !withPasid) frames.push(...HYPERTRANSPORT_BOUNDARIES);
    return frames.sort((a, b) => a - b);
  }
}

/** Entries may skip levels. */
function hostTables({ hostRoot, mode }: DeviceContext): StageTables {
  return { ...radix512Tables(2, "amdv1", hostRoot, mode), used: usedShift };
}
