import { FRAME_MASK, frameOf } from "../memory.ts";
import type { TableModel } from "../models.ts";
import { GRANULE_4K, GRANULE_16K, GRANULE_64K, startLevelOf } from "../page-tables/vmsav8-64.ts";
import { stage2Consistent } from "../page-tables/vmsav8-64-stage2.ts";
import type { Binding } from "../request.ts";
import type { PasidTableConfig, Stage2Config } from "../walker.ts";
import type { SmmuFeatures } from "./features.ts";
import { S1FMT_4K_L2, S1FMT_64K_L2, S1FMT_LINEAR } from "./ste.ts";
import type { StreamContext } from "./stream-context.ts";

const GRANULES: Readonly<Record<number, number>> = { 4: GRANULE_4K, 16: GRANULE_16K, 64: GRANULE_64K };
const MAX_SSID_BITS = 20;
const NO_VMID = -1;

/** A guest's context descriptor table, bound to a device: the stage 1 half of an STE, and perhaps a stage 2. */
export class SmmuV3Binding implements Binding {
  readonly model: TableModel;
  readonly frame: number;
  readonly offset: number;
  readonly s1fmt: number;
  readonly s1dss: number;
  /** Undefined: as many as the SMMU has. */
  readonly ssidBits: number | undefined;
  readonly stage2: BoundStage2 | undefined;

  constructor(config: PasidTableConfig, s1fmt: number, stage2: BoundStage2 | undefined) {
    this.model = config.model;
    this.frame = frameOf(config.baseHi, config.baseLo);
    this.offset = config.baseLo & FRAME_MASK;
    this.s1fmt = s1fmt;
    this.s1dss = config.arm?.s1dss ?? 0;
    this.ssidBits = config.pasidBits;
    this.stage2 = stage2;
  }

  /** Fills a stream context as if from an STE. */
  load(device: StreamContext, features: SmmuFeatures): void {
    const cdmax = this.ssidBits ?? features.ssidSize;
    device.bindStage1(this.frame, this.offset, this.s1fmt, cdmax, this.s1dss, features);
    const s2 = this.stage2;
    if (s2 !== undefined)
      device.bindStage2(s2.frame, s2.offset, s2.granule, s2.inputBits, s2.startLevel, s2.vmid, features);
  }
}

interface BoundStage2 {
  readonly frame: number;
  readonly offset: number;
  readonly granule: number;
  readonly inputBits: number;
  readonly startLevel: number;
  readonly vmid: number;
}

/** Checks and compiles a binding; a string says what is wrong with it. */
export function compileBinding(config: PasidTableConfig): SmmuV3Binding | string {
  const { model, arm, pasidBits } = config;
  if (model !== "arm-1lvl" && model !== "arm-2lvl")
    return `model ${model} is not a table of an SMMUv3: expected arm-1lvl or arm-2lvl`;
  if (
    pasidBits !== undefined &&
    !(Number.isInteger(pasidBits) && pasidBits >= 0 && pasidBits <= MAX_SSID_BITS)
  )
    return `pasid_bits is ${pasidBits}: expected 0 to ${MAX_SSID_BITS}`;
  const s1dss = arm?.s1dss ?? 0;
  if (![0, 1, 2].includes(s1dss)) return `arm.s1dss is ${s1dss}: expected 0, 1 or 2`;
  // Where only "2-level" is said, the leaf tables are those of Linux: 64 KiB.
  const s1fmt = arm?.s1fmt ?? (model === "arm-1lvl" ? S1FMT_LINEAR : S1FMT_64K_L2);
  const twoLevel = s1fmt === S1FMT_4K_L2 || s1fmt === S1FMT_64K_L2;
  if (model === "arm-1lvl" ? s1fmt !== S1FMT_LINEAR : !twoLevel)
    return `arm.s1fmt is ${s1fmt}: expected ${model === "arm-1lvl" ? "0" : "1 or 2"} with model ${model}`;
  if (config.stage2 === undefined) return new SmmuV3Binding(config, s1fmt, undefined);
  const stage2 = compileStage2(config.stage2);
  return typeof stage2 === "string" ? stage2 : new SmmuV3Binding(config, s1fmt, stage2);
}

function compileStage2(config: Stage2Config): BoundStage2 | string {
  if (config.format !== "vmsav8-64") return `stage2.format is ${config.format}: expected vmsav8-64`;
  const granule = GRANULES[config.granule ?? 4];
  if (granule === undefined) return `stage2.granule is ${config.granule}: expected 4, 16 or 64`;
  const t0sz = config.t0sz ?? 16;
  if (!(Number.isInteger(t0sz) && t0sz >= 12 && t0sz <= 48))
    return `stage2.t0sz is ${config.t0sz}: expected 12 to 48`;
  const inputBits = 64 - t0sz;
  const startLevel = config.levels === undefined ? startLevelOf(granule, inputBits) : 4 - config.levels;
  if (!(Number.isInteger(startLevel) && stage2Consistent(granule, inputBits, startLevel)))
    return `stage2.levels is ${config.levels}: does not fit t0sz ${t0sz} and the ${2 ** (granule - 10)} KiB granule`;
  return {
    frame: frameOf(config.rootHi, config.rootLo),
    offset: config.rootLo & FRAME_MASK,
    granule,
    inputBits,
    startLevel,
    vmid: config.domain ?? NO_VMID,
  };
}
