import { FRAME_MASK, frameOf } from "../memory.ts";
import type { TableModel } from "../models.ts";
import { type Binding, MAX_PASID_BITS } from "../request.ts";
import type { PasidTableConfig } from "../walker.ts";
import {
  EXTENDED_CONTEXT,
  KIND_SECOND_STAGE,
  PASS_THROUGH,
  SCALABLE_CONTEXT,
  type VtdDevice,
} from "./context.ts";

const SECOND_STAGE_FORMAT = "vtd-ss";

/** A PASID table bound to a device: a scalable-mode PASID directory, or an extended-mode PASID table. */
export class VtdBinding implements Binding {
  readonly model: TableModel;
  readonly frame: number;
  readonly pasidLimit: number;
  /** The configuration says how many PASIDs the table has room for. */
  readonly sized: boolean;
  readonly ridPasid: number;
  /** Second stage under the table; 0 levels: the identity. */
  readonly secondRoot: number;
  readonly secondLevels: number;
  readonly domain: number;

  constructor(config: PasidTableConfig) {
    const { stage2 } = config;
    this.model = config.model;
    this.frame = frameOf(config.baseHi, config.baseLo);
    this.pasidLimit = 2 ** (config.pasidBits ?? MAX_PASID_BITS);
    this.sized = config.pasidBits !== undefined;
    this.ridPasid = config.intel?.rid_pasid ?? 0;
    this.secondRoot = stage2 === undefined ? 0 : frameOf(stage2.rootHi, stage2.rootLo);
    this.secondLevels = stage2 === undefined ? 0 : (stage2.levels ?? 4);
    this.domain = stage2?.domain ?? -1;
  }

  /**
   * The context that a device has through this binding: everything that a context entry could enable is, but for
   * device-TLBs, which no configuration of a binding speaks of.
   */
  fill(device: VtdDevice): void {
    const extended = this.model === "intel-ecs";
    const nested = this.secondLevels !== 0;
    device.entryFrame = -1;
    device.context = extended ? EXTENDED_CONTEXT : SCALABLE_CONTEXT;
    device.bound = 1;
    device.fpd = 0;
    device.domain = this.domain;
    device.deviceTlb = 0;
    // Whoever bound the table has seen to ATS.
    device.translatedPasid = 1;
    device.kind = nested ? KIND_SECOND_STAGE : PASS_THROUGH;
    device.secondRoot = this.secondRoot;
    device.secondLevels = this.secondLevels;
    device.pasidFrame = this.frame;
    device.pasidLimit = this.pasidLimit;
    device.pasidEnabled = 1;
    device.ridPasid = this.ridPasid;
    device.ridPriv = 0;
    // Of a bound device its host has seen to ATS.
    device.translatedPasid = 1;
    device.translatedPasidWithoutPasid = 0;
    device.nested = nested ? 1 : 0;
    device.global = 1;
    device.noExecute = 1;
    device.writeProtect = 1;
    device.smep = 0;
    device.execute = 1;
    device.extendedAccessed = 0;
    device.secondExecute = 0;
  }
}

/** What is wrong with a configuration, as a sentence; an empty string: nothing. */
export function wrongWith(config: PasidTableConfig): string {
  if (config.model !== "intel" && config.model !== "intel-ecs")
    return `VT-d walks PASID tables of model intel and intel-ecs, not ${config.model}`;
  if ((config.baseLo & FRAME_MASK) !== 0) return "base_ptr of a VT-d PASID table must be aligned to 4 KiB";
  const bits = config.pasidBits ?? MAX_PASID_BITS;
  if (!Number.isInteger(bits) || bits < 0 || bits > MAX_PASID_BITS)
    return `pasid_bits of a VT-d PASID table must be 0 to ${MAX_PASID_BITS}, not ${bits}`;
  const rid = config.intel?.rid_pasid ?? 0;
  if (!Number.isInteger(rid) || rid < 0 || rid >= 2 ** bits)
    return `rid_pasid ${rid} is beyond the ${bits} bits of the PASID table`;
  const { stage2 } = config;
  if (stage2 === undefined) return "";
  if (stage2.format !== SECOND_STAGE_FORMAT)
    return `the second stage under a VT-d PASID table must be ${SECOND_STAGE_FORMAT}, not ${stage2.format}`;
  if ((stage2.rootLo & FRAME_MASK) !== 0) return "root of a VT-d second stage must be aligned to 4 KiB";
  const levels = stage2.levels ?? 4;
  if (levels < 3 || levels > 5) return `a VT-d second stage has 3 to 5 levels, not ${levels}`;
  return "";
}
