import type { Fault, FaultReason } from "../fault.ts";
import { FRAME_MASK, frameHi, frameLo, frameOf, framesIn, type GuestMemory } from "../memory.ts";
import { FETCH_FAILED, FOR_DATA, FOR_TABLE, SECOND_STAGE_FAULT, WALKED } from "../page-tables/stage.ts";
import { Vmsav864Walk } from "../page-tables/vmsav8-64.ts";
import {
  notGlobal,
  Stage1Descriptor,
  stage1AccessFlag,
  stage1Permissions,
  writableClean,
} from "../page-tables/vmsav8-64-stage1.ts";
import type { IommuState } from "../registers.ts";
import {
  type Binding,
  EXECUTE,
  NO_PASID,
  READ,
  TRANSLATED,
  TRANSLATION_REQUEST,
  UNTRANSLATED,
  type WalkRequest,
  WRITE,
} from "../request.ts";
import { NO_LEVEL, OK, type WalkResult } from "../result.ts";
import { TableReader } from "../table-reader.ts";
import { faultOf } from "../tables/entry-rule.ts";
import type { IommuWalker, PasidTableConfig } from "../walker.ts";
import { compileBinding, type SmmuV3Binding } from "./binding.ts";
import * as faults from "./faults.ts";
import { SmmuFeatures } from "./features.ts";
import { frameLimitOf } from "./granule.ts";
import { brokenCdRule, CD_RULES } from "./rules-cd.ts";
import { brokenSteRule, S1_CONTEXT_TOO_WIDE, STE_RULES } from "./rules-ste.ts";
import { Stage2, walkFault, walkReason } from "./stage2.ts";
import {
  CONFIG_BYPASS,
  EATS_FULL_DPT,
  EATS_SPLIT_STAGE,
  PRIVCFG_PRIVILEGED,
  PRIVCFG_UNPRIVILEGED,
  S1DSS_BYPASS,
  S1DSS_SUBSTREAM0,
  S1FMT_LINEAR,
} from "./ste.ts";
import { StreamContext } from "./stream-context.ts";
import { OTHER_READINGS, StructureReader } from "./structures.ts";
import { type AddressHalf, SubstreamContext } from "./substream-context.ts";

/** INSTCFG overrides; other values use the incoming attribute. */
const DATA = 2;
const INSTRUCTION = 3;

/**
 * Arm SMMUv3, the Non-secure programming interface (IHI 0070, issue H.a). Events come in the order of 7.3.22, those of
 * ATS requests as 3.9.1 has them.
 */
export class SmmuV3Walker implements IommuWalker<StreamContext, SubstreamContext> {
  readonly model = "arm-smmuv3";
  readonly tables: TableReader;
  readonly features = new SmmuFeatures();
  readonly otherReadings = OTHER_READINGS;
  /** Stage 1 of what is walked. */
  readonly stage1 = new Vmsav864Walk(1, Stage1Descriptor);
  /** Stage 2 of the stream that is walked for. */
  readonly second: Stage2;
  /** Takes stream table entries that break a rule, the first of them by its number; null: none is taken. */
  leniency: ((rule: number, stream: StreamContext) => boolean) | null = null;
  readonly structures: StructureReader;

  constructor(memory: GuestMemory) {
    this.tables = new TableReader(memory);
    this.second = new Stage2(this.tables, new StreamContext());
    this.structures = new StructureReader(this.tables, this.features, this.second);
  }

  get reading(): number {
    return this.structures.reading;
  }

  /** 3.4.3: what becomes of an address of a configuration structure that is too large is CONSTRAINED UNPREDICTABLE. */
  set reading(reading: number) {
    this.structures.reading = reading;
  }

  configure(state: IommuState): void {
    this.features.configure(state);
    this.second.eventQueue = this.features.eventQueue;
    this.second.xnx = this.features.xnx;
  }

  bind(config: PasidTableConfig): Binding | string {
    return compileBinding(config);
  }

  newDevice(): StreamContext {
    return new StreamContext();
  }

  newPasidContext(): SubstreamContext {
    return new SubstreamContext();
  }

