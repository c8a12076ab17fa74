import type { Fault, FaultReason } from "../fault.ts";
import type { GuestMemory } from "../memory.ts";
import { frameHi, frameLo, frameOf } from "../memory.ts";
import {
  FETCH_FAILED,
  FOR_CONTEXT,
  FOR_DATA,
  FOR_TABLE,
  SECOND_STAGE_FAULT,
  WALKED,
} from "../page-tables/stage.ts";
import { Vmsav864Walk } from "../page-tables/vmsav8-64.ts";
import {
  accessFlag,
  notGlobal,
  Stage1Descriptor,
  stage1Permissions,
  writableClean,
} from "../page-tables/vmsav8-64-stage1.ts";
import type { IommuState } from "../registers.ts";
import { type Binding, EXECUTE, NO_PASID, READ, type WalkRequest, WRITE } from "../request.ts";
import { NO_LEVEL, OK, type WalkResult } from "../result.ts";
import { TableReader } from "../table-reader.ts";
import type { IommuWalker, PasidTableConfig } from "../walker.ts";
import { compileBinding, type SmmuV3Binding } from "./binding.ts";
import { Cd, L1Cd } from "./cd.ts";
import * as faults from "./faults.ts";
import { alignFrame, alignOffset, SmmuFeatures } from "./features.ts";
import { Stage2, walkFault, walkReason } from "./stage2.ts";
import {
  CONFIG_BYPASS,
  L1Std,
  S1DSS_BYPASS,
  S1DSS_SUBSTREAM0,
  S1FMT_4K_L2,
  S1FMT_LINEAR,
  Ste,
} from "./ste.ts";
import { StreamContext } from "./stream-context.ts";
import { type AddressHalf, SubstreamContext } from "./substream-context.ts";

const spanOf = L1Std.reader("Span");
const l1stdFrame = L1Std.reader("L2Ptr");
const l1stdOffset = L1Std.offsetReader("L2Ptr");
const l1cdValid = L1Cd.reader("V");
const l1cdFrame = L1Cd.reader("L2Ptr");

/** log2 of the sizes of an STE and a CD, and of their level 1 descriptors. */
const ENTRY_SHIFT = 6;
const L1_SHIFT = 3;
/** Spans beyond this are reserved (5.1). */
const MAX_SPAN = 11;
/** CDs in a leaf table of a 2-level context descriptor table, log2: 4 KiB and 64 KiB. */
const CD_SPLIT_4K = 6;
const CD_SPLIT_64K = 10;

/** PRIVCFG and INSTCFG overrides; other values use the incoming attribute. */
const UNPRIVILEGED = 2;
const PRIVILEGED = 3;
const DATA = 2;
const INSTRUCTION = 3;

/**
 * Arm SMMUv3, the Non-secure programming interface (IHI 0070, issue H.a). Events are those of an ordinary, untranslated
 * transaction, in the order of 7.3.22.
 */
export class SmmuV3Walker implements IommuWalker<StreamContext, SubstreamContext> {
  readonly model = "arm-smmuv3";
  readonly tables: TableReader;
  readonly features = new SmmuFeatures();
  readonly #stage1 = new Vmsav864Walk(1, Stage1Descriptor);
  readonly #stage2: Stage2;

  constructor(memory: GuestMemory) {
    this.tables = new TableReader(memory);
    this.#stage2 = new Stage2(this.tables, new StreamContext());
  }

  configure(state: IommuState): void {
    this.features.configure(state);
    this.#stage2.eventQueue = this.features.eventQueue;
    this.#stage2.xnx = this.features.xnx;
  }

  bind(config: PasidTableConfig): Binding | string {
    return compileBinding(config);
  }

  newDevice(): StreamContext {
    return new StreamContext();
  }

  newProcess(): SubstreamContext {
    return new SubstreamContext();
  }

