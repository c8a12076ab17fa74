import { LOG_FORMATS } from "../../parsers/logs/registry.ts";
import { RULES } from "../../pipeline/findings/registry.ts";
import { SELECTIONS } from "../../pipeline/output/selection.ts";
import { FAULT_REASONS, hasCode } from "../../walkers/fault.ts";
import { IOMMU_MODELS } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { hex } from "../../walkers/word64.ts";
import { FAIL_LEVELS } from "../exit-status.ts";
import { VENDOR_NAMES, vendorNamed } from "../vendors.ts";
import type { CommandModel } from "./command-model.ts";

/** Codes and names of a vendor's faults. */
function faultsOf(vendor: string): string[] {
  const { faults } = VENDORS[vendorNamed(vendor)];
  return [
    ...new Set(faults.flatMap((fault) => (hasCode(fault) ? [hex(fault.code), fault.name] : [fault.name]))),
  ];
}

/** Options that take lists of names, separated by commas, by their names: those whose declaration does not say. */
const LISTS: Readonly<Record<string, () => readonly string[]>> = {
  only: () => Object.keys(SELECTIONS),
  "fail-on": () => Object.keys(FAIL_LEVELS),
  from: () => LOG_FORMATS.map(({ name }) => name),
  rule: () => RULES.map(({ id }) => id),
  reason: () => Object.keys(FAULT_REASONS),
  code: () => [...new Set(IOMMU_MODELS.flatMap(faultsOf))],
};

/** Values of an option that is not declared with choices. `--from` is an address elsewhere than in `import`. */
export function listValues(command: CommandModel, option: string): readonly string[] {
  if (option === "from" && command.name !== "import") return [];
  return Object.hasOwn(LISTS, option) ? LISTS[option]!() : [];
}

/** What may stand as the first word behind a command's name, and behind each of these; files aside. */
export function positionalWords(
  command: CommandModel,
  commands: readonly string[],
): { readonly first: readonly string[]; readonly second: ReadonlyMap<string, readonly string[]> } {
  const [first] = command.positionals;
  if (command.name === "explain")
    return { first: VENDOR_NAMES, second: new Map(VENDOR_NAMES.map((vendor) => [vendor, faultsOf(vendor)])) };
  const words =
    command.name === "decode" ? VENDOR_NAMES : command.name === "man" ? commands : (first?.choices ?? []);
  return { first: words, second: new Map() };
}
