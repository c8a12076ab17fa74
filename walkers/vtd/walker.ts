import { inInterruptRange } from "../interrupt-range.ts";
import type { GuestMemory } from "../memory.ts";
import { SecondStageEntry } from "../page-tables/vtd-second-stage.ts";
import { X86Entry, X8664Walk } from "../page-tables/x86-64.ts";
import type { IommuState } from "../registers.ts";
import { type Binding, EXECUTE, NO_PASID, TRANSLATED, type WalkRequest, WRITE } from "../request.ts";
import { MSI, type WalkResult } from "../result.ts";
import { TableReader } from "../table-reader.ts";
import type { IommuWalker, PasidTableConfig } from "../walker.ts";
import { admitsAts, logsAts, passTranslated } from "./ats.ts";
import { VtdBinding, wrongWith } from "./binding.ts";
import { VtdCapabilities } from "./capabilities.ts";
import { EXTENDED_CONTEXT, SCALABLE_CONTEXT, VtdDevice, VtdPasidContext } from "./context.ts";
import { checkExtendedRequest, loadExtendedDevice, loadExtendedPasid } from "./ecs.ts";
import { INTERRUPT_RANGE, LCT_5, RTA_2, RTA_5 } from "./faults.ts";
import { loadLegacyDevice, loadWithoutPasid } from "./legacy.ts";
import { refuse } from "./refusals.ts";
import { TTM_EXTENDED, TTM_LEGACY, TTM_SCALABLE } from "./registers.ts";
import { checkScalableRequest, loadScalableDevice, loadScalablePasid } from "./scalable.ts";
import { VtdSecondStage } from "./second-stage.ts";
import { identity, type TranslateUnit, translate } from "./translate.ts";

/**
 * Intel VT-d: legacy, scalable and abort mode (Architecture Specification, revision 5.10; execute requests as in
 * 4.0), and the extended mode of revisions 2.x; from the root table, or from a bound PASID table.
 */
export class VtdWalker implements IommuWalker<VtdDevice, VtdPasidContext>, TranslateUnit {
  readonly model = "intel";
  readonly tables: TableReader;
  readonly caps = new VtdCapabilities();
  readonly first = new X8664Walk();
  readonly second: VtdSecondStage;
  firstReservedHi = 0;

  constructor(memory: GuestMemory) {
    this.tables = new TableReader(memory);
    this.second = new VtdSecondStage(this.tables);
    this.#apply();
  }

  configure(state: IommuState): void {
    this.caps.configure(state);
    this.#apply();
  }

  /** Reserved bits of paging entries: 51:HAW (3.6, 3.7), and IW where it is not in use (9.8). */
  #apply(): void {
    const { caps } = this;
    const beyond = hiBitsFrom(caps.hostWidth) & X86Entry.mask.ADDR.hi;
    this.firstReservedHi = beyond;
    this.first.gigabytePages = caps.firstStageGigabyte;
    this.second.configure(caps, beyond | (caps.ioRights ? 0 : SecondStageEntry.mask.IW.hi));
  }

  bind(config: PasidTableConfig): Binding | string {
    return wrongWith(config) || new VtdBinding(config);
  }

  newDevice(): VtdDevice {
    return new VtdDevice();
  }

  newPasidContext(): VtdPasidContext {
    return new VtdPasidContext();
  }

  admit(request: WalkRequest, out: WalkResult): boolean {
    const { caps } = this;
    const bound = request.binding !== null;
    out.model = request.binding?.model ?? (caps.mode === TTM_EXTENDED ? "intel-ecs" : "intel");
    const translated = bound || caps.translationEnabled;
    const withPasid = request.pasid !== NO_PASID;

    // 3.15: without PASID, a write to the interrupt address range is an interrupt; anything else is illegal.
    const interrupt = !withPasid && request.at !== TRANSLATED;
    if (interrupt && inInterruptRange(request.addrHi, request.addrLo)) {
      if (request.access === WRITE) {
        out.status = MSI;
        return false;
      }
      if (translated) return refuse(out, INTERRUPT_RANGE, 0);
    }
    // 11.4.4.2, TES: without translation the address is used as it is.
    if (!translated) {
      identity(request, out);
      return false;
    }
    if (withPasid && request.access === EXECUTE && caps.refusesExecute) return refuse(out, RTA_5, 0);
    if (bound) return true;
    if (caps.rootFault !== null) return refuse(out, caps.rootFault, 0);
    if (withPasid) return caps.mode !== TTM_LEGACY || refuse(out, RTA_2, 0);
    return caps.rootFaultWithoutPasid === null || refuse(out, caps.rootFaultWithoutPasid, 0);
  }

  loadDevice(request: WalkRequest, device: VtdDevice, out: WalkResult): boolean {
    if (request.binding !== null) {
      (request.binding as VtdBinding).fill(device);
      return true;
    }
    switch (this.caps.mode) {
      case TTM_SCALABLE:
        return loadScalableDevice(this, request, device, out);
      case TTM_EXTENDED:
        return loadExtendedDevice(this, request, device, out);
      default:
        return loadLegacyDevice(this, request, device, out);
    }
  }

  checkRequest(request: WalkRequest, device: VtdDevice, out: WalkResult): boolean {
    if (!this.#admits(request, device, out)) return false;
    if (request.at !== TRANSLATED) return true;
    passTranslated(this, request, device, out);
    return false;
  }

  #admits(request: WalkRequest, device: VtdDevice, out: WalkResult): boolean {
    switch (device.context) {
      case SCALABLE_CONTEXT:
        return checkScalableRequest(request, device, out);
      case EXTENDED_CONTEXT:
        return admitsAts(request, device, LCT_5, out) && checkExtendedRequest(request, device, out);
      default:
        return admitsAts(request, device, LCT_5, out);
    }
  }

  logsAts(at: number, out: WalkResult): boolean {
    return logsAts(at, out);
  }

  loadPasidContext(
    request: WalkRequest,
    device: VtdDevice,
    process: VtdPasidContext,
    out: WalkResult,
  ): boolean {
    switch (device.context) {
      case SCALABLE_CONTEXT:
        return loadScalablePasid(this, request, device, process, out);
      case EXTENDED_CONTEXT:
        return loadExtendedPasid(this, request, device, process, out);
      default:
        loadWithoutPasid(device, process);
        return true;
    }
  }

  translate(request: WalkRequest, device: VtdDevice, process: VtdPasidContext, out: WalkResult): void {
    translate(this, request, device, process, out);
  }
}

/** Bits 63:32 of a word from bit `width` up; `width` is at least 32. */
function hiBitsFrom(width: number): number {
  return width >= 64 ? 0 : -1 << (width - 32);
}