  /** 3.3.2 step 1, 6.3.14: the SMMU may be disabled. A bound device's tables are in use whatever CR0 says. */
  admit(request: WalkRequest, out: WalkResult): boolean {
    out.model = request.binding?.model ?? "arm-1lvl";
    if (this.features.enabled || request.binding !== null) return true;
    if (this.features.abortWhenDisabled) return this.#terminate(faults.GBPA_ABORT, out, false);
    // 3.4: beyond the output address size, aborted without an event.
    if (this.#beyond(request, this.features.oas))
      return this.#terminate(faults.DISABLED_ADDRESS_SIZE, out, false);
    passThrough(request, out);
    return false;
  }

  /** 3.3.1: the stream table entry. */
  loadDevice(request: WalkRequest, device: StreamContext, out: WalkResult): boolean {
    const binding = request.binding;
    if (binding !== null) {
      (binding as SmmuV3Binding).load(device, this.features);
      return true;
    }
    this.tables.littleEndian = true;
    if (!this.#readSte(request.device, out)) return false;
    if (!device.decode(this.tables.view, this.tables.at, this.features)) {
      this.tables.blame(out);
      return this.#terminate(faults.C_BAD_STE, out);
    }
    if (device.config < CONFIG_BYPASS) {
      this.tables.blame(out);
      return this.#terminate(faults.STE_ABORT, out, false);
    }
    return true;
  }

  /** 5.2 S1Fmt, S1CDMax, S1DSS: what the stream says about this SubstreamID, or its absence. */
  checkRequest(request: WalkRequest, device: StreamContext, out: WalkResult): boolean {
    if (request.binding === null) out.model = device.s1fmt === S1FMT_LINEAR ? "arm-1lvl" : "arm-2lvl";
    const ssid = request.pasid;
    if (!device.stage1Enabled || device.s1cdmax === 0)
      return ssid === NO_PASID || this.#terminate(faults.C_BAD_SUBSTREAMID, out);
    if (ssid >= 2 ** device.s1cdmax) return this.#terminate(faults.C_BAD_SUBSTREAMID, out);
    const dss = device.s1dss;
    const disabled =
      ssid === NO_PASID
        ? dss !== S1DSS_BYPASS && dss !== S1DSS_SUBSTREAM0
        : ssid === 0 && dss === S1DSS_SUBSTREAM0;
    return !disabled || this.#terminate(faults.F_STREAM_DISABLED, out);
  }

  /** 3.3.2: the context descriptor. */
  loadProcess(
    request: WalkRequest,
    device: StreamContext,
    process: SubstreamContext,
    out: WalkResult,
  ): boolean {
    const absent = request.pasid === NO_PASID;
    if (!device.stage1Enabled || (absent && device.s1cdmax > 0 && device.s1dss === S1DSS_BYPASS)) {
      process.bypass = true;
      return true;
    }
    this.#stage2.stream = device;
    this.#stage2.privileged = true;
    if (!this.#readCd(absent ? 0 : request.pasid, device, out)) return false;
    const { view, at } = this.tables;
    if (!SubstreamContext.valid(view, at)) {
      this.tables.blame(out);
      return this.#terminate(faults.C_BAD_CD, out, true, "PASID_INVALID");
    }
    if (!process.decode(view, at, device, this.features)) {
      this.tables.blame(out);
      return this.#terminate(faults.C_BAD_CD, out);
    }
    return true;
  }

  /** 3.3.2 step 3: stage 1, then stage 2. */
  translate(request: WalkRequest, device: StreamContext, process: SubstreamContext, out: WalkResult): void {
    const access = accessOf(request.access, device.instcfg);
    const privileged = privilegeOf(request, device.privcfg);
    const second = device.stage2Enabled ? this.#stage2 : null;
    if (second !== null) {
      second.stream = device;
      second.privileged = privileged;
      second.translated = !process.bypass;
    }
    out.domain = device.vmid;
    let hi = request.addrHi;
    let lo = request.addrLo;
    if (process.bypass) {
      if (!this.#bypassStage1(request, device, out)) return;
      if (second === null) return;
    } else {
      out.asid = process.asid;
      if (!this.#translateStage1(hi, lo, access, privileged, process, second, out)) return;
      hi = frameHi(this.#stage1.frame);
      lo = frameLo(this.#stage1.frame) | (lo & 0xfff);
      if (second !== null) {
        out.ipaFrame = this.#stage1.frame;
        out.firstShift = out.pageShift;
      }
    }
    if (second !== null) {
      if (!second.translate(hi, lo, access, FOR_DATA, out)) return;
      out.frame = second.frame;
      out.pageShift = process.bypass ? second.pageShift : Math.min(out.pageShift, second.pageShift);
      out.perm &= second.perm;
    }
    out.status = OK;
    out.offset = request.addrLo & 0xfff;
  }

  /** 3.4: an address that bypasses stage 1 must be within the IAS, and in a stream that bypasses all, the OAS. */
  #bypassStage1(request: WalkRequest, device: StreamContext, out: WalkResult): boolean {
    const { ias, oas } = this.features;
    if (this.#beyond(request, device.config === CONFIG_BYPASS ? oas : ias)) {
      this.#terminate(faults.F_ADDR_SIZE, out);
      out.stage = 1;
      out.cls = "IN";
      return false;
    }
    if (device.stage2Enabled) {
      out.perm = READ | WRITE | EXECUTE;
      return true;
    }
    passThrough(request, out);
    // An IPA that stage 2 bypasses is truncated to the OAS.
    out.frame %= 2 ** (oas - 12);
    return true;
  }

  /** Stage 1 of a VMSAv8-64 regime; on success frame, pageShift, perm and global are in `out`. */
  #translateStage1(
    hi: number,
    lo: number,
    access: number,
    privileged: boolean,
    process: SubstreamContext,
    second: Stage2 | null,
    out: WalkResult,
  ): boolean {
    const half = selectHalf(process, hi);
    // 7.3.22 step 1: outside the range, or a half that is disabled; E0PD has the same fault (5.4 E0PD0).
    if (!half.enabled) return this.#stage1Fault(faults.F_TRANSLATION, "PTE_FETCH", NO_LEVEL, process, out);
    if (outOfRange(half, hi, lo, process.onePrivilege))
      return this.#stage1Fault(faults.F_TRANSLATION, "OOR_ADDRESS", NO_LEVEL, process, out);
    if (half.noUnprivileged && !privileged)
      return this.#stage1Fault(faults.F_TRANSLATION, "PERMISSION", NO_LEVEL, process, out);

    const walk = this.#stage1;
    const status = walk.walk(this.tables, half.tables, hi, lo, second, out);
    if (status === SECOND_STAGE_FAULT) return false;
    if (status !== WALKED) {
      this.tables.blame(out);
      const reason = walkReason(status, walk.level === half.tables.startLevel);
      this.#stage1Fault(walkFault(status), reason, walk.level, process, out);
      if (status === FETCH_FAILED) out.cls = "TT";
      return false;
    }
    if (!accessFlag(walk) && !process.ha && !process.affd) {
      this.tables.blame(out);
      return this.#stage1Fault(faults.F_ACCESS, faults.F_ACCESS.reason, walk.level, process, out);
    }
    const perm = stage1Permissions(walk, process, half.hierarchical, privileged);
    if ((access & ~perm) !== 0) {
      this.tables.blame(out);
      return this.#stage1Fault(faults.F_PERMISSION, faults.F_PERMISSION.reason, walk.level, process, out);
    }
    if (second !== null && !this.#updatable(access, process, second, out)) return false;
    out.frame = walk.frame;
    out.pageShift = walk.pageShift;
    out.perm = perm;
    out.global = process.onePrivilege || !notGlobal(walk);
    return true;
  }

  /** 3.13.5: a hardware update of the stage 1 leaf is a write, which stage 2 must allow at the leaf's IPA. */
  #updatable(access: number, process: SubstreamContext, second: Stage2, out: WalkResult): boolean {
    const walk = this.#stage1;
    const update =
      (process.ha && !accessFlag(walk)) ||
      (process.hardwareDirty && (access & WRITE) !== 0 && writableClean(walk));
    if (!update || walk.ipaWritable) return true;
    return second.translate(
      frameHi(walk.ipaFrame),
      frameLo(walk.ipaFrame) | walk.ipaOffset,
      WRITE,
      FOR_TABLE,
      out,
    );
  }

  #stage1Fault(
    fault: Fault,
    reason: FaultReason,
    level: number,
    process: SubstreamContext,
    out: WalkResult,
  ): false {
    out.fail(fault, reason);
    out.stage = 1;
    out.level = level;
    out.cls = "IN";
    // 5.5: R suppresses the record of a Translation-related fault; one that stalls is always recorded.
    const suppressed = fault !== faults.F_WALK_EABT && !process.r && !process.s;
    out.recorded = this.features.eventQueue && !suppressed;
    return false;
  }

  /** A configuration error, or a termination without an event. */
  #terminate(fault: Fault, out: WalkResult, recorded = true, reason: FaultReason = fault.reason): false {
    out.fail(fault, reason);
    out.recorded = recorded && this.features.eventQueue;
    return false;
  }

  /** Reads the STE of a stream; afterwards it is the reader's last entry. */
  #readSte(sid: number, out: WalkResult): boolean {
    const { features, tables } = this;
    if (sid >= 2 ** features.streamBits)
      return this.#terminate(faults.C_BAD_STREAMID, out, features.recordBadStreamId);
    let frame = features.strtabFrame;
    let offset = features.strtabOffset;
    let index = sid;
    const split = features.split;
    if (split !== 0) {
      const at = offset + Math.floor(sid / 2 ** split) * L1Std.bytes;
      if (!this.#readStreamTable(L1Std, frame, at, out)) return false;
      const span = spanOf(tables.view, tables.at);
      index = sid % 2 ** split;
      // 7.3.3: the spans that are none, reserved, or more than the split, and indices beyond the span.
      if (span === 0 || span > MAX_SPAN || span > split + 1 || index >= 1 << (span - 1)) {
        tables.blame(out);
        return this.#terminate(faults.C_BAD_STREAMID, out, features.recordBadStreamId);
      }
      const align = ENTRY_SHIFT + span - 1;
      frame = alignFrame(l1stdFrame(tables.view, tables.at), align);
      offset = alignOffset(l1stdOffset(tables.view, tables.at), align);
    }
    return this.#readStreamTable(Ste, frame, offset + index * Ste.bytes, out);
  }

  #readStreamTable(layout: typeof L1Std | typeof Ste, frame: number, at: number, out: WalkResult): boolean {
    const inFrame = at % 4096;
    if (this.tables.read(layout, frame + (at - inFrame) / 4096, inFrame)) return true;
    this.tables.blame(out);
    return this.#terminate(faults.F_STE_FETCH, out);
  }

  /** Reads a CD by its index; afterwards it is the reader's last entry. */
  #readCd(ssid: number, device: StreamContext, out: WalkResult): boolean {
    const { tables, features } = this;
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
    const split = format === S1FMT_4K_L2 ? CD_SPLIT_4K : CD_SPLIT_64K;
    const align = Math.max(ENTRY_SHIFT, cdmax - split + L1_SHIFT);
    frame = alignFrame(frame, align);
    const entry = alignOffset(offset, align) + (ssid >>> split) * L1Cd.bytes;
    if (!this.#readCdTable(L1Cd, frame, entry, device, out)) return false;
    const leaf = l1cdFrame(tables.view, tables.at);
    // 3.4.3 note 3: out of range. As an IPA it goes to stage 2 (note 4b), which says where it leads.
    const beyond = !device.stage2Enabled && leaf >= 2 ** (features.oas - 12);
    if (l1cdValid(tables.view, tables.at) === 0 || beyond) {
      tables.blame(out);
      return this.#terminate(faults.C_BAD_SUBSTREAMID, out);
    }
    frame = alignFrame(leaf, split + ENTRY_SHIFT);
    return this.#readCdTable(Cd, frame, (ssid % 2 ** split) * Cd.bytes, device, out);
  }

  #readCdTable(
    layout: typeof L1Cd | typeof Cd,
    frame: number,
    at: number,
    device: StreamContext,
    out: WalkResult,
  ): boolean {
    const inFrame = at & 0xfff;
    let from = frame + (at >>> 12);
    if (device.stage2Enabled) {
      const second = this.#stage2;
      if (!second.translate(frameHi(from), frameLo(from) | inFrame, READ, FOR_CONTEXT, out)) return false;
      from = second.frame;
    }
    this.tables.littleEndian = true;
    if (this.tables.read(layout, from, inFrame)) return true;
    this.tables.blame(out);
    return this.#terminate(faults.F_CD_FETCH, out);
  }

  #beyond(request: WalkRequest, bits: number): boolean {
    return frameOf(request.addrHi, request.addrLo) >= 2 ** (bits - 12);
  }
}

