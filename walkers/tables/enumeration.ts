import type { AddressSpace } from "../page-tables/address-space.ts";
import type { WalkResult } from "../result.ts";
import type { IommuWalker } from "../walker.ts";

/**
 * What enumerating needs to know of a vendor's tables beyond what its walker says: where ids end, how many of them an
 * entry stands for, and which shape the page tables of a decoded context have.
 *
 * @typeParam D device context of the walker
 * @typeParam P PASID entry of the walker
 */
export interface VendorTables<D extends object = object, P extends object = object> {
  readonly walker: IommuWalker<D, P>;
  /** The register that says where the devices' contexts are: without it there are none to look for. */
  readonly baseRegister: string;
  /** What that register points to, and where. */
  root(): { readonly kind: string; readonly address: bigint };
  /** Device ids are below this. */
  deviceLimit(): number;
  /**
   * log2 of the device ids that one entry stands for, of each structure on the way from the register to a device's
   * context; of the context itself it is 0.
   */
  deviceSteps(): readonly number[];
  /** A context that holds, but says no more than that the device is not configured. */
  unused(device: D): boolean;
  /** PASIDs of requests are below this; 0 where requests with PASID are refused, or have no tables of their own. */
  pasidLimit(device: D): number;
  /** As `deviceSteps`, from a device's context to the entry of a PASID. */
  pasidSteps(device: D): readonly number[];
  /** Where the device's PASID structures begin; undefined where it has none. */
  pasidTable(device: D): { readonly kind: string; readonly address: bigint } | undefined;
  /** The PASID whose entry requests without PASID use; undefined where they use none. */
  defaultPasid(device: D): number | undefined;
  /** Whether a fault of loading a context says only that there is none. */
  absent(out: WalkResult): boolean;
  /** Whether a fault of loading a context is what the context says: that the device is to be refused. */
  blocks(out: WalkResult): boolean;
  space(device: D, process: P, withPasid: boolean): AddressSpace;
}

/** Byte address of a frame and an offset in it. */
export function byteAddress(frame: number, offset = 0): bigint {
  return (BigInt(frame) << 12n) | BigInt(offset);
}
