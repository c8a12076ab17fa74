import { VTD_S1_FLAGS, VtdStage1Layout } from "../../parsers/bind/c-structures.ts";
import type { SmmuSteRequest, VtdStage1Request } from "../../parsers/bind/request.ts";
import { FRAME_BYTES } from "../../walkers/memory.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { SmmuFeatures } from "../../walkers/smmuv3/features.ts";
import { CONFIG_BYPASS, CONFIG_STAGE1, EATS_FULL, Ste } from "../../walkers/smmuv3/ste.ts";
import { ExtendedCapabilityRegister } from "../../walkers/vtd/registers.ts";
import { BIND_RULES } from "../findings/bind-rules.ts";
import { type BindFindings, hex } from "./finding.ts";
import { type BindHost, checkAlignment, checkRange } from "./host-checks.ts";
import { effectiveS1fmt, isTwoLevel, type TableUse } from "./shape.ts";

/** Widths of a first stage: 4 and 5 levels. Linux, drivers/iommu/intel/pasid.c. */
const WIDTH_4_LEVELS = 48;
const WIDTH_5_LEVELS = 57;

/** Flags of `iommu_hwpt_vtd_s1` that need a capability. */
const FLAG_NEEDS = { SRE: "SRS", EAFE: "EAFS" } as const;

/** Fields of an STE that a guest may set, by Linux's uapi; the others are the host's. */
const GUEST_FIELDS: ReadonlySet<string> = new Set([
  "V",
  "Config",
  "S1Fmt",
  "S1ContextPtr",
  "S1CDMax",
  "S1DSS",
  "S1CIR",
  "S1COR",
  "S1CSH",
  "S1STALLD",
  "EATS",
]);
/** STE.Config of a stream whose transactions are terminated. */
const CONFIG_ABORT = 0;
/** IDR0.STALL_MODEL: both fault models. */
const STALL_AND_TERMINATE = 0;
/** STE.S1Fmt. */
const S1FMT_RESERVED = 3;

const STE_WORDS = 2;

/** @returns false where the request is for another vendor's IOMMU */
function belongs(vendor: IommuModel, what: string, host: BindHost, out: BindFindings): boolean {
  const { model } = host;
  if (model === vendor) return true;
  out.add(BIND_RULES["bind-model-mismatch"], `${what} is for ${vendor}: expected one for ${model}`);
  return false;
}

/** Checks one first-stage page table that is to be nested on a second stage of a VT-d host. */
export function checkVtdStage1(request: VtdStage1Request, host: BindHost, out: BindFindings): void {
  if (!belongs("intel", "struct iommu_hwpt_vtd_s1", host, out)) return;
  checkVtdFlags(request, host, out);
  if (request.reserved !== 0)
    out.add(BIND_RULES["bind-reserved"], `__reserved is ${hex(request.reserved)}: expected 0`);
  const { formats, secondInputBits, noNesting } = host.limits;
  if (noNesting !== "")
    out.add(
      BIND_RULES["bind-nested-unsupported"],
      `the page table is nested on one of the host: expected an IOMMU that nests, found that ${noNesting}`,
    );
  const { addrWidth } = request;
  const format = BIND_RULES["bind-pgtable-format"];
  if (addrWidth !== WIDTH_4_LEVELS && addrWidth !== WIDTH_5_LEVELS)
    out.add(format, `addr_width is ${addrWidth}: expected ${WIDTH_4_LEVELS} or ${WIDTH_5_LEVELS}`);
  else if (!formats.has("x86-64"))
    out.add(format, `addr_width is ${addrWidth}: expected an IOMMU with a first stage (ECAP.FSTS)`);
  else if (addrWidth === WIDTH_5_LEVELS && !formats.has("x86-64-5lvl"))
    out.add(format, `addr_width is ${addrWidth}: expected ${WIDTH_4_LEVELS}, since CAP.FS5LP is 0`);
  const table = { base: request.pgtblAddr, baseName: "pgtbl_addr", nested: true };
  const shape = { what: "first-stage page table", bytes: FRAME_BYTES, alignment: FRAME_BYTES };
  checkAlignment(table, shape, out);
  checkRange(table, shape, secondInputBits, out);
}

