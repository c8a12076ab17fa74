import { inInterruptRange } from "../interrupt-range.ts";
import { FRAME_MASK, frameHi, frameLo, frameOf, type GuestMemory } from "../memory.ts";
import { DENIED, FOR_DATA, SECOND_STAGE_FAULT, WALKED } from "../page-tables/stage.ts";
import { X8664Walk, x86InputBits } from "../page-tables/x86-64.ts";
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
import { MSI, type WalkResult } from "../result.ts";
import { TableReader } from "../table-reader.ts";
import type { IommuWalker, PasidTableConfig } from "../walker.ts";
import { bindGcr3Table } from "./bind.ts";
import { Configuration } from "./configuration.ts";
import { AmdViBinding, DeviceContext, PasidContext } from "./context.ts";
import { DeviceTable } from "./device-table.ts";
import { EventReporter } from "./event-reporter.ts";
import { FLAG_I, FLAG_NX, REQUEST_TYPE_SHIFT } from "./events.ts";
import { INTERRUPT_READ, INVALID_DEVICE_REQUEST, TRANSLATED_REQUEST } from "./faults.ts";
import { loadGcr3 } from "./gcr3-table.ts";
import { HostStage, hostAccess, hostPerm } from "./host-stage.ts";
import {
  BY_TABLES,
  FORWARDED,
  hyperTransportAnswer,
  INTERRUPT,
  inHyperTransportRange,
} from "./hypertransport.ts";

const ALL_ACCESS = READ | WRITE | EXECUTE;

/** Walks an AMD IOMMU's tables: AMD 48882, "AMD I/O Virtualization Technology (IOMMU) Specification". */
export class AmdViWalker implements IommuWalker<DeviceContext, PasidContext> {
  readonly model = "amd";
  readonly tables: TableReader;
  readonly configuration = new Configuration();
  readonly #events: EventReporter;
  readonly #deviceTable: DeviceTable;
  readonly #host: HostStage;
  readonly #guest = new X8664Walk();
  readonly otherReadings = 1;
  #otherReading = false;

  constructor(memory: GuestMemory) {
    this.tables = new TableReader(memory);
    this.#events = new EventReporter(this.tables);
    this.#deviceTable = new DeviceTable(this.tables, this.#events, this.configuration);
    this.#host = new HostStage(this.tables, this.#events);
  }

  /** 1: all host entries have one format, and guest tables extend signs for requests without PASID too. */
  get reading(): number {
    return this.#otherReading ? 1 : 0;
  }

  set reading(reading: number) {
    this.#otherReading = reading !== 0;
    this.#host.walk.oneFormat = this.#otherReading;
  }

  configure(state: IommuState): void {
    const configuration = this.configuration;
    configuration.load(state);
    this.#events.eventLog = configuration.eventLog;
    this.#host.walk.reservedHi = configuration.addressReservedHi;
  }

  bind(config: PasidTableConfig): Binding | string {
    return bindGcr3Table(config);
  }

  newDevice(): DeviceContext {
    return new DeviceContext();
  }

  newPasidContext(): PasidContext {
    return new PasidContext();
  }

  /** Interrupts and a disabled IOMMU, before any table. */
  admit(request: WalkRequest, out: WalkResult): boolean {
    out.model = "amd";
    if (inInterruptRange(request.addrHi, request.addrLo)) {
      this.#events.begin(request, request.pasid !== NO_PASID, this.#isUser(request), 0);
      return this.#interrupt(request, out);
    }
    if (this.configuration.enabled !== 0 || request.binding !== null) return true;
    passThrough(request, ALL_ACCESS, out);
    out.passesAround = true;
    return false;
  }

  /** 2.2.2: the device table entry. */
  loadDevice(request: WalkRequest, device: DeviceContext, out: WalkResult): boolean {
    out.model = "amd";
    const binding = request.binding;
    if (binding instanceof AmdViBinding) {
      device.copyFrom(binding.device);
      device.pasidLimit = Math.min(device.pasidLimit, this.configuration.pasidLimit);
      return true;
    }
    this.#events.begin(request, request.pasid !== NO_PASID, this.#isUser(request), 0);
    return this.#deviceTable.load(request, device, out);
  }

