import type { Layout } from "../layout.ts";
import { FRAME_SHIFT } from "../memory.ts";
import type { IommuState } from "../registers.ts";
import { MAX_PASID_BITS } from "../request.ts";
import { ExtendedContextEntry, ExtendedPasidEntry, ExtendedRootEntry } from "./ecs-structures.ts";
import { RTA_1_1, RTA_1_2, RTA_1_3, RTA_1_4, RTA_4, type VtdFault } from "./faults.ts";
import {
  CapabilityRegister,
  ExtendedCapabilityRegister,
  GlobalStatusRegister,
  RootTableAddressRegister,
  TTM_ABORT,
  TTM_EXTENDED,
  TTM_LEGACY,
  TTM_SCALABLE,
  VersionRegister,
} from "./registers.ts";
import {
  ContextEntry,
  PasidDirectoryEntry,
  PasidEntry,
  RootEntry,
  ScalableContextEntry,
  ScalableRootEntry,
} from "./structures.ts";

/** The host address width where no `output_bits` says otherwise: what the entries' address fields can hold. */
const WIDEST_HOST_ADDRESS = 52;
/** First hardware generation on which execute requests are refused outright (VT-d 5.10, 7.1.3, RTA.5). */
const VERSION_WITHOUT_EXECUTE = 8;

type CapField = keyof typeof CapabilityRegister.fields;
type EcapField = keyof typeof ExtendedCapabilityRegister.fields;

/** Names that a property may use besides the field's own: those of revisions before 3.4, and of Linux. */
const OTHER_NAMES: Partial<Record<CapField | EcapField, readonly string[]>> = {
  SSLPS: ["sllps"],
  FS1GP: ["fl1gp"],
  FS5LP: ["fl5lp", "5lp"],
  FSTS: ["flts"],
  SSTS: ["slts"],
  SSADS: ["slads"],
  SMPWCS: ["smpwc"],
};

/** 32-bit words of the reserved bits of each structure, under the configured capabilities. */
export interface VtdReservedBits {
  root: Uint32Array;
  context: Uint32Array;
  scalableRoot: Uint32Array;
  scalableContext: Uint32Array;
  pasidDirectory: Uint32Array;
  pasid: Uint32Array;
  extendedRoot: Uint32Array;
  extendedContext: Uint32Array;
  extendedPasid: Uint32Array;
}

/** What one remapping unit can do and how it is set up, as plain numbers. */
export class VtdCapabilities {
  translationEnabled = true;
  /** One of the TTM_ constants. */
  mode = TTM_LEGACY;
  rootFrame = 0;
  /** The fault that every request meets because of RTADDR; null: none. */
  rootFault: VtdFault | null = null;
  /** As `rootFault`, for requests without PASID only. */
  rootFaultWithoutPasid: VtdFault | null = null;
  /** Execute requests are refused before any table is read. */
  refusesExecute = false;

  hostWidth = WIDEST_HOST_ADDRESS;
  guestWidth = 64;
  sagaw = 0;
  largePages = 0;
  firstStageGigabyte = true;
  firstStageFiveLevel = true;
  /** PASIDs of requests are below this one. */
  pasidLimit = 2 ** MAX_PASID_BITS;
  firstStage = true;
  secondStage = true;
  nested = true;
  passThrough = true;
  deviceTlb = true;
  executeRequests = true;
  ridPasid = true;
  ridPriv = true;
  snoopControl = true;
  ioRights = false;
  /** Hardware sets accessed and dirty flags in memory. */
  updatesFlags = true;
  /**
   * Page walks snoop caches only where PWSNP asks for it. Without ECAP.SMPWCS software has no say, and whether they
   * do is the platform's business; without ECAP nothing is known. In both cases they are taken to.
   */
  snoopsOnRequest = false;
  reserved: VtdReservedBits;

  readonly #values = new Map<string, number>();
  readonly #frameLimits = new Float64Array(16);

  constructor() {
    this.#derive();
    this.reserved = this.#reservedBits();
  }

  /** Takes over registers and properties. What is not given reads as present and at its widest. */
  configure(state: IommuState): void {
    this.#readCapabilities(state);
    this.#readRoot(state);
    this.#derive();
    this.reserved = this.#reservedBits();
  }

  /** Width of second-stage input addresses: the smaller of CAP.MGAW and what the levels translate. */
  secondStageWidth(levels: number): number {
    return Math.min(this.guestWidth, FRAME_SHIFT + 9 * levels);
  }

  /** First 4 KiB frame number beyond second-stage input addresses. */
  secondStageFrames(levels: number): number {
    return this.#frameLimits[levels]!;
  }

  #readCapabilities(state: IommuState): void {
    const cap = (field: CapField, absent: number) => read(state, "cap", CapabilityRegister, field, absent);
    const ecap = (field: EcapField, absent = 1) =>
      read(state, "ecap", ExtendedCapabilityRegister, field, absent);

    const values = this.#values;
    for (const name of ExtendedCapabilityRegister.names()) values.set(name, ecap(name));
    values.set("ND", cap("ND", 6));
    // SSADS without SSTS means nothing (VT-d 5.10, 9.6: SSADE is reserved without either).
    if (values.get("SSTS") === 0) values.set("SSADS", 0);

