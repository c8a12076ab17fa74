/**
 * The RISC-V IOMMU (RISC-V IOMMU Architecture 1.0, "Process to translate an IOVA"): device directory, process directory,
 * first and second stage, MSI page tables. Step numbers in comments are those of that section.
 */
import type { GuestMemory } from "../memory.ts";
import { FRAME_MASK, FRAME_SHIFT, frameHi, frameLo, frameOf } from "../memory.ts";
import { SV_A, SV_D, SV_U, SV32_LEVELS, SvWalk, svGeometry, svInputBits } from "../page-tables/riscv-sv.ts";
import { ADDRESS_SIZE, FETCH_FAILED, FOR_DATA, SECOND_STAGE_FAULT, WALKED } from "../page-tables/stage.ts";
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
import { FAULT, OK, type WalkResult } from "../result.ts";
import { TableReader } from "../table-reader.ts";
import { faultOf } from "../tables/entry-rule.ts";
import type { IommuWalker, PasidTableConfig } from "../walker.ts";
import { bindRiscv, fillBoundDevice, type RiscvBinding } from "./binding.ts";
import { RiscvConfig } from "./config.ts";
import { RiscvDevice, RiscvPasidContext } from "./context.ts";
import { Directories, deviceIdBits, processIdBits } from "./directory.ts";
import {
  ALL_INBOUND_DISALLOWED,
  accessFault,
  answeredByAts,
  pageFault,
  reportedWithDtf,
  TRANSACTION_DISALLOWED,
} from "./faults.ts";
import { MSIPTP_OFF, PDTP_BARE } from "./layouts.ts";
import { inInterruptFile, translateMsi } from "./msi.ts";
import { DDTP_1LVL, DDTP_3LVL, DDTP_BARE } from "./registers.ts";
import { brokenDeviceRule, DEVICE_RULES, firstStageLevels } from "./rules.ts";
import { fetchReason, RiscvSecondStage, rightsOf, svWalkReason } from "./second-stage.ts";

const ALL_RIGHTS = READ | WRITE | EXECUTE;

export class RiscvWalker implements IommuWalker<RiscvDevice, RiscvPasidContext> {
  readonly model = "riscv";
  readonly tables: TableReader;
  readonly config = new RiscvConfig();
  readonly #directories: Directories;
  readonly #first = new SvWalk(1);
  readonly second: RiscvSecondStage;
  /** What has no first stage. */
  readonly #bare = new RiscvPasidContext();
  /** What the first stage grants, after `#firstStage`. */
  #rights = 0;

  constructor(memory: GuestMemory) {
    this.tables = new TableReader(memory);
    this.#directories = new Directories(this.tables, this.config);
    this.second = new RiscvSecondStage(this.tables);
    this.#adopt();
  }

  configure(state: IommuState): void {
    this.config.configure(state);
    this.#adopt();
  }

  bind(config: PasidTableConfig): Binding | string {
    return bindRiscv(config, this.config);
  }

  newDevice(): RiscvDevice {
    return new RiscvDevice();
  }

  newPasidContext(): RiscvPasidContext {
    return new RiscvPasidContext();
  }

  admit(request: WalkRequest, out: WalkResult): boolean {
    out.model = "riscv";
    if (request.binding !== null) return true;
    const mode = this.config.ddtMode;
    // Step 2. Bare: only Untranslated requests, and they pass.
    if (mode === DDTP_BARE) {
      if (request.at !== UNTRANSLATED) return out.fail(TRANSACTION_DISALLOWED);
      this.#passThrough(request, out);
      return false;
    }
    // Step 1. Off; a reserved mode cannot be written, so nothing is known to be allowed in it either.
    if (mode < DDTP_1LVL || mode > DDTP_3LVL) return out.fail(ALL_INBOUND_DISALLOWED);
    // Steps 3 to 5. A device_id wider than the mode.
    if (request.device >>> deviceIdBits(mode, this.config.msiFlat) !== 0)
      return out.fail(TRANSACTION_DISALLOWED, "SOURCEID_INVALID");
    return true;
  }

  loadDevice(request: WalkRequest, device: RiscvDevice, out: WalkResult): boolean {
    const binding = request.binding;
    // Step 6.
    if (binding === null) return this.#directories.device(request.device, device, out);
    fillBoundDevice(binding as RiscvBinding, this.config, device);
    const broken = brokenDeviceRule(device, this.config);
    return broken === 0 || out.fail(faultOf(DEVICE_RULES, broken));
  }

  checkRequest(request: WalkRequest, device: RiscvDevice, out: WalkResult): boolean {
    // Step 7. ATS has to be enabled; of a bound device its host has seen to that.
    if (request.at !== UNTRANSLATED && device.enAts === 0 && request.binding === null) {
      out.fail(TRANSACTION_DISALLOWED);
      return suppress(device, out);
    }
    if (!this.#admitsProcess(request, device, out)) return false;
    if (request.at !== TRANSLATED) return true;
    this.#translated(request, device, out);
    return false;
  }

  /** Steps 8 and 9. A Translated request is done, or has a guest physical address. */
  #translated(request: WalkRequest, device: RiscvDevice, out: WalkResult): void {
    if (device.t2gpa === 0) {
      this.#passThrough(request, out);
      return;
    }
    out.domain = device.gscid;
    this.#stages(request, device, this.#bare, false, out);
    if (out.status === FAULT) suppress(device, out);
  }

