import type { FaultRecordFormat } from "../fault-record.ts";
import { bit, bits, frame, layout, requester, split } from "../layout.ts";
import { READ, WRITE } from "../request.ts";
import { VTD_INTERRUPT_FAULTS } from "./faults.ts";

/** One fault recording register (FRCD_REG): 128 bits. */
const FaultRecordingRegister = layout(
  "fault recording register",
  "VT-d 5.10, Fault Recording Registers",
  16,
  {
    FI: frame(63, 12, "Page address; for an interrupt request, bits 63:48 are its index"),
    SID: requester(79, 64, "Source identifier (requester id)"),
    PRIV: bit(93, "Privileged access was requested"),
    EXE: bit(94, "Execute permission was requested"),
    PP: bit(95, "The request has a PASID"),
    FR: bits(103, 96, "Fault reason"),
    PN: bits(123, 104, "PASID"),
    AT: bits(125, 124, "Address type", { 0: "untranslated", 1: "translation request", 2: "translated" }),
    T: split(
      [
        [126, 126],
        [92, 92],
      ],
      "Type of the request (T1, T2)",
      { values: { 0: "write", 1: "page request", 2: "read", 3: "AtomicOp" } },
    ),
    F: bit(127, "Fault: this register holds one"),
  },
);

const faultReason = FaultRecordingRegister.reader("FR");

export const VTD_FAULT_RECORD: FaultRecordFormat = {
  name: FaultRecordingRegister.name,
  bytes: FaultRecordingRegister.bytes,
  code: (record) => faultReason(record, 0),
  layout: () => FaultRecordingRegister,
  access: (record) => ACCESSES[requestType(record, 0)],
  at: (record) => addressType(record, 0),
  withPasid: (record) => pasidPresent(record, 0) !== 0,
  ofInterrupts: (code) => INTERRUPT_CODES.has(code),
};

const requestType = FaultRecordingRegister.reader("T");
const addressType = FaultRecordingRegister.reader("AT");
const pasidPresent = FaultRecordingRegister.reader("PP");
/** By T; page requests have none. */
const ACCESSES: readonly (number | undefined)[] = [WRITE, undefined, READ, READ | WRITE];
const INTERRUPT_CODES = new Set(VTD_INTERRUPT_FAULTS.map(({ code }) => code));
