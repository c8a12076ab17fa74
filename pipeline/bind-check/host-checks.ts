import { Configuration } from "../../walkers/amd-vi/configuration.ts";
import type { HostLimits } from "../../walkers/host.ts";
import { FRAME_SHIFT } from "../../walkers/memory.ts";
import { type IommuModel, MODEL_OWNER } from "../../walkers/models.ts";
import type { IommuState } from "../../walkers/registers.ts";
import { secondMode } from "../../walkers/riscv/binding.ts";
import { RiscvConfig } from "../../walkers/riscv/config.ts";
import { Capabilities } from "../../walkers/riscv/registers.ts";
import { secondStageLevels } from "../../walkers/riscv/rules.ts";
import { ExtendedCapabilityRegister } from "../../walkers/vtd/registers.ts";
import { BIND_RULES } from "../findings/bind-rules.ts";
import { type BindFindings, bitCount, hex, sizeText } from "./finding.ts";
import { shapeOf, type TableShape, type TableUse } from "./shape.ts";

/** An IOMMU that a table is to be bound to. */
export interface BindHost {
  readonly model: IommuModel;
  readonly limits: HostLimits;
  readonly state: IommuState;
}

/** Values of STE.S1DSS from here on are reserved. */
const S1DSS_RESERVED = 3;
/** An index of a table has 9 bits; the root of a RISC-V second stage has two more. */
const INDEX_BITS = 9;
const ROOT_EXTRA_BITS = 2;
const MAX_INPUT_BITS = 64;

/**
 * Checks a table against what the IOMMU can do.
 * @returns its PASID bits as the IOMMU takes them, and its shape
 */
export function checkHost(
  use: TableUse,
  host: BindHost,
  out: BindFindings,
): { readonly pasidBits: number; readonly shape: TableShape } {
  const { limits } = host;
  const { reach } = shapeOf(use, 0);
  checkFormat(use, host, out);
  checkPasidBits(use, limits, reach, out);
  const pasidBits = Math.min(use.pasidBits ?? limits.pasidBits, limits.pasidBits, reach);
  const shape = shapeOf(use, pasidBits);
  checkBase(use, shape, limits, out);
  checkDefaultSubstream(use, limits, out);
  checkRidPasidField(use, host, out);
  if (use.nested && limits.noNesting !== "")
    out.add(
      BIND_RULES["bind-nested-unsupported"],
      `a second stage lies under the table: expected an IOMMU that nests, found that ${limits.noNesting}`,
    );
  else checkSecondScheme(use, host, out);
  return { pasidBits, shape };
}

/** RISC-V IOMMU 1.0, iohgatp.MODE: the scheme that a second stage of this many levels has. */
function checkSecondScheme({ model, parent }: TableUse, { state }: BindHost, out: BindFindings): void {
  const levels = parent?.levels;
  if (model !== "riscv" || levels === undefined) return;
  const config = new RiscvConfig();
  config.configure(state);
  if (secondStageLevels(secondMode(levels), config) !== levels)
    out.add(
      BIND_RULES["bind-nested-unsupported"],
      `stage2.levels is ${levels}: expected a second stage that capabilities and fctl.GXL of this IOMMU allow`,
    );
}

function checkFormat(use: TableUse, { limits, state }: BindHost, out: BindFindings): void {
  const unsupported = (message: string) => out.add(BIND_RULES["bind-format-unsupported"], message);
  const lacking = limits.lacking.get(use.model);
  if (lacking !== undefined) {
    unsupported(`model ${use.model}: expected an IOMMU that walks such tables, found that ${lacking}`);
    return;
  }
  if (use.model === "amd") checkGuestLevels(use, limits, state, out);
  const bits = use.directoryBits;
  if (use.model === "riscv" && bits !== undefined) {
    const mode = `PD${bits}` as "PD8" | "PD17" | "PD20";
    if (state.capability("capabilities", Capabilities, mode, 1) === 0)
      unsupported(
        `riscv.mode is ${mode}: expected one that the IOMMU has, found that capabilities.${mode} is 0`,
      );
  }
}

function checkGuestLevels(use: TableUse, limits: HostLimits, state: IommuState, out: BindFindings): void {
  const configuration = new Configuration();
  configuration.load(state);
  if (use.glx > configuration.glx)
    out.add(
      BIND_RULES["bind-format-unsupported"],
      `amd.glx is ${use.glx}: expected at most ${configuration.glx}, which EFR.GLXSup says`,
    );
  const levels = use.amd?.paging_levels;
  if (levels === 5 && !limits.formats.has("x86-64-5lvl"))
    out.add(
      BIND_RULES["bind-pgtable-format"],
      "amd.paging_levels is 5: expected 4, which is what EFR.GATS or pgtable_format allow",
    );
}

