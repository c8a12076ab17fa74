import type { FaultReason } from "../fault.ts";
import type { FaultRecordFormat } from "../fault-record.ts";
import { bits, type Layout, layout } from "../layout.ts";
import { TRANSLATION_REQUEST } from "../request.ts";
import {
  DevTabHardwareErrorEvent,
  FLAG_I,
  IllegalDevTableEntryEvent,
  InvalidDeviceRequestEvent,
  IoPageFaultEvent,
  PageTabHardwareErrorEvent,
  REQUEST_TYPE_SHIFT,
} from "./events.ts";
import {
  AMD_VI_FAULTS,
  FLAGS_BIT,
  INTERRUPT_BLOCKED,
  INVALID_DEVICE_REQUEST,
  IO_PAGE_FAULT,
} from "./faults.ts";

/** An entry of the event log that no device request causes: what all entries share. */
const OtherEvent = layout("event log entry", "AMD 48882, 2.5", 16, {
  operand0: bits(31, 0, "Depends on the event"),
  operand1: bits(59, 32, "Depends on the event"),
  EVENTCODE: bits(
    63,
    60,
    "Event code",
    Object.fromEntries(AMD_VI_FAULTS.map(({ code, name }) => [code, name])),
  ),
  operand2: bits(127, 64, "Depends on the event"),
});

/** By event code. */
const LAYOUTS: Readonly<Record<number, Layout>> = {
  1: IllegalDevTableEntryEvent,
  2: IoPageFaultEvent,
  3: DevTabHardwareErrorEvent,
  4: PageTabHardwareErrorEvent,
  8: InvalidDeviceRequestEvent,
};

const eventCode = OtherEvent.reader("EVENTCODE");

export const AMD_VI_FAULT_RECORD: FaultRecordFormat = {
  name: OtherEvent.name,
  bytes: OtherEvent.bytes,
  code: (record) => eventCode(record, 0),
  layout: (code) => LAYOUTS[code] ?? OtherEvent,
  reasons: (record) => (eventCode(record, 0) === IO_PAGE_FAULT.code ? pageFaultReasons(record) : undefined),
  /** A request that is no translation request may have been translated or not. */
  at: (record) =>
    eventCode(record, 0) in LAYOUTS && translationRequest(record, 0) !== 0 ? TRANSLATION_REQUEST : undefined,
  flags: (record) => (eventCode(record, 0) in LAYOUTS ? eventFlags(record) : undefined),
  kind: (record) =>
    eventCode(record, 0) === INVALID_DEVICE_REQUEST.code ? requestType(record, 0) : undefined,
  kindOfFlags: (code, flags) =>
    code === INVALID_DEVICE_REQUEST.code ? (flags >> REQUEST_TYPE_SHIFT) & REQUEST_TYPES : undefined,
  /** 2.1.5: IntCtl, and the interrupt remapping table, whose faults have I set. QEMU sets I in all of its events. */
  ofInterrupts(code, flags, interrupt) {
    if (flags < 0) return interrupt;
    if (code === INVALID_DEVICE_REQUEST.code)
      return ((flags >> REQUEST_TYPE_SHIFT) & REQUEST_TYPES) === INTERRUPT_BLOCKED;
    return interrupt && (flags & FLAG_I) !== 0;
  },
};

/** Bits 59:48. */
function eventFlags(record: DataView): number {
  return (record.getUint32(4, true) >>> (FLAGS_BIT - 32)) & 0xfff;
}

const translationRequest = IoPageFaultEvent.reader("TR");
const requestType = InvalidDeviceRequestEvent.reader("TYPE");
const REQUEST_TYPES = InvalidDeviceRequestEvent.mask.TYPE.hi >>> (REQUEST_TYPE_SHIFT + 16);

const pageFault = {
  interrupt: IoPageFaultEvent.reader("I"),
  present: IoPageFaultEvent.reader("PR"),
  permission: IoPageFaultEvent.reader("PE"),
  reserved: IoPageFaultEvent.reader("RZ"),
};

/** AMD 48882, 2.5.3: what PR says, and with PR=1 alone PE and RZ. An interrupt request has other tables. */
function pageFaultReasons(record: DataView): readonly FaultReason[] | undefined {
  if (pageFault.interrupt(record, 0) !== 0) return undefined;
  if (pageFault.present(record, 0) === 0)
    return ["PTE_FETCH", "PASID_INVALID", "BAD_DEVICE_CONTEXT", "SOURCEID_INVALID"];
  if (pageFault.permission(record, 0) !== 0) return ["PERMISSION"];
  return pageFault.reserved(record, 0) !== 0 ? ["BAD_PTE"] : ["BAD_PTE", "OOR_ADDRESS"];
}
