import type { FaultRecordFormat } from "../fault-record.ts";
import { bit, bits, ignored, layout } from "../layout.ts";
import { EXECUTE, READ, TRANSLATED, TRANSLATION_REQUEST, UNTRANSLATED, WRITE } from "../request.ts";

const CAUSE_BITS = 12;

/** One record of the fault/event queue: 256 bits. */
export const FaultRecord = layout("fault record", "RISC-V IOMMU 1.0, Fault/Event-Queue (FQ)", 32, {
  CAUSE: bits(CAUSE_BITS - 1, 0, "Cause"),
  PID: bits(31, 12, "process_id"),
  PV: bit(32, "process_id is valid"),
  PRIV: bit(33, "Privileged access was requested"),
  TTYP: bits(39, 34, "Transaction type", {
    0: "none",
    1: "untranslated read for execute",
    2: "untranslated read",
    3: "untranslated write/AMO",
    5: "translated read for execute",
    6: "translated read",
    7: "translated write/AMO",
    8: "PCIe ATS translation request",
    9: "PCIe message request",
  }),
  DID: bits(63, 40, "device_id"),
  custom: ignored(95, 64, "Custom"),
  iotval: bits(191, 128, "Depends on the transaction type: the IOVA, or the PCIe message's code"),
  iotval2: bits(
    255,
    192,
    "Guest-page fault: guest-physical address in bits 63:2; bit 0: implicit access, bit 1: an implicit write",
  ),
});

const cause = FaultRecord.reader("CAUSE");
const transactionType = FaultRecord.reader("TTYP");
/** By TTYP; a translation request says no kind of access. */
const TYPES: Readonly<Record<number, { readonly at: number; readonly access?: number }>> = {
  1: { at: UNTRANSLATED, access: EXECUTE },
  2: { at: UNTRANSLATED, access: READ },
  3: { at: UNTRANSLATED, access: WRITE },
  5: { at: TRANSLATED, access: EXECUTE },
  6: { at: TRANSLATED, access: READ },
  7: { at: TRANSLATED, access: WRITE },
  8: { at: TRANSLATION_REQUEST },
};

export const RISCV_FAULT_RECORD: FaultRecordFormat = {
  name: FaultRecord.name,
  bytes: FaultRecord.bytes,
  code: (record) => cause(record, 0),
  // Recorders log the first doubleword as a whole.
  loggedCode: (logged) => logged % 2 ** CAUSE_BITS,
  layout: () => FaultRecord,
  // iotval2.
  secondStage: { ipaShift: 2, flags: 3 },
  access: (record) => TYPES[transactionType(record, 0)]?.access,
  at: (record) => TYPES[transactionType(record, 0)]?.at,
};
