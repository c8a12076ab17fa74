import type { IommuModel } from "../../walkers/models.ts";
import type {
  InspectedDevice,
  InspectedIommu,
  InspectedPasid,
  InspectedTable,
  InspectionNote,
} from "../inspect/records.ts";
import type { InspectedSpace } from "../inspect/sink.ts";
import { counted } from "./columns.ts";
import { binarySize, formatBytes } from "./sizes.ts";
import { tagTexts } from "./tags.ts";

export const TRANSLATION_WORDS = {
  stage1: "first stage",
  stage2: "second stage",
  nested: "first stage over second stage",
  passthrough: "passed through",
  blocked: "blocked",
} as const;

const UNTRANSLATED = {
  passthrough: "translation is disabled: requests pass through",
  blocked: "requests are refused before any table is read",
} as const;

/** Where requests go, as far as the registers of an IOMMU say it. */
export function iommuText({ translation, table }: InspectedIommu): string {
  if (translation !== "enabled") return UNTRANSLATED[translation];
  return table === undefined ? "no register with its tables" : `${table.kind} at ${table.addr}`;
}

/** What a device's context says of its PASIDs; "" where there is nothing to say. */
export function deviceText({ bound, pasid_table: table, default_pasid: pasid }: InspectedDevice): string {
  const parts = [bound === true ? "bound" : ""];
  if (table !== undefined) {
    const pasids = table.pasids > 0 ? `, PASIDs below ${table.pasids}` : "";
    parts.push(`${table.kind} at ${table.addr}${pasids}`);
  }
  if (pasid !== undefined) parts.push(`without PASID as PASID ${pasid}`);
  return parts.filter((part) => part !== "").join(", ");
}

/** "PASID 5: first stage, ASID 3": what requests of an address space go through. */
export function spaceText(model: IommuModel, space: InspectedSpace): string {
  const whose = space.pasid === undefined ? "without PASID" : `PASID ${space.pasid}`;
  const { fault } = space;
  const why = fault === undefined ? "" : ` by ${fault.name} (${fault.code}, ${fault.reason})`;
  return `${whose}: ${TRANSLATION_WORDS[space.translation]}${why}${tagsText(model, space)}`;
}

/** ", VMID 3, ASID 2". */
export function tagsText(model: IommuModel, tags: Parameters<typeof tagTexts>[1]): string {
  return tagTexts(model, tags)
    .map((tag) => `, ${tag}`)
    .join("");
}

export function tableText(table: InspectedTable): string {
  const granule = table.granule === undefined ? "" : `, ${table.granule} KiB granule`;
  const from = table.from === undefined ? "" : `, from ${table.from} on`;
  return `stage ${table.stage}: ${table.format}, ${table.levels} levels${granule}, root at ${table.root}${from}`;
}

/** "2 ranges, 8 KiB mapped: 2 x 4 KiB". */
export function mappedText(counts: Pick<InspectedPasid, "ranges" | "bytes" | "pages">): string {
  if (counts.ranges === 0) return "nothing is mapped";
  const pages = Object.entries(counts.pages).map(([size, n]) => `${n} x ${binarySize(Number(size))}`);
  return `${counted(counts.ranges, "range")}, ${formatBytes(counts.bytes)} mapped: ${pages.join(", ")}`;
}

/** An entry, or a context, at fault: what and where. */
export function faultText(note: InspectionNote): string {
  const where = note.iova === undefined ? "" : ` at ${note.iova}, ${binarySize(note.size!)}`;
  const whose = note.iova === undefined ? ` ${contextText(note)}` : "";
  const stage = note.stage === undefined ? "" : `, stage ${note.stage}`;
  const level = note.level === undefined ? "" : ` level ${note.level}`;
  const value = note.entry ?? (note.hole === true ? "not in recorded memory" : "not read");
  const entry = note.entry_addr === undefined ? "" : `, entry at ${note.entry_addr}: ${value}`;
  return `faulty${whose}${where}: ${note.name} (${note.code}, ${note.reason})${stage}${level}${entry}`;
}

function contextText({ dev, pasid, last, count }: InspectionNote): string {
  const several = count === undefined ? "" : ` to ${last} (${count})`;
  return pasid === undefined ? `${dev}${several}` : `${dev} PASID ${pasid}${several}`;
}

/** Where an enumeration ended. */
export function limitText(note: InspectionNote): string {
  const next = note.next === undefined ? "" : `; go on with --from ${note.next}`;
  return `${note.message}${next}`;
}
