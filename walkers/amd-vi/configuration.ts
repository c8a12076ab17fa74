import { FRAME_BYTES, FRAME_SHIFT } from "../memory.ts";
import type { IommuState } from "../registers.ts";
import { MAX_PASID_BITS } from "../request.ts";
import { DeviceTableEntry } from "./device-table-entry.ts";
import {
  ControlRegister,
  DeviceTableBase,
  ExclusionBase,
  ExclusionLimit,
  ExtendedFeature2Register,
  ExtendedFeatureRegister,
} from "./registers.ts";

/** Device tables that the device id's top bits select between (MMIO offsets 0000h, 0100h to 0130h). */
const SEGMENTS = 8;
const SEGMENT_BASE = [
  "dev_tab_base",
  ...Array.from({ length: SEGMENTS - 1 }, (_, i) => `dev_tab_seg${i + 1}_base`),
];
/** Without a Device Table Base Address Register: a table of the largest size at 0. */
const LARGEST_TABLE = 511;
const ENTRIES_PER_UNIT = FRAME_BYTES / DeviceTableEntry.bytes;
/** Levels of host tables by EFR.HATS: with 3 there is no host translation. */
const HATS_LEVELS = [4, 5, 6, 0] as const;

type FeatureField = keyof typeof ExtendedFeatureRegister.fields;

/** Registers and features, decoded into what the walker asks on every request. */
export class Configuration {
  enabled = 1;
  eventLog = 1;
  /** GTEn, and GTSup. */
  guestTranslation = 1;
  /** GCR3TRPMode, and its feature. */
  gcr3RootGuest = 1;
  /** HTRangeIgnore: no address of the HyperTransport range is special. */
  ignoresHyperTransport = 1;
  /** Bits of the device id that select a segment. */
  segmentBits = 0;
  readonly tableFrame = new Float64Array(SEGMENTS);
  /** Entries in each table. */
  readonly tableEntries = new Int32Array(SEGMENTS);
  exclusion = 0;
  exclusionAll = 0;
  exclusionFirst = 0;
  exclusionLast = 0;

  /** Most levels of host tables. */
  hostLevels = 6;
  /** Most levels of guest tables. */
  guestLevels = 5;
  /** Largest GLX. */
  glx = 2;
  pasidLimit = 2 ** MAX_PASID_BITS;
  /** USSup: otherwise every request has user privilege. */
  privileges = 1;
  /** NXSup: otherwise NX is ignored. */
  noExecute = 1;
  /** Bits 63:32 of a table entry that lie beyond the physical address width. */
  addressReservedHi = 0;
  /** First frame number beyond that width. */
  frameLimit = 2 ** (52 - FRAME_SHIFT);
  /** 32-bit words of the reserved bits of a device table entry. */
  entryReserved: Uint32Array = DeviceTableEntry.reserved();
  /** And of what it passes over, since it lacks the feature. */
  entryUnchecked: Uint32Array = DeviceTableEntry.unchecked(() => true);

  load(state: IommuState): void {
    const control = (field: keyof typeof ControlRegister.fields, absent: number) =>
      state.field("control", ControlRegister, field, absent);
    const feature = (field: FeatureField, absent: number) =>
      state.capability("efr", ExtendedFeatureRegister, field, absent);
    const feature2 = (field: keyof typeof ExtendedFeature2Register.fields) =>
      state.capability("efr2", ExtendedFeature2Register, field, 1);

    this.enabled = control("IOMMUEN", 1);
    this.eventLog = control("EVENTLOGEN", 1);
    this.guestTranslation = control("GTEN", 1) & feature("GTSUP", 1);
    this.gcr3RootGuest = control("GCR3TRPMODE", 1) & feature2("GCR3TRPMODESUP");
    this.ignoresHyperTransport = feature2("HTRANGEIGNORE");
    this.segmentBits = Math.min(control("DEVTBLSEGEN", 0), 3);
    for (let i = 0; i < SEGMENTS; i++) {
      const name = SEGMENT_BASE[i]!;
      const size = state.field(name, DeviceTableBase, "SIZE", i === 0 ? LARGEST_TABLE : -1);
      this.tableEntries[i] = (size + 1) * ENTRIES_PER_UNIT;
      this.tableFrame[i] = state.field(name, DeviceTableBase, "DEVTABBASE", 0);
    }
    this.exclusion = state.field("excl_base", ExclusionBase, "EXEN", 0);
    this.exclusionAll = state.field("excl_base", ExclusionBase, "ALLOW", 0);
    this.exclusionFirst = state.field("excl_base", ExclusionBase, "EXCLBASE", 0);
    this.exclusionLast = state.field("excl_limit", ExclusionLimit, "EXCLLIMIT", 0);

    this.hostLevels = HATS_LEVELS[feature("HATS", 2) & 3]!;
    this.guestLevels = 4 + Math.min(feature("GATS", 1), 1);
    this.glx = Math.min(feature("GLXSUP", 2), 2);
    const pasidBits = state.property("pasid_bits") ?? feature("PASMAX", MAX_PASID_BITS - 1) + 1;
    this.pasidLimit = 2 ** Math.min(pasidBits, MAX_PASID_BITS);
    this.privileges = feature("USSUP", 1);
    this.noExecute = feature("NXSUP", 1);
    const bits = Math.min(Math.max(state.property("output_bits") ?? 52, 32), 52);
    this.frameLimit = 2 ** (bits - FRAME_SHIFT);
    this.addressReservedHi = 0xf_ffff & ~(2 ** (bits - 32) - 1);
    // The layout names the feature that a field needs as the register's layout does. PPR and GPRP are reserved
    // until EPHEn is set, too: hardware refuses them otherwise (Linux ef75966abf95).
    const has = (name: string) => {
      const enabled = name === "EPHSUP" ? control("EPHEN", 1) : 1;
      return enabled !== 0 && feature(name as FeatureField, 1) !== 0;
    };
    this.entryReserved = DeviceTableEntry.reserved(has);
    this.entryUnchecked = DeviceTableEntry.unchecked(has);
  }
}
