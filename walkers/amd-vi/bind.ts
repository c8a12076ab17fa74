import { FRAME_MASK, frameOf } from "../memory.ts";
import { MAX_PASID_BITS, READ, WRITE } from "../request.ts";
import type { PasidTableConfig, Stage2Config } from "../walker.ts";
import { AmdViBinding, type DeviceContext } from "./context.ts";
import { gcr3TableLimit } from "./gcr3-table.ts";

const STAGE2_FORMAT = "amdv1";
/** Without `paging_levels`. */
const DEFAULT_GUEST_LEVELS = 4;

/**
 * Compiles a `pasid_table_config` of model `amd`: the guest CR3 table is at `base_ptr`, and its addresses go through
 * the second stage, if there is one, as those of a device table entry with GV=1 and GCR3TRPMode do.
 *
 * @returns the binding, or what is wrong with the configuration
 */
export function bindGcr3Table(config: PasidTableConfig): AmdViBinding | string {
  if (config.model !== "amd") return `an AMD IOMMU cannot walk a PASID table of model ${config.model}`;
  const glx = config.amd?.glx ?? 0;
  if (glx !== 0 && glx !== 1 && glx !== 2) return `amd.glx: expected 0 to 2, found ${glx}`;
  const levels = config.amd?.paging_levels ?? DEFAULT_GUEST_LEVELS;
  if (levels !== 4 && levels !== 5) return `amd.paging_levels: expected 4 or 5, found ${levels}`;
  const pasidBits = config.pasidBits ?? MAX_PASID_BITS;
  if (!(pasidBits >= 0 && pasidBits <= MAX_PASID_BITS))
    return `pasid_bits: expected 0 to ${MAX_PASID_BITS}, found ${pasidBits}`;
  if (!isTableAddress(config.baseHi, config.baseLo))
    return "base_ptr: expected a 4 KiB aligned address below 2^52";

  const binding = new AmdViBinding();
  const device = binding.device;
  guestTable(device, glx, pasidBits);
  device.gcr3Root = frameOf(config.baseHi, config.baseLo);
  device.guestLevels = levels;
  const error = config.stage2 === undefined ? "" : bindStage2(config.stage2, device);
  return error === "" ? binding : error;
}

/** The context of a device with a guest CR3 table. */
export function guestTable(device: DeviceContext, glx: number, pasidBits: number): void {
  device.valid = 1;
  device.translate = 1;
  device.perm = READ | WRITE;
  device.guest = 1;
  // A request without PASID uses PASID 0.
  device.giov = 1;
  device.glx = glx;
  device.gcr3RootGuest = 1;
  device.pasidLimit = Math.min(gcr3TableLimit(glx), 2 ** pasidBits);
}

function bindStage2(stage2: Stage2Config, device: DeviceContext): string {
  if (stage2.format !== STAGE2_FORMAT)
    return `stage2.format: expected ${STAGE2_FORMAT}, found ${stage2.format}`;
  const mode = stage2.levels;
  if (mode === undefined || !Number.isInteger(mode) || mode < 1 || mode > 6)
    return `stage2.levels: expected 1 to 6, found ${mode}`;
  if (!isTableAddress(stage2.rootHi, stage2.rootLo))
    return "stage2.root: expected a 4 KiB aligned address below 2^52";
  device.mode = mode;
  device.hostRoot = frameOf(stage2.rootHi, stage2.rootLo);
  device.domain = stage2.domain ?? -1;
  return "";
}

function isTableAddress(hi: number, lo: number): boolean {
  return (lo & FRAME_MASK) === 0 && hi >>> 20 === 0;
}
