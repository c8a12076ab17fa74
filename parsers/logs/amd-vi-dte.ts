import { DEVICE_ID_BITS, DeviceTableEntry } from "../../walkers/amd-vi/device-table-entry.ts";
import { hex } from "../../walkers/word64.ts";
import type { LogOutput } from "./format.ts";
import type { AmdDetails } from "./iommu-events.ts";
import { pciDevice } from "./kernel-text.ts";
import type { LogIommu } from "./log-iommu.ts";
import { recordText } from "./record-text.ts";
import type { TableBuilder } from "./table-builder.ts";

const WORDS = DeviceTableEntry.bytes / 8;
const TABLE_BYTES = DeviceTableEntry.bytes * 2 ** DEVICE_ID_BITS;
/** AMD 48882, 3.3.1: Size of the Device Table Base Address Register is the number of 4 KiB pages, less one. */
const FULL_SIZE = BigInt(TABLE_BYTES / 4096 - 1);
const BASE = 0xf_ffff_ffff_f000n;

/**
 * Writes a device table entry that an event came with. The address of the table is in no log: it is placed, and assumed.
 * @returns whether the request's walk can be judged by it
 */
export function writeDeviceTableEntry(
  output: LogOutput,
  unit: LogIommu,
  tables: TableBuilder,
  dev: string,
  { dte, control }: Pick<AmdDetails, "dte" | "control">,
): boolean {
  // What makes an entry illegal depends on what the IOMMU can do and is told to do.
  const determined = control !== undefined && unit.register("efr") !== undefined;
  const requester = pciDevice(dev)?.requester;
  if (dte.length < WORDS || requester === undefined) return false;
  if (control !== undefined) unit.set("control", hex(control));
  if (unit.register("dev_tab_base") === undefined)
    unit.set("dev_tab_base", hex(tables.place(TABLE_BYTES) | FULL_SIZE), true);
  const base = BigInt(unit.register("dev_tab_base")!) & BASE;
  const at = (i: number) => hex(base + BigInt(requester * DeviceTableEntry.bytes + i * 8));
  const changed = dte.some((word, i) => (tables.known(at(i)) ?? word) !== word);
  if (changed) {
    unit.declare();
    const all = { iommu: unit.id, cache: "all", granularity: "global", assumed: ["cache", "granularity"] };
    output.record("inv", recordText("inv", all));
  }
  for (const table of tablesOf(dte)) tables.table(table);
  dte.forEach((word, i) => {
    tables.word(at(i), hex(word));
  });
  return determined;
}

const valid = DeviceTableEntry.reader("V");
const translates = DeviceTableEntry.reader("TV");
const guestValid = DeviceTableEntry.reader("GV");

/** The tables that an entry leads to. What is in them is not known. */
function tablesOf(dte: readonly bigint[]): bigint[] {
  const view = new DataView(new ArrayBuffer(DeviceTableEntry.bytes));
  dte.forEach((word, i) => {
    view.setBigUint64(i * 8, word, true);
  });
  if (valid(view, 0) === 0 || translates(view, 0) === 0) return [];
  const host = DeviceTableEntry.extract("HPTROOT", view, 0) << 12n;
  const guest = guestValid(view, 0) === 0 ? 0n : DeviceTableEntry.extract("GCR3TRP", view, 0) << 12n;
  return [host, guest].filter((table) => table !== 0n);
}