  /** 3.3.2 step 1, 6.3.14: the SMMU may be disabled. A bound device's tables are in use whatever CR0 says. */
  admit(request: WalkRequest, out: WalkResult): boolean {
    out.model = request.binding?.model ?? "arm-1lvl";
    if (request.at !== UNTRANSLATED && request.binding === null) return this.#admitAts(request, out);
    if (this.features.enabled || request.binding !== null) return true;
    if (this.features.abortWhenDisabled) return this.structures.terminate(faults.GBPA_ABORT, out, false);
    // 3.4: beyond the output address size, aborted without an event.
    if (this.#beyond(request, this.features.oas))
      return this.structures.terminate(faults.DISABLED_ADDRESS_SIZE, out, false);
    passThrough(request, out);
    return false;
  }

  /** 3.9.1.2 and 3.9.1.3: ATS without translation is refused; without ATSCHK, Translated transactions pass unseen. */
  #admitAts(request: WalkRequest, out: WalkResult): boolean {
    const translated = request.at === TRANSLATED;
    const { enabled, checksTranslated } = this.features;
    if (!enabled)
      return this.structures.terminate(translated ? faults.F_TRANSL_FORBIDDEN : faults.F_BAD_ATS_TREQ, out);
    if (!translated || checksTranslated) return true;
    this.#passTranslated(request, out);
    return false;
  }