/** VA[55] selects TTB0 or TTB1 (3.4.1); a regime with one privilege level has TTB0 alone. */
function selectHalf(process: SubstreamContext, hi: number): AddressHalf {
  return !process.onePrivilege && (hi & 0x80_0000) !== 0 ? process.high : process.low;
}

/** 3.4.1: VA[63:N], or VA[55:N] where the top byte is ignored, must all equal VA[55] (0 in a one-privilege regime). */
function outOfRange(half: AddressHalf, hi: number, lo: number, onePrivilege: boolean): boolean {
  const bits = half.tables.inputBits;
  // Sign-extends VA[55] over an ignored top byte; without TBI, all 64 bits count.
  const top = half.topByteIgnored ? (onePrivilege ? hi & 0xff_ffff : (hi << 8) >> 8) : hi;
  const sign = onePrivilege || (hi & 0x80_0000) === 0 ? 0 : -1;
  if (bits >= 32) return top >> (bits - 32) !== sign;
  return top !== sign || lo >> bits !== sign;
}

/** Data or instruction access after STE.INSTCFG, which changes reads alone (13.1.2); an atomic is data. */
function accessOf(access: number, instcfg: number): number {
  if (instcfg === INSTRUCTION && access === READ) return EXECUTE;
  return instcfg === DATA && access === EXECUTE ? READ : access;
}

/** Privilege after STE.PRIVCFG; a transaction without SubstreamID carries none (13.1.3: unprivileged). */
function privilegeOf(request: WalkRequest, privcfg: number): boolean {
  if (privcfg === PRIVILEGED) return true;
  return privcfg !== UNPRIVILEGED && request.pasid !== NO_PASID && request.priv;
}

function passThrough(request: WalkRequest, out: WalkResult): void {
  out.status = OK;
  out.passthrough = true;
  out.perm = READ | WRITE | EXECUTE;
  out.frame = frameOf(request.addrHi, request.addrLo);
  out.offset = request.addrLo & 0xfff;
}
