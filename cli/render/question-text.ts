import { printableLine } from "../../parsers/trace/show.ts";
import type {
  CoversRecord,
  DomainRecord,
  LookupRecord,
  MappingRecord,
  QuestionRecord,
  SharedRecord,
} from "../../pipeline/inspect/lookup-records.ts";
import type { InspectedIommu } from "../../pipeline/inspect/records.ts";
import { counted } from "../../pipeline/words/columns.ts";
import { TRANSLATION_WORDS, tableText } from "../../pipeline/words/inspect-words.ts";
import { paint } from "../../pipeline/words/paint.ts";
import { binarySize, formatBytes } from "../../pipeline/words/sizes.ts";
import { tagTexts } from "../../pipeline/words/tags.ts";
import type { IommuModel } from "../../walkers/models.ts";

const INDENT = "  ";

/** The answers to a question about tables, for a person. */
export class QuestionText {
  readonly #models = new Map<string | undefined, IommuModel>();

  /** @returns lines, without their ends */
  lines(record: QuestionRecord): string[] {
    switch (record.type) {
      case "iommu":
        return this.#iommu(record);
      case "note":
        return [`note: ${record.message}`];
      case "covers":
        return coversLines(record);
      case "lookup":
        return [lookupLine(record)];
      case "domain":
        return this.#domain(record);
      case "shared":
        return sharedLines(record);
    }
  }

  #iommu({ iommu, model }: InspectedIommu): string[] {
    this.#models.set(iommu, model);
    return [];
  }

  #domain(record: DomainRecord): string[] {
    const { iommu, translation, tables, users, count, devices, bytes, writable } = record;
    const model = this.#models.get(iommu)!;
    const name = [...tagTexts(model, record), TRANSLATION_WORDS[translation]].join(", ");
    const by = devices > 1 && writable > 0 ? paint("doubtful", ` by ${devices} devices`) : "";
    const size =
      tables.length === 0 ? "" : `: ${formatBytes(bytes)} mapped, ${formatBytes(writable)} writable${by}`;
    const names = users.map(({ dev, pasid }) => `${dev}${pasid === undefined ? "" : ` PASID ${pasid}`}`);
    const more = count > users.length ? `, … (${count})` : "";
    return [
      `${paint("strong", name)}${iommu === undefined ? "" : ` of ${printableLine(iommu)}`}${size}`,
      ...tables.map((table) => `${INDENT}${tableText(table)}`),
      `${INDENT}${printableLine(names.join(", "))}${more}`,
    ];
  }
}

function whose(dev: string, pasid: number | undefined): string {
  return printableLine(`${dev}, ${pasid === undefined ? "without PASID" : `PASID ${pasid}`}`);
}

function coversLines(record: CoversRecord): string[] {
  const { iommu, dev, pasid, addr, mapped, pa, range, before, after, fault } = record;
  const who = `${iommu === undefined ? "" : `${printableLine(iommu)} `}${whose(dev, pasid)}`;
  if (mapped)
    return [
      `${who}: ${paint("good", `${addr} is ${pa}`)}${range === undefined ? ", passed through" : ""}`,
      ...(range === undefined ? [] : [`${INDENT}in ${rangeText(range)}`]),
    ];
  const why = fault === undefined ? "" : `: ${fault.name} (${fault.code}, ${fault.reason})`;
  return [
    `${who}: ${paint("bad", `${addr} is not mapped`)}${why}`,
    ...(before === undefined ? [] : [`${INDENT}before it ${rangeText(before)}`]),
    ...(after === undefined ? [] : [`${INDENT}behind it ${rangeText(after)}`]),
  ];
}

function rangeText({ iova, pa, size, perm, page }: MappingRecord): string {
  const pages = page === undefined ? "not translated" : `pages of ${binarySize(page)}`;
  return `${spanText(iova, size)} -> ${spanText(pa, size)}  ${binarySize(size)}  ${perm}  ${pages}`;
}

function spanText(first: string, size: number): string {
  return `${first}-0x${(BigInt(first) + BigInt(size) - 1n).toString(16)}`;
}

function lookupLine({ pa, size, mappings, devices, writers, passthrough, complete }: LookupRecord): string {
  const who =
    mappings === 0
      ? "nobody maps it"
      : `${counted(mappings, "range")} of ${counted(devices, "device")}, writable by ${writers === 0 ? "none" : writers}`;
  const others =
    passthrough === 0 ? "" : `; ${counted(passthrough, "device")} that pass through reach it as all memory`;
  return `${spanText(pa, size)}: ${who}${others}${complete ? "" : "; incomplete"}`;
}

function sharedLines({ pa, size, mappings, count, devices, aliased, writers }: SharedRecord): string[] {
  const what = [
    `${counted(count, "range")} of ${counted(devices, "device")}`,
    ...(aliased === true ? ["several of one address space"] : []),
    writers > 1
      ? paint("doubtful", `writable by ${writers} devices`)
      : `writable by ${writers === 0 ? "none" : 1}`,
  ];
  return [
    `${spanText(pa, size)}  ${binarySize(size)}  ${what.join(", ")}`,
    ...mappings.map(({ dev, pasid, iova, perm }) => `${INDENT}${perm}  ${iova}  ${whose(dev, pasid)}`),
    ...(count > mappings.length ? [`${INDENT}… ${count - mappings.length} more`] : []),
  ];
}
