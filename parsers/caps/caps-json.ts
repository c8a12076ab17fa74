import { IOMMU_MODELS } from "../../walkers/models.ts";
import { isRegister, registersOf } from "../../walkers/register-names.ts";
import { IommuState } from "../../walkers/registers.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { Devices } from "../trace/devices.ts";
import { anyText, Check, type Field, isObject, object, optional, size64 } from "../trace/field.ts";
import { RECORDS } from "../trace/schema.ts";
import { show, showNames } from "../trace/show.ts";
import { didYouMean, knowsFields, meant } from "../trace/unknown-names.ts";
import type { HostCapabilities, HostIommu } from "./host.ts";

const record = RECORDS.iommu.fields;
const recordObject = object({ type: optional(anyText("Type")), ...record }, "IOMMU");
const register = size64("Register");

/**
 * Reads capabilities from JSON: what an `iommu` record says (`model`, `regs`, `props`); registers by name
 * (`{"cap": …, "ecap": …}`); or one of iommufd's structures by the names of its fields (`cap_reg`, `idr`); or an
 * array of those.
 * @returns the IOMMUs, or a sentence that says what was expected and what was found
 */
export function hostsOfJson(value: unknown): HostCapabilities | string {
  const hosts: HostIommu[] = [];
  for (const item of Array.isArray(value) ? value : [value]) {
    const host = hostOf(item);
    if (typeof host === "string") return host;
    hosts.push(host);
  }
  if (hosts.length === 0) return "expected an IOMMU, found an empty array";
  return { hosts, problems: hosts.flatMap(misspelt) };
}

/** Registers that the model does not have, and whose names are close to one that it has. */
function misspelt({ model, state }: HostIommu): string[] {
  return [...state.registers.keys()].flatMap((name) => {
    const near = isRegister(VENDORS[model].registerNames, name)
      ? undefined
      : meant(name, registersOf(VENDORS[model].registerNames));
    return near === undefined ? [] : [`${show(name)}: expected a register of ${model}${didYouMean(near)}`];
  });
}

function hostOf(value: unknown): HostIommu | string {
  if (!isObject(value)) return `expected a JSON object, found ${show(value)}`;
  const check = new Check(new Devices());
  const host = "model" in value ? ofRecord(value, check) : ofRegisters(value, check);
  return host === undefined || !check.ok ? check.message : host;
}

function ofRecord(value: Record<string, unknown>, check: Check): HostIommu | undefined {
  const read = <T>(name: "id" | "model" | "regs" | "props", field: Field<T>): T | undefined =>
    value[name] === undefined ? undefined : field.read(value[name], name, check);
  const id = read("id", record.id) ?? "";
  const model = read("model", record.model);
  const regs = read("regs", record.regs);
  const props = read("props", record.props);
  if (model !== undefined && regs === undefined && props === undefined) {
    check.fail("schema", "capabilities", "regs or props beside the model", showNames(Object.keys(value)));
  }
  if (model === undefined || !check.ok) return undefined;
  if (!knowsFields(recordObject, value, "capabilities", check)) return undefined;
  const state = new IommuState();
  for (const [name, word] of regs ?? []) state.registers.set(name, word);
  for (const [name, property] of props ?? []) state.props.set(name, property);
  return { id, model, state, source: "registers and properties", notes: [] };
}

function ofRegisters(value: Record<string, unknown>, check: Check): HostIommu | undefined {
  const registers = namedAsRegisters(value);
  const model = IOMMU_MODELS.find((m) =>
    VENDORS[m].host.telling.some((name) => registers[name] !== undefined),
  );
  if (model === undefined) {
    const telling = IOMMU_MODELS.map((m) => VENDORS[m].host.telling[0]).join(", ");
    check.fail(
      "schema",
      "capabilities",
      `a model, or registers by name (${telling}, …)`,
      showNames(Object.keys(value)),
    );
    return undefined;
  }
  const state = new IommuState();
  for (const [name, given] of Object.entries(registers)) {
    const word = register.read(given, name, check);
    if (word !== undefined) state.registers.set(name, word);
  }
  return { id: "", model, state, source: "registers", notes: [] };
}

/** The fields of iommufd's structures under the registers' own names; `flags` and `__reserved` are none. */
function namedAsRegisters(value: Record<string, unknown>): Record<string, unknown> {
  // Of no prototype: a name may be that of one of its members.
  const registers: Record<string, unknown> = Object.create(null);
  for (const [name, given] of Object.entries(value)) {
    if (name === "flags" || name === "__reserved") continue;
    if (name === "idr" && Array.isArray(given))
      given.forEach((word, i) => {
        registers[`idr${i}`] = word;
      });
    else registers[name.toLowerCase().replace(/^(e?cap)_reg$/, "$1")] = given;
  }
  return registers;
}