  /** 3.9.1.1: an address beyond the OAS is truncated, which is one of two things that may become of it. */
  #passTranslated(request: WalkRequest, out: WalkResult): void {
    passThrough(request, out);
    out.frame %= framesIn(this.features.oas);
  }

  /** 3.3.1: the stream table entry. */
  loadDevice(request: WalkRequest, device: StreamContext, out: WalkResult): boolean {
    if (this.#loadStream(request, device, out)) return true;
    // 3.9.1.3: RECINVSID has no say in what becomes of Translated transactions.
    if (request.at === TRANSLATED && out.fault === faults.C_BAD_STREAMID)
      out.recorded = this.features.eventQueue;
    return false;
  }

  #loadStream(request: WalkRequest, device: StreamContext, out: WalkResult): boolean {
    const binding = request.binding;
    if (binding !== null) {
      (binding as SmmuV3Binding).load(device, this.features);
      return true;
    }
    this.tables.littleEndian = true;
    if (!this.structures.readSte(request.device, out)) return false;
    const { view, at } = this.tables;
    if (!StreamContext.valid(view, at)) return this.#refuse(faults.C_BAD_STE, out);
    device.decode(view, at, this.features);
    if (device.config < CONFIG_BYPASS) return this.#refuse(faults.STE_ABORT, out, false);
    const broken = brokenSteRule(device, this.features);
    if (broken !== 0 && !this.#takesAnyway(broken, device, out))
      return this.#refuse(faultOf(STE_RULES, broken), out);
    if (device.stage2Enabled) device.useStage2(view, at, this.features);
    return true;
  }

  #takesAnyway(broken: number, device: StreamContext, out: WalkResult): boolean {
    if (broken === S1_CONTEXT_TOO_WIDE && this.structures.readsBeyond(out)) return true;
    return this.leniency?.(broken, device) ?? false;
  }

  /** 5.2 S1Fmt, S1CDMax, S1DSS: what the stream says about this SubstreamID, or its absence. */
  checkRequest(request: WalkRequest, device: StreamContext, out: WalkResult): boolean {
    if (request.binding === null) out.model = device.s1fmt === S1FMT_LINEAR ? "arm-1lvl" : "arm-2lvl";
    if (request.at !== UNTRANSLATED && request.binding === null && this.#eats(device) === 0) {
      const fault = request.at === TRANSLATED ? faults.F_TRANSL_FORBIDDEN : faults.F_BAD_ATS_TREQ;
      return this.structures.terminate(fault, out);
    }
    if (request.at === TRANSLATED) {
      // 3.9.1.3, 7.3.7: without PASIDTT there are no SubstreamIDs, and nothing is made of that.
      const checked = this.features.translatedPasids && request.binding === null;
      if (checked && !this.#admitsSubstream(request, device, out)) return false;
      if (device.eats === EATS_SPLIT_STAGE) this.#translateIpa(request, device, out);
      else this.#passTranslated(request, out);
      return false;
    }
    return this.#admitsSubstream(request, device, out);
  }

  #admitsSubstream(request: WalkRequest, device: StreamContext, out: WalkResult): boolean {
    const ssid = request.pasid;
    if (!device.stage1Enabled || device.s1cdmax === 0)
      return ssid === NO_PASID || this.structures.terminate(faults.C_BAD_SUBSTREAMID, out);
    if (ssid >= 1 << device.s1cdmax) return this.structures.terminate(faults.C_BAD_SUBSTREAMID, out);
    const dss = device.s1dss;
    const disabled =
      ssid === NO_PASID
        ? dss !== S1DSS_BYPASS && dss !== S1DSS_SUBSTREAM0
        : ssid === 0 && dss === S1DSS_SUBSTREAM0;
    return !disabled || this.structures.terminate(faults.F_STREAM_DISABLED, out);
  }

  /** The effective EATS (5.2): split-stage ATS, and that with DPT checks, need ATSCHK. */
  #eats({ eats }: StreamContext): number {
    const { checksTranslated, dpt } = this.features;
    if (eats === EATS_SPLIT_STAGE) return checksTranslated ? eats : 0;
    return eats === EATS_FULL_DPT && !(checksTranslated && dpt) ? 0 : eats;
  }

  /** 13.6.3: with split-stage ATS, what was translated is an IPA, which stage 2 translates. */
  #translateIpa(request: WalkRequest, device: StreamContext, out: WalkResult): void {
    const second = this.second;
    second.stream = device;
    // 3.9.1.3: without a SubstreamID, or where PASIDTT is 0, it is unprivileged and of data.
    const asItSays = this.features.translatedPasids && request.pasid !== NO_PASID;
    second.privileged = asItSays
      ? privilegeOf(request, device.privcfg)
      : device.privcfg === PRIVCFG_PRIVILEGED;
    second.translated = false;
    out.domain = device.vmid;
    if (!this.#bypassStage1(request, device, out)) return;
    const given = asItSays || request.access !== EXECUTE ? request.access : READ;
    const access = accessOf(given, device.instcfg);
    if (!second.translate(request.addrHi, request.addrLo, access, FOR_DATA, out)) return;
    out.frame = second.frame;
    out.offset = request.addrLo & FRAME_MASK;
    out.pageShift = second.pageShift;
    out.perm = second.perm;
  }

  /** 3.9.1.2 and 3.9.1.3: faults of translation are told in the completion, configuration errors where software asks for it. */
  logsAts(at: number, { fault, stage }: WalkResult): boolean {
    if (fault === faults.F_TRANSL_FORBIDDEN || fault === faults.F_BAD_ATS_TREQ) return true;
    if (at === TRANSLATED && stage !== 0) return true;
    const told = stage !== 0 && fault !== faults.F_WALK_EABT;
    return !told && this.features.recordAtsErrors;
  }

  /** 3.3.2: the context descriptor. */
  loadPasidContext(
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
    this.second.stream = device;
    this.second.privileged = true;
    if (!this.structures.readCd(absent ? 0 : request.pasid, device, out)) return false;
    const { view, at } = this.tables;
    if (!SubstreamContext.valid(view, at)) return this.#refuse(faults.C_BAD_CD, out, true, "PASID_INVALID");
    process.decode(view, at, device, this.features);
    const broken = brokenCdRule(process, device, this.features);
    if (broken !== 0) return this.#refuse(faultOf(CD_RULES, broken), out);
    process.useTables(view, at, this.features);
    return true;
  }

  /** The entry read last is to blame. */
  #refuse(fault: Fault, out: WalkResult, recorded = true, reason: FaultReason = fault.reason): false {
    this.tables.blame(out);
    return this.structures.terminate(fault, out, recorded, reason);
  }

  /** 3.3.2 step 3: stage 1, then stage 2. */
  translate(request: WalkRequest, device: StreamContext, process: SubstreamContext, out: WalkResult): void {
    const access = accessOf(request.access, device.instcfg);
    const privileged = privilegeOf(request, device.privcfg);
    const second = device.stage2Enabled ? this.second : null;
    if (second !== null) {
      second.stream = device;
      second.privileged = privileged;
      second.translated = !process.bypass;
    }
    out.domain = device.vmid;
    let hi = request.addrHi;
    let lo = request.addrLo;
    let groupShift = 0;
    if (process.bypass) {
      if (!this.#bypassStage1(request, device, out)) return;
      if (second === null) return;
    } else {
      out.asid = process.asid;
      if (!this.#translateStage1(hi, lo, access, privileged, process, second, out)) return;
      hi = frameHi(this.stage1.frame);
      lo = frameLo(this.stage1.frame) | (lo & FRAME_MASK);
      groupShift = this.stage1.groupShift;
      if (second !== null) {
        out.ipaFrame = this.stage1.frame;
        out.firstShift = out.pageShift;
      }
    }
    if (second !== null) {
      if (!second.translate(hi, lo, access, FOR_DATA, out)) return;
      out.frame = second.frame;
      out.pageShift = process.bypass ? second.pageShift : Math.min(out.pageShift, second.pageShift);
      groupShift = process.bypass ? second.groupShift : Math.min(groupShift, second.groupShift);
      out.perm &= second.perm;
    }
    if (groupShift > out.pageShift) out.groupShift = groupShift;
    // 13.6.3, 13.6.5: the completion gives the IPA, with the rights of both stages, or of stage 2 where stage 1 is skipped.
    if (request.at === TRANSLATION_REQUEST && device.eats === EATS_SPLIT_STAGE) out.frame = frameOf(hi, lo);
    out.status = OK;
    out.offset = request.addrLo & FRAME_MASK;
  }

  /** 3.4: an address that bypasses stage 1 must be within the IAS, and in a stream that bypasses all, the OAS. */
  #bypassStage1(request: WalkRequest, device: StreamContext, out: WalkResult): boolean {
    const { ias, oas } = this.features;
    if (this.#beyond(request, device.config === CONFIG_BYPASS ? oas : ias)) {
      this.structures.terminate(faults.F_ADDR_SIZE, out);
      out.stage = 1;
      out.faultClass = "IN";
      return false;
    }
    if (device.stage2Enabled) {
      out.perm = READ | WRITE | EXECUTE;
      return true;
    }
    passThrough(request, out);
    // An IPA that stage 2 bypasses is truncated to the OAS.
    out.frame %= framesIn(oas);
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

    const walk = this.stage1;
    const status = walk.walk(this.tables, half.tables, hi, lo, second?.forTables ?? null, out);
    if (status === SECOND_STAGE_FAULT) return false;
    if (status !== WALKED) {
      this.tables.blame(out);
      const reason = walkReason(status, walk.level === half.tables.startLevel);
      this.#stage1Fault(walkFault(status), reason, walk.level, process, out);
      if (status === FETCH_FAILED) out.faultClass = "TT";
      return false;
    }
    if (!stage1AccessFlag(walk) && !process.ha && !process.affd) {
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
    const walk = this.stage1;
    const update =
      (process.ha && !stage1AccessFlag(walk)) ||
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
    out.faultClass = "IN";
    // 5.5: R suppresses the record of a Translation-related fault; one that stalls is always recorded.
    const suppressed = fault !== faults.F_WALK_EABT && !process.r && !process.s;
    out.recorded = this.features.eventQueue && !suppressed;
    return false;
  }

  #beyond(request: WalkRequest, bits: number): boolean {
    return frameOf(request.addrHi, request.addrLo) >= frameLimitOf(bits);
  }
}

/** VA[55] selects TTB0 or TTB1 (3.4.1); a regime with one privilege level has TTB0 alone. */
export function selectHalf(process: SubstreamContext, hi: number): AddressHalf {
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
  if (privcfg === PRIVCFG_PRIVILEGED) return true;
  return privcfg !== PRIVCFG_UNPRIVILEGED && request.pasid !== NO_PASID && request.priv;
}

function passThrough(request: WalkRequest, out: WalkResult): void {
  out.status = OK;
  out.passthrough = true;
  out.passesAround = true;
  out.perm = READ | WRITE | EXECUTE;
  out.frame = frameOf(request.addrHi, request.addrLo);
  out.offset = request.addrLo & FRAME_MASK;
}
