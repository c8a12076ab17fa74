import { requestOfConfig } from "../../parsers/bind/request-json.ts";
import type { RecordOf } from "../../parsers/trace/schema.ts";
import type { GuestMemory } from "../../walkers/memory.ts";
import { checkBind } from "../bind-check/check-bind.ts";
import type { BoundTable } from "../bind-check/memory-checks.ts";
import type { IommuUnit } from "../iommu-unit.ts";
import type { Findings } from "./findings.ts";

/** Entries of a table that are read when it is bound: most are filled later, and `inspect` reads them all. */
const MAX_ENTRIES = 1 << 12;
/** Tables of other devices that a new one is compared with: the latest ones. */
const MAX_OTHERS = 1 << 12;

/** Finds what speaks against the bindings of a replay, as they are made. */
export class BindingFindings {
  readonly #findings: Findings;
  readonly #memory: GuestMemory;
  /** By IOMMU, then by device. */
  readonly #tables = new Map<IommuUnit, Map<number, BoundTable>>();

  constructor(findings: Findings, memory: GuestMemory) {
    this.#findings = findings;
    this.#memory = memory;
  }

  /** A table was bound, or was refused. */
  bound(line: number, unit: IommuUnit, record: RecordOf<"bind">): void {
    const { dev, config } = record;
    const { findings, table } = checkBind({
      request: requestOfConfig(config),
      model: unit.model,
      state: unit.state,
      memory: this.#memory,
      others: [...this.#tables.values()].flatMap((tables) => [...tables.values()]).slice(-MAX_OTHERS),
      dev: dev.text,
      maxEntries: MAX_ENTRIES,
    });
    for (const { rule, message, pasid } of findings)
      this.#findings.report(line, rule, "", { iommu: unit.id, dev: dev.text, pasid, message });
    const tables = this.#tables.get(unit) ?? new Map<number, BoundTable>();
    this.#tables.set(unit, tables);
    if (table === null) tables.delete(dev.canonical);
    else tables.set(dev.canonical, table);
  }

  /** @param unit undefined: of whichever IOMMU it was behind */
  unbound(unit: IommuUnit | undefined, device: number): void {
    for (const [owner, tables] of this.#tables)
      if (unit === undefined || owner === unit) tables.delete(device);
  }
}
