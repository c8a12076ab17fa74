import type {
  InspectedDevice,
  InspectedDevices,
  InspectedIommu,
  InspectedPasid,
  InspectedTable,
  InspectionNote,
  InspectionSummary,
} from "../../pipeline/inspect/records.ts";
import type { InputRange, InspectedSpace, InspectionSink } from "../../pipeline/inspect/sink.ts";
import { type Piece, piece } from "../../pipeline/output/byte-writer.ts";
import { FRAME_BYTES } from "../../walkers/memory.ts";
import { IOMMU_MODELS } from "../../walkers/models.ts";
import { binarySize } from "../size.ts";
import { InspectionOutput } from "./inspect-output.ts";
import { permText } from "./perm.ts";
import { tagTexts } from "./tags.ts";

const DEVICE_INDENT = "  ";
const SPACE_INDENT = "    ";
const RANGE_INDENT = "      ";
const RANGE = piece(`${RANGE_INDENT}0x`);
const TO = piece("-0x");
const ARROW = piece(" -> 0x");
/** Bytes of one line of a range. */
const LINE_BYTES = 256;

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

/** An inspection for a person: a tree of IOMMUs, devices and PASIDs. */
export class InspectText extends InspectionOutput implements InspectionSink {
  /** What follows the addresses of a range, by its size, rights and page size. */
  readonly #tails = new Map<number, Piece>();

  /** The IOMMU that the records are about. */
  #model = IOMMU_MODELS[0]!;

  iommu(record: InspectedIommu): void {
    this.#model = record.model;
    const name = record.iommu === undefined ? "an undeclared IOMMU" : `IOMMU ${JSON.stringify(record.iommu)}`;
    this.line(`${name}, ${record.model}: ${this.#state(record)}`);
  }

  #state({ translation, table }: InspectedIommu): string {
    if (translation !== "enabled") return UNTRANSLATED[translation];
    return table === undefined ? "no register with its tables" : `${table.kind} at ${table.addr}`;
  }

  device(record: InspectedDevice): void {
    const parts = [record.bound === true ? "bound" : ""];
    const table = record.pasid_table;
    if (table !== undefined) {
      const pasids = table.pasids > 0 ? `, PASIDs below ${table.pasids}` : "";
      parts.push(`${table.kind} at ${table.addr}${pasids}`);
    }
    if (record.default_pasid !== undefined) parts.push(`without PASID as PASID ${record.default_pasid}`);
    const text = parts.filter((part) => part !== "").join(", ");
    this.line(`${DEVICE_INDENT}${record.dev}${text === "" ? "" : `: ${text}`}`);
  }

  devices(record: InspectedDevices): void {
    const { dev, last, count, domain } = record;
    const names = count === 1 ? dev : `${dev} to ${last} (${count} devices)`;
    this.line(`${DEVICE_INDENT}${names}: ${TRANSLATION_WORDS[record.translation]}${this.#tags({ domain })}`);
  }

  space(space: InspectedSpace): void {
    const whose = space.pasid === undefined ? "without PASID" : `PASID ${space.pasid}`;
    const { fault } = space;
    const why = fault === undefined ? "" : ` by ${fault.name} (${fault.code}, ${fault.reason})`;
    this.line(`${SPACE_INDENT}${whose}: ${TRANSLATION_WORDS[space.translation]}${why}${this.#tags(space)}`);
    for (const table of space.tables) this.line(`${RANGE_INDENT}${tableText(table)}`);
  }

  #tags(tags: Parameters<typeof tagTexts>[1]): string {
    return tagTexts(this.#model, tags)
      .map((tag) => `, ${tag}`)
      .join("");
  }

  range(range: InputRange): boolean {
    const { out } = this;
    const last = range.frames - 1;
    out.reserve(LINE_BYTES);
    out.put(RANGE);
    out.address(range.frame, 0);
    out.put(TO);
    out.address(range.frame + last, FRAME_BYTES - 1);
    out.put(ARROW);
    out.address(range.output, 0);
    out.put(TO);
    out.address(range.output + last, FRAME_BYTES - 1);
    out.put(this.#tail(range));
    return this.full;
  }

  pasid(record: InspectedPasid): void {
    if (record.tables.length === 0) return;
    const faulty = record.faulty === 0 ? "" : `; ${counted(record.faulty, "faulty range")}`;
    const partly = record.complete === false ? " so far" : "";
    this.line(`${RANGE_INDENT}${mapped(record)}${faulty}${partly}`);
  }

  note(record: InspectionNote): void {
    const ofContext = record.iova === undefined && record.next === undefined;
    const indent = !ofContext ? RANGE_INDENT : record.pasid === undefined ? DEVICE_INDENT : SPACE_INDENT;
    if (record.note === "table") this.line(`${SPACE_INDENT}${record.entry_addr} ${record.message}`);
    else this.line(`${indent}note: ${record.note === "faulty" ? faultText(record) : limitText(record)}`);
  }

  summary(record: InspectionSummary): void {
    const plain = record.plain_devices === 0 ? "" : ` and ${record.plain_devices} without tables`;
    const faulty = record.faulty === 0 ? "" : `; ${record.faulty} faulty`;
    this.line(
      `after line ${record.line}: ${counted(record.iommus, "IOMMU")}, ${counted(record.devices, "device")}${plain}, ` +
        `${counted(record.pasids, "PASID")}; ${mapped(record)}${faulty}${record.complete ? "" : "; incomplete"}`,
    );
  }

  /** Small sizes come again and again; others are built when they are needed. */
  #tail(range: InputRange): Piece {
    const { frames, perm, pageShift, privileged } = range;
    if (frames >= 1024) return piece(tailText(range));
    const key = (frames << 10) | (pageShift << 4) | (privileged ? 8 : 0) | perm;
    let tail = this.#tails.get(key);
    if (tail === undefined) {
      tail = piece(tailText(range));
      this.#tails.set(key, tail);
    }
    return tail;
  }
}

function tailText({ frames, perm, pageShift, privileged }: InputRange): string {
  const page = pageShift === 0 ? "not translated" : binarySize(2 ** pageShift);
  return `  ${binarySize(frames * FRAME_BYTES)}  ${permText(perm)}  ${page}${privileged ? "  privileged" : ""}\n`;
}

export function tableText(table: InspectedTable): string {
  const granule = table.granule === undefined ? "" : `, ${table.granule} KiB granule`;
  const from = table.from === undefined ? "" : `, from ${table.from} on`;
  return `stage ${table.stage}: ${table.format}, ${table.levels} levels${granule}, root at ${table.root}${from}`;
}

function mapped(counts: Pick<InspectedPasid, "ranges" | "bytes" | "pages">): string {
  if (counts.ranges === 0) return "nothing is mapped";
  const pages = Object.entries(counts.pages).map(([size, n]) => `${n} x ${binarySize(Number(size))}`);
  return `${counted(counts.ranges, "range")}, ${binarySize(counts.bytes)} mapped: ${pages.join(", ")}`;
}

function faultText(note: InspectionNote): string {
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

function limitText(note: InspectionNote): string {
  const next = note.next === undefined ? "" : `; go on with --from ${note.next}`;
  return `${note.message}${next}`;
}

function counted(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}
