import { bit, bits, layout, requester } from "../layout.ts";
import {
  DEV_TAB_HARDWARE_ERROR,
  FLAGS_BIT,
  ILLEGAL_DEV_TABLE_ENTRY,
  INTERRUPT_BLOCKED,
  INTERRUPT_READ,
  INVALID_DEVICE_REQUEST,
  INVALID_READ,
  INVALID_WRITE,
  IO_PAGE_FAULT,
  PAGE_TAB_HARDWARE_ERROR,
  PORT_IO,
  RESERVED_INTERRUPT,
  RZ_BIT,
  SYSTEM_MANAGEMENT,
  TRANSLATED_REQUEST,
} from "./faults.ts";

/**
 * Entries of the event log that a request can cause. Bits 59:48 are what Linux prints as "flags"; the constants
 * below are those bits at that place.
 */
const DEVICEID = requester(15, 0, "Device id");
const PASID_HI = bits(19, 16, "PASID bits 19:16");
const PASID_LO = bits(47, 32, "PASID bits 15:0");
const GN = bit(48, "The address is a guest-virtual address");
const I = bit(51, "Interrupt request");
const RW = bit(53, "Write");
const RZ = bit(RZ_BIT, "Reserved bits are not zero (0: invalid level encoding)");
const TR = bit(56, "Translation request");
const HARDWARE_ERROR = bits(58, 57, "Type of error", {
  1: "master abort",
  2: "target abort",
  3: "data error",
});
const EVENTCODE = bits(63, 60, "Event code");
const ADDRESS = bits(127, 64, "Address");

export const IllegalDevTableEntryEvent = layout("ILLEGAL_DEV_TABLE_ENTRY event", "AMD 48882, 2.5.2", 16, {
  DEVICEID,
  PASID_HI,
  PASID_LO,
  GN,
  I,
  RW,
  RZ,
  TR,
  EVENTCODE,
  ADDRESS,
});

export const IoPageFaultEvent = layout("IO_PAGE_FAULT event", "AMD 48882, 2.5.3", 16, {
  DEVICEID,
  PASID_HI,
  PASID_LO: bits(47, 32, "Domain id, or PASID bits 15:0 where GN=1"),
  GN,
  NX: bit(49, "Execution of a no-execute page"),
  US: bit(50, "User privilege"),
  I,
  PR: bit(52, "The page is present"),
  RW,
  PE: bit(54, "Permission denied"),
  RZ,
  TR,
  EVENTCODE,
  ADDRESS,
});

export const DevTabHardwareErrorEvent = layout("DEV_TAB_HARDWARE_ERROR event", "AMD 48882, 2.5.4", 16, {
  DEVICEID,
  I,
  RW,
  TR,
  TYPE: HARDWARE_ERROR,
  EVENTCODE,
  ADDRESS,
});

export const PageTabHardwareErrorEvent = layout("PAGE_TAB_HARDWARE_ERROR event", "AMD 48882, 2.5.5", 16, {
  DEVICEID,
  PASID_HI,
  PASID_LO: bits(47, 32, "Domain id, or PASID bits 15:0 where GN=1"),
  GN,
  I,
  RW,
  TR,
  TYPE: HARDWARE_ERROR,
  EVENTCODE,
  ADDRESS,
});

export const InvalidDeviceRequestEvent = layout("INVALID_DEVICE_REQUEST event", "AMD 48882, 2.5.9", 16, {
  DEVICEID,
  PASID_HI,
  PASID_LO,
  GN,
  TR,
  TYPE: bits(59, 57, "Type of request", {
    [INTERRUPT_READ]: "read or non-posted write in the interrupt address range",
    [TRANSLATED_REQUEST]: "translated request, and I=0 or V=0 in the device table entry",
    [PORT_IO]: "port I/O, and IoCtl=0 in the device table entry",
    [INVALID_WRITE]: "posted write to an invalid address range",
    [INVALID_READ]: "read or non-posted write to an invalid address range",
    [INTERRUPT_BLOCKED]: "interrupt or EOI, and IntCtl=0 in the device table entry",
    [RESERVED_INTERRUPT]: "posted write to a reserved interrupt address range",
    [SYSTEM_MANAGEMENT]: "system management message that SysMgt of the device table entry does not allow",
  }),
  EVENTCODE,
  ADDRESS,
});

const fields = IoPageFaultEvent.fields;
const flag = (name: keyof typeof fields): number => 1 << (fields[name].parts[0]![1] - FLAGS_BIT);

export const FLAG_GN = flag("GN");
export const FLAG_NX = flag("NX");
export const FLAG_US = flag("US");
export const FLAG_I = flag("I");
export const FLAG_PR = flag("PR");
export const FLAG_RW = flag("RW");
export const FLAG_PE = flag("PE");
export const FLAG_RZ = flag("RZ");
export const FLAG_TR = flag("TR");
/** Type of a hardware error: nobody answered the fetch. */
export const FLAG_MASTER_ABORT = 1 << (HARDWARE_ERROR.parts[0]![1] - FLAGS_BIT);

/** Where the type of an INVALID_DEVICE_REQUEST starts in its flags. */
export const REQUEST_TYPE_SHIFT = InvalidDeviceRequestEvent.fields.TYPE.parts[0]![1] - FLAGS_BIT;

/** GN and RW as far as each event has them, by event code. */
export const REQUEST_FLAGS: readonly number[] = requestFlags();

function requestFlags(): number[] {
  const masks: number[] = [];
  for (const [fault, event] of [
    [ILLEGAL_DEV_TABLE_ENTRY, IllegalDevTableEntryEvent],
    [IO_PAGE_FAULT, IoPageFaultEvent],
    [DEV_TAB_HARDWARE_ERROR, DevTabHardwareErrorEvent],
    [PAGE_TAB_HARDWARE_ERROR, PageTabHardwareErrorEvent],
    [INVALID_DEVICE_REQUEST, InvalidDeviceRequestEvent],
  ] as const)
    masks[fault.code] = ("GN" in event.fields ? FLAG_GN : 0) | ("RW" in event.fields ? FLAG_RW : 0);
  return masks;
}
