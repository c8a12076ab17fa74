import { hex } from "../word64.ts";
import { type BindFindings, bitCount, sizeText } from "./bind-findings.ts";
import { BIND_RULES } from "./bind-rules.ts";
import type { TableShape, TableUse } from "./format.ts";

const MAX_INPUT_BITS = 64;

/** Whether what is pointed to is aligned. */
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

/**
 * Whether what is pointed to can be reached.
 * @param width bits of the addresses that it lies in
 */
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
