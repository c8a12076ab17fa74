import { requestOfConfig } from "../../parsers/bind/request-json.ts";
import type { TraceMemory } from "../../parsers/memory/guest-memory.ts";
import type { RecordOf } from "../../parsers/trace/schema.ts";
import { checkBind } from "../bind-check/check-bind.ts";
import type { BoundTable } from "../bind-check/memory-checks.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Analysis } from "./analysis.ts";
import type { Findings } from "./findings.ts";

/** Entries of a table that are read when it is bound: most are filled later, and `inspect` reads them all. */
const MAX_ENTRIES = 1 << 12;
/** Tables of other devices that a new one is compared with: the latest ones. */
const MAX_OTHERS = 1 << 8;

/** Finds what speaks against the bindings of a replay, as they are made. */
export class BindingFindings implements Analysis {
  readonly #findings: Findings;
  readonly #memory: TraceMemory;
  /** In order of binding. */
  readonly #latest = new Map<string, BoundTable>();

  constructor(findings: Findings, memory: TraceMemory) {
    this.#findings = findings;
    this.#memory = memory;
  }

  bound(line: number, unit: IommuUnit, record: RecordOf<"bind">): void {
    const { dev, config } = record;
    const { findings, table } = checkBind({
      request: requestOfConfig(config),
      model: unit.model,
      state: unit.state,
      // What a snapshot that could not be read holds is not known.
      memory: this.#memory.lost ? null : this.#memory,
      others: this.#latest.values(),
      dev: dev.text,
      maxEntries: MAX_ENTRIES,
    });
    for (const { rule, message, pasid } of findings)
      this.#findings.report(line, rule, "", { iommu: unit.id, dev: dev.text, pasid, message });
    const key = keyOf(unit, dev.canonical);
    this.#latest.delete(key);
    if (table === null) return;
    this.#latest.set(key, table);
    for (const oldest of this.#latest.keys()) {
      if (this.#latest.size <= MAX_OTHERS) break;
      this.#latest.delete(oldest);
    }
  }

  unbound(unit: IommuUnit, device: number): void {
    this.#latest.delete(keyOf(unit, device));
  }
}

function keyOf(unit: IommuUnit, device: number): string {
  return unit.id === undefined ? `${device}` : `${device} ${unit.id}`;
}
