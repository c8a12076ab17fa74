import { FRAME_BYTES, FRAME_SHIFT } from "../../walkers/memory.ts";
import { CONFIG_MODELS } from "../../walkers/models.ts";
import { Ste } from "../../walkers/smmuv3/ste.ts";
import {
  endOf,
  OLDER_END,
  OlderConfigLayout,
  PASID_BITS_END,
  PasidTableConfigLayout,
  S1DSS_END,
  SMMU_STE_BYTES,
  VTD_S1_RESERVED,
  VtdStage1Layout,
  viewOf,
} from "./c-structures.ts";
import type { BindRequest, PasidTableRequest, SmmuSteRequest } from "./request.ts";

const S1FMT_END = endOf(PasidTableConfigLayout, "s1fmt");
const HEADER_END = endOf(PasidTableConfigLayout, "bytes");
/** The enumerators that have a number: those of `enum pasid_table_model`. */
const ENUMERATORS = Object.keys(PasidTableConfigLayout.fields.model.values!).length;
/** Widest input address: more is no address width. */
const MAX_WIDTH = 64;

/**
 * Reads a C structure of binding; its size and contents say which.
 * @returns the request, or a sentence that says what was expected and what was found
 */
export function requestOfBytes(bytes: Uint8Array): BindRequest | string {
  if (bytes.length === SMMU_STE_BYTES) return steRequest(bytes);
  if (bytes.length > FRAME_BYTES)
    return `expected a structure of a page at most, found ${bytes.length} bytes`;
  if (bytes.length < OLDER_END)
    return (
      `expected struct pasid_table_config (${OLDER_END} bytes or more), struct iommu_hwpt_vtd_s1 (${VtdStage1Layout.bytes}) ` +
      `or struct iommu_hwpt_arm_smmuv3 (${SMMU_STE_BYTES}), found ${bytes.length} bytes`
    );
  return isVtdStage1(bytes) ? vtdStage1Request(bytes) : configRequest(bytes);
}

/** The first two words of an STE as an STE. */
export function steRequest(bytes: Uint8Array): SmmuSteRequest {
  return { kind: "iommu_hwpt_arm_smmuv3", ste: viewOf(bytes, Ste) };
}

/**
 * Both structures can have this size. Where a configuration says its size, the other has the high half of its flags,
 * which is zero; and the other ends with an address width and four bytes of zeros.
 */
function isVtdStage1(bytes: Uint8Array): boolean {
  if (bytes.length !== VtdStage1Layout.bytes) return false;
  const view = viewOf(bytes, VtdStage1Layout);
  const width = VtdStage1Layout.extract("addr_width", view, 0);
  return view.getUint32(4, true) === 0 && width >= FRAME_SHIFT && width <= MAX_WIDTH;
}

function vtdStage1Request(bytes: Uint8Array): BindRequest {
  const view = viewOf(bytes, VtdStage1Layout);
  return {
    kind: "iommu_hwpt_vtd_s1",
    flags: view.getBigUint64(0, true),
    pgtblAddr: VtdStage1Layout.extract("pgtbl_addr", view, 0),
    addrWidth: Number(VtdStage1Layout.extract("addr_width", view, 0)),
    reserved: view.getUint32(VTD_S1_RESERVED.at, true),
  };
}

/** `bytes` says which layout it is; where it says less than any has, the size that was passed does. */
function configRequest(bytes: Uint8Array): PasidTableRequest | string {
  const header = viewOf(bytes.subarray(0, HEADER_END), OlderConfigLayout);
  const version = Number(OlderConfigLayout.extract("version", header, 0));
  const says = Number(OlderConfigLayout.extract("bytes", header, 0));
  const size = says < OLDER_END ? bytes.length : says;
  const common = { kind: "pasid_table_config" as const, version, bytes: says, passed: bytes.length };
  if (size < PASID_BITS_END) {
    const view = viewOf(bytes, OlderConfigLayout);
    return {
      ...common,
      base: OlderConfigLayout.extract("base_ptr", view, 0),
      pasidBits: Number(OlderConfigLayout.extract("pasid_bits", view, 0)),
    };
  }
  if (bytes.length < PASID_BITS_END)
    return `expected the ${says} bytes of struct pasid_table_config that its field bytes says, found ${bytes.length}`;
  const view = viewOf(bytes, PasidTableConfigLayout);
  const field = (name: keyof typeof PasidTableConfigLayout.fields) =>
    PasidTableConfigLayout.extract(name, view, 0);
  const number = Number(field("model"));
  const model = number < ENUMERATORS ? CONFIG_MODELS[number] : undefined;
  const arm = {
    ...(Math.min(size, bytes.length) >= S1FMT_END ? { s1fmt: Number(field("s1fmt")) } : {}),
    ...(Math.min(size, bytes.length) >= S1DSS_END ? { s1dss: Number(field("s1dss")) } : {}),
  };
  // For other models these bytes are padding, and for the host's own they may be: zero says nothing.
  const isArm = model === "arm-1lvl" || model === "arm-2lvl";
  const armGiven = isArm ? Object.keys(arm).length > 0 : (arm.s1fmt ?? 0) + (arm.s1dss ?? 0) > 0;
  return {
    ...common,
    ...(model === undefined ? { unknownModel: `${number}` } : { model }),
    base: field("base_ptr"),
    pasidBits: Number(field("pasid_bits")),
    ...(armGiven ? { arm } : {}),
  };
}
