import type { IommuModel } from "../../walkers/models.ts";
import { hex } from "../../walkers/word64.ts";
import { writeDeviceTableEntry } from "./amd-vi-dte.ts";
import type { LogOutput, Loss } from "./format.ts";
import type { IommuEvent, LoggedFault } from "./iommu-events.ts";
import type { LogIommu } from "./log-iommu.ts";
import type { LogUnits } from "./log-units.ts";
import { machineOf } from "./machine.ts";
import { cmdText, recordText } from "./record-text.ts";
import type { TableBuilder } from "./table-builder.ts";
import { writeVtdDump } from "./vtd-dump-tables.ts";

/** Words that a command record may have. */
const LEAST_WORDS = 2;

/** Registers that lead to the tables of devices. */
const ROOT_REGISTERS: Readonly<Record<IommuModel, string>> = {
  intel: "rtaddr",
  "arm-smmuv3": "strtab_base",
  amd: "dev_tab_base",
  riscv: "ddtp",
};

const TABLES_UNKNOWN: Loss = {
  what: "faults-without-tables",
  severity: "info",
  message:
    "the log does not show the tables that these faults' walks passed: they stand as they were logged, without a verdict",
};
const TABLES_INCOMPLETE: Loss = {
  what: "tables-incomplete",
  severity: "warning",
  message: "the tables printed with these faults do not tell what a walk finds: no verdict",
};
const NO_DEVICE: Loss = {
  what: "faults-without-device",
  severity: "warning",
  message: "the lines of these faults have lost the name of the device, and make no record",
};

/** Makes records of what kernels report. */
export class FaultRecords {
  readonly #output: LogOutput;
  readonly #units: LogUnits;
  readonly #tables: TableBuilder;

  constructor(output: LogOutput) {
    this.#output = output;
    const { units, tables } = machineOf(output);
    this.#units = units;
    this.#tables = tables;
  }

  /** Memory is another: what was written is gone. */
  memoryReplaced(): void {
    this.#tables.forget();
  }

  take(event: IommuEvent): void {
    switch (event.kind) {
      case "fault":
        this.#fault(event);
        return;
      case "unit": {
        const { model, iommu, regs, props } = event;
        this.#units.know(model, iommu, regs, props);
        return;
      }
      case "command":
        this.#command(event);
        return;
      case "queue-error": {
        const unit = event.iommu === undefined ? "" : `${event.iommu}: `;
        this.#mark(unit + event.text);
        return;
      }
      case "loss": {
        const { what, message, count } = event;
        this.#output.lost({ what, severity: "warning", message }, count);
        return;
      }
      case "note":
        this.#mark(event.what);
        return;
      case "reserved":
      case "group":
        return;
    }
  }

  #fault(fault: LoggedFault): void {
    const { model, dev } = fault;
    if (model === "virtio-iommu" || model === "smmuv2") {
      this.#output.ignored(`${model} fault (out of scope)`);
      return;
    }
    if (fault.interrupt) {
      this.#output.ignored("interrupt request that was refused");
      return;
    }
    if (dev === undefined) {
      this.#output.lost(NO_DEVICE);
      return;
    }
    const { unit, assumed } = this.#units.of(model, fault.iommu, dev);
    const request =
      this.#writeTables(unit, fault, dev) && fault.access !== undefined && fault.code !== undefined;
    unit.declare();
    const notSaid = [
      ...fault.assumed,
      ...assumed,
      ...(fault.pageOnly ? ["addr"] : []),
      ...(request ? ["len"] : []),
    ];
    this.#output.record(request ? "dma" : "fault", this.#text(request, unit, dev, fault, notSaid));
  }

  #text(
    request: boolean,
    unit: LogIommu,
    dev: string,
    fault: LoggedFault,
    assumed: readonly string[],
  ): string {
    const { pasid, addr, access, code, at } = fault;
    const text = recordText(request ? "dma" : "fault", {
      iommu: unit.id,
      dev,
      pasid,
      addr: addr === undefined ? (request ? "0x0" : undefined) : hex(addr),
      access,
      ...(request ? { observed: observedOf(fault) } : { code: code === undefined ? undefined : hex(code) }),
      ...(assumed.length > 0 ? { assumed } : {}),
    });
    return at.ts === "" ? text : `${text.slice(0, -1)},"ts":${at.ts}}`;
  }

  /** @returns whether the request's tables are in the trace, so that there may be a verdict */
  #writeTables(unit: LogIommu, fault: LoggedFault, dev: string): boolean {
    const { vtd, amd } = fault;
    // With memory beside the log, its tables decide, where the log or what is beside it says where they begin.
    if (this.#output.memory && unit.register(ROOT_REGISTERS[unit.model]) !== undefined) return true;
    if (vtd !== undefined) {
      const gap = writeVtdDump(this.#output, unit, this.#tables, fault, vtd);
      if (gap === undefined) return true;
      this.#output.lost(TABLES_INCOMPLETE);
      return false;
    }
    if (amd !== undefined && writeDeviceTableEntry(this.#output, unit, this.#tables, dev, amd)) return true;
    this.#output.lost(amd !== undefined && amd.dte.length > 0 ? TABLES_INCOMPLETE : TABLES_UNKNOWN);
    return false;
  }

  #command(event: Extract<IommuEvent, { kind: "command" }>): void {
    const { words, note, executed } = event;
    if (!executed) this.#mark(words.length < LEAST_WORDS ? `${note}: ${words.map(hex).join(" ")} …` : note);
    if (words.length < LEAST_WORDS) return;
    const { unit, assumed } = this.#units.of(event.model, event.iommu, undefined);
    unit.declare();
    // Its place among the other commands is not known.
    const notSaid = JSON.stringify([...assumed, ...(executed ? [] : ["order"])]);
    this.#output.record("cmd", cmdText(unit.id, words.map(hex), notSaid === "[]" ? "" : notSaid));
  }

  #mark(label: string): void {
    this.#output.record("mark", recordText("mark", { label }));
  }
}

/** What the IOMMU did, with all that the log says of it. */
function observedOf({ code, amd, smmu }: LoggedFault) {
  return {
    result: "fault",
    code: hex(code!),
    ...(smmu?.stage === undefined ? {} : { stage: smmu.stage }),
    ...(smmu?.class === undefined ? {} : { class: smmu.class }),
    ...(smmu?.ipa === undefined ? {} : { ipa: hex(smmu.ipa) }),
    ...(amd?.flags === undefined ? {} : { flags: hex(amd.flags) }),
    ...(smmu === undefined || smmu.words.length === 0 ? {} : { event: smmu.words.map(hex) }),
  };
}
