import type { HostIommu } from "../../parsers/caps/host.ts";
import { limitsOf } from "../../parsers/caps/host-limits.ts";
import { type SupportedTable, supportedTables } from "../../pipeline/bind-check/tables.ts";
import { linesText } from "../../pipeline/words/lines.ts";
import { sentence } from "../../pipeline/words/sentence.ts";
import { table, valueText } from "../../pipeline/words/structure.ts";
import type { HostLimits } from "../../walkers/host.ts";
import type { Layout } from "../../walkers/layout.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { PAGE_TABLE_FORMATS } from "../../walkers/page-tables/formats.ts";
import { sizeText } from "../../walkers/pasid-tables/bind-findings.ts";
import type { Word64 } from "../../walkers/registers.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { hex, joined } from "../../walkers/word64.ts";
import { decodedFields } from "./walk-json.ts";

const INDENT = "  ";
const HEADINGS = ["REGISTER", "FIELD", "BITS", "VALUE", "MEANING"];

/** Capabilities for a person: a table of every register's fields, the properties, and what they come to. */
export function capsText(hosts: readonly HostIommu[]): string {
  return hosts.map((host) => linesText(hostLines(host))).join("\n");
}

/** One record per IOMMU. */
export function capsJson(hosts: readonly HostIommu[]): string {
  return hosts.map((host) => `${JSON.stringify(hostRecord(host))}\n`).join("");
}

function hostLines(host: HostIommu): string[] {
  const { id, model, source, notes, state } = host;
  const lines = [`${id === "" ? "IOMMU" : id}: ${model}, from ${source}`];
  for (const note of notes) lines.push(INDENT + sentence(note));
  const rows = knownRegisters(host).flatMap(([name, layout, view]) => registerRows(name, layout, view));
  if (rows.length > 0) lines.push(...table([HEADINGS, ...rows]).map((line) => INDENT + line));
  for (const [name, word] of otherRegisters(host))
    lines.push(`${INDENT}${name} ${hex(joined(word.hi, word.lo))}`);
  if (state.props.size > 0) {
    const props = [...state.props].sort(([a], [b]) => (a < b ? -1 : 1));
    const named = props.map(([name, value]) => [name, Array.isArray(value) ? value.join(" ") : `${value}`]);
    lines.push(...table([["PROPERTY", "VALUE"], ...named]).map((line) => INDENT + line));
  }
  lines.push(...limitLines(model, limitsOf(model, state)).map((line) => INDENT + line));
  return lines;
}

function registerRows(name: string, layout: Layout, view: DataView): string[][] {
  const rows = layout
    .decode(view, 0)
    .map((field) => ["", field.name, field.bits, valueText(field), field.doc]);
  const [word] = layout.words(view, 0);
  const reserved = layout.reservedSet(view, 0);
  if (reserved.length > 0)
    rows.push(["", "", reserved.reverse().join(","), "", "set, and not defined in the revision known here"]);
  return [[name, "", "", hex(word!), layout.source], ...rows];
}

/** What the capabilities come to for a PASID table. Where nothing is known, everything is there. */
function limitLines(model: IommuModel, limits: HostLimits): string[] {
  const rows = [
    ["PASID bits", limits.pasidBits === 0 ? "0: no PASIDs" : `${limits.pasidBits}`],
    ["output bits", `${limits.outputBits}`],
    ["second-stage input bits", `${limits.secondInputBits}`],
    ...supportedTables(model, limits).map((format) => [`tables ${format.model}`, tableText(format)]),
    ["page tables", formatNames(limits).join(", ") || "none"],
    ["nested", limits.noNesting === "" ? "yes" : `no: ${limits.noNesting}`],
  ];
  return ["For PASID tables:", ...table(rows).map((line) => INDENT + line)];
}

function tableText({ lacking, alignment: [least, most] }: SupportedTable): string {
  if (lacking !== "") return `no: ${lacking}`;
  const aligned = least === most ? sizeText(least) : `${sizeText(least)} to ${sizeText(most)}, its size`;
  return `yes, base_ptr aligned to ${aligned}`;
}

function formatNames({ formats }: HostLimits): string[] {
  return [...formats].map((format) => PAGE_TABLE_FORMATS[format]);
}

/** The registers whose layouts are known, with a view on each. */
function knownRegisters({ model, state }: HostIommu): [string, Layout, DataView][] {
  const registers: [string, Layout, DataView][] = [];
  for (const [name, layout] of Object.entries(VENDORS[model].host.registers)) {
    const word = state.registers.get(name);
    if (word === undefined) continue;
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, joined(word.hi, word.lo), true);
    registers.push([name, layout, view]);
  }
  return registers;
}

function otherRegisters({ model, state }: HostIommu): [string, Word64][] {
  return [...state.registers].filter(([name]) => !Object.hasOwn(VENDORS[model].host.registers, name));
}

function hostRecord(host: HostIommu): object {
  const { id, model, source, notes, state } = host;
  const limits = limitsOf(model, state);
  const decoded = knownRegisters(host).map(([name, layout, view]) => {
    const reserved = layout.reservedSet(view, 0);
    return [
      name,
      {
        value: hex(layout.words(view, 0)[0]!),
        source: layout.source,
        fields: decodedFields(layout.decode(view, 0)),
        ...(reserved.length > 0 ? { reserved_set: reserved } : {}),
      },
    ];
  });
  const others = otherRegisters(host).map(([name, word]) => [name, { value: hex(joined(word.hi, word.lo)) }]);
  return {
    type: "caps",
    ...(id === "" ? {} : { iommu: id }),
    model,
    source,
    ...(notes.length > 0 ? { notes } : {}),
    registers: Object.fromEntries([...decoded, ...others]),
    props: Object.fromEntries([...state.props].sort(([a], [b]) => (a < b ? -1 : 1))),
    limits: {
      pasid_bits: limits.pasidBits,
      output_bits: limits.outputBits,
      second_input_bits: limits.secondInputBits,
      tables: Object.fromEntries(
        supportedTables(model, limits).map(({ model: name, lacking, alignment }) => [
          name,
          lacking === "" ? { supported: true, alignment } : { supported: false, lacking },
        ]),
      ),
      page_tables: [...limits.formats],
      nested: limits.noNesting === "",
    },
  };
}
