import { FRAME_BYTES } from "../memory.ts";
import type { TableModel } from "../models.ts";
import type { BindFindings } from "../pasid-tables/bind-findings.ts";
import { BIND_RULES } from "../pasid-tables/bind-rules.ts";
import type {
  BindHost,
  PasidTableFormat,
  PasidTableLayout,
  TableShape,
  TableUse,
} from "../pasid-tables/format.ts";
import { MAX_PASID_BITS } from "../request.ts";
import { Cd, L1Cd } from "./cd.ts";
import { SmmuFeatures } from "./features.ts";
import { isTwoLevel, S1FMT_4K_L2, S1FMT_64K_L2, S1FMT_LINEAR } from "./ste.ts";
import { StreamContext } from "./stream-context.ts";

/** Values of STE.S1DSS from here on are reserved. */
const S1DSS_RESERVED = 3;

/** Models of table of context descriptors, as they are bound. */
export const SMMUV3_PASID_TABLES = {
  "arm-1lvl": {
    largest: {},
    layout(fields, _pasidBits, out) {
      checkLevels("arm-1lvl", fields.arm?.s1fmt, out);
      return cdTable(fields.arm?.s1fmt ?? S1FMT_LINEAR, fields.arm?.s1dss);
    },
  },
  "arm-2lvl": {
    largest: {},
    layout(fields, _pasidBits, out) {
      checkLevels("arm-2lvl", fields.arm?.s1fmt, out);
      return cdTable(fields.arm?.s1fmt ?? S1FMT_64K_L2, fields.arm?.s1dss);
    },
  },
} as const satisfies Readonly<Record<string, PasidTableFormat>>;

/**
 * A table of context descriptors.
 * @param s1fmt as STE.S1Fmt; 3, which is reserved, behaves as 0
 * @param s1dss as STE.S1DSS; undefined: nothing is said
 */
export function cdTable(s1fmt: number, s1dss: number | undefined): PasidTableLayout {
  const leafBytes = isTwoLevel(s1fmt) ? leafBytesOf(s1fmt) : 0;
  return {
    reach: MAX_PASID_BITS,
    shape: (bits) => shapeOf(leafBytes, bits),
    context: (bits, host) => contextOf(s1fmt, bits, host),
    checkFields: (use, host, out) => checkDefaultSubstream(s1dss, use, host, out),
    secondInputBits: ({ t0sz }) => (t0sz === undefined ? undefined : Math.max(64 - t0sz, 0)),
  };
}

/** Bytes of the leaf tables of a 2-level table (IHI 0070, 5.2 STE.S1Fmt). */
function leafBytesOf(s1fmt: number): number {
  return s1fmt === S1FMT_4K_L2 ? FRAME_BYTES : 16 * FRAME_BYTES;
}

/**
 * IHI 0070, 5.2 STE.S1Fmt: each table is aligned to its size, and to 64 bytes.
 * @param leafBytes 0: one level
 */
function shapeOf(leafBytes: number, pasidBits: number): TableShape {
  if (pasidBits === 0 || leafBytes === 0) {
    const bytes = 2 ** pasidBits * Cd.bytes;
    const what = pasidBits === 0 ? "context descriptor" : "context descriptor table";
    return { what, bytes, alignment: bytes };
  }
  const leaves = Math.max((2 ** pasidBits * Cd.bytes) / leafBytes, 1);
  const bytes = leaves * L1Cd.bytes;
  return { what: "level 1 context descriptor table", bytes, alignment: Math.max(bytes, Cd.bytes) };
}

/** What an STE would say of a table at address 0. */
function contextOf(s1fmt: number, pasidBits: number, { state }: BindHost): StreamContext {
  const features = new SmmuFeatures();
  features.configure(state);
  const stream = new StreamContext();
  stream.bindStage1(0, 0, s1fmt, pasidBits, 0, features);
  return stream;
}

/** The model says the number of levels; s1fmt says it again, and the size of the leaves. */
function checkLevels(model: TableModel, s1fmt: number | undefined, out: BindFindings): void {
  const twoLevel = model === "arm-2lvl";
  if (s1fmt === undefined) {
    if (twoLevel)
      out.add(
        BIND_RULES["bind-format-missing"],
        `s1fmt is absent: expected 1 (4 KiB leaves) or 2 (64 KiB leaves) with model ${model}`,
      );
    return;
  }
  const expected = twoLevel ? "1 or 2" : "0";
  if (s1fmt > S1FMT_64K_L2)
    out.add(
      BIND_RULES["bind-levels"],
      `s1fmt is ${s1fmt}, a reserved value: expected ${expected} with model ${model}`,
    );
  else if (isTwoLevel(s1fmt) !== twoLevel)
    out.add(BIND_RULES["bind-levels"], `s1fmt is ${s1fmt}: expected ${expected} with model ${model}`);
}

function checkDefaultSubstream(
  s1dss: number | undefined,
  use: TableUse,
  { limits }: BindHost,
  out: BindFindings,
): void {
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
