import type { AddressSpace } from "../page-tables/address-space.ts";
import type { WalkResult } from "../result.ts";

/**
 * What enumerating needs to know of decoded contexts that is not in the tree of tables: how they are used, and which
 * shape the page tables under them have.
 *
 * @typeParam D device context of the walker
 * @typeParam P PASID entry of the walker
 */
export interface Enumeration<D = unknown, P = unknown> {
  /** A context that holds, but says no more than that the device is not configured. */
  unused(device: D): boolean;
  /** Whether requests with PASID are looked up in the device's PASID structures, not refused. */
  takesPasids(device: D): boolean;
  /** The PASID whose entry requests without PASID use; undefined where they use none. */
  defaultPasid(device: D): number | undefined;
  /** Whether a fault of loading a context says only that there is none. */
  absent(out: WalkResult): boolean;
  /** Whether a fault of loading a context is what the context says: that the device is to be refused. */
  blocks(out: WalkResult): boolean;
  space(device: D, process: P, withPasid: boolean): AddressSpace;
}