function checkPasidBits(use: TableUse, limits: HostLimits, reach: number, out: BindFindings): void {
  const { pasidBits, pasidBitsName } = use;
  // An STE without substreams is as good as any.
  if (pasidBits === 0) {
    if (pasidBitsName === "pasid_bits")
      out.add(BIND_RULES["bind-pasid-bits-zero"], "pasid_bits is 0: expected at least 1");
  } else if (limits.pasidBits === 0)
    out.add(
      BIND_RULES["bind-no-pasid"],
      `the table is for ${pasidBits === undefined ? "PASIDs" : `PASIDs of ${bitCount(pasidBits)}`}: expected none, since this IOMMU supports no PASIDs`,
    );
  else if (pasidBits !== undefined && pasidBits > limits.pasidBits)
    out.add(
      BIND_RULES["bind-pasid-bits-host"],
      `${pasidBitsName} is ${pasidBits}: expected at most ${limits.pasidBits}, which the host supports`,
    );
  if (pasidBits !== undefined && pasidBits > reach)
    out.add(
      BIND_RULES["bind-pasid-bits-format"],
      `${pasidBitsName} is ${pasidBits}: expected at most ${reach}, which is what the format indexes`,
    );
}

function checkBase(use: TableUse, shape: TableShape, limits: HostLimits, out: BindFindings): void {
  checkAlignment(use, shape, out);
  const width = use.nested ? secondInputBits(use, limits) : limits.outputBits;
  checkRange(use, shape, width, out);
}

export function checkAlignment(
  { base, baseName }: Pick<TableUse, "base" | "baseName">,
  { what, alignment }: Pick<TableShape, "what" | "alignment">,
  out: BindFindings,
): void {
  if (base % BigInt(alignment) !== 0n)
    out.add(
      BIND_RULES["bind-base-alignment"],
      `${baseName} is ${hex(base)}: expected an address aligned to ${sizeText(alignment)}, as the ${what} must be`,
    );
}

export function checkRange(
  { base, baseName, nested }: Pick<TableUse, "base" | "baseName" | "nested">,
  { what, bytes }: Pick<TableShape, "what" | "bytes">,
  width: number,
  out: BindFindings,
): void {
  const limit = 1n << BigInt(Math.min(width, MAX_INPUT_BITS));
  const whose = nested ? "the input of the second stage" : "the output of this IOMMU";
  if (base >= limit)
    out.add(
      BIND_RULES["bind-base-range"],
      `${baseName} is ${hex(base)}: expected an address of ${bitCount(width)}, ${whose}`,
    );
  else if (base + BigInt(bytes) > limit)
    out.add(
      BIND_RULES["bind-base-range"],
      `${baseName} is ${hex(base)}: expected the ${what} of ${sizeText(bytes)} to end within ${bitCount(width)}, ${whose}`,
    );
}

/** Bits that the second stage under the table translates; where it does not say, the most that the IOMMU has. */
function secondInputBits({ parent, model }: TableUse, limits: HostLimits): number {
  const { levels, t0sz } = parent ?? {};
  if (MODEL_OWNER[model] === "arm-smmuv3")
    return t0sz === undefined
      ? limits.secondInputBits
      : Math.max(Math.min(64 - t0sz, limits.secondInputBits), 0);
  if (levels === undefined) return limits.secondInputBits;
  const extra = model === "riscv" ? ROOT_EXTRA_BITS : 0;
  return Math.min(FRAME_SHIFT + INDEX_BITS * levels + extra, limits.secondInputBits);
}

function checkDefaultSubstream(use: TableUse, limits: HostLimits, out: BindFindings): void {
  const s1dss = use.arm?.s1dss;
  if (s1dss === undefined) return;
  if (s1dss >= S1DSS_RESERVED)
    out.add(
      BIND_RULES["bind-s1dss-reserved"],
      `s1dss is ${s1dss}: expected 0 (terminate), 1 (bypass) or 2 (substream 0)`,
    );
  else if (s1dss !== 0 && (use.pasidBits === 0 || limits.pasidBits === 0))
    out.add(
      BIND_RULES["bind-s1dss-ignored"],
      `s1dss is ${s1dss}: expected 0 with ${limits.pasidBits === 0 ? "an SMMU that has no substreams" : `${use.pasidBitsName} 0`}`,
    );
}

/** VT-d 5.10, 11.4.3: without RPS, RID_PASID is reserved and PASID 0 is used. */
function checkRidPasidField(use: TableUse, { state }: BindHost, out: BindFindings): void {
  const rid = use.intel?.rid_pasid ?? 0;
  if (
    use.model === "intel" &&
    rid !== 0 &&
    state.capability("ecap", ExtendedCapabilityRegister, "RPS", 1) === 0
  )
    out.add(BIND_RULES["bind-rid-pasid"], `rid_pasid is ${rid}: expected 0, since ECAP.RPS is 0`);
}
