import { hex } from "../../walkers/word64.ts";
import { writeDeviceTableEntry } from "./amd-vi-dte.ts";
import { doublewords, ringOf } from "./amd-vi-ring.ts";
import type { AmdDebugfsLine } from "./debugfs-amd.ts";
import type { LogOutput } from "./format.ts";
import type { LogIommu } from "./log-iommu.ts";
import type { LogUnits } from "./log-units.ts";
import { cmdText } from "./record-text.ts";
import type { TableBuilder } from "./table-builder.ts";

/** MMIO registers by offset (AMD 48882, 3.3), by the names of the contract. */
const REGISTERS: ReadonlyMap<number, string> = new Map([
  [0x0, "dev_tab_base"],
  [0x18, "control"],
  [0x30, "efr"],
  [0x1a0, "efr2"],
]);

/** Makes records of AMD's debugfs: registers, device table entries and the ring of commands. No page table is shown. */
export class AmdDebugfs {
  readonly #output: LogOutput;
  readonly #units: LogUnits;
  readonly #tables: TableBuilder;
  #ring: { readonly head: number; readonly tail: number; readonly rows: bigint[][] } | null = null;

  constructor(output: LogOutput, units: LogUnits, tables: TableBuilder) {
    this.#output = output;
    this.#units = units;
    this.#tables = tables;
  }

  line(message: AmdDebugfsLine): void {
    switch (message.kind) {
      case "register": {
        const name = message.capability ? undefined : REGISTERS.get(message.offset);
        if (name === undefined) this.#output.ignored("register that decides nothing");
        else this.#unit(undefined).set(name, hex(message.value));
        return;
      }
      case "device-entry": {
        const unit = this.#unit(message.iommu);
        writeDeviceTableEntry(this.#output, unit, this.#tables, message.device.name, {
          dte: message.words,
          control: undefined,
        });
        unit.declare();
        return;
      }
      case "buffer-place":
        this.finish();
        this.#ring = { head: message.head, tail: message.tail, rows: [] };
        return;
      case "buffer-row":
        if (this.#ring === null) this.#output.ignored("command without its buffer");
        else this.#ring.rows.push(doublewords(message.words));
        return;
      case "heading":
        this.#output.ignored("heading, or a table of interrupts");
    }
  }

  /** The ring ends. */
  finish(): void {
    const ring = this.#ring;
    this.#ring = null;
    if (ring === null) return;
    const unit = this.#unit(undefined);
    for (const { words, executed } of ringOf(ring.rows, ring.head, ring.tail)) {
      if (!executed) continue;
      unit.declare();
      this.#output.record("cmd", cmdText(unit.id, words.map(hex)));
    }
  }

  #unit(name: string | undefined): LogIommu {
    return this.#units.of("amd", name, undefined).unit;
  }
}
