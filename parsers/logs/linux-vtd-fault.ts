/**
 * VT-d faults in the log of Linux (drivers/iommu/intel/dmar.c, dmar_fault and dmar_fault_do_one) and of Xen
 * (xen/drivers/passthrough/vtd/iommu.c, iommu_page_fault_do_one). By kernel:
 *
 * | up to 4.2 | `DMAR:[DMA Read] Request device [02:00.0] fault addr x `, then `DMAR:[fault reason 06] TEXT` |
 * | 4.3-4.20 | `DMAR: [DMA Read] Request device [02:00.0] fault addr x [fault reason 06] TEXT` |
 * | 5.0-5.13 | the same with `PASID x` behind the device; ffffffff is none |
 * | 5.14-rc | `[DMA Read NO_PASID] Request device [0x02:0x00.0] fault addr 0xx [fault reason 0x06] TEXT` |
 * | 5.15-7.0 | `[DMA Write PASID 0x5] Request device [02:00.0] fault addr 0xx [fault reason 0x06] TEXT` |
 * | 7.2 | the same with the segment: `[0000:02:00.0]` |
 * | Xen | `[VT-D]DMAR:[DMA Read] Request device [0000:00:02.0] fault addr x[, iommu reg = x]`, then
 *   `[VT-D]DMAR: reason 06 - TEXT` |
 *
 * Up to 5.13 the reason is decimal, since then hex with `0x`; Xen's is hex. The address is that of a page.
 */
import { hexWord, type PciDevice, pciDevice, smallHex } from "./kernel-text.ts";

/** A fault as its line gives it. */
export interface VtdFaultMessage {
  readonly kind: "vtd-fault";
  readonly access: "r" | "w";
  /** undefined where the request had none, or the kernel does not say (up to 4.20, and Xen). */
  readonly pasid: number | undefined;
  readonly device: PciDevice;
  /** Of the page: bits 11:0 are not logged. */
  readonly addr: bigint;
  /** The fault reason; undefined where it stands on the next line. */
  readonly code: number | undefined;
  /** The kernel's words for the reason. */
  readonly text: string;
}

/** The reason of the fault before it. */
interface VtdReasonMessage {
  readonly kind: "vtd-reason";
  readonly code: number;
  readonly text: string;
}

/** An interrupt request that was refused: no DMA. */
interface VtdInterruptFaultMessage {
  readonly kind: "vtd-interrupt-fault";
  readonly device: PciDevice;
  readonly index: bigint;
  readonly code: number | undefined;
  readonly text: string;
}

/** FSTS_REG as the handler found it. */
interface VtdStatusMessage {
  readonly kind: "vtd-status";
  readonly value: number;
}

export type VtdFaultLine = VtdFaultMessage | VtdReasonMessage | VtdInterruptFaultMessage | VtdStatusMessage;

/** What the kernels from 5.0 to 5.13 print for a request without PASID. */
const PRINTED_NO_PASID = 0xffff_ffff;
const MAX_PASID = 0xf_ffff;

const FAULT =
  /\[DMA (Read|Write)(?: NO_PASID| PASID (?:0x)?([0-9a-f]{1,8}))?\] ?Request device \[([0-9a-fx:.]+)\](?: PASID ([0-9a-f]{1,8}))? fault addr (?:0x)?([0-9a-f]{1,16})(?![0-9a-fx])(.*)$/i;
const REASON = /\[fault reason (0x)?([0-9a-f]{1,8})\]\s*(.*?)\s*$/i;
const XEN_REASON = /DMAR: ?reason ([0-9a-f]{1,8}) -\s*(.*?)\s*$/i;
const INTERRUPT =
  /INTR-REMAP\]?:? ?Request device \[\[?([0-9a-fx:.]+)\](?: PASID [0-9a-f]{1,8})? fault index (?:0x)?([0-9a-f]{1,16})(.*)$/i;
const STATUS = /DRHD: handling fault status reg (?:0x)?([0-9a-f]{1,8})(?![0-9a-fx])/i;

/** A line about a VT-d fault; undefined where it is none, or none that is whole. */
export function vtdFaultLine(text: string): VtdFaultLine | undefined {
  if (text.includes("Request device [")) return faultOf(text) ?? interruptOf(text);
  const reason = reasonOf(text);
  if (reason !== undefined) return { kind: "vtd-reason", ...reason };
  const status = smallHex(STATUS.exec(text)?.[1]);
  return status === undefined ? undefined : { kind: "vtd-status", value: status };
}

function faultOf(text: string): VtdFaultMessage | undefined {
  const found = FAULT.exec(text);
  if (found === null) return undefined;
  const device = pciDevice(found[3]!);
  const pasid = smallHex(found[2] ?? found[4]);
  if (device === undefined || (pasid !== undefined && pasid > MAX_PASID && pasid !== PRINTED_NO_PASID))
    return undefined;
  const reason = reasonOf(found[6]!);
  return {
    kind: "vtd-fault",
    access: found[1]!.toLowerCase() === "read" ? "r" : "w",
    pasid: pasid === PRINTED_NO_PASID ? undefined : pasid,
    device,
    addr: hexWord(found[5])!,
    code: reason?.code,
    text: reason?.text ?? "",
  };
}

function interruptOf(text: string): VtdInterruptFaultMessage | undefined {
  const found = INTERRUPT.exec(text);
  const device = found === null ? undefined : pciDevice(found[1]!);
  if (found === null || device === undefined) return undefined;
  const reason = reasonOf(found[3]!);
  return {
    kind: "vtd-interrupt-fault",
    device,
    index: hexWord(found[2])!,
    code: reason?.code,
    text: reason?.text ?? "",
  };
}

/** VT-d 5.10, 11.4.7.6: the fault reason has 8 bits. */
const MAX_REASON = 0xff;

function reasonOf(text: string): { code: number; text: string } | undefined {
  const found = REASON.exec(text);
  if (found !== null) {
    const hex = found[1] !== undefined;
    const code = hex || /^\d+$/.test(found[2]!) ? Number.parseInt(found[2]!, hex ? 16 : 10) : MAX_REASON + 1;
    return code > MAX_REASON ? undefined : { code, text: found[3]! };
  }
  const xen = XEN_REASON.exec(text);
  const code = smallHex(xen?.[1]);
  return xen === null || code === undefined || code > MAX_REASON ? undefined : { code, text: xen[2]! };
}