    this.hostWidth = Math.min(state.property("output_bits") ?? WIDEST_HOST_ADDRESS, 64);
    this.guestWidth = state.property("input_bits") ?? cap("MGAW", 63) + 1;
    this.sagaw = cap("SAGAW", 0b1110);
    this.largePages = cap("SSLPS", 0b11);
    this.firstStageGigabyte = cap("FS1GP", 1) !== 0;
    this.firstStageFiveLevel = cap("FS5LP", 1) !== 0;
    this.pasidLimit = 2 ** (state.property("pasid_bits") ?? ecap("PSS", MAX_PASID_BITS - 1) + 1);
    this.firstStage = this.#has("FSTS");
    this.secondStage = this.#has("SSTS");
    this.nested = this.#has("NEST");
    this.passThrough = this.#has("PT");
    this.deviceTlb = this.#has("DT");
    this.executeRequests = this.#has("ERS");
    this.ridPasid = this.#has("RPS");
    this.ridPriv = this.#has("RPRIVS");
    this.snoopControl = this.#has("SC");
    this.updatesFlags = (state.property("httu") ?? 1) !== 0;
    this.snoopsOnRequest = ecap("SMPWCS", 0) !== 0;
    this.refusesExecute = state.field("ver", VersionRegister, "MAX", 0) >= VERSION_WITHOUT_EXECUTE;
  }

  /** RTADDR_REG and GSTS_REG (VT-d 5.10, 11.4.5 and 7.1.3, RTA.1 and RTA.4). */
  #readRoot(state: IommuState): void {
    const rtaddr = (field: keyof typeof RootTableAddressRegister.fields) =>
      state.field("rtaddr", RootTableAddressRegister, field, 0);
    this.translationEnabled = state.field("gsts", GlobalStatusRegister, "TES", 1) !== 0;
    this.mode = rtaddr("TTM");
    this.rootFrame = rtaddr("RTA");
    this.ioRights = rtaddr("SSIRWE") !== 0 && this.#has("SSIRWS");
    this.rootFault = null;
    if (this.mode === TTM_SCALABLE && !this.#has("SMTS")) this.rootFault = RTA_1_3;
    if (this.mode === TTM_EXTENDED && !this.#has("ECS")) this.rootFault = RTA_1_2;
    if (this.mode === TTM_ABORT) this.rootFault = this.#has("ADMS") ? RTA_4 : RTA_1_1;
    this.rootFaultWithoutPasid = this.mode === TTM_LEGACY && this.ioRights ? RTA_1_4 : null;
  }

  #derive(): void {
    for (let levels = 0; levels < this.#frameLimits.length; levels++)
      this.#frameLimits[levels] = 2 ** (this.secondStageWidth(levels) - FRAME_SHIFT);
  }

  #has(name: EcapField): boolean {
    return this.#values.get(name) !== 0;
  }

  #reservedBits(): VtdReservedBits {
    const words = <F extends string>(layout: Layout<F>, pointers: readonly F[], domains: readonly F[] = []) =>
      this.#reservedOf(layout, pointers, domains);
    return {
      root: words(RootEntry, ["CTP"]),
      context: words(ContextEntry, ["SSPTPTR"], ["DID"]),
      scalableRoot: words(ScalableRootEntry, ["LCTP", "UCTP"]),
      scalableContext: words(ScalableContextEntry, ["PASIDDIRPTR"]),
      pasidDirectory: words(PasidDirectoryEntry, ["SMPTBLPTR"]),
      pasid: words(PasidEntry, ["SSPTPTR", "FSPTPTR", "HPTPTR"], ["DID", "HPTDID"]),
      extendedRoot: words(ExtendedRootEntry, ["LCTP", "UCTP"]),
      extendedContext: words(ExtendedContextEntry, ["SLPTPTR", "PASIDPTR", "PASIDSTPTR"], ["DID"]),
      extendedPasid: words(ExtendedPasidEntry, ["FLPTPTR"]),
    };
  }

  /**
   * Reserved bits of a structure: undefined ones, those of absent capabilities, pointer bits beyond the host
   * address width, and domain id bits beyond 2*ND + 4 (VT-d 5.10, 9.1 to 9.6).
   */
  #reservedOf<F extends string>(
    layout: Layout<F>,
    pointers: readonly F[],
    domains: readonly F[],
  ): Uint32Array {
    const words = layout.reserved((capability) => this.#values.get(capability) !== 0);
    const reserve = (field: F, from: number) => {
      const [high, low] = layout.fields[field].parts[0]!;
      for (let b = low + Math.max(from, 0); b <= high; b++) words[b >> 5]! |= 1 << (b & 31);
    };
    for (const pointer of pointers) reserve(pointer, this.hostWidth - FRAME_SHIFT);
    for (const domain of domains) reserve(domain, 2 * (this.#values.get("ND") ?? 6) + 4);
    return words;
  }
}

/** A capability field, or the property that overrides it under any of its names. */
function read<F extends CapField | EcapField>(
  state: IommuState,
  register: string,
  layout: Layout<F>,
  field: F,
  absent: number,
): number {
  if (state.property(field.toLowerCase()) === undefined) {
    for (const name of OTHER_NAMES[field] ?? []) {
      const property = state.property(name);
      if (property !== undefined) return property;
    }
  }
  return state.capability(register, layout, field, absent);
}

/** Whether any reserved bit of a structure at byte `at` of `view` is set. */
export function anyReserved(view: DataView, at: number, reserved: Uint32Array): boolean {
  for (let i = 0; i < reserved.length; i++)
    if ((view.getUint32(at + 4 * i, true) & reserved[i]!) !== 0) return true;
  return false;
}

/** As `anyReserved`, in words `from` to `to` - 1 only. */
export function anyReservedIn(
  view: DataView,
  at: number,
  reserved: Uint32Array,
  from: number,
  to: number,
): boolean {
  for (let i = from; i < to; i++) if ((view.getUint32(at + 4 * i, true) & reserved[i]!) !== 0) return true;
  return false;
}