  #admitsProcess(request: WalkRequest, device: RiscvDevice, out: WalkResult): boolean {
    const processId = request.pasid;
    if (processId === NO_PASID) return true;
    // Step 7. A process_id where none is expected, or one wider than pdtp.MODE.
    const limit = device.pdtv ? 2 ** processIdBits(device.fscMode) : 0;
    if (processId < limit && processId < device.processIdLimit) return true;
    out.fail(TRANSACTION_DISALLOWED, "PASID_INVALID");
    return suppress(device, out);
  }

  loadPasidContext(
    request: WalkRequest,
    device: RiscvDevice,
    process: RiscvPasidContext,
    out: WalkResult,
  ): boolean {
    process.bare();
    // Step 10. The device context itself has the first stage.
    if (!device.pdtv) {
      const levels = firstStageLevels(device.fscMode, device.sxl, this.config);
      process.first(device.fscFrame, levels, device.pscid);
      return true;
    }
    // Steps 12 and 13. No first stage without a process_id, or without a process directory.
    if ((request.pasid === NO_PASID && !device.dpe) || device.fscMode === PDTP_BARE) return true;
    // Steps 11 and 14.
    const processId = request.pasid === NO_PASID ? 0 : request.pasid;
    // A translation request meets what a read meets.
    const access = request.at === TRANSLATION_REQUEST ? READ : request.access;
    const second = this.#beginSecond(device, access, true);
    if (this.#directories.process(processId, device, second, process, out)) return true;
    return suppress(device, out);
  }

  translate(request: WalkRequest, device: RiscvDevice, process: RiscvPasidContext, out: WalkResult): void {
    out.domain = device.gscid;
    out.asid = process.pscid;
    // Step 15. Without a process_id a request is not supervisor's.
    const supervisor = request.priv && request.pasid !== NO_PASID;
    if (supervisor && process.located && !process.ens) out.fail(TRANSACTION_DISALLOWED, "PERMISSION");
    else this.#stages(request, device, process, supervisor, out);
    if (out.status === FAULT) suppress(device, out);
  }

  /** PCIe ATS translation request handling: what is answered by success and no rights has no record. */
  logsAts(at: number, { fault }: WalkResult): boolean {
    return at !== TRANSLATION_REQUEST || fault === null || !answeredByAts(fault);
  }

  /** Steps 17 to 20. */
  #stages(
    request: WalkRequest,
    device: RiscvDevice,
    process: RiscvPasidContext,
    supervisor: boolean,
    out: WalkResult,
  ): void {
    const nested = process.firstLevels !== 0;
    const second = this.#beginSecond(device, request.access, nested);
    let hi = request.addrHi;
    let lo = request.addrLo;
    // Step 17. The first stage gives the guest physical address.
    this.#rights = ALL_RIGHTS;
    if (nested) {
      if (!this.#firstStage(request, device, process, supervisor, second, out)) return;
      const first = this.#first;
      out.global = first.global;
      if (second !== null) {
        out.ipaFrame = first.frame;
        out.firstShift = first.pageShift;
      }
      hi = frameHi(first.frame);
      lo = frameLo(first.frame) | (lo & FRAME_MASK);
    }
    // Step 18. Interrupt files, also where the second stage is Bare.
    if (inInterruptFile(device, hi, lo, FRAME_SHIFT)) {
      if (!translateMsi(this.tables, device, this.config, hi, lo, request.access, this.#rights, out)) return;
    } else if (second !== null) {
      if (!this.#secondStage(request, device, second, hi, lo, nested, out)) return;
    } else if (nested) this.#firstAlone(device, process.firstLevels, hi, lo, out);
    else {
      this.#passThrough(request, out);
      out.passesAround = device.msiMode === MSIPTP_OFF;
    }
    // Translation control (tc), T2GPA: a completion gives the guest physical address, with the rights of both stages.
    if (request.at === TRANSLATION_REQUEST && device.t2gpa !== 0 && out.status === OK) {
      out.frame = frameOf(hi, lo);
      out.offset = lo & FRAME_MASK;
    }
  }

  /** Step 19 where the second stage is Bare: the guest physical address is the one. */
  #firstAlone(device: RiscvDevice, levels: number, hi: number, lo: number, out: WalkResult): void {
    const first = this.#first;
    out.frame = first.frame;
    out.offset = lo & FRAME_MASK;
    out.pageShift = this.#clearOfInterruptFiles(device, levels, hi, lo, first.pageShift);
    out.repeated = first.napot;
    out.perm = this.#rights;
  }

  /** Step 19. */
  #secondStage(
    request: WalkRequest,
    device: RiscvDevice,
    second: RiscvSecondStage,
    hi: number,
    lo: number,
    nested: boolean,
    out: WalkResult,
  ): boolean {
    if (!second.translate(hi, lo, request.access, FOR_DATA, out)) return false;
    const pageShift = this.#clearOfInterruptFiles(device, device.secondLevels, hi, lo, second.pageShift);
    out.frame = second.frame;
    out.offset = lo & FRAME_MASK;
    out.pageShift = nested ? Math.min(pageShift, this.#first.pageShift) : pageShift;
    out.repeated = second.table.napot || (nested && this.#first.napot);
    out.perm = this.#rights & second.perm;
    return true;
  }

  /** The first stage's walk and the checks on its leaf (Privileged specification, steps 6 to 9). */
  #firstStage(
    request: WalkRequest,
    device: RiscvDevice,
    process: RiscvPasidContext,
    supervisor: boolean,
    second: RiscvSecondStage | null,
    out: WalkResult,
  ): boolean {
    const first = this.#first;
    const access = request.access;
    const levels = process.firstLevels;
    out.stage = 1;
    if (!inRange(request.addrHi, levels)) return out.fail(pageFault(access), "OOR_ADDRESS");
    first.littleEndian = device.sbe === 0;
    const status = first.walk(
      this.tables,
      process.firstFrame,
      levels,
      request.addrHi,
      request.addrLo,
      second,
      out,
    );
    if (status === SECOND_STAGE_FAULT) return false;
    if (status === FETCH_FAILED || status === ADDRESS_SIZE) {
      first.blame(out);
      return out.fail(accessFault(access), fetchReason(first.level, levels));
    }
    if (status !== WALKED) {
      first.blame(out);
      return out.fail(pageFault(access), svWalkReason(status));
    }
    const leaf = first.leaf;
    const rights = firstRights(leaf, supervisor, process.sum);
    if ((access & ~rights) !== 0) {
      first.blame(out);
      return out.fail(pageFault(access), "PERMISSION");
    }
    // A and D: a fault, or with SADE an update, which is a store that the second stage must allow.
    const clean = (leaf & SV_D) === 0;
    const notAccessed = (leaf & SV_A) === 0;
    const mayUpdate = device.sade !== 0 && (second === null || (second.perm & WRITE) !== 0);
    if (notAccessed || (clean && (access & WRITE) !== 0)) {
      if (device.sade === 0) {
        first.blame(out);
        return out.fail(pageFault(access), notAccessed ? "ACCESS" : "PERMISSION");
      }
      if (!mayUpdate && second !== null) {
        second.refuseUpdate(out);
        return false;
      }
    }
    this.#rights = clean && !mayUpdate ? rights & ~WRITE : rights;
    out.stage = 0;
    return true;
  }

  #beginSecond(device: RiscvDevice, access: number, nested: boolean): RiscvSecondStage | null {
    if (device.secondLevels === 0) return null;
    this.second.begin(device, access, nested);
    return this.second;
  }

  /** The size of the largest page around a guest address that has no interrupt file in it: those have their own table. */
  #clearOfInterruptFiles(
    device: RiscvDevice,
    levels: number,
    hi: number,
    lo: number,
    pageShift: number,
  ): number {
    let shift = pageShift;
    const step = svGeometry(levels).bits;
    while (shift > FRAME_SHIFT && inInterruptFile(device, hi, lo, shift))
      shift = Math.max(shift - step, FRAME_SHIFT);
    return shift;
  }

  #passThrough(request: WalkRequest, out: WalkResult): void {
    out.frame = frameOf(request.addrHi, request.addrLo);
    out.offset = request.addrLo & FRAME_MASK;
    out.perm = ALL_RIGHTS;
    out.passthrough = true;
    out.passesAround = true;
  }

  #adopt(): void {
    const config = this.config;
    this.#first.configure(config.has, config.frameLimit);
    this.second.table.configure(config.has, config.frameLimit);
    this.second.table.littleEndian = config.be === 0;
  }
}

/** Sv32 addresses have 32 bits; of the others the bits above must all equal the highest (39, 48, 57 bits). */
function inRange(hi: number, levels: number): boolean {
  if (levels === SV32_LEVELS) return hi === 0;
  // The scheme's sign bit stands here in the high half.
  const sign = hi >> (svInputBits(levels) - 1 - 32);
  return sign === 0 || sign === -1;
}

/** What a leaf of the first stage grants (RISC-V IOMMU 1.0, Process-context fields: ENS and SUM). */
function firstRights(leaf: number, supervisor: boolean, sum: number): number {
  const rights = rightsOf(leaf);
  const userPage = (leaf & SV_U) !== 0;
  if (!supervisor) return userPage ? rights : 0;
  if (!userPage) return rights;
  return sum ? rights & ~EXECUTE : 0;
}

/** tc.DTF: the causes that are not reported. Returns false, so that callers can return it. */
function suppress(device: RiscvDevice, out: WalkResult): false {
  if (device.dtf && out.fault !== null && !reportedWithDtf(out.fault)) out.recorded = false;
  return false;
}
