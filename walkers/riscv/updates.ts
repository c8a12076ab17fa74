/**
 * How software may change entries that the IOMMU may read at any time (RISC-V IOMMU 1.0, Updating in-memory data structure
 * entries): an access is single-copy atomic up to 64 bits where any hart is RV64; fields that must agree are changed
 * after V was cleared and the entry was invalidated.
 */
import type { Layout } from "../layout.ts";
import { allBits, bitsOf, type EntryBits, type EntryUpdates, exceptBits } from "../tables/updates.ts";
import { BaseDeviceContext, DeviceContextLayout, MODE_BARE, MSIPTP_OFF } from "./layouts.ts";

export const RISCV_UPDATES: EntryUpdates = {
  read: 8,
  store: 8,
  gate: "V",
  source: "RISC-V IOMMU 1.0, Updating in-memory data structure entries",
};

/** A device context: its second stage and its MSI page table count where their modes say so. */
export function deviceUpdates(extended: boolean, littleEndian: boolean): EntryUpdates {
  const layout: Layout = extended ? DeviceContextLayout : BaseDeviceContext;
  const all = allBits(layout);
  const secondMode = DeviceContextLayout.reader("iohgatp_MODE", littleEndian);
  const msiMode = DeviceContextLayout.reader("msiptp_MODE", littleEndian);
  const second = bitsOf(layout, ["iohgatp_PPN", "GSCID"]);
  const none = bitsOf(layout, []);
  const msi = extended ? bitsOf(layout, ["msiptp_PPN", "msi_addr_mask", "msi_addr_pattern"]) : none;
  return {
    ...RISCV_UPDATES,
    used(view, at): EntryBits {
      const bare = secondMode(view, at) === MODE_BARE;
      const off = extended && msiMode(view, at) === MSIPTP_OFF;
      return exceptBits(all, bare ? second : none, off ? msi : none);
    },
  };
}
