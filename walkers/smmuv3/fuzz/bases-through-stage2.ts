import { FRAME_SHIFT, frameHi, frameLo, frameOf, framesIn } from "../../memory.ts";
import { FOR_TABLE, type SecondStage } from "../../page-tables/stage.ts";
import { EXECUTE, READ, type WalkRequest, WRITE } from "../../request.ts";
import type { WalkResult } from "../../result.ts";
import { C_BAD_CD, F_ADDR_SIZE, F_WALK_EABT } from "../faults.ts";
import { BEFORE_HIGH, brokenCdRule } from "../rules-cd.ts";
import { type AddressHalf, SubstreamContext } from "../substream-context.ts";
import { type SmmuV3Walker, selectHalf } from "../walker.ts";

/**
 * What IHI 0070 3.3.2 has stage 2 translate of a stage 1 walk is every descriptor's address. Here it is where each table
 * begins: the roots of both halves as soon as the context descriptor is read, in order with the rules of each half, those
 * below as they are met; a fault of these is taken for one of stage 1.
 */
export function basesThroughStage2(walker: object): void {
  const smmu = walker as SmmuV3Walker;
  const bases = new TableBases(smmu);
  smmu.second.forTables = bases;
  const load = smmu.loadPasidContext.bind(smmu);
  smmu.loadPasidContext = (request, device, process, out) => {
    const loaded = load(request, device, process, out);
    if (process.bypass || !device.stage2Enabled) return loaded;
    if (loaded) return bases.root(process.low, out) && bases.root(process.high, out);
    if (out.fault !== C_BAD_CD || out.reason === "PASID_INVALID") return false;
    const broken = brokenCdRule(process, device, smmu.features);
    if (broken > BEFORE_HIGH) bases.reach(process.low, out);
    return false;
  };
  const translate = smmu.translate.bind(smmu);
  smmu.translate = (request, device, process, out) => {
    bases.begin(request, process);
    translate(request, device, process, out);
  };
}

class TableBases implements SecondStage {
  frame = 0;
  pageShift = 0;
  perm = 0;
  readonly #smmu: SmmuV3Walker;
  #process = new SubstreamContext();
  #granule = 0;
  #atRoot = false;

  constructor(smmu: SmmuV3Walker) {
    this.#smmu = smmu;
  }

  /** A walk of stage 1 begins, at a root that has been translated. */
  begin({ addrHi }: WalkRequest, process: SubstreamContext): void {
    this.#process = process;
    this.#granule = selectHalf(process, addrHi).granule;
    this.#atRoot = true;
  }

  /** Puts a root through stage 2, and aligns what that gives to the size of the table. */
  root(half: AddressHalf, out: WalkResult): boolean {
    if (!half.enabled) return true;
    if (!this.reach(half, out)) return false;
    const { tables } = half;
    const { frame } = this.#smmu.second;
    const align = tables.inputBits - tables.startShift + 3;
    tables.frame = align > FRAME_SHIFT ? frame - (frame % framesIn(align)) : frame;
    return true;
  }

  reach({ enabled, ttbFrame }: AddressHalf, out: WalkResult): boolean {
    const { second } = this.#smmu;
    return !enabled || second.translate(frameHi(ttbFrame), frameLo(ttbFrame), READ, FOR_TABLE, out);
  }

  translate(hi: number, lo: number, access: number, purpose: number, out: WalkResult): boolean {
    const frame = frameOf(hi, lo);
    this.frame = frame;
    this.perm = READ | WRITE | EXECUTE;
    if (this.#atRoot) {
      this.#atRoot = false;
      return true;
    }
    const { second, features } = this.#smmu;
    const base = frame - (frame % framesIn(this.#granule));
    const { r, s, outputBits } = this.#process;
    // Only where the address size of the table was not checked before.
    const wide = base >= framesIn(outputBits);
    if (wide) out.fail(F_ADDR_SIZE, F_ADDR_SIZE.reason);
    if (wide || !second.translate(frameHi(base), frameLo(base), access, purpose, out)) {
      out.stage = 1;
      out.faultClass = "TT";
      out.recorded = features.eventQueue && (r || s || out.fault === F_WALK_EABT);
      return false;
    }
    this.frame = second.frame + frame - base;
    this.perm = second.perm;
    return true;
  }
}
