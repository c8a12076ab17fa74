import { FRAME_BYTES } from "../memory.ts";
import { READ, type WalkRequest, WRITE } from "../request.ts";
import type { WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import { faultOf } from "../tables/entry-rule.ts";
import type { Configuration } from "./configuration.ts";
import type { DeviceContext } from "./context.ts";
import { DEVICE_ID_BITS, DeviceTableEntry } from "./device-table-entry.ts";
import type { EventReporter } from "./event-reporter.ts";
import { FLAG_MASTER_ABORT } from "./events.ts";
import { DEV_TAB_HARDWARE_ERROR } from "./faults.ts";
import { gcr3TableLimit } from "./gcr3-table.ts";
import { brokenDteRule, DTE_RULES, flagsOf } from "./rules.ts";

const ENTRIES_PER_FRAME = FRAME_BYTES / DeviceTableEntry.bytes;

const V = DeviceTableEntry.reader("V");
const TV = DeviceTableEntry.reader("TV");
const MODE = DeviceTableEntry.reader("MODE");
const HPTROOT = DeviceTableEntry.reader("HPTROOT");
const GIOV = DeviceTableEntry.reader("GIOV");
const GV = DeviceTableEntry.reader("GV");
const GLX = DeviceTableEntry.reader("GLX");
const GCR3TRP = DeviceTableEntry.reader("GCR3TRP");
const IR = DeviceTableEntry.reader("IR");
const IW = DeviceTableEntry.reader("IW");
const DOMAINID = DeviceTableEntry.reader("DOMAINID");
const I = DeviceTableEntry.reader("I");
const SA = DeviceTableEntry.reader("SA");
const IOCTL = DeviceTableEntry.reader("IOCTL");
const EX = DeviceTableEntry.reader("EX");
const SYSMGT = DeviceTableEntry.reader("SYSMGT");
const GUESTPAGINGMODE = DeviceTableEntry.reader("GUESTPAGINGMODE");

/** Looks devices up in the device table, or in its segments (2.2.2). */
export class DeviceTable {
  readonly #tables: TableReader;
  readonly #events: EventReporter;
  readonly #configuration: Configuration;

  constructor(tables: TableReader, events: EventReporter, configuration: Configuration) {
    this.#tables = tables;
    this.#events = events;
    this.#configuration = configuration;
  }

  /** Reads and checks a device's entry. */
  load(request: WalkRequest, device: DeviceContext, out: WalkResult): boolean {
    const configuration = this.#configuration;
    // DevTblSegEn: the top bits of the device id select a segment, the others the entry in it.
    const indexBits = DEVICE_ID_BITS - configuration.segmentBits;
    const segment = request.device >>> indexBits;
    const index = request.device & ((1 << indexBits) - 1);
    // 2.2.2: beyond the table there is no entry: the request is aborted with IO_PAGE_FAULT.
    if (segment >> configuration.segmentBits !== 0 || index >= configuration.tableEntries[segment]!)
      return this.#events.pageFault(out, 0, "SOURCEID_INVALID");

    const tables = this.#tables;
    const frame = configuration.tableFrame[segment]! + Math.floor(index / ENTRIES_PER_FRAME);
    const offset = (index % ENTRIES_PER_FRAME) * DeviceTableEntry.bytes;
    if (!tables.read(DeviceTableEntry, frame, offset)) {
      tables.blame(out);
      return this.#events.fail(out, DEV_TAB_HARDWARE_ERROR, FLAG_MASTER_ABORT);
    }
    return this.#decode(device, out);
  }

  #decode(device: DeviceContext, out: WalkResult): boolean {
    const { view, at } = this.#tables;
    const configuration = this.#configuration;
    // Table 8: with V=0 nothing else in the entry counts, and every address is forwarded untranslated.
    device.valid = V(view, at);
    device.domain = -1;
    device.iotlb = 0;
    device.suppress = 0;
    if (device.valid === 0) return true;

    const broken = brokenDteRule(view, at, configuration);
    if (broken !== 0) return this.#illegal(out, broken);
    decodeDte(view, at, configuration, device);
    return true;
  }

  #illegal(out: WalkResult, broken: number): false {
    this.#tables.blame(out);
    return this.#events.fail(out, faultOf(DTE_RULES, broken), flagsOf(broken));
  }
}

/** Decodes a valid entry that breaks no rule. */
export function decodeDte(
  view: DataView,
  at: number,
  configuration: Configuration,
  device: DeviceContext,
): void {
  device.valid = 1;
  device.portIo = IOCTL(view, at);
  device.systemManagement = SYSMGT(view, at);
  device.domain = DOMAINID(view, at);
  device.iotlb = I(view, at);
  device.suppress = SA(view, at);
  device.exclusion = EX(view, at);
  device.translate = TV(view, at);
  device.perm = (IR(view, at) !== 0 ? READ : 0) | (IW(view, at) !== 0 ? WRITE : 0);
  device.mode = MODE(view, at);
  device.hostRoot = HPTROOT(view, at);
  device.guest = GV(view, at) & configuration.guestTranslation;
  device.giov = GIOV(view, at);
  device.glx = GLX(view, at);
  device.gcr3Root = GCR3TRP(view, at);
  device.gcr3RootGuest = configuration.gcr3RootGuest;
  device.guestLevels = 4 + GUESTPAGINGMODE(view, at);
  device.pasidLimit = Math.min(gcr3TableLimit(device.glx), configuration.pasidLimit);
}