function checkVtdFlags({ flags }: VtdStage1Request, { state }: BindHost, out: BindFindings): void {
  const view = new DataView(new ArrayBuffer(VtdStage1Layout.bytes));
  view.setBigUint64(VTD_S1_FLAGS.at, flags, true);
  const unknown = VtdStage1Layout.reservedSet(view, 0);
  if (unknown.length > 0)
    out.add(
      BIND_RULES["bind-reserved"],
      `flags is ${hex(flags)}: expected bits ${unknown.join(", ")} to be 0`,
    );
  for (const [flag, capability] of Object.entries(FLAG_NEEDS) as [keyof typeof FLAG_NEEDS, "SRS" | "EAFS"][])
    if (
      VtdStage1Layout.extract(flag, view, 0) !== 0n &&
      state.capability("ecap", ExtendedCapabilityRegister, capability, 1) === 0
    )
      out.add(
        BIND_RULES["bind-flag-unsupported"],
        `flags has ${flag}: expected it clear, since ECAP.${capability} is 0`,
      );
}

/**
 * Checks the half of an STE that a guest has.
 * @returns its table of context descriptors, or null where it has none or it is for another IOMMU
 */
export function checkSmmuSte(request: SmmuSteRequest, host: BindHost, out: BindFindings): TableUse | null {
  if (!belongs("arm-smmuv3", "struct iommu_hwpt_arm_smmuv3", host, out)) return null;
  const field = (name: Parameters<typeof Ste.extract>[0]) => Number(Ste.extract(name, request.ste, 0));
  // The kernel takes an entry that is not valid for one that aborts, whatever else is in it.
  if (field("V") === 0) return null;
  checkHostBits(request.ste, out);
  const config = field("Config");
  if (config !== CONFIG_ABORT && config !== CONFIG_BYPASS && config !== CONFIG_STAGE1)
    out.add(
      BIND_RULES["bind-ste-config"],
      `Config is ${config}: expected ${CONFIG_ABORT} (abort), ${CONFIG_BYPASS} (bypass) or ${CONFIG_STAGE1} (stage 1)`,
    );
  checkSteFeatures(field("EATS"), field("S1STALLD"), host, out);
  if (config !== CONFIG_STAGE1) return null;
  return steTable(request.ste, field, out);
}

/** Bits that are reserved, or that only the host may set. */
function checkHostBits(ste: DataView, out: BindFindings): void {
  const reserved = Ste.reservedSet(ste, 0);
  const bits = reserved.filter((bit) => bit < STE_WORDS * 64);
  const names = Ste.names().filter((name) => !GUEST_FIELDS.has(name) && Ste.extract(name, ste, 0) !== 0n);
  if (bits.length > 0)
    out.add(BIND_RULES["bind-reserved"], `reserved bits ${bits.join(", ")} of the STE are set: expected 0`);
  if (names.length > 0)
    out.add(
      BIND_RULES["bind-reserved"],
      `${names.join(", ")} of the STE ${names.length === 1 ? "is" : "are"} set: expected 0 in what a guest gives`,
    );
}

function checkSteFeatures(eats: number, stalld: number, { state }: BindHost, out: BindFindings): void {
  const features = new SmmuFeatures();
  features.configure(state);
  if (eats > EATS_FULL)
    out.add(BIND_RULES["bind-ste-config"], `EATS is ${eats}: expected 0 (refused) or ${EATS_FULL} (full)`);
  else if (eats === EATS_FULL && !features.ats)
    out.add(BIND_RULES["bind-flag-unsupported"], "EATS is 1: expected 0, since IDR0.ATS is 0");
  if (stalld !== 0 && features.stallModel !== STALL_AND_TERMINATE)
    out.add(
      BIND_RULES["bind-flag-unsupported"],
      `S1STALLD is 1: expected 0, since IDR0.STALL_MODEL is ${features.stallModel}`,
    );
}

function steTable(
  ste: DataView,
  field: (name: "S1Fmt" | "S1CDMax" | "S1DSS") => number,
  out: BindFindings,
): TableUse {
  const s1fmt = field("S1Fmt");
  const pasidBits = field("S1CDMax");
  if (s1fmt === S1FMT_RESERVED && pasidBits > 0)
    out.add(BIND_RULES["bind-levels"], `S1Fmt is ${s1fmt}, a reserved value: expected 0 to 2`);
  // Without substreams both fields are IGNORED.
  const arm = pasidBits === 0 ? {} : { s1fmt, s1dss: field("S1DSS") };
  const base = Ste.extract("S1ContextPtr", ste, 0) << BigInt(Ste.fields.S1ContextPtr.parts[0]![1]);
  return {
    model: isTwoLevel(s1fmt) && pasidBits > 0 ? "arm-2lvl" : "arm-1lvl",
    base,
    pasidBits,
    s1fmt: effectiveS1fmt("arm-1lvl", s1fmt),
    glx: 0,
    directoryBits: undefined,
    nested: true,
    parent: undefined,
    baseName: "S1ContextPtr",
    pasidBitsName: "S1CDMax",
    arm,
  };
}
