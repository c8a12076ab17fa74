import type { Layout } from "../layout.ts";
import { FRAME_SHIFT } from "../memory.ts";
import type { IommuState } from "../registers.ts";
import { MAX_PASID_BITS } from "../request.ts";
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
import { reservedUnder, type VtdCapabilityValues, type VtdReservedBits } from "./reserved-bits.ts";

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

  readonly #frameLimits = new Float64Array(16);

  constructor() {
    this.#derive();
    this.reserved = reservedUnder(new Map(), this.hostWidth);
  }

  /** Takes over registers and properties. What is not given reads as present and at its widest. */
  configure(state: IommuState): void {
    const values = valuesOf(state);
    this.#readCapabilities(state, values);
    this.#readRoot(state, values);
    this.#derive();
    this.reserved = reservedUnder(values, this.hostWidth);
  }

  /** Width of second-stage input addresses: the smaller of CAP.MGAW and what the levels translate. */
  secondStageWidth(levels: number): number {
    return Math.min(this.guestWidth, FRAME_SHIFT + 9 * levels);
  }

  /** First 4 KiB frame number beyond second-stage input addresses. */
  secondStageFrames(levels: number): number {
    return this.#frameLimits[levels]!;
  }

  #readCapabilities(state: IommuState, values: VtdCapabilityValues): void {
    const cap = (field: CapField, absent: number) => read(state, "cap", CapabilityRegister, field, absent);
    const ecap = (field: EcapField, absent: number) =>
      read(state, "ecap", ExtendedCapabilityRegister, field, absent);
    const has = (field: EcapField) => values.get(field) !== 0;

    this.hostWidth = Math.min(state.property("output_bits") ?? WIDEST_HOST_ADDRESS, 64);
    this.guestWidth = state.property("input_bits") ?? cap("MGAW", 63) + 1;
    this.sagaw = cap("SAGAW", 0b1110);
    this.largePages = cap("SSLPS", 0b11);
    this.firstStageGigabyte = cap("FS1GP", 1) !== 0;
    this.firstStageFiveLevel = cap("FS5LP", 1) !== 0;
    this.pasidLimit = 2 ** (state.property("pasid_bits") ?? ecap("PSS", MAX_PASID_BITS - 1) + 1);
    this.firstStage = has("FSTS");
    this.secondStage = has("SSTS");
    this.nested = has("NEST");
    this.passThrough = has("PT");
    this.deviceTlb = has("DT");
    this.executeRequests = has("ERS");
    this.ridPasid = has("RPS");
    this.ridPriv = has("RPRIVS");
    this.snoopControl = has("SC");
    this.updatesFlags = (state.property("httu") ?? 1) !== 0;
    this.snoopsOnRequest = ecap("SMPWCS", 0) !== 0;
    this.refusesExecute = state.field("ver", VersionRegister, "MAX", 0) >= VERSION_WITHOUT_EXECUTE;
  }

  /** RTADDR_REG and GSTS_REG (VT-d 5.10, 11.4.5 and 7.1.3, RTA.1 and RTA.4). */
  #readRoot(state: IommuState, values: VtdCapabilityValues): void {
    const has = (field: EcapField) => values.get(field) !== 0;
    const rtaddr = (field: keyof typeof RootTableAddressRegister.fields) =>
      state.field("rtaddr", RootTableAddressRegister, field, 0);
    this.translationEnabled = state.field("gsts", GlobalStatusRegister, "TES", 1) !== 0;
    this.mode = rtaddr("TTM");
    // 11.4.5: bits from the host address width on need not be implemented.
    this.rootFrame = rtaddr("RTA") % 2 ** (this.hostWidth - FRAME_SHIFT);
    this.ioRights = rtaddr("SSIRWE") !== 0 && has("SSIRWS");
    this.rootFault = null;
    if (this.mode === TTM_SCALABLE && !has("SMTS")) this.rootFault = RTA_1_3;
    if (this.mode === TTM_EXTENDED && !has("ECS")) this.rootFault = RTA_1_2;
    if (this.mode === TTM_ABORT) this.rootFault = has("ADMS") ? RTA_4 : RTA_1_1;
    this.rootFaultWithoutPasid = this.mode === TTM_LEGACY && this.ioRights ? RTA_1_4 : null;
  }

  #derive(): void {
    for (let levels = 0; levels < this.#frameLimits.length; levels++)
      this.#frameLimits[levels] = 2 ** (this.secondStageWidth(levels) - FRAME_SHIFT);
  }
}

/** The fields of ECAP, and ND of CAP. */
function valuesOf(state: IommuState): VtdCapabilityValues {
  const values = new Map<string, number>();
  for (const name of ExtendedCapabilityRegister.names())
    values.set(name, read(state, "ecap", ExtendedCapabilityRegister, name, 1));
  values.set("ND", read(state, "cap", CapabilityRegister, "ND", 6));
  // SSADS without SSTS means nothing (VT-d 5.10, 9.6: SSADE is reserved without either).
  if (values.get("SSTS") === 0) values.set("SSADS", 0);
  return values;
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
