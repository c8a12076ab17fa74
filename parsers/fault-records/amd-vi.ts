import {
  DevTabHardwareErrorEvent,
  IllegalDevTableEntryEvent,
  InvalidDeviceRequestEvent,
  IoPageFaultEvent,
  PageTabHardwareErrorEvent,
} from "../../walkers/amd-vi/events.ts";
import { AMD_VI_FAULTS } from "../../walkers/amd-vi/faults.ts";
import { bits, type Layout, layout } from "../../walkers/layout.ts";
import type { FaultRecordFormat } from "./format.ts";

/** An entry of the event log that no device request causes: what all entries share. */
export const OtherEvent = layout("event log entry", "AMD 48882, 2.5", 16, {
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
};
