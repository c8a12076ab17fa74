import { FRAME_BYTES } from "../../walkers/memory.ts";
import { CONFIG_MODELS } from "../../walkers/models.ts";
import {
  fieldEnd,
  hasArmFields,
  OLDER_END,
  OlderConfigLayout,
  PASID_BITS_END,
  PasidTableConfigLayout,
  S1DSS_END,
  viewOf,
} from "./c-structures.ts";
import { alternatives, HWPT_STRUCTURES } from "./hwpt-structures.ts";
import type { BindRequest, PasidTableRequest } from "./request.ts";

const S1FMT_END = fieldEnd(PasidTableConfigLayout, "s1fmt");
/** What would be a later version is another file altogether. */
const MOST_VERSIONS = 255;
const HEADER_END = fieldEnd(PasidTableConfigLayout, "bytes");
/** The enumerators that have a number: those of `enum pasid_table_model`. */
const ENUMERATORS = Object.keys(PasidTableConfigLayout.fields.model.values!).length;

/**
 * Reads a C structure of binding; its size and contents say which.
 * @returns the request, or a sentence that says what was expected and what was found
 */
export function requestOfBytes(bytes: Uint8Array): BindRequest | string {
  const hwpt = HWPT_STRUCTURES.find(({ structure }) => structure.bytes === bytes.length);
  if (hwpt !== undefined) {
    const view = viewOf(bytes, hwpt.structure);
    if (hwpt.structure.fits(view)) return { kind: "iommu_hwpt", owner: hwpt.owner, view };
  }
  if (bytes.length > FRAME_BYTES)
    return `expected a structure of a page at most, found ${bytes.length} bytes`;
  const sizes = HWPT_STRUCTURES.map(({ structure }) => `struct ${structure.name} (${structure.bytes})`);
  if (bytes.length < OLDER_END)
    return `expected ${alternatives([`struct pasid_table_config (${OLDER_END} bytes or more)`, ...sizes])}, found ${bytes.length} bytes`;
  return configRequest(bytes);
}

/** `bytes` says which layout it is; where it says less than any has, the size that was passed does. */
function configRequest(bytes: Uint8Array): PasidTableRequest | string {
  const header = viewOf(bytes.subarray(0, HEADER_END), OlderConfigLayout);
  const version = Number(OlderConfigLayout.extract("version", header, 0));
  const says = Number(OlderConfigLayout.extract("bytes", header, 0));
  if (version > MOST_VERSIONS && says > FRAME_BYTES)
    return `expected a structure of binding, found bytes that would be version ${version} and ${says} bytes of pasid_table_config`;
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
  const armGiven = hasArmFields(model)
    ? Object.keys(arm).length > 0
    : (arm.s1fmt ?? 0) + (arm.s1dss ?? 0) > 0;
  return {
    ...common,
    ...(model === undefined ? { unknownModel: `${number}` } : { model }),
    base: field("base_ptr"),
    pasidBits: Number(field("pasid_bits")),
    ...(armGiven ? { arm } : {}),
  };
}
