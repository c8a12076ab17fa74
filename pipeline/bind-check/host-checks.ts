import type { HostLimits } from "../../walkers/host.ts";
import { checkAlignment, checkRange } from "../../walkers/pasid-tables/base-checks.ts";
import { type BindFindings, bitCount } from "../../walkers/pasid-tables/bind-findings.ts";
import { BIND_RULES } from "../../walkers/pasid-tables/bind-rules.ts";
import type { BindHost, TableShape, TableUse } from "../../walkers/pasid-tables/format.ts";

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
  const { layout, parent } = use;
  checkFormat(use, host, out);
  checkPasidBits(use, limits, out);
  const pasidBits = Math.min(use.pasidBits ?? limits.pasidBits, limits.pasidBits, layout.reach);
  const shape = layout.shape(pasidBits);
  checkAlignment(use, shape, out);
  checkRange(use, shape, use.nested ? secondInputBits(use, limits) : limits.outputBits, out);
  layout.checkFields?.(use, host, out);
  if (use.nested && limits.noNesting !== "")
    out.add(
      BIND_RULES["bind-nested-unsupported"],
      `a second stage lies under the table: expected an IOMMU that nests, found that ${limits.noNesting}`,
    );
  else if (parent !== undefined) layout.checkSecondStage?.(parent, host, out);
  return { pasidBits, shape };
}

function checkFormat({ model, layout }: TableUse, host: BindHost, out: BindFindings): void {
  const lacking = host.limits.lacking.get(model);
  if (lacking === undefined) layout.checkFormat?.(host, out);
  else
    out.add(
      BIND_RULES["bind-format-unsupported"],
      `model ${model}: expected an IOMMU that walks such tables, found that ${lacking}`,
    );
}

function checkPasidBits(use: TableUse, limits: HostLimits, out: BindFindings): void {
  const { pasidBits, pasidBitsName } = use;
  const { reach } = use.layout;
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

/** Bits that the second stage under the table translates; where it does not say, the most that the IOMMU has. */
function secondInputBits({ parent, layout }: TableUse, limits: HostLimits): number {
  const bits = parent === undefined ? undefined : layout.secondInputBits(parent);
  return Math.min(bits ?? limits.secondInputBits, limits.secondInputBits);
}
