import type { DmaRecord } from "../../parsers/trace/records.ts";
import { didYouMean, type UnknownNames } from "../../parsers/trace/unknown-names.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { isRegister, registersOf } from "../../walkers/register-names.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { FAULT } from "../../walkers/result.ts";
import type { Route } from "../iommus/iommus.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { Analysis } from "./analysis.ts";
import type { Findings } from "./findings.ts";
import { NAME_RULES } from "./name-rules.ts";

/** Properties that a trace can publish of any IOMMU (trace contract, `iommu`). */
const PROPERTIES: readonly string[] = [
  ..."pasid_bits ssid_bits asid_bits input_bits output_bits btm httu stall pgtable_format".split(" "),
  ..."gxl_writable be_writable coherent".split(" "),
];

/** What a trace says by names that mean nothing here, and what it does not say. */
export class NameFindings implements Analysis {
  readonly names: UnknownNames;
  readonly #findings: Findings;

  constructor(names: UnknownNames, findings: Findings) {
    this.names = names;
    this.#findings = findings;
  }

  /** Whether it faults or not: with AMD-Vi, where there is nothing at the address, a request passes. */
  request(line: number, { unit, binding }: Route, _record: DmaRecord, { reads, status }: Outcome): void {
    const register = unit.vendor.registerNames.root;
    if (binding !== null || unit.state.registers.has(register)) return;
    if (reads === 0 && status !== FAULT) return;
    this.#findings.report(line, NAME_RULES["no-root-register"], `${unit.id ?? ""}`, {
      iommu: unit.id,
      message: `${register}: expected an iommu or reg record that gives it before this line, found none: the tables are taken to begin at 0x0`,
    });
  }

  finish(): void {
    for (const { name, near, line, fate, count } of this.names.found) {
      const records = count === 1 ? "this record" : `${count} records, this the first`;
      this.#findings.report(line, NAME_RULES["unknown-name"], "", {
        message: `${name}: expected a known name, found another in ${records}: ${fate}${didYouMean(near)}`,
        count,
      });
    }
  }
}

/**
 * Registers and properties of a record that its IOMMU does not have.
 * @param found told of each: where it stands, the name, what it could have been meant to be, and whether it is wrong
 *   even if it is close to none of them
 */
export function unknownSettings(
  model: IommuModel,
  path: "iommu" | "reg",
  registers: Iterable<string>,
  properties: Iterable<string>,
  found: (path: string, name: string, known: readonly string[], always: boolean) => void,
): void {
  const names = VENDORS[model].registerNames;
  for (const name of registers)
    if (!isRegister(names, name))
      found(path === "reg" ? "reg" : "iommu.regs", name, registersOf(names), true);
  for (const name of properties)
    if (!PROPERTIES.includes(name)) found(`${path}.props`, name, PROPERTIES, false);
}
