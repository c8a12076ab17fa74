import { DeviceTableEntry } from "../../walkers/amd-vi/device-table-entry.ts";
import { AMD_VI_FAULT_RECORD } from "../../walkers/amd-vi/fault-record.ts";
import type { FaultRecordFormat } from "../../walkers/fault-record.ts";
import type { Layout } from "../../walkers/layout.ts";
import { SMMUV3_FAULT_RECORD } from "../../walkers/smmuv3/fault-record.ts";
import type { LoggedFault } from "./iommu-events.ts";
import { pciDevice } from "./kernel-text.ts";

/** A fault's own record, as far as a log has it whole. */
export interface NativeRecord {
  readonly format: FaultRecordFormat;
  readonly view: DataView;
  /** It was put together from the fields that a line has: its words are nobody's. */
  readonly derived: boolean;
}

/** The record that the IOMMU wrote: SMMUv3's words as logged; AMD's put together from the event's fields. */
export function nativeRecord(fault: LoggedFault): NativeRecord | undefined {
  const { smmu, amd } = fault;
  if (smmu !== undefined && smmu.words.length > 0) {
    const view = new DataView(new ArrayBuffer(SMMUV3_FAULT_RECORD.bytes));
    smmu.words.forEach((word, i) => {
      view.setBigUint64(i * 8, word, true);
    });
    return { format: SMMUV3_FAULT_RECORD, view, derived: false };
  }
  if (amd === undefined || fault.code === undefined || amd.flags === undefined) return undefined;
  const view = new DataView(new ArrayBuffer(AMD_VI_FAULT_RECORD.bytes));
  const device = fault.dev === undefined ? 0 : (pciDevice(fault.dev)?.requester ?? 0);
  const pasid = fault.pasid ?? amd.domain ?? 0;
  // AMD 48882, 2.5: DeviceID, PASID 19:16; PASID 15:0 or DomainID, flags from bit 48 on, code in bits 63:60; address.
  view.setUint32(0, device | (((pasid >>> 16) & 0xf) << 16), true);
  view.setUint32(4, (pasid & 0xffff) | ((amd.flags & 0xfff) << 16) | (fault.code << 28), true);
  view.setBigUint64(8, fault.addr ?? 0n, true);
  return { format: AMD_VI_FAULT_RECORD, view, derived: true };
}

/** The device table entry that came with an AMD event, undefined where none did. */
export function deviceTableEntry({
  amd,
}: LoggedFault): { readonly layout: Layout; readonly view: DataView } | undefined {
  if (amd === undefined || amd.dte.length === 0) return undefined;
  const view = new DataView(new ArrayBuffer(DeviceTableEntry.bytes));
  amd.dte.forEach((word, i) => {
    view.setBigUint64(i * 8, word, true);
  });
  return { layout: DeviceTableEntry, view };
}