  /** 2.2.2, tables 7 and 8: what the entry says of this kind of request. */
  checkRequest(request: WalkRequest, device: DeviceContext, out: WalkResult): boolean {
    out.domain = device.domain;
    if (request.at !== UNTRANSLATED && request.binding === null && (device.valid & device.iotlb) === 0)
      return this.#refuseAts(request, device, out);
    if (request.at === TRANSLATED) {
      passThrough(request, ALL_ACCESS, out);
      out.passesAround = true;
      return false;
    }
    // V=0: forwarded untranslated.
    if (device.valid === 0) return true;
    const pasid = request.pasid;
    const events = this.#events;
    events.begin(request, pasid !== NO_PASID, this.#isUser(request), device.suppress);
    if (pasid === NO_PASID) {
      if (this.#isSpecial(request) && !this.#reachesTables(request, device, out)) return false;
      if (this.#excluded(request, device)) return passThrough(request, ALL_ACCESS, out);
    }
    // V=1, TV=0: a table walk would be needed and is terminated.
    if (device.translate === 0) return events.pageFault(out, 0, "BAD_DEVICE_CONTEXT");
    if (pasid === NO_PASID) return true;
    if (device.guest === 0) {
      events.fail(out, INVALID_DEVICE_REQUEST, 0, "PASID_INVALID");
      // Which of the event's types this is, the published revisions do not say.
      out.flags = -1;
      return false;
    }
    return pasid < device.pasidLimit ? true : events.pageFault(out, 0, "PASID_INVALID");
  }

  /** 2.2.2, I, and 2.5.9: a translated request is an event of its own; a translation request is aborted, and no event. */
  #refuseAts(request: WalkRequest, device: DeviceContext, out: WalkResult): false {
    this.#events.begin(request, request.pasid !== NO_PASID, this.#isUser(request), device.suppress);
    return this.#invalid(out, TRANSLATED_REQUEST);
  }

  /** What a completion tells (nothing is mapped, or no right is granted, or ATS is off) has no event. */
  logsAts(at: number, { fault, reason }: WalkResult): boolean {
    const told = reason === "PTE_FETCH" || reason === "PERMISSION" || fault === INVALID_DEVICE_REQUEST;
    return at !== TRANSLATION_REQUEST || !told;
  }

  /** 2.2.6: the guest CR3 table. */
  loadPasidContext(
    request: WalkRequest,
    device: DeviceContext,
    process: PasidContext,
    out: WalkResult,
  ): boolean {
    const withPasid = request.pasid !== NO_PASID;
    process.guest = device.valid !== 0 && device.guest !== 0 && (withPasid || device.giov !== 0) ? 1 : 0;
    if (process.guest === 0) return true;
    this.#events.begin(request, true, this.#isUser(request), device.suppress);
    const host = this.#hostOf(device);
    // GIOV: without PASID, PASID 0.
    const pasid = withPasid ? request.pasid : 0;
    return loadGcr3(this.tables, this.#events, device, pasid, host, process, out);
  }

  translate(request: WalkRequest, device: DeviceContext, process: PasidContext, out: WalkResult): void {
    out.domain = device.domain;
    if (device.valid === 0) {
      passThrough(request, ALL_ACCESS, out);
      out.passesAround = true;
      return;
    }
    const guest = process.guest !== 0;
    this.#events.begin(request, guest, this.#isUser(request), device.suppress);
    if (guest) this.#translateGuest(request, device, process, out);
    else this.#translateHost(request, device, out);
  }

  /** A GPA: the host tables alone, or, with Mode 0, nothing but the entry's IR and IW (table 8). */
  #translateHost(request: WalkRequest, device: DeviceContext, out: WalkResult): void {
    if (device.mode === 0) {
      if ((hostAccess(request.access) & ~device.perm) !== 0) this.#events.denied(out);
      else {
        passThrough(request, hostPerm(device.perm), out);
        // The exclusion range may begin at any frame.
        out.passesAround = this.configuration.exclusion === 0;
      }
      return;
    }
    const host = this.#host;
    host.begin(device, false);
    if (!host.translate(request.addrHi, request.addrLo, request.access, FOR_DATA, out)) return;
    out.frame = host.frame;
    out.offset = request.addrLo & FRAME_MASK;
    out.pageShift = host.pageShift;
    out.repeated = host.walk.repeated;
    out.perm = host.perm;
  }

  /** A GVA (2.2.6): guest tables, whose fetches and result go through the host tables. */
  #translateGuest(request: WalkRequest, device: DeviceContext, process: PasidContext, out: WalkResult): void {
    const walk = this.#guest;
    const { addrHi, addrLo } = request;
    const host = this.#hostOf(device);
    // Addresses in guest tables are as wide as the host tables translate; only flat ones are system-physical.
    walk.reservedHi = host === null ? this.configuration.addressReservedHi : 0;
    // Without PASID (GIOV) no sign is extended: all 48 or 57 bits count (Linux, drivers/iommu/amd/iommu.c,
    // amd_iommu_domain_alloc_paging_v2). The specification speaks of tables as those of processors, which do.
    const withPasid = request.pasid !== NO_PASID;
    walk.signed = withPasid || this.#otherReading;
    if (!withPasid && signMatters(addrHi, device.guestLevels)) out.disputed = true;
    const status = walk.walk(this.tables, process.root, device.guestLevels, addrHi, addrLo, host, out);
    if (status === SECOND_STAGE_FAULT) return;
    if (status !== WALKED) {
      this.#events.walkFault(out, status, 1, walk.level, device.guestLevels, true);
      return;
    }
    if (!this.#permitted(request, walk, out)) return;
    let frame = walk.frame;
    let shift = walk.pageShift;
    let perm = this.#guestRights(request, walk);
    if (host === null) {
      if ((hostAccess(request.access) & ~device.perm) !== 0) {
        this.#events.denied(out);
        return;
      }
      perm &= hostPerm(device.perm);
    } else {
      out.ipaFrame = frame;
      out.firstShift = shift;
      const lo = frameLo(frame) | (addrLo & FRAME_MASK);
      if (!host.translate(frameHi(frame), lo, request.access, FOR_DATA, out)) return;
      frame = host.frame;
      shift = Math.min(shift, host.pageShift);
      out.repeated = host.walk.repeated;
      perm &= host.perm;
    }
    out.frame = frame;
    out.offset = addrLo & FRAME_MASK;
    out.pageShift = shift;
    out.perm = perm;
    out.global = walk.global;
  }

  /** What guest tables grant to requests of this privilege. */
  #guestRights(request: WalkRequest, walk: X8664Walk): number {
    if (this.#isUser(request) && !walk.user) return 0;
    const executable = !walk.executeDisable || this.configuration.noExecute === 0;
    return READ | (walk.writable ? WRITE : 0) | (executable ? EXECUTE : 0);
  }

  /** The rights that guest tables grant, taken together over all levels as with CR0.WP=1 (2.2.6). */
  #permitted(request: WalkRequest, walk: X8664Walk, out: WalkResult): boolean {
    const access = request.access;
    // Nothing is asked for but what the tables say.
    if (access === 0) return true;
    const executes = (access & EXECUTE) !== 0 && this.configuration.noExecute !== 0;
    const noExecute = executes && walk.executeDisable;
    if (this.#isUser(request) && !walk.user) walk.blame(this.tables, "US");
    else if ((access & WRITE) !== 0 && !walk.writable) walk.blame(this.tables, "RW");
    else if (noExecute) walk.blame(this.tables, "XD");
    else return true;
    this.#events.walkFault(out, DENIED, 1, walk.level, 0, false);
    if (noExecute) out.flags |= FLAG_NX;
    return false;
  }

  /** The second stage under the guest tables of a device, or null where GPAs are SPAs. */
  #hostOf(device: DeviceContext): HostStage | null {
    if (device.mode === 0) return null;
    this.#host.begin(device, true);
    return this.#host;
  }

  /** USSup=0: every request has user privilege; otherwise only a PASID can carry another. */
  #isUser(request: WalkRequest): boolean {
    return !(request.priv && request.pasid !== NO_PASID && this.configuration.privileges !== 0);
  }

