import { printable } from "../../parsers/trace/show.ts";
import type { RequestNames } from "../iommus/request-names.ts";
import { ByteWriter, type Piece, piece } from "./byte-writer.ts";

const PASID = piece(',"pasid":');
const ADDR = piece(',"addr":"0x');
/** Bytes that a PASID and what stands beside it take at most. */
const PER_PASID = 64;
/** Bytes of UTF-8 that a unit of a string takes at most. */
const MOST_UTF8 = 3;
/** PASIDs that are kept with their device: a power of two. */
const HEADS = 32;
/** Requests of a device that are written without pieces of its own. */
const USES_BEFORE_PIECES = 16;

/** Names and PASIDs of a device as pieces. */
class NamePieces {
  /** The `,"iommu":…,"dev":…` part. */
  readonly text: string;
  readonly names: Piece;
  readonly pasids = new Int32Array(HEADS).fill(-2);
  readonly heads: Piece[];

  constructor(text: string) {
    this.text = text;
    this.names = piece(text);
    this.heads = new Array(HEADS).fill(this.names);
  }
}

/** Writes the names of requests of one device, with the PASIDs that were seen. */
export class NameWriter {
  readonly #names: RequestNames;
  /** Built when they are worth their memory: a trace may have a million devices with a few requests each. */
  #pieces: NamePieces | null = null;
  #uses = 0;

  constructor(names: RequestNames) {
    this.#names = names;
  }

  /** Bytes that `write` writes at most. */
  get room(): number {
    const bytes = this.#pieces === null ? this.#text().length * MOST_UTF8 : this.#pieces.names.length;
    return bytes + PER_PASID;
  }

  /** Writes names, PASID and what comes before the address's digits. */
  write(out: ByteWriter, pasid: number): void {
    const pieces = this.#pieces;
    if (pieces === null) {
      this.#writeFirst(out, pasid);
      return;
    }
    const slot = pasid & (HEADS - 1);
    if (pieces.pasids[slot] === pasid) {
      out.put(pieces.heads[slot]!);
      return;
    }
    // The first to come has the slot: many PASIDs in turn must not be all work.
    if (pieces.pasids[slot] === -2) {
      pieces.pasids[slot] = pasid;
      pieces.heads[slot] = piece(`${pieces.text}${pasid < 0 ? "" : `,"pasid":${pasid}`},"addr":"0x`);
    }
    out.put(pieces.names);
    writePasid(out, pasid);
  }

  #writeFirst(out: ByteWriter, pasid: number): void {
    const text = this.#text();
    if (++this.#uses === USES_BEFORE_PIECES) this.#pieces = new NamePieces(text);
    out.text(text);
    writePasid(out, pasid);
  }

  #text(): string {
    const { iommu, device, trace } = this.#names;
    const label = trace === undefined ? "" : `,"trace":${printable(JSON.stringify(trace))}`;
    const id = iommu === undefined ? "" : `,"iommu":${printable(JSON.stringify(iommu))}`;
    return `${label}${id},"dev":${JSON.stringify(device)}`;
  }
}

/** Most heads take less. */
const HEAD_BYTES = 256;

/** What `NameWriter` writes of a request. */
export function headText(names: RequestNames, pasid: number): Buffer {
  const out = new ByteWriter(HEAD_BYTES);
  const writer = new NameWriter(names);
  out.reserve(writer.room);
  writer.write(out, pasid);
  return out.take();
}

function writePasid(out: ByteWriter, pasid: number): void {
  if (pasid >= 0) {
    out.put(PASID);
    out.decimal(pasid);
  }
  out.put(ADDR);
}
