import { FRAME_BYTES } from "../memory.ts";
import type { BindFindings } from "../pasid-tables/bind-findings.ts";
import { BIND_RULES } from "../pasid-tables/bind-rules.ts";
import {
  addressIn,
  type BindHost,
  leafLevel,
  type PasidTableFormat,
  radixInputBits,
  radixLevels,
} from "../pasid-tables/format.ts";
import { Configuration } from "./configuration.ts";
import { Gcr3Entry } from "./device-table-entry.ts";
import { gcr3TableLimit, PASID_BITS_PER_LEVEL } from "./gcr3-table.ts";

/** GLX of the largest table. */
const MOST_GLX = 2;

/** The guest CR3 table, as it is bound. */
export const AMD_VI_PASID_TABLES = {
  amd: {
    largest: { amd: { glx: MOST_GLX } },
    layout({ amd }) {
      const glx = amd?.glx ?? 0;
      const next = { field: "GCR3", bytes: FRAME_BYTES, what: "guest CR3 table" };
      return {
        reach: Math.log2(gcr3TableLimit(glx)),
        shape: () => ({ what: "guest CR3 table", bytes: FRAME_BYTES, alignment: FRAME_BYTES }),
        levels: () => [
          ...radixLevels(glx, { layout: Gcr3Entry, present: "V", next }, PASID_BITS_PER_LEVEL),
          leafLevel(Gcr3Entry, "V"),
        ],
        checkFormat: (host, out) => checkLevels(glx, amd?.paging_levels, host, out),
        secondInputBits: ({ levels }) => radixInputBits(levels),
        entries: () => ({
          littleEndian: true,
          rootBytes: FRAME_BYTES,
          read: (view, at) => ({ unsupported: [], roots: [addressIn(Gcr3Entry, "GCR3", view, at)] }),
        }),
      };
    },
  },
} as const satisfies Readonly<Record<string, PasidTableFormat>>;

function checkLevels(
  glx: number,
  pagingLevels: number | undefined,
  { limits, state }: BindHost,
  out: BindFindings,
): void {
  const configuration = new Configuration();
  configuration.load(state);
  if (glx > configuration.glx)
    out.add(
      BIND_RULES["bind-format-unsupported"],
      `amd.glx is ${glx}: expected at most ${configuration.glx}, which EFR.GLXSup says`,
    );
  if (pagingLevels === 5 && !limits.formats.has("x86-64-5lvl"))
    out.add(
      BIND_RULES["bind-pgtable-format"],
      "amd.paging_levels is 5: expected 4, which is what EFR.GATS or pgtable_format allow",
    );
}
