import type { Fault, FaultReason } from "../fault.ts";
import { FRAME_MASK, frameHi, frameLo, pow2 } from "../memory.ts";
import { FOR_CONTEXT } from "../page-tables/stage.ts";
import { READ } from "../request.ts";
import type { WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import { Cd, L1Cd } from "./cd.ts";
import * as faults from "./faults.ts";
import { alignFrame, alignOffset, type SmmuFeatures } from "./features.ts";
import { brokenL1CdRule } from "./rules-cd.ts";
import { brokenL1StdRule } from "./rules-ste.ts";
import type { Stage2 } from "./stage2.ts";
import { L1Std, S1FMT_4K_L2, S1FMT_LINEAR, Ste } from "./ste.ts";
import type { StreamContext } from "./stream-context.ts";

const spanOf = L1Std.reader("Span");
const l1stdFrame = L1Std.reader("L2Ptr");
const l1stdOffset = L1Std.offsetReader("L2Ptr");
const l1cdValid = L1Cd.reader("V");
const l1cdFrame = L1Cd.reader("L2Ptr");

/** log2 of the sizes of an STE and a CD, and of their level 1 descriptors. */
export const ENTRY_SHIFT = 6;
export const L1_SHIFT = 3;
/** CDs in a leaf table of a 2-level context descriptor table, log2: 4 KiB and 64 KiB. */
const CD_SPLIT_4K = 6;
const CD_SPLIT_64K = 10;

/**
 * 3.4.3: what may become of an address of a configuration structure that is too large. USUAL: one of the stream table is
 * where nothing can be read, an IPA goes to stage 2 as it is, and of the CD another one is ILLEGAL. Else it is truncated; or
 * what is read where it is not to be is refused, and what is refused is read there.
 */
const USUAL = 0;
const TRUNCATED = 1;
const REVERSED = 2;
export const OTHER_READINGS = 2;

/** Bits of the SubstreamID that a leaf table of a 2-level context descriptor table resolves (5.2 S1Fmt); 0: linear. */
export function cdSplit(format: number): number {
  if (format === S1FMT_LINEAR) return 0;
  return format === S1FMT_4K_L2 ? CD_SPLIT_4K : CD_SPLIT_64K;
}

/** Finds stream table entries and context descriptors, and reports what keeps it from them. */
export class StructureReader {
  readonly #tables: TableReader;
  readonly #features: SmmuFeatures;
  readonly #stage2: Stage2;

  reading = USUAL;
  /** Arrays of the second level of the stream table are aligned to their size (5.1 L2Ptr). */
  alignsArrays = true;

  constructor(tables: TableReader, features: SmmuFeatures, stage2: Stage2) {
    this.#tables = tables;
    this.#features = features;
    this.#stage2 = stage2;
  }

  /** A configuration error, or a termination without an event. */
  terminate(fault: Fault, out: WalkResult, recorded = true, reason: FaultReason = fault.reason): false {
    out.fail(fault, reason);
    out.recorded = recorded && this.#features.eventQueue;
    return false;
  }

  /** 3.3.1, 5.1: reads the STE of a stream; afterwards it is the table reader's last entry. */
  readSte(sid: number, out: WalkResult): boolean {
    const features = this.#features;
    const tables = this.#tables;
    if (sid >= features.streamLimit)
      return this.terminate(faults.C_BAD_STREAMID, out, features.recordBadStreamId);
    let frame = features.strtabFrame;
    let offset = features.strtabOffset;
    let index = sid;
    const split = features.split;
    if (split !== 0) {
      const at = offset + Math.floor(sid / pow2(split)) * L1Std.bytes;
      if (!this.#readStreamTable(L1Std, frame, at, out)) return false;
      const span = spanOf(tables.view, tables.at);
      index = sid % pow2(split);
      // 7.3.3: the spans that are none, reserved, or more than the split, and indices beyond the span.
      if (span === 0 || brokenL1StdRule(span, features) !== 0 || index >= 1 << (span - 1)) {
        tables.blame(out);
        return this.terminate(faults.C_BAD_STREAMID, out, features.recordBadStreamId);
      }
      const align = this.alignsArrays ? ENTRY_SHIFT + span - 1 : ENTRY_SHIFT;
      frame = alignFrame(l1stdFrame(tables.view, tables.at), align);
      offset = alignOffset(l1stdOffset(tables.view, tables.at), align);
    }
    return this.#readStreamTable(Ste, frame, offset + index * Ste.bytes, out);
  }

  #readStreamTable(layout: typeof L1Std | typeof Ste, base: number, at: number, out: WalkResult): boolean {
    const inFrame = at % 4096;
    const frame = base + (at - inFrame) / 4096;
    const { frameLimit } = this.#features;
    if (frame >= frameLimit) out.disputed = true;
    const read = this.reading === TRUNCATED ? frame % frameLimit : frame;
    if (this.#tables.read(layout, read, inFrame)) return true;
    this.#tables.blame(out);
    return this.terminate(faults.F_STE_FETCH, out);
  }

  /** 3.3.2, 5.3: reads a CD by its index; afterwards it is the table reader's last entry. */
  readCd(ssid: number, device: StreamContext, out: WalkResult): boolean {
    const features = this.#features;
    const tables = this.#tables;
    const cdmax = device.s1cdmax;
    const format = device.s1fmt;
    let frame = device.s1ContextFrame;
    const offset = device.s1ContextOffset;
    if (format === S1FMT_LINEAR) {
      // 5.2 S1Fmt: the table is aligned to its size, in each format.
      const align = cdmax + ENTRY_SHIFT;
      frame = alignFrame(frame, align);
      return this.#readCdTable(Cd, frame, alignOffset(offset, align) + ssid * Cd.bytes, device, out);
    }
    const split = cdSplit(format);
    const align = Math.max(ENTRY_SHIFT, cdmax - split + L1_SHIFT);
    frame = alignFrame(frame, align);
    const entry = alignOffset(offset, align) + (ssid >>> split) * L1Cd.bytes;
    if (!this.#readCdTable(L1Cd, frame, entry, device, out)) return false;
    const leaf = l1cdFrame(tables.view, tables.at);
    const valid = l1cdValid(tables.view, tables.at) !== 0;
    if (!valid || (brokenL1CdRule(leaf, device, features) !== 0 && !this.readsBeyond(out))) {
      tables.blame(out);
      return this.terminate(faults.C_BAD_SUBSTREAMID, out);
    }
    frame = alignFrame(leaf, split + ENTRY_SHIFT);
    return this.#readCdTable(Cd, frame, (ssid % pow2(split)) * Cd.bytes, device, out);
  }

  /** 3.4.3, notes 1 and 3: whether a CD is looked for beyond the OAS, or where that is truncated to; in SMMUv3.0 alone. */
  readsBeyond(out: WalkResult): boolean {
    if (!this.#features.v30) return false;
    out.disputed = true;
    return this.reading !== USUAL;
  }

  #readCdTable(
    layout: typeof L1Cd | typeof Cd,
    frame: number,
    at: number,
    device: StreamContext,
    out: WalkResult,
  ): boolean {
    const inFrame = at & FRAME_MASK;
    let from = frame + (at >>> 12);
    const limit = device.stage2Enabled ? this.#features.ipaLimit : this.#features.frameLimit;
    if (from >= limit) {
      out.disputed ||= device.stage2Enabled;
      if (device.stage2Enabled && this.reading === REVERSED) return this.#refuseIpa(layout, device, out);
      if (this.reading === TRUNCATED && this.#features.v30) from %= limit;
    }
    if (device.stage2Enabled) {
      const second = this.#stage2;
      if (!second.translate(frameHi(from), frameLo(from) | inFrame, READ, FOR_CONTEXT, out)) return false;
      from = second.frame;
    }
    this.#tables.littleEndian = true;
    if (this.#tables.read(layout, from, inFrame)) return true;
    this.#tables.blame(out);
    return this.terminate(faults.F_CD_FETCH, out);
  }

  /** 3.4.3, notes 2a and 4a: by S1ContextPtr, or by an L1CD, which is the entry read last then. */
  #refuseIpa(layout: typeof L1Cd | typeof Cd, { s1fmt }: StreamContext, out: WalkResult): boolean {
    const byDescriptor = layout === Cd && s1fmt !== S1FMT_LINEAR;
    if (byDescriptor) this.#tables.blame(out);
    return this.terminate(byDescriptor ? faults.C_BAD_SUBSTREAMID : faults.C_BAD_STE, out);
  }
}