  /** A request to FEEx_xxxx: a posted write is an interrupt, and carries no PASID. */
  #interrupt(request: WalkRequest, out: WalkResult): boolean {
    const posted = request.access === WRITE;
    if (this.configuration.enabled === 0) {
      if (!posted) return passThrough(request, ALL_ACCESS, out);
    } else if (!posted) return this.#invalid(out, INTERRUPT_READ);
    else if (request.pasid !== NO_PASID) return this.#events.pageFault(out, FLAG_I, "PASID_INVALID");
    out.status = MSI;
    return false;
  }

  /** The HyperTransport range; a binding has no device table entry to say what is allowed there. */
  #isSpecial(request: WalkRequest): boolean {
    return (
      this.configuration.ignoresHyperTransport === 0 &&
      request.binding === null &&
      inHyperTransportRange(request)
    );
  }

  /** 2.1.2: whether a request to the HyperTransport range is translated as any other. */
  #reachesTables(request: WalkRequest, device: DeviceContext, out: WalkResult): boolean {
    const answer = hyperTransportAnswer(request, device);
    switch (answer) {
      case BY_TABLES:
        return true;
      case FORWARDED:
        return passThrough(request, ALL_ACCESS, out);
      case INTERRUPT:
        out.status = MSI;
        return false;
      default:
        return this.#invalid(out, answer);
    }
  }

  #invalid(out: WalkResult, type: number): false {
    return this.#events.fail(out, INVALID_DEVICE_REQUEST, type << REQUEST_TYPE_SHIFT);
  }

  /** MMIO offset 0020h: the exclusion range is forwarded untranslated, for all devices or for those with EX=1. */
  #excluded(request: WalkRequest, device: DeviceContext): boolean {
    const configuration = this.configuration;
    if (configuration.exclusion === 0) return false;
    if (configuration.exclusionAll === 0 && device.exclusion === 0) return false;
    const frame = frameOf(request.addrHi, request.addrLo);
    return frame >= configuration.exclusionFirst && frame <= configuration.exclusionLast;
  }
}

/** Forwards a request untranslated. Returns false: there is nothing left to do. */
function passThrough(request: WalkRequest, perm: number, out: WalkResult): false {
  out.frame = frameOf(request.addrHi, request.addrLo);
  out.offset = request.addrLo & FRAME_MASK;
  out.perm = perm;
  out.passthrough = true;
  return false;
}

/** Whether it matters to an address if its highest bit that tables translate is a sign: 48 or 57 bits of it are. */
function signMatters(hi: number, levels: number): boolean {
  const above = hi >> (x86InputBits(levels) - 1 - 32);
  return above === 1 || above === -1;
}
