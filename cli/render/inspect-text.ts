import type {
  InspectedDevice,
  InspectedDevices,
  InspectedIommu,
  InspectedPasid,
  InspectionNote,
  InspectionSummary,
} from "../../pipeline/inspect/records.ts";
import type { InputRange, InspectedSpace, InspectionSink } from "../../pipeline/inspect/sink.ts";
import { type Piece, piece } from "../../pipeline/output/byte-writer.ts";
import { permText } from "../../pipeline/output/perm-text.ts";
import { counted } from "../../pipeline/words/columns.ts";
import {
  deviceText,
  faultText,
  iommuText,
  limitText,
  mappedText,
  spaceText,
  TRANSLATION_WORDS,
  tableText,
  tagsText,
} from "../../pipeline/words/inspect-words.ts";
import { binarySize } from "../../pipeline/words/sizes.ts";
import { FRAME_BYTES } from "../../walkers/memory.ts";
import { IOMMU_MODELS } from "../../walkers/models.ts";
import { InspectionOutput } from "./inspect-output.ts";

const DEVICE_INDENT = "  ";
const SPACE_INDENT = "    ";
const RANGE_INDENT = "      ";
const RANGE = piece(`${RANGE_INDENT}0x`);
const TO = piece("-0x");
const ARROW = piece(" -> 0x");
/** Bytes of one line of a range. */
const LINE_BYTES = 256;

/** An inspection for a person: a tree of IOMMUs, devices and PASIDs. */
export class InspectText extends InspectionOutput implements InspectionSink {
  /** What follows the addresses of a range, by its size, rights and page size. */
  readonly #tails = new Map<number, Piece>();

  /** The IOMMU that the records are about. */
  #model = IOMMU_MODELS[0]!;

  iommu(record: InspectedIommu): void {
    this.#model = record.model;
    const name = record.iommu === undefined ? "an undeclared IOMMU" : `IOMMU ${JSON.stringify(record.iommu)}`;
    this.line(`${name}, ${record.model}: ${iommuText(record)}`);
  }

  device(record: InspectedDevice): void {
    const text = deviceText(record);
    this.line(`${DEVICE_INDENT}${record.dev}${text === "" ? "" : `: ${text}`}`);
  }

  devices(record: InspectedDevices): void {
    const { dev, last, count, domain } = record;
    const names = count === 1 ? dev : `${dev} to ${last} (${count} devices)`;
    const tags = tagsText(this.#model, { domain });
    this.line(`${DEVICE_INDENT}${names}: ${TRANSLATION_WORDS[record.translation]}${tags}`);
  }

  space(space: InspectedSpace): void {
    this.line(`${SPACE_INDENT}${spaceText(this.#model, space)}`);
    for (const table of space.tables) this.line(`${RANGE_INDENT}${tableText(table)}`);
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
    this.line(`${RANGE_INDENT}${mappedText(record)}${faulty}${partly}`);
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
        `${counted(record.pasids, "PASID")}; ${mappedText(record)}${faulty}${record.complete ? "" : "; incomplete"}`,
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
