/**
 * The addresses that HyperTransport uses for its own messages, FD_0000_0000h to FF_FFFF_FFFFh: to them, a request
 * without PASID is no memory request (AMD 48882, 2.1.2, table 3, "Special Address Controls (GPA)"). An IOMMU that
 * reports EFR2.HTRangeIgnore takes them as memory (Linux, drivers/iommu/amd/iommu.c, amd_iommu_get_resv_regions).
 */
import { frameOf } from "../memory.ts";
import { type WalkRequest, WRITE } from "../request.ts";
import type { DeviceContext } from "./context.ts";
import {
  INTERRUPT_READ,
  INVALID_READ,
  INVALID_WRITE,
  PORT_IO,
  RESERVED_INTERRUPT,
  SYSTEM_MANAGEMENT,
} from "./faults.ts";

/** Bits 63:32 of its addresses. */
const FIRST_HI = 0xfd;
const LAST_HI = 0xff;

export function inHyperTransportRange(request: WalkRequest): boolean {
  return request.addrHi >= FIRST_HI && request.addrHi <= LAST_HI;
}

type Use = "reserved interrupt" | "interrupt" | "system management" | "port I/O" | "invalid";

/** What the parts of the HyperTransport range are for, by their first frame. */
const USES: readonly (readonly [number, Use])[] = [
  [0xfd0_0000, "reserved interrupt"],
  [0xfdf_8000, "interrupt"],
  // PIC interrupt acknowledgement.
  [0xfdf_9000, "invalid"],
  [0xfdf_9100, "system management"],
  // Page tables and address translation.
  [0xfdf_9200, "invalid"],
  [0xfdf_c000, "port I/O"],
  // Configuration, device messages, reserved.
  [0xfdf_e000, "invalid"],
];

/** First frames of the parts of the range, and the one after the last, in ascending order. */
export const HYPERTRANSPORT_BOUNDARIES: readonly number[] = [...USES.map(([first]) => first), 0x1000_0000];

// What is done with a request to the HyperTransport range, besides refusing it as an event type, 0 to 7.
export const BY_TABLES = -1;
export const FORWARDED = -2;
export const INTERRUPT = -3;

const CONTROL_UNTRANSLATED = 1;
const IOCTL_TRANSLATED = 2;
const SYSMGT_TRANSLATED = 3;

/** @returns BY_TABLES, FORWARDED, INTERRUPT, or the type of INVALID_DEVICE_REQUEST that refuses the request */
export function hyperTransportAnswer(request: WalkRequest, device: DeviceContext): number {
  const posted = request.access === WRITE;
  switch (useOf(frameOf(request.addrHi, request.addrLo))) {
    case "reserved interrupt":
      return posted ? RESERVED_INTERRUPT : INTERRUPT_READ;
    case "interrupt":
      return posted ? INTERRUPT : INTERRUPT_READ;
    case "system management":
      if (device.systemManagement === SYSMGT_TRANSLATED) return BY_TABLES;
      // SysMgt=2 forwards INTx messages alone, which no memory request is.
      return posted && device.systemManagement === CONTROL_UNTRANSLATED ? FORWARDED : SYSTEM_MANAGEMENT;
    case "port I/O":
      if (device.portIo === IOCTL_TRANSLATED) return BY_TABLES;
      return device.portIo === CONTROL_UNTRANSLATED ? FORWARDED : PORT_IO;
    default:
      return posted ? INVALID_WRITE : INVALID_READ;
  }
}

function useOf(frame: number): Use {
  let use: Use = "invalid";
  for (const [first, name] of USES) if (frame >= first) use = name;
  return use;
}
